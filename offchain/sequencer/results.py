"""Idempotency: the same order again gets the first result, and is not sequenced twice.

Invariant: the engine alone says whether an order is known; this memory only adds what the engine does not keep, the
first events to the letter (of an older order its present state stands for them). It is filled by the same path live and
in recovery.
"""

from collections import OrderedDict
from typing import NamedTuple

from offchain.domain.command import PlaceOrder
from offchain.domain.event import AnyEvent, OrderAccepted, OrderRejected, RejectReason
from offchain.domain.units import Address, Digest
from offchain.engine.engine import Engine


class Result(NamedTuple):
    """What one order led to. `sequence` 0: a rejection too old for its place to be named."""

    digest: Digest
    sequence: int
    at: int
    events: tuple[AnyEvent, ...]


class FirstResults:
    """The results of the last `capacity` orders."""

    def __init__(self, engine: Engine, capacity: int) -> None:
        self._engine = engine
        self._capacity = capacity
        self._results: OrderedDict[Digest, tuple[Address, Result]] = OrderedDict()

    def record(self, command: PlaceOrder, result: Result) -> None:
        """What sequencing this order led to; a stranger's attempt at it is no result of the order."""
        if _is_strangers(result):
            return
        self._results[result.digest] = command.signer, result
        if len(self._results) > self._capacity:
            self._results.popitem(last=False)

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

    def _known(self, digest: Digest, signer: Address, account: Address) -> Result | None:
        """Only for whoever signed the first: a stranger's attempt has to be sequenced, and refused."""
        found = self._engine.find_order(digest)
        if found is None:
            return None
        first_signer, result = self._results.get(digest) or (account, _present_state(digest, found))
        return result if signer == first_signer else None


def _present_state(digest: Digest, events: tuple[AnyEvent, ...]) -> Result:
    first = events[0]
    if isinstance(first, OrderAccepted):
        return Result(digest, first.sequence, first.at, events)
    return Result(digest, 0, 0, events)


def _is_strangers(result: Result) -> bool:
    for event in result.events:
        if isinstance(event, OrderRejected) and event.digest == result.digest:
            return event.reason is RejectReason.WRONG_SIGNER
    return False


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
    )
    terms = (accepted.market, accepted.side, accepted.kind, accepted.time_in_force, accepted.flags)
    return (*terms, accepted.price_ticks, accepted.size_lots) == wanted
