"""A sequencer for tests that need faults at a chosen moment: it can go away, before or after it has executed something.

The real engine behind the real protocol over a real socket, in the test's own process; only disk and keys are missing.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from offchain.domain.chainlog import Deposited, MarketListed
from offchain.domain.command import CancelOrder, Command, ObserveLog, OpenVenue, PlaceOrder, encode
from offchain.domain.event import ApprovalGranted
from offchain.domain.order import Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Address, Digest, Lots, Ticks
from offchain.engine.engine import Engine
from offchain.sequencer import protocol
from offchain.sequencer.named import cancel_of, find_named
from offchain.sequencer.protocol import Ack, FrameReader, FrameType, Hello
from offchain.sequencer.recovery import Memory
from offchain.storage.frames import NO_HASH, Body, Group, Record, decode_group

CHAIN_ID = 998
VAULT = Address("0x" + "11" * 20)
SETTLEMENT = Address("0x" + "22" * 20)
COMMITMENT = Address("0x" + "33" * 20)
QUOTE = Address("0x" + "44" * 20)
BASE = Address("0x" + "55" * 20)
MAKER = Address("0x" + "66" * 20)
"""Whose orders `level` places."""
OPENED = OpenVenue(
    chain_id=CHAIN_ID,
    vault=VAULT,
    settlement=SETTLEMENT,
    commitment=COMMITMENT,
    quote_token=QUOTE,
    quote_decimals=6,
    fee_account=Address("0x" + "a1" * 20),
    treasury_account=Address("0x" + "a2" * 20),
    insurance_account=Address("0x" + "a3" * 20),
    maker_fee_ppm=2_500,
    taker_fee_ppm=2_500,
    batch_interval_millis=200,
    batch_gas_max=1_400_000,
    fills_per_immediate_order_max=13,
)


class Level(NamedTuple):
    """The one order of MAKER at a price gets this size; 0 takes it away."""

    price: int
    size: int
    side: int = 0


class Deposit(NamedTuple):
    account: Address
    token: Address = QUOTE
    amount: int = 1


class StubSequencer:
    """`lose_next`: take the next submission, and close the connection before or after executing it.

    Market 1 is BTC-USDC, tick 0.1 USDC, lot 0.0001 BTC; each account has 10^12 quote units.
    """

    def __init__(self, path: Path, accounts: Sequence[Address], opened: OpenVenue = OPENED) -> None:
        self.path = path
        self.lose_next = ""
        self.submissions = 0
        self._feeds: list[asyncio.StreamWriter] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.begin(accounts, opened)

    def begin(self, accounts: Sequence[Address], opened: OpenVenue = OPENED) -> None:
        """A journal of its own."""
        self.memory = Memory()
        self.groups: list[Group] = []
        self.placed: dict[Digest, PlaceOrder] = {}
        self.at = self.logs = 0
        self.block = 100
        self._hash = NO_HASH
        self._nonce = time.time_ns() // 1_000_000
        self._slots: dict[tuple[int, int], int] = {}
        self.resting: dict[tuple[int, int], int] = {}
        self._deposited: dict[tuple[Address, Address], int] = {}
        self.publish(opened)
        self.list_market(market=1, symbol="BTC-USDC", base_token=BASE)
        self.publish(Deposit(MAKER, QUOTE, 10**18), Deposit(MAKER, BASE, 10**24))
        self.publish(*(Deposit(account, QUOTE, 10**12) for account in accounts))

    @property
    def engine(self) -> Engine:
        return self.memory.engine

    @property
    def sequence(self) -> int:
        return self.engine.sequence

    def list_market(self, **fields) -> None:
        units = {"base_atoms_per_lot": 10**14, "quote_atoms_per_tick_lot": 10, "base_decimals": 18, "quote_decimals": 6}
        self.observe(MarketListed, **(units | fields))

    def observe(self, kind, **fields) -> Ack:
        self.logs += 1
        head = {"event_sequence": self.logs, "block_number": self.block, "block_time": int(time.time())}
        return self.apply([ObserveLog(log=kind(**head, transaction="0x" + "77" * 32, **fields))])[0]

    def withhold(self) -> None:
        """Whoever reads the feed falls behind from now on."""
        self._feeds.clear()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.path.unlink(missing_ok=True)
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    def publish(self, *wanted: Command | Level | Deposit) -> int:
        """To every feed; the last sequence."""
        for one in wanted:
            if isinstance(one, Deposit):
                balance = self._deposited.get(one[:2], 0) + one.amount
                self._deposited[one[:2]] = balance
                self.observe(Deposited, account=one.account, token=one.token, amount=one.amount, balance=balance)
            else:
                self.apply([self._level(one) if isinstance(one, Level) else one])
        return self.sequence

    def apply(self, commands: Sequence[Command]) -> list[Ack]:
        """One group."""
        self.at = max(time.time_ns() // 1_000_000, self.at)
        records, acks = list[Record](), []
        digests = [self.memory.digest(command) for command in commands if isinstance(command, PlaceOrder)]
        if again := self.memory.results.find_together(commands, digests):
            return [Ack(one.sequence, one.at, one.events, "", "", True) for one in again]
        for command in commands:
            digest = self.memory.digest(command) if isinstance(command, PlaceOrder) else None
            first = self.memory.results.find(command, digest) if digest is not None else None
            receipt = "0x" + "ab" * 65 if digest is not None else ""
            if first is not None:
                acks.append(Ack(first.sequence, first.at, first.events, receipt, "", True))
                continue
            sequence = self.sequence + 1
            events = self.memory.apply(sequence, self.at, command, digest)
            if digest is not None:
                self.placed[digest] = command
            records.append(Record(*encode(command)[:2], sequence, self.at, encode(command)[2]))
            is_granted = any(isinstance(event, ApprovalGranted) for event in events)
            acks.append(Ack(sequence, self.at, events, receipt, "0x" + "cd" * 65 if is_granted else ""))
        if records:
            content, self._hash = Body.of(records).seal(self._hash)
            self.groups.append(decode_group(content))
            for writer in self._feeds:
                writer.write(protocol.records_frame(content))
        return acks

    def _level(self, level: Level) -> Command:
        key = level.side, level.price
        slot = self._slots.setdefault(key, len(self._slots) + 1)
        if not level.size:
            return CancelOrder(MAKER, self.resting.pop(key), MAKER)
        self._nonce += 1
        nonce = self.resting[key] = make_nonce(slot, self._nonce)
        head = MAKER, 0, 1, Side(level.side), Kind.LIMIT, TimeInForce.GTC, 0
        order = Order(*head, Ticks(level.price), Lots(level.size), Ticks(0), 2_500, nonce, 0)
        return PlaceOrder(order, bytes(65), MAKER)

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
            acks = self.apply(commands)
            if lose == "after":
                writer.transport.abort()
                return
            writer.write(protocol.acks_frame(request, acks))
        elif kind is FrameType.CANCEL:
            request, named = protocol.read_cancel(body)
            found = find_named(self.engine, named)
            command = cancel_of(named, found)
            ack = None if command is None else self.apply([command])[0]
            writer.write(protocol.cancelled_frame(request, protocol.Cancelled(found, ack)))

    def _feed(self, from_sequence: int, writer: asyncio.StreamWriter) -> None:
        for group in self.groups:
            if group.last >= from_sequence:
                writer.write(protocol.records_frame(group.content))
        self._feeds.append(writer)
