"""Splits a size between the book and the AMM pair by equal marginal price.

Invariant: a plan trades as much of the size as the limit price and the liquidity allow, and of all splits that do so
it is the cheapest to within the rounding of a few units; it is never worse than the book alone or the pair alone.
Both pay the same taker fee, so that the fee does not move the split; what is compared includes it. Deliberately not
here: whether the market is open, whether the account can pay, and gas.

Method: a constant product's marginal price is known in closed form, so one walk over the levels finds how much the
pair gives before each level is worth taking. Rounding to whole lots is settled by comparing neighbours exactly.
"""

from collections.abc import Iterator, Sequence
from math import isqrt
from typing import Final, NamedTuple

from offchain.domain.amm import amount_in, amount_out
from offchain.domain.limits import (
    AMM_MARGIN_PPM,
    FILLS_PER_IMMEDIATE_ORDER_MAX,
    PRICE_TICKS_MAX,
    SIZE_LOTS_MAX,
)
from offchain.domain.market import Market
from offchain.domain.order import Side
from offchain.domain.units import PPM, ceil_div, fee_up
from offchain.engine.pools import RESERVE_MAX

LEVELS_MAX: Final = FILLS_PER_IMMEDIATE_ORDER_MAX
"""An immediate order fills at most this often, and a level is at least one fill."""
_KEPT, _WHOLE = 997, 1000
"""What the pair keeps of an input after its fee; as in domain.amm."""


class Reserves(NamedTuple):
    """Of a pair in base atoms and quote units."""

    base: int
    quote: int


class Question(NamedTuple):
    """What is known. `levels` are (price_ticks, size_lots) of the opposite side, best first; sizes above 0."""

    market: Market
    side: Side
    levels: Sequence[tuple[int, int]]
    pool: Reserves | None
    taker_fee_ppm: int
    limit_ticks: int | None = None
    """Worst price: of every level, and on average of what the pair trades. None: any."""


class Plan(NamedTuple):
    """Quote amounts and fees in quote units; without lots in a part its other fields are 0.

    A buy pays quote + fees, a sale receives quote - fees.
    """

    side: Side
    book_lots: int
    book_quote: int
    book_fee: int
    book_limit_ticks: int
    """Worst level that is used."""
    amm_lots: int
    amm_quote: int
    """Before the taker fee; the pair's own fee is in it."""
    amm_fee: int
    amm_limit_ticks: int
    """Leaves the margin within which the pair's reserves may move before the batch settles, if the limit does."""

    @property
    def lots(self) -> int:
        """Below the size asked for when limit or liquidity end before it."""
        return self.book_lots + self.amm_lots

    @property
    def quote(self) -> int:
        """Before fees."""
        return self.book_quote + self.amm_quote

    @property
    def fees(self) -> int:
        return self.book_fee + self.amm_fee

    @property
    def total(self) -> int:
        """Paid by a buyer, received by a seller, with fees."""
        return self.quote + self.fees if self.side is Side.BUY else self.quote - self.fees

    @property
    def average_price(self) -> tuple[int, int] | None:
        """Quote units per lot before fees, as (numerator, denominator); None for an empty plan."""
        return (self.quote, self.lots) if self.lots else None


def plan_for_size(question: Question, size_lots: int) -> Plan:
    """The best split of `size_lots` >= 0."""
    return _Venue(question).plan(min(size_lots, SIZE_LOTS_MAX))


def plan_for_amount(question: Question, quote: int) -> Plan:
    """A buy of the most lots that cost at most `quote` units with fees, a sale of the fewest that bring as much.

    A sale that cannot bring as much sells everything that limit and liquidity allow.
    """
    venue = _Venue(question)
    low, high = 0, min(venue.lots_max, SIZE_LOTS_MAX)
    is_buy = question.side is Side.BUY
    while low < high:  # a buy: the last size that is not too dear; a sale: the first that is enough
        middle = (low + high + is_buy) // 2
        total = venue.plan(middle).total
        if is_buy:
            low, high = (middle, high) if total <= quote else (low, middle - 1)
        else:
            low, high = (low, middle) if total >= quote else (middle + 1, high)
    return venue.plan(low)


