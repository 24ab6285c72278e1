"""Idempotency: the same order again gets the first result, and is not sequenced twice.

Invariant: the engine alone says whether an order is known; this memory only adds what the engine does not keep, the
first result to the letter (of an older order its present state stands for it). Of an order that came as a row it keeps
the packed result, of one that came as a command the events: either is told in the other's form from the engine's state.
"""

import struct
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from offchain.domain.command import Command, PlaceOrder, Together
from offchain.domain.event import AmmFillMatched, AnyEvent, FillMatched, OrderAccepted, OrderClosed, OrderRejected
from offchain.domain.order import CANCEL_TERMS, OrderRow, OrderStatus
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.domain.units import Address, Digest, from_hex
from offchain.domain.wire import REASONS, RESULT, STATUSES
from offchain.engine.engine import Engine
from offchain.engine.orders import ORDER_TRANSITIONS
from offchain.engine.trading import RESTS, STRANGERS, Outcome

GENERATIONS = 16


class Result(NamedTuple):
    """What one order led to. `sequence` 0: a rejection too old for its place to be named."""

    digest: Digest
    sequence: int
    at: int
    events: tuple[AnyEvent, ...]


class Recorded(NamedTuple):
    """First results that are kept and forgotten together: by digest, who signed and the result."""

    keys: Sequence[bytes]
    signers: Sequence[bytes]
    results: Sequence[Result | bytes]


