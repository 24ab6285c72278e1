"""The life of fills, their batches, and the backlog of those the chain has not decided yet.

Invariant: fills and batches are numbered from 1 without gaps; batches are consecutive ranges of fills and are decided
by the chain whole and in order; the fills of one immediate order share a batch, because the chain uses such an order up
with its batch; a pair has one undecided fill at most, because the price of a second one would depend on the first. It
moves no money.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from offchain.domain.batch import AMM_MAKER, BatchFill, BatchRules, SettlementBatch, SignedOrder
from offchain.domain.eip712 import split_signature
from offchain.domain.event import BatchClosed
from offchain.domain.order import TimeInForce
from offchain.domain.units import Address
from offchain.engine.ledger import AmmLegs, Legs
from offchain.engine.load import Load, Row
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


BATCHED: Final = FILL_TRANSITIONS[FillState.MATCHED, FillTrigger.BATCH_CLOSES]


class Fill(msgspec.Struct, eq=False):
    """A match that the chain has not decided yet: of two orders, or (no maker) of one and a market's AMM pair.

    Nothing but `state` and `is_taken_back` ever changes. A Struct, because one is made per match, and its constructor
    takes less than half of the time of a Python class's.
    """

    number: int
    at: int
    maker: Ticket | None
    taker: Ticket
    size_lots: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    notional: int
    """Before fees, in quote atoms; with a pair: what was promised."""
    maker_fee: int
    taker_fee: int
    rows: Sequence[Row] = ()
    """Its balances as they were before the match; empty unless the venue's rules ask."""
    state: FillState = FillState.MATCHED
    is_taken_back: bool = False

    def trigger(self, trigger: FillTrigger) -> None:
        self.state = FILL_TRANSITIONS[self.state, trigger]
        if trigger is FillTrigger.OPERATOR_TAKES_BACK:
            self.is_taken_back = True

    @property
    def tickets(self) -> tuple[Ticket, ...]:
        """The orders that it names, the maker's first."""
        return (self.taker,) if self.maker is None else (self.maker, self.taker)

    @property
    def terms(self) -> tuple[int, int, int]:
        """Size, maker's and taker's rate: what the chain is told."""
        return self.size_lots, self.maker_fee_ppm, self.taker_fee_ppm

    @property
    def pool(self) -> Address | None:
        """The base token of the pair that is its maker."""
        return self.taker.trader.base.token if self.maker is None else None

    @property
    def legs(self) -> Legs | AmmLegs:
        """Its money."""
        taker = self.taker.trader
        base_atoms = self.size_lots * taker.market.base_atoms_per_lot
        if self.maker is None:
            is_buy, quote = self.taker.lane.is_buy, self.notional
            return AmmLegs(taker.quote, taker.base, taker.fees, is_buy, base_atoms, quote, self.taker_fee)
        maker, fees = self.maker.trader, (self.maker_fee, self.taker_fee)
        is_sold = self.maker.lane.is_buy
        (buyer, seller), (buyer_fee, seller_fee) = ((maker, taker), fees) if is_sold else ((taker, maker), fees[::-1])
        return Legs(
            buyer_quote=buyer.quote,
            buyer_base=buyer.base,
            seller_quote=seller.quote,
            seller_base=seller.base,
            fees=taker.fees,
            base_atoms=base_atoms,
            paid=self.notional + buyer_fee,
            received=self.notional - seller_fee,
        )


class Batch(NamedTuple):
    batch: int
    first: int
    last: int


