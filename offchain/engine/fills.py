"""The life of fills, their batches, and the backlog of those the chain has not decided yet.

Invariant: fills and batches are numbered from 1 without gaps; batches are consecutive ranges of fills and are decided
by the chain whole and in order; the fills of one immediate order share a batch, because the chain uses such an order up
with its batch; a pair has one undecided fill at most, because the price of a second one would depend on the first. It
moves no money.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from offchain.domain.batch import AMM_MAKER, BatchFill, BatchRules, SettlementBatch, SignedOrder
from offchain.domain.event import BatchClosed
from offchain.domain.order import TimeInForce
from offchain.domain.units import Address
from offchain.engine.ledger import AmmLegs, Legs
from offchain.engine.orders import Ticket

NEVER: Final = 2**63
"""A deadline that no command reaches."""


class FillState(StrEnum):
    MATCHED = "MATCHED"
    BATCHED = "BATCHED"
    SETTLED = "SETTLED"
    REFUSED = "REFUSED"


class FillTrigger(StrEnum):
    BATCH_CLOSES = "BATCH_CLOSES"
    OPERATOR_TAKES_BACK = "OPERATOR_TAKES_BACK"
    CHAIN_SETTLES = "CHAIN_SETTLES"
    CHAIN_REFUSES = "CHAIN_REFUSES"


FILL_TRANSITIONS: Final[dict[tuple[FillState, FillTrigger], FillState]] = {
    (FillState.MATCHED, FillTrigger.BATCH_CLOSES): FillState.BATCHED,
    (FillState.MATCHED, FillTrigger.OPERATOR_TAKES_BACK): FillState.MATCHED,
    (FillState.BATCHED, FillTrigger.OPERATOR_TAKES_BACK): FillState.BATCHED,
    (FillState.BATCHED, FillTrigger.CHAIN_SETTLES): FillState.SETTLED,
    (FillState.BATCHED, FillTrigger.CHAIN_REFUSES): FillState.REFUSED,
}
"""(state, trigger) -> state; every other pair is a bug. Taking back marks a fill; only the chain ends its life."""


class Terms(NamedTuple):
    """What two orders agreed on."""

    size_lots: int
    maker_fee_ppm: int
    taker_fee_ppm: int


class Fill:
    """A match that the chain has not decided yet: of two orders (`Legs`), or one and a pair (`AmmLegs`, no maker)."""

    __slots__ = ("at", "is_taken_back", "legs", "maker", "number", "state", "taker", "terms")

    def __init__(
        self, number: int, at: int, maker: Ticket | None, taker: Ticket, terms: Terms, legs: Legs | AmmLegs
    ) -> None:
        self.number = number
        self.at = at
        self.maker = maker
        self.taker = taker
        self.terms = terms
        self.legs = legs
        self.state = FillState.MATCHED
        self.is_taken_back = False

    def trigger(self, trigger: FillTrigger) -> None:
        self.state = FILL_TRANSITIONS[self.state, trigger]
        if trigger is FillTrigger.OPERATOR_TAKES_BACK:
            self.is_taken_back = True

    @property
    def tickets(self) -> tuple[Ticket, ...]:
        """The orders that it names, the maker's first."""
        return (self.taker,) if self.maker is None else (self.maker, self.taker)


class Batch(NamedTuple):
    batch: int
    first: int
    last: int