class FirstResults:
    """The results of at least the last `capacity` orders.

    They are forgotten many at a time: one table of all, out of which the old ones were taken one by one, would now and
    then be built anew, and everybody would wait for it.
    """

    def __init__(self, engine: Engine, capacity: int) -> None:
        self._engine = engine
        self._each = -(-capacity // GENERATIONS)
        self._generations: deque[dict[bytes, Recorded]] = deque([{}], maxlen=GENERATIONS + 1)
        """By digest; the newest last."""

    def record(self, command: PlaceOrder, result: Result) -> None:
        """What sequencing this order led to; a stranger's attempt at it is no result of the order."""
        if not _is_strangers(result):
            self._keep(Recorded((from_hex(result.digest),), (from_hex(command.signer),), (result,)))

    def record_rows(self, rows: Sequence[OrderRow], outcomes: Sequence[Outcome], results: Sequence[bytes]) -> None:
        """The same of orders that came as rows; cancels among them have no result to keep."""
        kept: list[tuple[bytes, bytes, bytes]] = [
            (row[-1], row[-2], result)
            for row, outcome, result in zip(rows, outcomes, results, strict=True)
            if outcome is RESTS or not (row[1] == CANCEL_TERMS or outcome.reason in STRANGERS)
        ]
        if kept:
            self._keep(Recorded(*zip(*kept, strict=True)))

    def record_orders(
        self, keys: Sequence[bytes], rows: Sequence[OrderRow], outcomes: Sequence[Outcome], results: Sequence[bytes]
    ) -> None:
        """`record_rows` of orders alone; `keys` are their digests."""
        if any(outcome.reason in STRANGERS for outcome in outcomes if outcome is not RESTS):
            self.record_rows(rows, outcomes, results)
        else:
            self._keep(Recorded(keys, [row[-2] for row in rows], results))

    def _keep(self, recorded: Recorded) -> None:
        newest = self._generations[-1]
        if len(newest) >= self._each:
            self._generations.append(newest := {})
        newest.update(dict.fromkeys(recorded.keys, recorded))

    def _of(self, key: bytes) -> tuple[bytes, Result | bytes] | None:
        """Who signed it first, and the result."""
        for generation in reversed(self._generations):
            recorded = generation.get(key)
            if recorded is not None:
                at = recorded.keys.index(key)
                return recorded.signers[at], recorded.results[at]
        return None

    def find(self, command: PlaceOrder, digest: Digest) -> Result | None:
        """The first result of this order, or of the same order under another nonce with the same client order id.

        None if it has to be sequenced.
        """
        order = command.order
        known = self._known(digest, command.signer, order.account)
        if known is not None or not command.client_order_id:
            return known
        other = self._engine.find_client_order(order.account, command.client_order_id)
        if other is None or other == digest:
            return None
        first = self._known(other, command.signer, order.account)
        return first if first is not None and _same_terms(first, command) else None

    def find_together(self, commands: Sequence[Command], digests: Sequence[Digest]) -> list[Result] | None:
        """A result for each, of a Together and its orders (`digests`) of which one is known: it was sent before, and
        must not be done in part. Of an order that is not known it is a refusal; of the Together it says where the
        orders were sequenced. None if they have to be sequenced, or it is no Together.
        """
        if not isinstance(commands[0], Together):
            return None
        orders = [command for command in commands[1:] if isinstance(command, PlaceOrder)]
        found = [self.find(order, digest) for order, digest in zip(orders, digests, strict=True)]
        known = [first for first in found if first is not None]
        if not known:
            return None
        last = max(known, key=lambda first: first.sequence)
        head = Result(Digest(""), last.sequence, last.at, ())
        rest = zip(found, orders, digests, strict=True)
        return [head, *(first or _left_out(order, digest) for first, order, digest in rest)]

    def _known(self, digest: Digest, signer: Address, account: Address) -> Result | None:
        """Only for whoever signed the first: a stranger's attempt has to be sequenced, and refused."""
        found = self._engine.find_order(digest)
        if found is None:
            return None
        first_signer, result = self._of(from_hex(digest)) or (from_hex(account), b"")
        if from_hex(signer) != first_signer:
            return None
        return result if isinstance(result, Result) else _present_state(digest, found)

    def find_row(self, row: OrderRow) -> bytes | None:
        """The packed first result of an order that the engine knows; None as in `find`."""
        first_signer, result = self._of(row[-1]) or (row[0], None)
        if row[-2] != first_signer:
            return None
        if isinstance(result, bytes):
            return again(result)
        if result is None:
            found = self._engine.find_order(Digest("0x" + row[-1].hex()))
            assert found is not None, "the engine knows it"
            result = _present_state(Digest("0x" + row[-1].hex()), found)
        return packed_events(result)


def _left_out(command: PlaceOrder, digest: Digest) -> Result:
    """Not sequenced."""
    order = command.order
    rejected = OrderRejected(
        digest=digest,
        account=order.account,
        market=order.market,
        client_order_id=command.client_order_id,
        reason=RejectReason.BATCH_REFUSED,
    )
    return Result(digest, 0, 0, (rejected,))


def _present_state(digest: Digest, events: tuple[AnyEvent, ...]) -> Result:
    first = events[0]
    if isinstance(first, OrderAccepted):
        return Result(digest, first.sequence, first.at, events)
    return Result(digest, 0, 0, events)


def _is_strangers(result: Result) -> bool:
    for event in result.events:
        if isinstance(event, OrderRejected) and event.digest == result.digest:
            return event.reason in STRANGERS
    return False


_PLACE = struct.Struct(">QQ")
_RESTING = struct.Struct(">Q24s")
_TAIL_OF_RESTS = RESULT.pack(0, 0, STATUSES[OrderStatus.OPEN], 0, 0, 0, 0)[_PLACE.size :]
"""Of nearly every order: it rests, and nothing has filled."""
_REPLAYED_AT = RESULT.size - struct.calcsize(">BxQI")


def packed(sequence: int, at: int, outcome: Outcome) -> bytes:
    """A row's result as it goes out."""
    if outcome is RESTS:
        return _PLACE.pack(sequence, at) + _TAIL_OF_RESTS
    reason = 0 if outcome.reason is None else REASONS[outcome.reason]
    return RESULT.pack(sequence, at, STATUSES[outcome.status], reason, 0, outcome.filled_lots, outcome.fills)


def packed_all(first: int, at: int, outcomes: Sequence[Outcome]) -> list[bytes]:
    """The same of many, numbered from `first`."""
    resting, tail = _RESTING.pack, at.to_bytes(8) + _TAIL_OF_RESTS
    return [
        resting(sequence, tail) if outcome is RESTS else packed(sequence, at, outcome)
        for sequence, outcome in enumerate(outcomes, first)
    ]


def again(result: bytes) -> bytes:
    """Marked as the first result again."""
    return result[:_REPLAYED_AT] + b"\x01" + result[_REPLAYED_AT + 1 :]


def packed_events(result: Result) -> bytes:
    """A first result that was kept as events, or is the present state, marked as such."""
    digest, status, reason, filled, fills = result.digest, OrderStatus.OPEN, "", 0, 0
    for event in result.events:
        if isinstance(event, OrderRejected) and event.digest == digest:
            status, reason = OrderStatus.REJECTED, event.reason
        elif isinstance(event, OrderAccepted) and event.digest == digest:
            filled = event.filled_lots
        elif isinstance(event, FillMatched | AmmFillMatched) and digest in _parties(event):
            filled, fills = filled + event.size_lots, fills + 1
        elif isinstance(event, OrderClosed) and event.digest == digest:
            status = ORDER_TRANSITIONS[OrderStatus.OPEN, event.reason]
            reason = "ORDER_EXPIRED" if event.reason is CloseReason.EXPIRED else event.reason
            filled = event.filled_lots
    return RESULT.pack(result.sequence, result.at, STATUSES[status], REASONS[reason], 1, filled, fills)


def _parties(event: FillMatched | AmmFillMatched) -> tuple[Digest, ...]:
    """An order may be met at once by one whose trigger it brought about."""
    return (event.taker_digest, event.maker_digest) if isinstance(event, FillMatched) else (event.taker_digest,)


def _acceptance(result: Result) -> OrderAccepted | None:
    for event in result.events:
        if isinstance(event, OrderAccepted) and event.digest == result.digest:
            return event
    return None


def _same_terms(first: Result, command: PlaceOrder) -> bool:
    """The client order id was used for an order that differs in nonce, expiry or fee cap at most."""
    order, accepted = command.order, _acceptance(first)
    if accepted is None:
        return False
    wanted = (
        order.market,
        order.side,
        order.kind,
        order.time_in_force,
        order.flags,
        order.price_ticks,
        order.size_lots,
        order.trigger_ticks,
    )
    terms = (accepted.market, accepted.side, accepted.kind, accepted.time_in_force, accepted.flags)
    return (*terms, accepted.price_ticks, accepted.size_lots, accepted.trigger_ticks) == wanted
