"""A sequencer for tests that need faults at a chosen moment: it rests every order, cancels, and can go away.

It speaks the real protocol over a real socket, but knows no balances and matches nothing.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from offchain.domain.command import CancelAll, CancelOrder, Command, PlaceOrder, RequestApproval
from offchain.domain.eip712 import domain_separator, order_digest
from offchain.domain.event import (
    AnyEvent,
    ApprovalGranted,
    BalanceChanged,
    CloseReason,
    CommandRejected,
    FeesChanged,
    LevelChanged,
    MarketOpened,
    OrderAccepted,
    OrderClosed,
    RejectReason,
    VenueState,
    VenueStateChanged,
)
from offchain.domain.units import Address, Digest
from offchain.sequencer import protocol
from offchain.sequencer.protocol import Ack, FeedMessage, FrameReader, FrameType, Hello

CHAIN_ID = 998
VAULT = Address("0x" + "11" * 20)
SETTLEMENT = Address("0x" + "22" * 20)
COMMITMENT = Address("0x" + "33" * 20)
QUOTE = Address("0x" + "44" * 20)
BASE = Address("0x" + "55" * 20)
OPENED = MarketOpened(
    market=1,
    symbol="BTC-USDC",
    base_token=BASE,
    base_atoms_per_lot=10**14,
    quote_atoms_per_tick_lot=10,
    base_decimals=18,
    quote_decimals=6,
)
"""Tick 0.1 USDC, lot 0.0001 BTC."""


def balance(account: Address, settled: int = 10**12) -> BalanceChanged:
    return BalanceChanged(account=account, token=QUOTE, settled=settled, pending=0, held=0, leaving=0)


class StubSequencer:
    """`lose_next`: take the next submission, and close the connection before or after executing it."""

    def __init__(self, path: Path, accounts: Sequence[Address]) -> None:
        self.path = path
        self.sequence = 10
        self.state: list[AnyEvent] = [
            OPENED,
            FeesChanged(maker_fee_ppm=2500, taker_fee_ppm=2500),
            VenueStateChanged(state=VenueState.ACTIVE, reason=""),
            *(balance(account) for account in accounts),
        ]
        self.first = self.sequence
        self.history: list[FeedMessage] = []
        self.open: dict[Digest, PlaceOrder] = {}
        self.results: dict[Digest, Ack] = {}
        self.levels: dict[tuple[int, int], int] = {}
        self.lose_next = ""
        self.submissions = 0
        self._separator = domain_separator(CHAIN_ID, SETTLEMENT)
        self._feeds: list[asyncio.StreamWriter] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.path.unlink(missing_ok=True)
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    def publish(self, *events: AnyEvent) -> int:
        """Events of one command, to every feed."""
        self.sequence += 1
        message = FeedMessage(self.sequence, 1_700_000_000_000 + self.sequence, False, events)
        self.history.append(message)
        for writer in self._feeds:
            writer.write(protocol.events_frame([message]))
        return self.sequence

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        writer.write(protocol.hello_frame(Hello(protocol.PROTOCOL_VERSION, CHAIN_ID, self.sequence)))
        cutter = FrameReader()
        try:
            while received := await reader.read(1 << 16):
                for kind, body in cutter.feed(received):
                    self._take(kind, body, writer)
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            if writer in self._feeds:
                self._feeds.remove(writer)
            writer.transport.abort()

    def _take(self, kind: FrameType, body: bytes, writer: asyncio.StreamWriter) -> None:
        if kind is FrameType.FEED:
            self._feed(protocol.read_feed(body), writer)
        elif kind is FrameType.RECEIPT:
            request, _ = protocol.read_receipt(body)
            writer.write(protocol.receipt_is_frame(request, "0x" + "ab" * 65))
        elif kind is FrameType.SUBMIT:
            request, commands = protocol.read_submit(body)
            self.submissions += 1
            lose, self.lose_next = self.lose_next, ""
            if lose == "before":
                writer.transport.abort()
                return
            acks = [self._execute(command) for command in commands]
            if lose == "after":
                writer.transport.abort()
                return
            writer.write(protocol.acks_frame(request, acks))

    def _feed(self, from_sequence: int, writer: asyncio.StreamWriter) -> None:
        if from_sequence <= self.first:
            writer.write(protocol.snapshot_frame(self.state))
            writer.write(protocol.snapshot_end_frame(self.first, 1_700_000_000_000))
            from_sequence = self.first + 1
        missing = [message for message in self.history if message.sequence >= from_sequence]
        if missing:
            writer.write(protocol.events_frame(missing))
        self._feeds.append(writer)

    def _execute(self, command: Command) -> Ack:
        if isinstance(command, PlaceOrder):
            return self._place(command)
        if isinstance(command, CancelOrder):
            for digest, placed in list(self.open.items()):
                if (placed.order.account, placed.order.nonce) == (command.account, command.nonce):
                    return self._ack(*self._close(digest, placed))
            return self._ack(CommandRejected(reason=RejectReason.ORDER_NOT_OPEN))
        if isinstance(command, CancelAll):
            mine = [(d, p) for d, p in self.open.items() if p.order.account == command.account]
            return self._ack(*(event for digest, placed in mine for event in self._close(digest, placed)))
        assert isinstance(command, RequestApproval)
        granted = ApprovalGranted(
            nonce=self.sequence + 1,
            purpose=command.purpose,
            account=command.account,
            token=command.token,
            amount=command.amount,
            destination=command.destination,
            as_cxpt=command.as_cxpt,
            owner_nonce=command.nonce,
            owner_deadline=command.deadline,
            owner_signature=command.signature,
            deadline=1_700_000_120,
        )
        return self._ack(granted, approval="0x" + "cd" * 65)

    def _place(self, command: PlaceOrder) -> Ack:
        order = command.order
        digest = Digest("0x" + order_digest(self._separator, order).hex())
        if digest in self.results:
            first = self.results[digest]
            return Ack(first.sequence, first.at, first.events, first.receipt, "", True)
        self.open[digest] = command
        accepted = OrderAccepted(
            sequence=self.sequence + 1,
            at=1_700_000_000_000 + self.sequence + 1,
            digest=digest,
            account=order.account,
            subaccount=0,
            market=order.market,
            side=int(order.side),
            kind=int(order.kind),
            time_in_force=int(order.time_in_force),
            flags=order.flags,
            price_ticks=order.price_ticks,
            size_lots=order.size_lots,
            nonce=order.nonce,
            expiry=order.expiry,
            client_order_id=command.client_order_id,
            maker_fee_ppm=2500,
            taker_fee_ppm=2500,
        )
        ack = self._ack(accepted, self._level(command, 1), receipt="0x" + "ab" * 65)
        self.results[digest] = ack
        return ack

    def _close(self, digest: Digest, placed: PlaceOrder) -> tuple[AnyEvent, ...]:
        del self.open[digest]
        closed = OrderClosed(
            digest=digest,
            account=placed.order.account,
            market=placed.order.market,
            reason=CloseReason.CANCELED,
            filled_lots=0,
        )
        return closed, self._level(placed, -1)

    def _level(self, placed: PlaceOrder, sign: int) -> LevelChanged:
        order = placed.order
        key = int(order.side), int(order.price_ticks)
        self.levels[key] = self.levels.get(key, 0) + sign * order.size_lots
        return LevelChanged(market=order.market, side=key[0], price_ticks=key[1], size_lots=self.levels[key])

    def _ack(self, *events: AnyEvent, receipt: str = "", approval: str = "") -> Ack:
        sequence = self.publish(*events)
        return Ack(sequence, 1_700_000_000_000 + sequence, events, receipt, approval)


def level_event(price: int, size: int, side: int = 0) -> LevelChanged:
    return LevelChanged(market=1, side=side, price_ticks=price, size_lots=size)