class Backlog:
    """Undecided fills by number, the closed batches among them, and the batch that is still open."""

    __slots__ = (
        "batches",
        "deadline",
        "decided_batch",
        "decided_fill",
        "gas_max",
        "interval",
        "last_batch",
        "last_fill",
        "open_amm_fills",
        "open_first",
        "orders",
        "pools",
        "rules",
        "unsettled",
    )

    def __init__(self, interval_millis: int, gas_max: int, rules: BatchRules) -> None:
        self.interval = interval_millis
        self.gas_max = gas_max
        self.rules = rules
        self.unsettled: dict[int, Fill] = {}
        """Undecided ones."""
        self.batches: dict[int, Batch] = {}
        """Closed and undecided ones."""
        self.last_fill = 0
        self.last_batch = 0
        self.decided_fill = 0
        self.decided_batch = 0
        self.open_first = 1
        """The first fill of the open batch, which may have none yet."""
        self.orders: dict[int, bool] = {}
        """The distinct orders of the open batch by sequence, and whether their slots are fresh."""
        self.open_amm_fills = 0
        """How many fills of the open batch are with pairs."""
        self.pools: dict[Address, int] = {}
        """The undecided fill with the pair of a base token."""
        self.deadline = NEVER
        """When the open batch closes at the latest."""

    @property
    def oldest_at(self) -> int:
        """When the oldest undecided fill was matched; NEVER if there is none."""
        oldest = self.unsettled.get(self.decided_fill + 1)
        return NEVER if oldest is None else oldest.at

    @property
    def estimate(self) -> int:
        """Millis that settling all undecided fills takes."""
        return (self.last_fill - self.decided_fill) * self.rules.settlement_millis_per_fill

    @property
    def next_batch(self) -> Batch | None:
        """The batch that the chain decides next."""
        return self.batches.get(self.decided_batch + 1)

    def add(self, fills: Sequence[Fill]) -> list[BatchClosed]:
        """Takes fills that must share a batch, in match order; returns the batches that this closed."""
        closed = []
        orders = self.orders | {ticket.sequence: ticket.is_fresh for fill in fills for ticket in fill.tickets}
        open_count, amm_fills = fills[0].number - self.open_first, sum(fill.maker is None for fill in fills)
        amm_fills += self.open_amm_fills
        if open_count and not self._fits(orders, open_count + len(fills), amm_fills):
            closed.append(self.close(fills[0].number - 1))
            open_count = 0
        if open_count == 0:
            self.deadline = fills[0].at + self.interval
        for fill in fills:
            assert fill.number == self.last_fill + 1
            self.last_fill = fill.number
            self.unsettled[fill.number] = fill
            self.open_up(fill)
        if not self._fits(self.orders, self.last_fill - self.open_first + 2, self.open_amm_fills):
            closed.append(self.close(self.last_fill))
        return closed

    def open_up(self, fill: Fill) -> None:
        """Counts a fill to the open batch."""
        for ticket in fill.tickets:
            self.orders[ticket.sequence] = ticket.is_fresh
        if fill.maker is None:
            self.open_amm_fills += 1
            self.occupy(fill)

    def occupy(self, fill: Fill) -> None:
        """The pair of an undecided fill is busy."""
        if isinstance(fill.legs, AmmLegs):
            assert fill.legs.base.token not in self.pools
            self.pools[fill.legs.base.token] = fill.number

    def close(self, last: int) -> BatchClosed:
        """Closes the open batch with fill `last`."""
        batch = Batch(self.last_batch + 1, self.open_first, last)
        assert batch.first <= batch.last
        for number in range(batch.first, batch.last + 1):
            self.unsettled[number].trigger(FillTrigger.BATCH_CLOSES)
        self.batches[batch.batch] = batch
        self.last_batch = batch.batch
        self.open_first = last + 1
        self.orders.clear()
        self.open_amm_fills = 0
        self.deadline = NEVER
        return BatchClosed(batch=batch.batch, first=batch.first, last=batch.last)

    def decide(self, batch: Batch) -> list[Fill]:
        """The chain decided the next batch: its fills leave the backlog."""
        assert batch.batch == self.decided_batch + 1
        self.decided_fill, self.decided_batch = batch.last, batch.batch
        del self.batches[batch.batch]
        fills = [self.unsettled.pop(number) for number in range(batch.first, batch.last + 1)]
        for fill in fills:
            if isinstance(fill.legs, AmmLegs):
                del self.pools[fill.legs.base.token]
        return fills

    def settlement_batch(self, number: int) -> SettlementBatch:
        """An undecided batch as the settler sends it. KeyError if it is open, decided, or was never there.

        An order that only taken-back fills name is left out: it may be the very reason why the batch sank.
        """
        batch = self.batches[number]
        fills = [self.unsettled[fill] for fill in range(batch.first, batch.last + 1)]
        places: dict[int, int] = {}
        orders: list[SignedOrder] = []
        for ticket in _tickets(fill for fill in fills if not fill.is_taken_back):
            if ticket.sequence not in places:
                places[ticket.sequence] = len(orders)
                orders.append(SignedOrder(ticket.order, "0x" + ticket.signature.hex()))
        quotes = (fill.legs.quote_units for fill in fills if isinstance(fill.legs, AmmLegs) and not fill.is_taken_back)
        return SettlementBatch(
            batch.batch, batch.first, tuple(orders), tuple(_batch_fill(fill, places) for fill in fills), tuple(quotes)
        )

    def taken_back_with(self, fill: Fill) -> list[Fill]:
        """The undecided fills that cannot settle without this one: those of its fill-or-kill order."""
        if not self.rules.is_fok_whole or fill.taker.order.time_in_force != TimeInForce.FOK:
            return [fill]
        return [other for other in self.unsettled.values() if other.taker.sequence == fill.taker.sequence]

    def _fits(self, orders: dict[int, bool], fills: int, amm_fills: int) -> bool:
        rules = self.rules
        gas = rules.gas(len(orders), fills, amm_fills, sum(orders.values()))
        return fills <= rules.fills_max and gas <= self.gas_max


def _tickets(fills: Iterable[Fill]) -> Iterable[Ticket]:
    for fill in fills:
        yield from fill.tickets


def _batch_fill(fill: Fill, places: dict[int, int]) -> BatchFill:
    size, maker_fee_ppm, taker_fee_ppm = fill.terms
    if fill.is_taken_back:
        size = 0
    maker = AMM_MAKER if fill.maker is None else places.get(fill.maker.sequence, 0)
    taker = places.get(fill.taker.sequence, 0)
    return BatchFill(maker, taker, size, maker_fee_ppm, taker_fee_ppm)
