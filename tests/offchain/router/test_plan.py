"""Plans against brute force over every split, and against either venue alone."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offchain.domain.amm import amount_in, amount_out
from offchain.domain.limits import AMM_MARGIN_PPM, FILLS_PER_IMMEDIATE_ORDER_MAX, PRICE_TICKS_MAX
from offchain.domain.market import Market
from offchain.domain.order import Side
from offchain.domain.units import PPM, Address, fee_up
from offchain.router import Plan, Question, Reserves, plan_for_amount, plan_for_size

Levels = tuple[tuple[int, int], ...]


def market_of(per_lot: int = 1, per_tick: int = 1) -> Market:
    return Market(
        market=1,
        symbol="BTC-USDC",
        base_token=Address("0x" + "11" * 20),
        base_atoms_per_lot=per_lot,
        quote_atoms_per_tick_lot=per_tick,
        base_decimals=18,
        quote_decimals=6,
    )


def splits(question: Question, size: int) -> list[tuple[int, int]]:
    """(lots, total) of every split of up to `size` that the limit allows, lot by lot."""
    is_buy, market, limit = question.side is Side.BUY, question.market, question.limit_ticks
    if limit is None:
        limit = PRICE_TICKS_MAX if is_buy else 1
    book = _book_totals(question, limit, size)
    results = []
    for amm in range(size + 1):
        quote: int | None = 0
        if amm:
            if question.pool is None:
                break
            base, other = question.pool
            atoms = amm * market.base_atoms_per_lot
            quote = amount_in(atoms, other, base) if is_buy else amount_out(atoms, base, other)
            bound = limit * amm * market.quote_atoms_per_tick_lot
            if quote is None or (quote > bound if is_buy else quote < bound):
                continue
        assert quote is not None
        fee = fee_up(quote, question.taker_fee_ppm)
        for lots, total in enumerate(book[: size - amm + 1]):
            results.append((amm + lots, total + (quote + fee if is_buy else quote - fee)))
    return results


def _book_totals(question: Question, limit: int, size: int) -> list[int]:
    """Total of the first 0, 1, 2, … lots of the book."""
    is_buy, per_tick = question.side is Side.BUY, question.market.quote_atoms_per_tick_lot
    totals, before = [0], 0
    for price, available in question.levels[:FILLS_PER_IMMEDIATE_ORDER_MAX]:
        if price > limit if is_buy else price < limit:
            break
        for lots in range(1, available + 1):
            notional = price * lots * per_tick
            fee = fee_up(notional, question.taker_fee_ppm)
            totals.append(before + (notional + fee if is_buy else notional - fee))
            if len(totals) > size:
                return totals
        before = totals[-1]
    return totals


def best(question: Question, results: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Most lots, then the best total."""
    is_buy = question.side is Side.BUY
    return max(results, key=lambda result: (result[0], -result[1] if is_buy else result[1]))


def random_question(random_source: random.Random) -> tuple[Question, int]:
    side = random_source.choice((Side.BUY, Side.SELL))
    per_lot, per_tick = random_source.choice((1, 7, 1000, 10**12)), random_source.choice((1, 3, 100))
    middle = random_source.randint(2, 400)
    step = 1 if side is Side.BUY else -1
    price = max(1, middle + step * random_source.randint(-3, 5))
    levels: list[tuple[int, int]] = []
    for _ in range(random_source.choice((0, 1, 2, 3, 5, 16))):
        if price < 1:
            break
        levels.append((price, random_source.randint(1, 12)))
        price += step * random_source.randint(1, 4)
    lots = random_source.choice((1, 2, 10, 50, 300, 5000))
    base = lots * per_lot + random_source.randint(0, per_lot)
    pool = Reserves(base, max(1, middle * lots * per_tick + random_source.randint(-5, 5)))
    limit = None if random_source.random() < 0.5 else max(1, middle + random_source.randint(-6, 12) * step)
    question = Question(
        market=market_of(per_lot, per_tick),
        side=side,
        levels=tuple(levels),
        pool=pool if random_source.random() < 0.9 else None,
        taker_fee_ppm=random_source.choice((0, 1, 350, 10_000)),
        limit_ticks=limit,
    )
    return question, random_source.randint(0, 40)


@pytest.mark.parametrize("seed", range(10))
def test_equals_brute_force_on_a_thousand_books_and_pools(seed: int) -> None:
    random_source = random.Random(seed)
    worst_loss = 0
    for _ in range(1_000):
        question, size = random_question(random_source)
        plan = plan_for_size(question, size)
        lots, total = best(question, splits(question, size))
        assert plan.lots == lots, (question, size, plan)
        loss = (plan.total - total) if question.side is Side.BUY else (total - plan.total)
        assert loss >= 0, "better than every split"
        tick = lots * question.market.quote_atoms_per_tick_lot
        assert loss <= tick, (question, size, plan, total)
        worst_loss = max(worst_loss, loss)
        assert_never_worse_than_one_venue(question, size, plan)
        assert_consistent(question, plan)
    assert worst_loss <= 4, "only the rounding of quote amounts and fees may be lost"


def assert_never_worse_than_one_venue(question: Question, size: int, plan: Plan) -> None:
    for alone in (question._replace(pool=None), question._replace(levels=())):
        lots, total = best(alone, splits(alone, size))
        assert plan.lots >= lots
        if plan.lots == lots:
            assert plan.total <= total if question.side is Side.BUY else plan.total >= total


