"""The history database: orders, fills, balances, epochs, chain and venue events, as of one journal sequence.

Invariant: effects and cursor change in one transaction, so every reader sees the state after one command; rows are
functions of the journal. Writing is the projector's alone, everybody may read. Lists page by the key of their last row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from offchain.domain.batch import EpochHeader
from offchain.domain.event import MarketOpened
from offchain.domain.order import OrderStatus
from offchain.domain.units import Address, Digest
from offchain.storage import history_schema as t
from offchain.storage.databases import Database, rows_of

_CURSOR = "journal"
_decode_header = msgspec.json.Decoder(EpochHeader).decode
_decode_market = msgspec.json.Decoder(MarketOpened).decode


class Cursor(msgspec.Struct, frozen=True):
    """The last command whose effects are all there; `record` is the keccak of its journal record, as hex."""

    sequence: int
    at: int
    record: str


class OrderRow(msgspec.Struct, kw_only=True):
    """Times in unix milliseconds; `reason` is "" while open, else a CloseReason or RejectReason. `size_lots` is what
    the order was made smaller to, if it was. `trigger_ticks` is in a table of its own."""

    sequence: int
    at: int
    digest: Digest
    account: Address
    subaccount: int
    market: int
    side: int
    kind: int
    time_in_force: int
    flags: int
    price_ticks: int
    size_lots: int
    nonce: int
    expiry: int
    client_order_id: str
    maker_fee_ppm: int
    taker_fee_ppm: int
    status: OrderStatus
    reason: str
    filled_lots: int
    cost_atoms: int
    fee_atoms: int
    last_trade_at: int | None
    updated_at: int
    trigger_ticks: int = 0


AMM = Address("amm")
"""The maker of a fill with an AMM pair, which has no account and no order."""


class FillRow(msgspec.Struct, kw_only=True):
    """`state` is MATCHED, BATCHED, SETTLED or REFUSED; `refusal` as on chain.

    With an AMM pair: `maker` is AMM, `maker_digest` empty, `price_ticks` the nearest tick; `notional` is exact, and
    what the pair gave beyond it is a venue event.
    """

    fill: int
    sequence: int
    at: int
    market: int
    maker_digest: Digest
    taker_digest: Digest
    maker: Address
    taker: Address
    taker_side: int
    price_ticks: int
    size_lots: int
    notional: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    maker_fee: int
    taker_fee: int
    state: str
    batch: int | None
    refusal: int | None
    reason: str
    transaction: str
    updated_at: int


class BalanceRow(msgspec.Struct, kw_only=True):
    account: Address
    token: Address
    settled: int
    pending: int
    owed: int
    held: int
    leaving: int
    sequence: int


class EpochRow(msgspec.Struct, kw_only=True):
    epoch: int
    first: int
    last: int
    at: int
    hash: str
    header: EpochHeader


_ORDERS = sa.select(t.orders, t.triggers.c.trigger_ticks).select_from(
    t.orders.outerjoin(t.triggers, t.orders.c.sequence == t.triggers.c.sequence)
)
Row = Mapping[str, Any]
_Struct = TypeVar("_Struct")


@dataclass
class Effects:
    """What some commands change. Rows with the same key: the last one counts, except for appended ones."""

    orders: dict[int, Row] = field(default_factory=dict)
    fills: dict[int, Row] = field(default_factory=dict)
    balances: dict[tuple[Address, Address], Row] = field(default_factory=dict)
    markets: list[Row] = field(default_factory=list)
    batches: list[Row] = field(default_factory=list)
    epochs: list[Row] = field(default_factory=list)
    chain_events: list[Row] = field(default_factory=list)
    venue_events: list[Row] = field(default_factory=list)
    triggers: list[Row] = field(default_factory=list)


class History:
    """All methods are one transaction each and may be called from any thread."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, t.SCHEMA, name="history", version=t.VERSION, synchronous="NORMAL")

    def close(self) -> None:
        self.database.close()

    # --- the projector's ---

    def write(self, effects: Effects, cursor: Cursor) -> None:
        """All effects up to and with the cursor's command."""
        database = self.database
        with database.writing() as connection:
            database.upsert(connection, t.orders, list(effects.orders.values()))
            database.upsert(connection, t.fills, list(effects.fills.values()))
            database.upsert(connection, t.balances, list(effects.balances.values()))
            for table, rows in (
                (t.markets, effects.markets),
                (t.batches, effects.batches),
                (t.epochs, effects.epochs),
                (t.chain_events, effects.chain_events),
                (t.venue_events, effects.venue_events),
                (t.triggers, effects.triggers),
            ):
                database.insert_absent(connection, table, rows)
            row = {"name": _CURSOR, "sequence": cursor.sequence, "at": cursor.at, "record": cursor.record}
            database.upsert(connection, t.cursors, [row])

    def cursor(self) -> Cursor | None:
        """None before the first command."""
        query = sa.select(t.cursors.c.sequence, t.cursors.c.at, t.cursors.c.record).where(t.cursors.c.name == _CURSOR)
        return next(iter(self._select(query, Cursor)), None)

    # --- orders ---

    def order(self, digest: str) -> OrderRow | None:
        """The order that was accepted, else its first rejection."""
        rows = self._orders(_ORDERS.where(t.orders.c.digest == digest).order_by(t.orders.c.sequence))
        return next((row for row in rows if row.status is not OrderStatus.REJECTED), next(iter(rows), None))

    def order_of_client(self, account: str, client_order_id: str) -> OrderRow | None:
        """The last one with this client order id."""
        table = t.orders
        mine = sa.and_(table.c.account == account, table.c.client_order_id == client_order_id)
        rows = self._orders(_ORDERS.where(mine).order_by(table.c.sequence.desc()))
        return next((row for row in rows if row.status is not OrderStatus.REJECTED), next(iter(rows), None))

    def orders_of(
        self, account: str, before: int = 0, limit: int = 100, market: int = 0, statuses: Sequence[str] = ()
    ) -> list[OrderRow]:
        """The newest first; `before`: the last row's sequence, 0 for the first page; `market` 0: all."""
        table = t.orders
        query = _ORDERS.where(table.c.account == account).order_by(table.c.sequence.desc()).limit(limit)
        if before:
            query = query.where(table.c.sequence < before)
        if market:
            query = query.where(table.c.market == market)
        if statuses:
            query = query.where(table.c.status.in_([str(status) for status in statuses]))
        return self._orders(query)

    def _orders(self, query: sa.Select[Any]) -> list[OrderRow]:
        rows = [{**row, "trigger_ticks": row["trigger_ticks"] or 0} for row in self._rows(query)]
        return [msgspec.convert(row, OrderRow) for row in rows]

    def order_leaves(self, first: int, last: int) -> list[tuple[int, bytes]]:
        """(sequence, order hash) of every sequenced order in the range: the leaves of an epoch's orders root."""
        query = sa.select(t.orders.c.sequence, t.orders.c.digest).order_by(t.orders.c.sequence)
        with self.database.reading() as connection:
            rows = connection.execute(query.where(t.orders.c.sequence.between(first, last))).all()
        return [(row.sequence, bytes.fromhex(row.digest[2:])) for row in rows]

    # --- fills ---

    def fill(self, number: int) -> FillRow | None:
        return next(iter(self._select(sa.select(t.fills).where(t.fills.c.fill == number), FillRow)), None)

    def fills_of(self, account: str, before: int = 0, limit: int = 100, market: int = 0) -> list[FillRow]:
        """Of either side, the newest first; `before`: the last row's fill, 0 for the first page."""
        table = t.fills
        query = sa.select(table).where(sa.or_(table.c.maker == account, table.c.taker == account))
        query = query.order_by(table.c.fill.desc()).limit(limit)
        if before:
            query = query.where(table.c.fill < before)
        if market:
            query = query.where(table.c.market == market)
        return self._select(query, FillRow)

    def fills_of_order(self, digest: str) -> list[FillRow]:
        """In the order of matching."""
        table = t.fills
        query = sa.select(table).where(sa.or_(table.c.maker_digest == digest, table.c.taker_digest == digest))
        return self._select(query.order_by(table.c.fill), FillRow)

    def trades_of(self, market: int, before: int = 0, limit: int = 100) -> list[FillRow]:
        """Of one market, the newest first."""
        query = sa.select(t.fills).where(t.fills.c.market == market).order_by(t.fills.c.fill.desc()).limit(limit)
        return self._select(query.where(t.fills.c.fill < before) if before else query, FillRow)

    # --- the rest ---

    def balances_of(self, account: str) -> list[BalanceRow]:
        query = sa.select(t.balances).where(t.balances.c.account == account).order_by(t.balances.c.token)
        return self._select(query, BalanceRow)

    def markets(self) -> list[MarketOpened]:
        query = sa.select(t.markets.c.opened).order_by(t.markets.c.market)
        with self.database.reading() as connection:
            return [_decode_market(text) for text in connection.execute(query).scalars()]

    def epoch(self, number: int) -> EpochRow | None:
        return next(iter(self._epochs(sa.select(t.epochs).where(t.epochs.c.epoch == number))), None)

    def epoch_of(self, sequence: int) -> EpochRow | None:
        """The epoch that a command is in; None while it is open."""
        holds = sa.and_(t.epochs.c.first <= sequence, t.epochs.c.last >= sequence)
        return next(iter(self._epochs(sa.select(t.epochs).where(holds))), None)

    def epochs(self, before: int = 0, limit: int = 100) -> list[EpochRow]:
        """The newest first."""
        query = sa.select(t.epochs).order_by(t.epochs.c.epoch.desc()).limit(limit)
        return self._epochs(query.where(t.epochs.c.epoch < before) if before else query)

    def chain_events_of(self, account: str, before: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """Deposits, withdrawals and the other final logs about an account, the newest first."""
        table = t.chain_events
        query = sa.select(table).where(table.c.account == account).order_by(table.c.event_sequence.desc())
        return self._rows(query.where(table.c.event_sequence < before).limit(limit) if before else query.limit(limit))

    def venue_events(self, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """Of commands after this sequence, ascending."""
        table = t.venue_events
        query = sa.select(table).where(table.c.sequence > after).order_by(table.c.sequence, table.c.position)
        return self._rows(query.limit(limit))

    def _epochs(self, query: sa.Select[Any]) -> list[EpochRow]:
        return [EpochRow(**{**row, "header": _decode_header(row["header"])}) for row in self._rows(query)]

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with self.database.reading() as connection:
            return rows_of(connection.execute(query))

    def _select(self, query: sa.Select[Any], kind: type[_Struct]) -> list[_Struct]:
        return [msgspec.convert(row, kind) for row in self._rows(query)]
