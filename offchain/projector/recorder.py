"""Commands and their events as rows of the history.

Invariant: rows hold absolute values and are functions of the journal, so that writing them again changes nothing. Rows
of orders and fills that are not at hand are read from the history, which is exact at its cursor: nothing has to be
rebuilt at a restart. This module decides nothing and writes nothing; see `Projector`.
"""

from collections import OrderedDict
from typing import Any

import msgspec

from offchain.domain.batch import EpochHeader
from offchain.domain.command import Command, ObserveLog, PlaceOrder
from offchain.domain.event import (
    AccountRestricted,
    AgentChanged,
    AmmFillImproved,
    AmmFillMatched,
    AnyEvent,
    ApprovalGranted,
    ApprovalReleased,
    BalanceChanged,
    BatchClosed,
    CommandRejected,
    Diverged,
    FeesChanged,
    FillMatched,
    FillRefused,
    FillSettled,
    FillTakenBack,
    IndexLowered,
    MarketOpened,
    MarketRequested,
    MarketStateChanged,
    OperatorsChanged,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderRejected,
    OrderTriggered,
    RelayEnded,
    RelayRequested,
    VenueStateChanged,
)
from offchain.domain.limits import PRICE_TICKS_MAX
from offchain.domain.order import OrderStatus
from offchain.domain.reasons import CloseReason
from offchain.domain.units import Digest
from offchain.storage.history import AMM, Effects, FillRow, History, OrderRow

ROWS_AT_HAND_MAX = 50_000
"""Orders, and fills: tens of megabytes. What is not at hand costs a query."""

_VENUE_EVENTS = (
    AccountRestricted,
    AgentChanged,
    AmmFillImproved,
    ApprovalGranted,
    ApprovalReleased,
    Diverged,
    FeesChanged,
    FillTakenBack,
    IndexLowered,
    MarketOpened,
    MarketRequested,
    MarketStateChanged,
    OperatorsChanged,
    RelayEnded,
    RelayRequested,
    VenueStateChanged,
)
_STATUS = {CloseReason.FILLED: OrderStatus.CLOSED, CloseReason.EXPIRED: OrderStatus.EXPIRED}
_encode = msgspec.json.Encoder().encode