class Backlog:
    """Undecided fills by number, the closed batches among them, and the batch that is still open."""

    __slots__ = (
        "_load",
        "batches",
        "counted",
        "deadline",
        "decided_batch",
        "decided_fill",
        "gas",
        "gas_max",
        "gas_of_full",
        "gas_per_fill",
        "gas_per_fresh_order",
        "gas_per_order",
        "interval",
        "is_additive",
        "is_itemized",
        "last_batch",
        "last_fill",
        "millis_per_fill",
        "number_max",
        "open_first",
        "pools",
        "rules",
        "sure",
        "sure_by_gas",
        "tells_fresh_slots",
        "unsettled",
    )

    def __init__(self, interval_millis: int, gas_max: int, rules: BatchRules) -> None:
        self.interval = interval_millis
        self.gas_max = gas_max
        self.rules = rules
        self.millis_per_fill = rules.settlement_millis_per_fill
        self.is_additive = rules.is_additive
        self.is_itemized = rules.is_itemized
        """Balances count, too; and an immediate order has no slot of its own."""
        self.tells_fresh_slots = rules.gas_per_fresh_slot > 0
        """Slots in which something settled are remembered, because others cost more."""
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
        self._load = Load(rules)
        self.counted = 0
        """The last fill that is counted in it: those after it surely fit, and are counted when that matters."""
        self.sure = 0
        """The last fill that the open batch can take, and not be full by it, whatever its orders."""
        self.sure_by_gas = 0
        """The same, but for the number of its fills."""
        self.pools: dict[Address, int] = {}
        """The undecided fill with the pair of a base token."""
        self.number_max = 0
        """The last fill that the open batch can take by their count; below the next one if it has none yet."""
        self.gas = rules.gas(0, 0)
        """Of the open batch."""
        self.gas_per_fill = rules.gas(0, 1) - self.gas
        self.gas_of_full = gas_max - self.gas_per_fill
        """A batch with more takes not even one more fill of its own orders."""
        self.gas_per_order = rules.gas(1, 0) - self.gas
        self.gas_per_fresh_order = rules.gas(1, 0, fresh_slots=1) - self.gas
        self.deadline = NEVER
        """When the open batch closes at the latest."""

    @property
    def load(self) -> Load:
        """What the open batch holds."""
        self._count()
        return self._load

    @property
    def oldest_at(self) -> int:
        """When the oldest undecided fill was matched; NEVER if there is none."""
        oldest = self.unsettled.get(self.decided_fill + 1)
        return NEVER if oldest is None else oldest.at

    @property
    def estimate(self) -> int:
        """Millis that settling all undecided fills takes."""
        return (self.last_fill - self.decided_fill) * self.millis_per_fill

    @property
    def next_batch(self) -> Batch | None:
        """The batch that the chain decides next."""
        return self.batches.get(self.decided_batch + 1)

    def add(self, fill: Fill, maker: Ticket, taker: Ticket, note: Callable[[BatchClosed], None]) -> None:
        """Takes a fill of two orders that is not `sure` to fit; notes the batches that this closed.

        As `add_together`, of one: most fills come this way, so nothing is counted anew that is known.
        """
        if not self.is_additive:
            self._add_one(fill, note)
            return
        number = fill.number
        if number == self.number_max and number <= self.sure_by_gas:
            self.last_fill = number
            self.unsettled[number] = fill
            note(self.close(number))
            return
        self._count()
        orders, gas = self._load.orders, self.gas + self.gas_per_fill
        if maker.sequence not in orders:
            orders[maker.sequence] = maker.is_fresh
            gas += self.gas_per_fresh_order if maker.is_fresh else self.gas_per_order
        if taker.sequence not in orders:
            orders[taker.sequence] = taker.is_fresh
            gas += self.gas_per_fresh_order if taker.is_fresh else self.gas_per_order
        if gas > self.gas_max or number > self.number_max:
            self._add_one(fill, note)
            return
        self.gas = gas
        self.last_fill = self.counted = number
        self.unsettled[number] = fill
        if number == self.number_max or gas > self.gas_of_full:
            note(self.close(number))
        else:
            self._look_ahead()

    def _count(self) -> None:
        """Counts the fills that were sure to fit."""
        orders, gas = self._load.orders, self.gas
        for number in range(max(self.counted + 1, self.open_first), self.last_fill + 1):
            gas += self.gas_per_fill
            for ticket in self.unsettled[number].tickets:
                if ticket.sequence not in orders:
                    orders[ticket.sequence] = ticket.is_fresh
                    gas += self.gas_per_fresh_order if ticket.is_fresh else self.gas_per_order
        self.gas, self.counted = gas, self.last_fill

    def _look_ahead(self) -> None:
        """How many fills fit if each is of two orders that nothing in the batch names."""
        if self.is_additive:
            most = self.gas_per_fill + 2 * max(self.gas_per_order, self.gas_per_fresh_order)
            self.sure_by_gas = self.last_fill + (self.gas_of_full - self.gas) // max(1, most)
            self.sure = min(self.number_max - 1, self.sure_by_gas)

    def _add_one(self, fill: Fill, note: Callable[[BatchClosed], None]) -> None:
        for closed in self.add_together((fill,)):
            note(closed)

    def add_together(self, fills: Sequence[Fill]) -> list[BatchClosed]:
        """Takes fills that must share a batch, in match order; returns the batches that this closed."""
        closed = []
        self._count()
        open_count = fills[0].number - self.open_first
        self._load.fills = open_count  # Not counted one by one.
        load = self._load.copy()
        for fill in fills:
            load.add(fill.tickets, fill.rows, is_amm=fill.maker is None)
        if open_count and not self._fits(load):
            closed.append(self.close(fills[0].number - 1))
            open_count = 0
        if open_count == 0:
            self.deadline = fills[0].at + self.interval
            self.number_max = self.open_first + self.rules.fills_max - 1
        for fill in fills:
            assert fill.number == self.last_fill + 1
            self.last_fill = fill.number
            self.unsettled[fill.number] = fill
            self.open_up(fill)
        self.gas = self._load.gas
        if self._fits(self._load, more=1):
            self._look_ahead()
        else:
            closed.append(self.close(self.last_fill))
        return closed

    def open_up(self, fill: Fill) -> None:
        """Counts a fill to the open batch."""
        self._load.add(fill.tickets, fill.rows, is_amm=fill.maker is None)
        self.counted = fill.number
        self.occupy(fill)

    def resume(self) -> None:
        """After its fields were read: what follows from them."""
        if self.last_fill >= self.open_first:
            self.gas, self.number_max = self._load.gas, self.open_first + self.rules.fills_max - 1
            self._look_ahead()
        else:
            self.number_max = self.sure = self.last_fill

    def occupy(self, fill: Fill) -> None:
        """The pair of an undecided fill is busy."""
        token = fill.pool
        if token is not None:
            assert token not in self.pools
            self.pools[token] = fill.number

    def _fits(self, load: Load, more: int = 0) -> bool:
        """`more` fills of what is counted already."""
        return load.fills + more <= self.rules.fills_max and load.fits(self.gas_max, more)

    def close(self, last: int) -> BatchClosed:
        """Closes the open batch with fill `last`."""
        batch = Batch(self.last_batch + 1, self.open_first, last)
        assert batch.first <= batch.last
        for number in range(batch.first, batch.last + 1):
            self.unsettled[number].state = BATCHED
        self.batches[batch.batch] = batch
        self.last_batch = batch.batch
        self.open_first = last + 1
        self.number_max = self.sure = self.counted = last
        self._load = Load(self.rules)
        self.gas = self._load.gas
        self.deadline = NEVER
        return BatchClosed(batch=batch.batch, first=batch.first, last=batch.last)

    def decide(self, batch: Batch) -> list[Fill]:
        """The chain decided the next batch: its fills leave the backlog."""
        assert batch.batch == self.decided_batch + 1
        self.decided_fill, self.decided_batch = batch.last, batch.batch
        del self.batches[batch.batch]
        fills = [self.unsettled.pop(number) for number in range(batch.first, batch.last + 1)]
        for fill in fills:
            token = fill.pool
            if token is not None:
                del self.pools[token]
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
                signature, proof = split_signature(ticket.signature)
                orders.append(SignedOrder(ticket.order, "0x" + signature.hex(), proof))
        quotes = (fill.notional for fill in fills if fill.maker is None and not fill.is_taken_back)
        return SettlementBatch(
            batch.batch, batch.first, tuple(orders), tuple(_batch_fill(fill, places) for fill in fills), tuple(quotes)
        )

    def taken_back_with(self, fill: Fill) -> list[Fill]:
        """The undecided fills that cannot settle without this one: those of its fill-or-kill order."""
        if not self.rules.is_fok_whole or fill.taker.order.time_in_force is not TimeInForce.FOK:
            return [fill]
        return [other for other in self.unsettled.values() if other.taker.sequence == fill.taker.sequence]


def _tickets(fills: Iterable[Fill]) -> Iterable[Ticket]:
    for fill in fills:
        yield from fill.tickets


def _batch_fill(fill: Fill, places: dict[int, int]) -> BatchFill:
    size = 0 if fill.is_taken_back else fill.size_lots
    maker = AMM_MAKER if fill.maker is None else places.get(fill.maker.sequence, 0)
    taker = places.get(fill.taker.sequence, 0)
    return BatchFill(maker, taker, size, fill.maker_fee_ppm, fill.taker_fee_ppm)
