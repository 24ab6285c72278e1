"""The life of fills, their batches, and the backlog of those the chain has not decided yet.

Invariant: fills and batches are numbered from 1 without gaps; batches are consecutive ranges of fills and are decided
by the chain whole and in order; the fills of one immediate order share a batch, because the chain uses such an order up
with its batch; a pair has one undecided fill at most, because the price of a second one would depend on the first. It
moves no money.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from offchain.domain.batch import AMM_MAKER, ONE_FILL, BatchFill, BatchRules, SettlementBatch, SignedOrder
from offchain.domain.eip712 import split_signature
from offchain.domain.event import BatchClosed
from offchain.domain.order import TimeInForce
from offchain.domain.units import Address
from offchain.engine.ledger import AmmLegs, Legs
from offchain.engine.load import Load, Row, looks_for
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


WORST_FILL: Final = ONE_FILL._replace(looks=0, agents=2, proofs=2)
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
        "gas_max",
        "gas_of_worst",
        "interval",
        "is_itemized",
        "last_batch",
        "last_fill",
        "looks",
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
        self.gas_of_worst = rules.gas(2, 1, 0, 2, WORST_FILL) - rules.gas_base
        """The most that a fill of two orders adds, but for what accounts do after it, and for looks."""
        self.looks = 0
        """The most that an order can need."""
        self.sure_by_gas = 0
        """The same, but for the number of its fills."""
        self.pools: dict[Address, int] = {}
        """The undecided fill with the pair of a base token."""
        self.number_max = 0
        """The last fill that the open batch can take by their count; below the next one if it has none yet."""
        self.deadline = NEVER
        """When the open batch closes at the latest."""

    @property
    def load(self) -> Load:
        """What the open batch holds."""
        self.count()
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

    def last_within(self, millis: int) -> int:
        """The last fill with which the estimate is no longer than this."""
        return self.decided_fill + millis // self.millis_per_fill if self.millis_per_fill else NEVER

    @property
    def next_batch(self) -> Batch | None:
        """The batch that the chain decides next."""
        return self.batches.get(self.decided_batch + 1)

    def add(self, fill: Fill) -> list[BatchClosed]:
        """Takes a fill of two orders that is not `sure` to leave the batch open; returns the batches that this
        closed."""
        if fill.number == self.number_max and fill.number <= self.sure_by_gas:
            self.last_fill = fill.number
            self.unsettled[fill.number] = fill
            return [self.close(fill.number)]
        return self.add_together((fill,))

    def add_together(self, fills: Sequence[Fill]) -> list[BatchClosed]:
        """Takes fills that must share a batch, in match order; returns the batches that this closed."""
        closed = []
        load = self._with(self.load.copy(), fills)
        if self.last_fill < self.open_first or not self._fits(load):
            if self.last_fill >= self.open_first:
                closed.append(self.close(self.last_fill))
            load = self._with(self._load, fills)
            self.deadline = fills[0].at + self.interval
            self.number_max = self.open_first + self.rules.fills_max - 1
        for fill in fills:
            assert fill.number == self.last_fill + 1
            self.last_fill = fill.number
            self.unsettled[fill.number] = fill
            self.occupy(fill)
        self._load, self.counted = load, self.last_fill
        if self._fits(load, more=1):
            self._look_ahead()
        else:
            closed.append(self.close(self.last_fill))
        return closed

    @staticmethod
    def _with(load: Load, fills: Iterable[Fill]) -> Load:
        for fill in fills:
            load.add(fill.tickets, fill.rows, is_amm=fill.maker is None)
        return load

    def count(self) -> None:
        """Counts the fills that were sure to fit; also before anything changes that they are counted by."""
        uncounted = range(max(self.counted + 1, self.open_first), self.last_fill + 1)
        self._with(self._load, (self.unsettled[number] for number in uncounted))
        self.counted = self.last_fill

    def expect_looks(self, cancels: int) -> None:
        """Some account cancelled so often on chain."""
        self.looks = max(self.looks, looks_for(cancels))
        if self.last_fill >= self.open_first:
            self._look_ahead()

    def _look_ahead(self) -> None:
        """How many fills surely fit."""
        most = self.gas_of_worst + 2 * self.looks * self.rules.gas_per_look
        self.sure_by_gas = self.last_fill + self._load.room(self.gas_max, most)
        self.sure = min(self.number_max - 1, self.sure_by_gas)

    def open_up(self, fill: Fill) -> None:
        """Counts a fill to the open batch."""
        self._load.add(fill.tickets, fill.rows, is_amm=fill.maker is None)
        self.counted = fill.number
        self.occupy(fill)

    def resume(self) -> None:
        """After its fields were read: what follows from them."""
        if self.last_fill >= self.open_first:
            self.number_max = self.open_first + self.rules.fills_max - 1
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