class Recorder:
    """`note` every command in order, `take` the effects of those noted since the last time."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._effects = Effects()
        self._orders: OrderedDict[Digest, OrderRow] = OrderedDict()
        self._fills: OrderedDict[int, FillRow] = OrderedDict()
        self._quote_per_tick_lot = {opened.market: opened.quote_atoms_per_tick_lot for opened in history.markets()}
        self._changed_orders: dict[int, OrderRow] = {}
        self._changed_fills: dict[int, FillRow] = {}

    def note(self, sequence: int, at: int, command: Command, events: tuple[AnyEvent, ...], digest: Digest) -> None:
        """`digest`: of a PlaceOrder, else ""."""
        if isinstance(command, PlaceOrder):
            self._note_order(sequence, at, command, events, digest)
        elif isinstance(command, ObserveLog) and not any(isinstance(event, CommandRejected) for event in events):
            self._note_log(sequence, command)
        for position, event in enumerate(events):
            self._note_event(sequence, at, event)
            if isinstance(event, _VENUE_EVENTS):
                row = {"sequence": sequence, "position": position, "at": at, "kind": _kind(event)}
                self._effects.venue_events.append({**row, "event": _encode(event).decode()})

    def note_epoch(self, at: int, header: EpochHeader) -> None:
        row = {"epoch": header.epoch, "first": header.first, "last": header.last, "at": at}
        text = _encode(header).decode()
        self._effects.epochs.append({**row, "hash": "0x" + header.hash().hex(), "header": text})

    def take(self) -> Effects:
        effects, self._effects = self._effects, Effects()
        effects.orders = {key: _columns(row) for key, row in self._changed_orders.items()}
        effects.fills = {key: msgspec.structs.asdict(row) for key, row in self._changed_fills.items()}
        self._changed_orders, self._changed_fills = {}, {}
        for rows in (self._orders, self._fills):
            while len(rows) > ROWS_AT_HAND_MAX:
                rows.popitem(last=False)
        return effects

    # --- commands ---

    def _note_order(
        self, sequence: int, at: int, command: PlaceOrder, events: tuple[AnyEvent, ...], digest: Digest
    ) -> None:
        order, maker_ppm, taker_ppm, reason = command.order, 0, 0, ""
        for event in events:
            if isinstance(event, OrderAccepted) and event.digest == digest:
                maker_ppm, taker_ppm = event.maker_fee_ppm, event.taker_fee_ppm
                break
            if isinstance(event, OrderRejected | CommandRejected):
                reason = str(event.reason)
        row = OrderRow(
            sequence=sequence,
            at=at,
            digest=digest,
            account=order.account,
            subaccount=order.subaccount,
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
            maker_fee_ppm=maker_ppm,
            taker_fee_ppm=taker_ppm,
            status=OrderStatus.REJECTED if reason else OrderStatus.OPEN,
            reason=reason,
            filled_lots=0,
            cost_atoms=0,
            fee_atoms=0,
            last_trade_at=None,
            updated_at=at,
            trigger_ticks=order.trigger_ticks,
        )
        if order.trigger_ticks:
            self._effects.triggers.append({"sequence": sequence, "trigger_ticks": order.trigger_ticks})
        self._changed_orders[sequence] = row
        if not reason:
            self._orders[digest] = row

    def _note_log(self, sequence: int, command: ObserveLog) -> None:
        found = command.log
        self._effects.chain_events.append(
            {
                "event_sequence": found.event_sequence,
                "sequence": sequence,
                "kind": _kind(found),
                "account": getattr(found, "account", None),
                "token": getattr(found, "token", None),
                "amount": getattr(found, "amount", None),
                "transaction": found.transaction,
                "block_number": found.block_number,
                "block_time": found.block_time,
                "log": _encode(found).decode(),
            }
        )

    # --- events ---

    def _note_event(self, sequence: int, at: int, event: AnyEvent) -> None:
        match event:
            case FillMatched():
                self._note_match(sequence, at, event)
            case AmmFillMatched():
                self._note_amm_match(sequence, at, event)
            case OrderAmended():
                order = self._order(event.digest)
                order.size_lots, order.updated_at = event.size_lots, at
            case OrderTriggered():
                self._order(event.digest).updated_at = at
            case OrderClosed():
                order = self._order(event.digest)
                order.status = _STATUS.get(event.reason, OrderStatus.CANCELED)
                # What has filled is the sum of the fills: a refusal may close an order after taking one of them out.
                order.reason, order.updated_at = str(event.reason), at
            case BalanceChanged():
                row = msgspec.structs.asdict(event)
                self._effects.balances[event.account, event.token] = {**row, "sequence": sequence}
            case BatchClosed():
                row = msgspec.structs.asdict(event)
                self._effects.batches.append({**row, "sequence": sequence, "at": at})
                for number in range(event.first, event.last + 1):
                    fill = self._fill(number)
                    fill.state, fill.batch, fill.updated_at = "BATCHED", event.batch, at
            case FillSettled():
                fill = self._fill(event.fill)
                fill.state, fill.transaction, fill.updated_at = "SETTLED", event.transaction, at
            case FillRefused():
                fill = self._fill(event.fill)
                fill.state, fill.transaction, fill.updated_at = "REFUSED", event.transaction, at
                fill.refusal = event.reason
                self._move_orders(fill, -1, at)
            case FillTakenBack():
                fill = self._fill(event.fill)
                fill.reason, fill.updated_at = event.reason, at
            case MarketOpened():
                self._quote_per_tick_lot[event.market] = event.quote_atoms_per_tick_lot
                self._effects.markets.append({"market": event.market, "opened": _encode(event).decode()})
            case _:
                pass

    def _note_match(self, sequence: int, at: int, event: FillMatched) -> None:
        notional = event.price_ticks * event.size_lots * self._quote_per_tick_lot[event.market]
        fill = FillRow(
            fill=event.fill,
            sequence=sequence,
            at=event.at,
            market=event.market,
            maker_digest=event.maker_digest,
            taker_digest=event.taker_digest,
            maker=event.maker,
            taker=event.taker,
            taker_side=event.taker_side,
            price_ticks=event.price_ticks,
            size_lots=event.size_lots,
            notional=notional,
            maker_fee_ppm=event.maker_fee_ppm,
            taker_fee_ppm=event.taker_fee_ppm,
            maker_fee=event.maker_fee,
            taker_fee=event.taker_fee,
            state="MATCHED",
            batch=None,
            refusal=None,
            reason="",
            transaction="",
            updated_at=at,
        )
        self._add_fill(fill, at)

    def _note_amm_match(self, sequence: int, at: int, event: AmmFillMatched) -> None:
        """There is no maker's order; the price is the nearest tick, the notional is exact."""
        per_tick = event.size_lots * self._quote_per_tick_lot[event.market]
        fill = FillRow(
            fill=event.fill,
            sequence=sequence,
            at=event.at,
            market=event.market,
            maker_digest=Digest(""),
            taker_digest=event.taker_digest,
            maker=AMM,
            taker=event.taker,
            taker_side=event.taker_side,
            # A pool may be moved to any price; the exact amount is in `notional`.
            price_ticks=min((2 * event.quote + per_tick) // (2 * per_tick), PRICE_TICKS_MAX),
            size_lots=event.size_lots,
            notional=event.quote,
            maker_fee_ppm=0,
            taker_fee_ppm=event.taker_fee_ppm,
            maker_fee=0,
            taker_fee=event.taker_fee,
            state="MATCHED",
            batch=None,
            refusal=None,
            reason="",
            transaction="",
            updated_at=at,
        )
        self._add_fill(fill, at)

    def _add_fill(self, fill: FillRow, at: int) -> None:
        self._fills[fill.fill] = self._changed_fills[fill.fill] = fill
        self._move_orders(fill, 1, at)

    def _move_orders(self, fill: FillRow, sign: int, at: int) -> None:
        """Adds a fill to its orders (1), or takes a refused one out of them (-1)."""
        for digest, fee in ((fill.maker_digest, fill.maker_fee), (fill.taker_digest, fill.taker_fee)):
            if not digest:
                continue
            order = self._order(digest)
            order.filled_lots += sign * fill.size_lots
            order.cost_atoms += sign * fill.notional
            order.fee_atoms += sign * fee
            order.updated_at = at
            if sign > 0:
                order.last_trade_at = fill.at

    # --- rows ---

    def _order(self, digest: Digest) -> OrderRow:
        """The accepted order, marked as changed."""
        row = self._orders.get(digest)
        if row is None:
            row = self._history.order(digest)
            assert row is not None, f"order {digest} is neither at hand nor in the history"
            self._orders[digest] = row
        self._changed_orders[row.sequence] = row
        return row

    def _fill(self, number: int) -> FillRow:
        """Marked as changed."""
        row = self._fills.get(number)
        if row is None:
            row = self._history.fill(number)
            assert row is not None, f"fill {number} is neither at hand nor in the history"
            self._fills[number] = row
        self._changed_fills[number] = row
        return row


def _columns(row: OrderRow) -> dict[str, Any]:
    """Of the table of orders."""
    columns = msgspec.structs.asdict(row)
    del columns["trigger_ticks"]
    return columns


def _kind(tagged: Any) -> str:
    tag = tagged.__struct_config__.tag
    assert isinstance(tag, str)
    return tag
