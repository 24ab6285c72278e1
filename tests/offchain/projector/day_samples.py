"""A journal with everything in it that a projection shows: fills settled, refused and taken back, epochs, approvals."""

import sqlite3
from pathlib import Path

from venue_samples import CHAIN, KEY, QUOTE, START, TRADERS, VENUE, flow, funding, order

from offchain.domain.chainlog import BatchSettled, WithdrawalRequested
from offchain.domain.command import (
    AdvanceTime,
    CancelAll,
    CancelOrder,
    CloseEpoch,
    Command,
    ObserveBlock,
    ObserveLog,
    PlaceOrder,
    RefuseFill,
    RequestApproval,
    SetFees,
    encode,
)
from offchain.domain.eip712 import domain_separator, order_digest
from offchain.domain.event import AnyEvent, BatchClosed, FillMatched
from offchain.domain.order import Side, TimeInForce
from offchain.engine.engine import Engine
from offchain.security.signatures import address_of, sign
from offchain.storage.journal import Journal, Record


class Day:
    """Writes a journal, command by command, with an engine of its own to know what to do next."""

    def __init__(self, folder: Path, group: int = 7) -> None:
        self.engine = Engine()
        self.journal = Journal.open(folder / "journal", chain_id=CHAIN, segment_bytes=40_000)
        self.events_by_chain = 0
        self.batches: list[BatchClosed] = []
        self.fills: list[FillMatched] = []
        self.seen: list[AnyEvent] = []
        self._group = group
        self._waiting: list[Record] = []

    def do(self, command: Command, later: int = 3) -> None:
        sequence, at = self.engine.sequence + 1, max(self.engine.at + later, START)
        kind, version, payload = encode(command)
        events = self.engine.apply(sequence, at, command)
        self.seen.extend(events)
        for event in events:
            if isinstance(event, BatchClosed):
                self.batches.append(event)
            elif isinstance(event, FillMatched):
                self.fills.append(event)
        self._waiting.append(Record(kind, version, sequence, at, payload))
        if len(self._waiting) >= self._group:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            self.journal.append(self._waiting)
            self._waiting = []

    def log(self, kind: type, **fields: object) -> None:
        self.events_by_chain += 1
        place = {
            "event_sequence": self.events_by_chain,
            "block_number": 10 + self.events_by_chain,
            "block_time": self.engine.at // 1000,
            "transaction": f"0x{self.events_by_chain:064x}",
        }
        self.do(ObserveLog(log=kind(**place, **fields)))

    def settle(self, refusals: dict[int, int] | None = None) -> None:
        """The oldest closed batch, as the chain would report it."""
        batch = self.batches.pop(0)
        refused = tuple(sorted((fill - batch.first, reason) for fill, reason in (refusals or {}).items()))
        self.log(BatchSettled, first=batch.first, last=batch.last, refusals=refused)


def signed(command: PlaceOrder) -> PlaceOrder:
    """By a key of the test's; the account is that key's."""
    order_ = command.order
    owned = type(order_)(address_of(KEY), *(getattr(order_, field) for field in order_.__struct_fields__[1:]))
    digest = order_digest(domain_separator(VENUE.chain_id, VENUE.settlement), owned)
    return PlaceOrder(owned, sign(digest, KEY), owned.account, command.client_order_id)


def write_day(folder: Path, orders: int = 150) -> Day:
    """Closed when returned; about twice `orders` commands."""
    day = Day(folder)
    day.do(VENUE)
    for entry in funding():
        fields = {name: getattr(entry, name) for name in entry.__struct_fields__[4:]}
        day.log(type(entry), **fields)
    day.do(ObserveBlock(block_number=40, block_time=START // 1000))
    all_orders = flow(orders)
    for number, command in enumerate(all_orders):
        day.do(command)
        if number % 11 == 5:
            day.do(CancelOrder(command.order.account, all_orders[number - 3].order.nonce, command.order.account))
        if number % 29 == 7:
            day.do(order(TRADERS[number % 8], Side.SELL, 900, 9, 10_000 + number, slot=0, tif=TimeInForce.IOC))
        if number % 31 == 9:
            day.do(order(TRADERS[0], Side.BUY, 0, 1, 20_000 + number), later=400)
            day.do(signed(order(TRADERS[0], Side.BUY, 500, 1, 20_000 + number)))
        if number % 37 == 11:
            day.do(AdvanceTime(), later=VENUE.batch_interval_millis + 1)
        if number % 50 == 20:
            withdraw(day, TRADERS[1], "0x" + "11" * 65)
            withdraw(day, TRADERS[2], "")
        if number % 41 == 30 and day.batches:
            day.do(RefuseFill(fill=day.batches[-1].last, reason="sinks its batch"))
            day.settle()
        if number % 60 == 45 and day.batches:
            day.settle({day.batches[0].first: 0x81})
        if number % 45 == 40:
            day.do(CloseEpoch())
    day.do(SetFees(maker_fee_ppm=0, taker_fee_ppm=5))
    day.log(WithdrawalRequested, account=TRADERS[3], token=QUOTE, amount=7, destination=TRADERS[3], matures_at=1)
    day.do(CancelAll(TRADERS[4], 0, 0, TRADERS[4]))
    day.do(order(TRADERS[5], Side.SELL, 500, 1, 30_000))
    day.do(order(TRADERS[6], Side.BUY, 500, 1, 30_001))
    day.do(CloseEpoch())
    day.flush()
    day.journal.close()
    return day


def withdraw(day: Day, account: str, signature: str) -> None:
    day.do(
        RequestApproval(
            purpose="withdraw",
            account=account,  # type: ignore[arg-type]
            token=QUOTE,
            amount=100,
            destination=account,  # type: ignore[arg-type]
            as_cxpt=False,
            nonce=day.engine.sequence,
            deadline=START // 1000 + 1_000,
            signature=signature,
            signer=account,  # type: ignore[arg-type]
        )
    )


def rows(path: Path, without: tuple[str, ...] = ()) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table of a SQLite file, in a stable order."""
    connection = sqlite3.connect(path)
    try:
        names = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        return {
            name: sorted(connection.execute(f"select * from {name}").fetchall(), key=repr)
            for name in names
            if name not in without
        }
    finally:
        connection.close()