def assert_consistent(question: Question, plan: Plan) -> None:
    """Whole numbers, and limits that let the orders fill."""
    assert all(isinstance(value, int) and value >= 0 for value in plan)
    per_tick = question.market.quote_atoms_per_tick_lot
    notional = plan.amm_limit_ticks * plan.amm_lots * per_tick
    assert plan.amm_quote <= notional if plan.side is Side.BUY else plan.amm_quote >= notional
    assert bool(plan.amm_lots) == bool(plan.amm_limit_ticks)
    assert bool(plan.book_lots) == bool(plan.book_limit_ticks)
    if question.limit_ticks is not None:
        for worst in filter(None, (plan.amm_limit_ticks, plan.book_limit_ticks)):
            assert worst <= question.limit_ticks if plan.side is Side.BUY else worst >= question.limit_ticks


RESERVE = st.integers(1, 2**112 - 1)


@settings(max_examples=300, deadline=None)
@given(
    side=st.sampled_from(Side),
    base=RESERVE,
    quote=RESERVE,
    prices=st.lists(st.integers(1, 2**40), max_size=20, unique=True),
    sizes=st.lists(st.integers(1, 2**40), min_size=20, max_size=20),
    size=st.integers(0, 2**40),
    fee=st.integers(0, 10_000),
    limit=st.none() | st.integers(1, 2**40),
)
def test_any_reserves_and_any_book(
    side: Side, base: int, quote: int, prices: list[int], sizes: list[int], size: int, fee: int, limit: int | None
) -> None:
    """Sizes too big for brute force: consistent, and not worse than its neighbours."""
    levels = tuple(zip(sorted(prices, reverse=side is Side.SELL), sizes, strict=False))
    question = Question(market_of(10**6), side, levels, Reserves(base, quote), fee, limit)
    plan = plan_for_size(question, size)
    assert plan.lots <= size
    assert_consistent(question, plan)
    for alone in (question._replace(pool=None), question._replace(levels=())):
        other = plan_for_size(alone, size)
        assert plan.lots >= other.lots
        if plan.lots == other.lots:
            assert plan.total <= other.total if side is Side.BUY else plan.total >= other.total


LEVELS: Levels = ((100, 5), (102, 5), (110, 5))
POOL = Reserves(1_000, 100_000)


def buy(levels: Levels = LEVELS, pool: Reserves | None = POOL, limit: int | None = None) -> Question:
    return Question(market_of(), Side.BUY, levels, pool, 1_000, limit)


def test_nothing_to_trade_with() -> None:
    plan = plan_for_size(buy((), None), 10)
    assert (plan.lots, plan.total, plan.average_price) == (0, 0, None)
    assert plan_for_size(buy((), Reserves(0, 0)), 10).lots == 0


def test_book_alone() -> None:
    plan = plan_for_size(buy(pool=None), 7)
    assert (plan.book_lots, plan.amm_lots, plan.book_quote, plan.book_limit_ticks) == (7, 0, 704, 102)
    assert plan.book_fee == 2, "rounded up per level"
    assert plan.total == 706


def test_pair_alone() -> None:
    plan = plan_for_size(buy(()), 7)
    assert (plan.book_lots, plan.amm_lots) == (0, 7)
    assert plan.amm_quote == amount_in(7, 100_000, 1_000)
    assert plan.average_price == (plan.amm_quote, 7)


def test_the_pairs_limit_leaves_room_for_its_reserves_to_move() -> None:
    """Else the promise that the engine makes would be capped by the order's own limit."""
    plan = plan_for_size(buy(()), 7)
    promised = -(-plan.amm_quote * (PPM + AMM_MARGIN_PPM) // PPM)
    assert plan.amm_limit_ticks * 7 >= promised > (plan.amm_limit_ticks - 1) * 7


def test_the_limit_binds_both() -> None:
    plan = plan_for_size(buy(limit=102), 1_000)
    assert plan.book_lots == 10
    assert plan.amm_quote <= 102 * plan.amm_lots
    assert (amount_in(plan.amm_lots + 1, 100_000, 1_000) or 0) > 102 * (plan.amm_lots + 1)
    assert plan_for_size(buy(limit=99), 1_000).lots == 0


def test_more_than_there_is() -> None:
    plan = plan_for_size(buy(), 10**9)
    assert plan.book_lots == 15
    assert plan.amm_lots == 999, "a pair never gives its last atom"


def test_no_more_levels_than_one_order_can_fill() -> None:
    levels = tuple((100 + number, 1) for number in range(FILLS_PER_IMMEDIATE_ORDER_MAX + 5))
    assert plan_for_size(buy(levels, None), 100).lots == FILLS_PER_IMMEDIATE_ORDER_MAX


@settings(max_examples=200, deadline=None)
@given(quote=st.integers(0, 200_000), limit=st.none() | st.integers(90, 130))
def test_a_buy_of_an_amount_costs_no_more(quote: int, limit: int | None) -> None:
    question = buy(limit=limit)
    plan = plan_for_amount(question, quote)
    assert plan.total <= quote
    more = plan_for_size(question, plan.lots + 1)
    assert more.lots == plan.lots or more.total > quote


@settings(max_examples=200, deadline=None)
@given(quote=st.integers(0, 200_000), limit=st.none() | st.integers(70, 110))
def test_a_sale_for_an_amount_brings_it_with_the_fewest_lots(quote: int, limit: int | None) -> None:
    question = Question(market_of(), Side.SELL, ((100, 5), (98, 5)), POOL, 1_000, limit)
    plan = plan_for_amount(question, quote)
    everything = plan_for_size(question, 2**40)
    if everything.total < quote:
        assert plan.lots <= everything.lots
    else:
        assert plan.total >= quote
        assert plan.lots == 0 or plan_for_size(question, plan.lots - 1).total < quote