class _Venue:
    """The liquidity that a question may use."""

    def __init__(self, question: Question) -> None:
        market = question.market
        self.side = question.side
        self.is_buy = question.side is Side.BUY
        self.fee_ppm = question.taker_fee_ppm
        self.limit = (PRICE_TICKS_MAX if self.is_buy else 1) if question.limit_ticks is None else question.limit_ticks
        self.per_tick = market.quote_atoms_per_tick_lot
        self.per_lot = market.base_atoms_per_lot
        self.levels = tuple(level for level in question.levels[:LEVELS_MAX] if self._is_within(level[0]))
        self.book_max = sum(size for _, size in self.levels)
        pool = question.pool
        self.pool = pool if pool is not None and pool.base > 0 and pool.quote > 0 else None
        self.amm_max = self._amm_until_average(self.limit)
        self.lots_max = self.book_max + self.amm_max

    def plan(self, size_lots: int) -> Plan:
        size = min(size_lots, self.lots_max)
        plans = [self._split(amm, size - amm) for amm in self._candidates(size)]
        return min(plans, key=self._rank)

    def _rank(self, plan: Plan) -> tuple[int, int, int]:
        """Cheapest first; then one order rather than two, then the book."""
        cost = plan.total if self.is_buy else -plan.total
        return cost, bool(plan.book_lots) + bool(plan.amm_lots), plan.amm_lots

    def _candidates(self, size: int) -> Iterator[int]:
        """Lots for the pair: either venue as much as it can, and the point of equal marginal price."""
        least, most = max(0, size - self.book_max), min(size, self.amm_max)
        best = self._equal_marginal(size)
        for lots in dict.fromkeys((least, most, best - 1, best, best + 1)):
            if least <= lots <= most:
                yield lots
        if not least <= best <= most:
            yield min(max(best, least), most)

    def _equal_marginal(self, size: int) -> int:
        """Lots that the pair trades at a better price than the book's last one, to within a lot."""
        taken = 0
        for price, available in self.levels:
            amm = self._amm_until_marginal(price)
            if taken + amm >= size:
                return size - taken
            taken += available
            if taken + amm >= size:
                return amm
        return size - taken

    def _split(self, amm_lots: int, book_lots: int) -> Plan:
        quote, fee, worst, rest = 0, 0, 0, book_lots
        for price, available in self.levels:
            if not rest:
                break
            lots = min(available, rest)
            notional = price * lots * self.per_tick
            quote, fee, worst, rest = quote + notional, fee + fee_up(notional, self.fee_ppm), price, rest - lots
        assert rest == 0, "more than the book has"
        amm_quote = self._amm_quote(amm_lots)
        return Plan(
            side=self.side,
            book_lots=book_lots,
            book_quote=quote,
            book_fee=fee,
            book_limit_ticks=worst,
            amm_lots=amm_lots,
            amm_quote=amm_quote,
            amm_fee=fee_up(amm_quote, self.fee_ppm),
            amm_limit_ticks=self._amm_limit(amm_lots, amm_quote),
        )

    # --- the pair ---

    def _amm_quote(self, lots: int) -> int:
        if not lots:
            return 0
        assert self.pool is not None
        atoms = lots * self.per_lot
        if not self.is_buy:
            return amount_out(atoms, self.pool.base, self.pool.quote)
        quote = amount_in(atoms, self.pool.quote, self.pool.base)
        assert quote is not None, "more than the pair has"
        return quote

    def _amm_limit(self, lots: int, quote: int) -> int:
        if not lots:
            return 0
        whole = PPM * lots * self.per_tick
        if self.is_buy:
            return min(ceil_div(quote * (PPM + AMM_MARGIN_PPM), whole), self.limit)
        return max(quote * (PPM - AMM_MARGIN_PPM) // whole, self.limit)

    def _amm_until_average(self, price: int) -> int:
        """Most lots whose quote amount, rounded as the pair does, is not worse than `price` for all of them. Exact.

        A buy: reserve.quote * x * 1000 // ((reserve.base - x) * 997) + 1 <= lots * notional of one, x = lots * per_lot;
        a sale: x * 997 * reserve.quote // (reserve.base * 1000 + x * 997) >= the same. Both divide by lots.
        """
        if self.pool is None or price <= 0:
            return 0
        one, kept = price * self.per_tick, self.per_lot * _KEPT
        if self.is_buy:
            spare = self.pool.base * _KEPT * one - self.pool.quote * self.per_lot * _WHOLE
            return max(0, (spare - 1) // (kept * one))
        spare = kept * self.pool.quote - one * self.pool.base * _WHOLE
        room = max(0, RESERVE_MAX - self.pool.base) // self.per_lot
        return min(max(0, spare // (kept * one)), room)

    def _amm_until_marginal(self, price: int) -> int:
        """Lots until the pair's marginal price reaches `price`, rounded down.

        The derivatives of amount_in and amount_out without their rounding:
        1000 * base * quote / (997 * (base - x)**2), and 997 * 1000 * base * quote / (1000 * base + 997 * x)**2.
        """
        if self.pool is None:
            return 0
        base, product, one = self.pool.base, self.pool.base * self.pool.quote * self.per_lot, price * self.per_tick
        if self.is_buy:
            left = isqrt(max(0, ceil_div(product * _WHOLE, one * _KEPT) - 1)) + 1
            return max(0, base - left) // self.per_lot
        reached = isqrt(product * _WHOLE * _KEPT // one)
        return max(0, reached - base * _WHOLE) // (_KEPT * self.per_lot)

    def _is_within(self, price: int) -> bool:
        return price <= self.limit if self.is_buy else price >= self.limit
