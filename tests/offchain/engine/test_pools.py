"""Orders that trade with the market's AMM pair: what is promised, when it is refused, and how it settles."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene import (
    ALICE,
    BASE,
    BASE_ATOMS,
    BOB,
    BUY,
    FEES,
    FOK,
    GTC,
    IOC,
    OTHER,
    QUOTE,
    QUOTE_ATOMS,
    SELL,
    VENUE,
    Bench,
    market_log,
    open_market,
)

from offchain.domain.amm import amount_in, amount_out
from offchain.domain.batch import AMM_MAKER, BatchFill
from offchain.domain.chainlog import AmmLegSettled, BatchSettled, Deposited, SynthRegistered, Withdrawn
from offchain.domain.command import ObserveLog, ObservePool, RefuseFill, SetMarketState, SetVenueState
from offchain.domain.event import (
    AmmFillImproved,
    AmmFillMatched,
    BatchClosed,
    CloseReason,
    CommandRejected,
    Diverged,
    FillRefused,
    FillSettled,
    OrderAccepted,
    OrderClosed,
    PoolChanged,
    RejectReason,
)
from offchain.domain.limits import POOL_AGE_SECONDS_MAX, POOL_BLOCKS_AHEAD_MAX
from offchain.domain.market import MarketState
from offchain.domain.order import Flags
from offchain.domain.reasons import RefusalCause
from offchain.domain.units import fee_up
from offchain.engine.engine import Engine
from offchain.engine.pools import RESERVE_MAX, Pool

AMM = int(Flags.AMM)
BLOCK, TIME = 100, 1_700_000_000
RESERVES = (10_000 * BASE_ATOMS, 10_000 * 1_000 * QUOTE_ATOMS)
"""At about 1000 ticks."""


@pytest.fixture
def bench() -> Bench:
    """A market with a pair that was just observed; Alice, Bob and Carol are rich."""
    bench = open_market()
    bench.block(TIME, number=BLOCK)
    pool(bench)
    return bench


def pool(
    bench: Bench, reserves: tuple[int, int] = RESERVES, block: int = BLOCK, time: int = TIME, market: int = 1
) -> None:
    base, quote = reserves
    bench.do(ObservePool(market=market, base_reserve=base, quote_reserve=quote, block_number=block, block_time=time))


def swap(bench: Bench, side: Any = BUY, price: int = 1_100, size: int = 10, **fields: Any) -> AmmFillMatched | None:
    """An order for the pair; its fill, if there is one."""
    bench.place(ALICE, side, price, size, **{"flags": AMM, "tif": IOC, **fields})
    found = bench.all(AmmFillMatched)
    return found[0] if found else None


def leg(bench: Bench, matched: AmmFillMatched, more: int = 0, **changes: Any) -> None:
    """The chain's log of the pair's side: it gave `more` than was promised."""
    base, is_buy = matched.size_lots * BASE_ATOMS, matched.taker_side == BUY
    given, came = (matched.quote, base) if is_buy else (base, matched.quote)
    fields = {
        "market": matched.market,
        "fill": matched.fill,
        "is_buy": is_buy,
        "amount_in": given,
        "amount_out": came + more,
    }
    bench.see(AmmLegSettled, **{**fields, "block_number": BLOCK + 5, **changes})


def test_a_purchase_is_promised_with_a_margin(bench: Bench) -> None:
    fill = swap(bench)
    asked = amount_in(10 * BASE_ATOMS, RESERVES[1], RESERVES[0])
    assert fill is not None and asked is not None
    assert fill.quote == -(-asked * 1_001_000 // 10**6) > asked
    assert fill.taker_fee == fee_up(fill.quote, 2_500)
    quote, base = bench.balance(ALICE, QUOTE), bench.balance(ALICE, BASE)
    assert (quote.pending, quote.owed, quote.held) == (-fill.quote - fill.taker_fee, fill.quote + fill.taker_fee, 0)
    assert (base.pending, base.owed) == (0, 0), "what a pair brings counts when it is there"
    assert bench.balance(FEES, QUOTE).pending == 0
    closed = bench.only(OrderClosed)
    assert (closed.reason, closed.filled_lots) == (CloseReason.FILLED, 10)


def test_a_sale_is_promised_with_a_margin(bench: Bench) -> None:
    fill = swap(bench, SELL, 900)
    given = amount_out(10 * BASE_ATOMS, *RESERVES)
    assert fill is not None and fill.quote == given * 999_000 // 10**6 < given
    quote, base = bench.balance(ALICE, QUOTE), bench.balance(ALICE, BASE)
    assert (quote.pending, quote.owed) == (0, 0)
    assert (base.pending, base.owed, base.held) == (-10 * BASE_ATOMS, 10 * BASE_ATOMS, 0)


def test_the_limit_cuts_the_margin(bench: Bench) -> None:
    """1004 ticks is what the pair asks (fee and slippage), less than that with the margin."""
    fill = swap(bench, BUY, 1_005)
    assert fill is not None and fill.quote <= 1_005 * 10 * QUOTE_ATOMS
    bench.wait(2_000)
    leg(bench, fill)
    bench.settle()
    pool(bench, block=BLOCK + 9)
    fill = swap(bench, SELL, 996)
    assert fill is not None and fill.quote == 996 * 10 * QUOTE_ATOMS


@pytest.mark.parametrize(("side", "price"), [(BUY, 1_003), (SELL, 997)])
def test_beyond_the_limit_nothing_happens(bench: Bench, side: Any, price: int) -> None:
    """Like an immediate order that finds nothing in the book."""
    before = bench.balance(ALICE, QUOTE).as_tuple()
    assert swap(bench, side, price) is None
    assert bench.only(OrderAccepted) and bench.only(OrderClosed).reason is CloseReason.IMMEDIATE_REMAINDER
    assert bench.balance(ALICE, QUOTE).as_tuple() == before
    assert swap(bench, BUY) is not None, "the pair is free"


def test_it_never_meets_the_book(bench: Bench) -> None:
    bench.place(BOB, SELL, 900, 10)
    fill = swap(bench)
    assert fill is not None and bench.levels(SELL) == [(900, 10)]


def test_the_pair_has_not_so_much(bench: Bench) -> None:
    pool(bench, (10 * BASE_ATOMS, 10**9))
    assert swap(bench, BUY, 10**6, 10) is None
    pool(bench, (RESERVE_MAX - 5 * BASE_ATOMS, RESERVE_MAX))
    assert swap(bench, SELL, 1, 6) is None


@pytest.mark.parametrize("reserves", [(0, 0), (0, 5), (5, 0)])
def test_an_empty_pair_is_no_pool(bench: Bench, reserves: tuple[int, int]) -> None:
    pool(bench, reserves)
    assert swap(bench) is None and bench.rejection == RejectReason.NO_POOL


def test_reserves_must_be_fresh(bench: Bench) -> None:
    bench.block(TIME + POOL_AGE_SECONDS_MAX, number=BLOCK + 1)
    assert swap(bench) is not None
    late = open_market()
    assert swap(late) is None and late.rejection == RejectReason.NO_POOL
    pool(late)
    late.block(TIME + POOL_AGE_SECONDS_MAX + 1, number=BLOCK + 1)
    assert swap(late) is None and late.rejection == RejectReason.NO_POOL


def test_one_undecided_fill_per_pair(bench: Bench) -> None:
    """Also through another market over the same token: the price would depend on the first."""
    bench.do(ObserveLog(log=market_log(bench.engine.last_event_sequence + 1, market=2)))
    pool(bench, market=2)
    fill = swap(bench)
    assert fill is not None
    for market in (1, 2):
        assert swap(bench, market=market) is None
        assert bench.rejection == RejectReason.POOL_BUSY
    bench.wait(2_000)
    assert swap(bench) is None, "batched is not decided"
    leg(bench, fill)
    bench.settle()
    assert swap(bench, market=2) is not None


@pytest.mark.parametrize("fields", [{"tif": GTC}, {"tif": GTC, "flags": AMM | 1}, {"flags": AMM | 1}, {"slot": 1}])
def test_only_immediate_orders(bench: Bench, fields: dict[str, Any]) -> None:
    assert swap(bench, **fields) is None
    assert bench.rejection in (RejectReason.INVALID_PARAMETER, RejectReason.UNSUPPORTED, RejectReason.INVALID_SLOT)
    assert swap(bench, tif=FOK) is not None


@pytest.mark.parametrize("state", [MarketState.POST_ONLY, MarketState.CANCEL_ONLY, MarketState.PAUSED])
def test_market_and_venue_must_be_active(bench: Bench, state: MarketState) -> None:
    bench.do(SetMarketState(market=1, state=state))
    assert swap(bench) is None and bench.rejection
    bench.do(SetMarketState(market=1, state=MarketState.ACTIVE))
    bench.do(SetVenueState(state=state, reason=""))
    assert swap(bench) is None and bench.rejection
    bench.do(SetVenueState(state=MarketState.ACTIVE, reason=""))
    assert swap(bench) is not None


def test_it_holds_like_any_order(bench: Bench) -> None:
    poor = open_market(quote=10 * 1_100 * QUOTE_ATOMS)  # the notional, without the fee
    pool(poor)
    assert swap(poor) is None and poor.rejection == RejectReason.INSUFFICIENT_BALANCE


def test_the_batch_carries_the_exact_quote(bench: Bench) -> None:
    bench.place(BOB, SELL, 1_000, 5)
    bench.place(ALICE, BUY, 1_000, 5)
    fill = swap(bench)
    assert fill is not None
    bench.wait(2_000)
    batch = bench.engine.settlement_batch(bench.only(BatchClosed).batch)
    assert batch.amm_quotes == (fill.quote,)
    assert batch.fills[1] == BatchFill(AMM_MAKER, 2, 10, 0, 2_500)
    assert [signed.order.account for signed in batch.orders] == [BOB, ALICE, ALICE]


def test_its_gas_closes_a_batch(bench: Bench) -> None:
    """Seven pairs of strangers' orders and one AMM fill are more than a batch may cost."""
    for number in range(7):
        bench.place(BOB, SELL, 1_000 + number, 1)
        bench.place(ALICE, BUY, 1_000 + number, 1)
        assert not bench.all(BatchClosed)
    assert swap(bench) is not None
    assert (bench.only(BatchClosed).first, bench.only(BatchClosed).last) == (1, 7)


def test_a_venue_of_small_batches_has_none() -> None:
    bench = Bench(msgspec.structs.replace(VENUE, batch_gas_max=400_000, fills_per_immediate_order_max=1))
    bench.see(SynthRegistered, token=BASE)
    bench.do(ObserveLog(log=market_log(2)))
    pool(bench)
    assert swap(bench) is None and bench.rejection == RejectReason.UNSUPPORTED


def test_settled_with_a_surplus(bench: Bench) -> None:
    """The pair gave more base than was promised: it is the taker's, and the flows say what crossed the Vault's wall."""
    fill, flows = swap(bench), dict(bench.engine.flows)
    assert fill is not None
    bench.wait(2_000)
    leg(bench, fill, more=77)
    assert bench.engine.flows == flows, "one transaction, told in two logs"
    bench.settle()
    assert bench.only(FillSettled).fill == fill.fill
    improved = bench.only(AmmFillImproved)
    assert (improved.taker, improved.token, improved.amount) == (ALICE, BASE, 77)
    assert bench.engine.flows[QUOTE] == flows[QUOTE] - fill.quote
    assert bench.engine.flows[BASE] == flows[BASE] + 10 * BASE_ATOMS + 77
    for token in (QUOTE, BASE):
        assert bench.engine.ledger.totals(token) == (bench.engine.flows[token], 0)


def test_a_sale_with_and_without_surplus(bench: Bench) -> None:
    before = bench.balance(ALICE, QUOTE).settled
    fill = swap(bench, SELL, 900)
    assert fill is not None
    bench.wait(2_000)
    leg(bench, fill)
    bench.settle()
    assert not bench.all(AmmFillImproved)
    assert bench.balance(ALICE, QUOTE).settled == before + fill.quote - fill.taker_fee
    second = swap(bench, SELL, 900)
    assert second is not None
    bench.wait(2_000)
    leg(bench, second, more=5, block_number=BLOCK + 6)
    bench.settle()
    assert (bench.only(AmmFillImproved).token, bench.only(AmmFillImproved).amount) == (QUOTE, 5)


def test_refused_by_the_pair(bench: Bench) -> None:
    """Nobody is at fault: everything is as before, and the pair is free."""
    before = bench.balance(ALICE, QUOTE).settled
    assert swap(bench) is not None
    bench.wait(2_000)
    bench.settle((0, int(RefusalCause.AMM)))
    assert bench.only(FillRefused).reason == RefusalCause.AMM
    balance = bench.balance(ALICE, QUOTE)
    assert (balance.settled, balance.pending, balance.owed, balance.held) == (before, 0, 0, 0)
    assert bench.balance(FEES, QUOTE).pending == 0
    assert swap(bench) is not None


def test_taken_back(bench: Bench) -> None:
    """Sent with size 0 and without a quote; its order is not even shown."""
    fill = swap(bench)
    assert fill is not None
    bench.do(RefuseFill(fill=fill.fill, reason="sinks"))
    bench.wait(2_000)
    batch = bench.engine.settlement_batch(1)
    assert (batch.fills, batch.orders, batch.amm_quotes) == ((BatchFill(AMM_MAKER, 0, 0, 0, 2_500),), (), ())
    assert swap(bench) is None and bench.rejection == RejectReason.POOL_BUSY
    bench.settle((0, int(RefusalCause.OPERATOR)))
    assert bench.balance(ALICE, BASE).pending == 0 and swap(bench) is not None


@pytest.mark.parametrize("purpose", ["withdraw", "lock"])
def test_no_free_option(bench: Bench, purpose: str) -> None:
    """What the fill takes cannot be promised to anyone else; what it brings cannot either, until it is there."""
    fill = swap(bench)
    assert fill is not None
    left = bench.balance(ALICE, QUOTE).settled - fill.quote - fill.taker_fee
    bench.approve(ALICE, left + 1, purpose=purpose)
    assert bench.only(CommandRejected).reason is RejectReason.INSUFFICIENT_BALANCE
    bench.approve(ALICE, left, purpose=purpose)
    assert not bench.all(CommandRejected)
    bench.approve(ALICE, bench.balance(ALICE, BASE).settled + 1, token=BASE)
    assert bench.only(CommandRejected).reason is RejectReason.INSUFFICIENT_BALANCE


def test_the_backlog_counts_it(bench: Bench) -> None:
    assert swap(bench) is not None
    bench.wait(60_002)
    assert bench.engine.gate.state == "POST_ONLY"
    assert swap(bench) is None and bench.rejection == RejectReason.POST_ONLY_VENUE


@pytest.mark.parametrize(
    "wrong", [{"amount_in": 1}, {"market": 2}, {"fill": 9}, {"is_buy": False}, {"amount_out": 10 * BASE_ATOMS - 1}]
)
def test_another_leg_than_was_agreed_halts(bench: Bench, wrong: dict[str, Any]) -> None:
    fill = swap(bench)
    assert fill is not None
    bench.wait(2_000)
    leg(bench, fill, **wrong)
    assert bench.only(Diverged) and bench.engine.gate.is_diverged


def test_a_batch_without_its_leg_halts(bench: Bench) -> None:
    assert swap(bench) is not None
    bench.wait(2_000)
    bench.settle()
    assert bench.only(Diverged).what == "AMM legs"


def test_a_leg_of_a_refused_fill_halts(bench: Bench) -> None:
    fill = swap(bench)
    assert fill is not None
    bench.wait(2_000)
    leg(bench, fill)
    bench.settle((0, int(RefusalCause.AMM)))
    assert bench.only(Diverged).what == "AMM legs"


def test_our_own_trade_changes_what_was_observed_before_it(bench: Bench) -> None:
    fill = swap(bench)
    assert fill is not None
    bench.wait(2_000)
    leg(bench, fill, more=3)
    expected = (RESERVES[0] - 10 * BASE_ATOMS - 3, RESERVES[1] + fill.quote)
    changed = bench.only(PoolChanged)
    assert (changed.base_reserve, changed.quote_reserve, changed.block_number) == (*expected, BLOCK + 5)
    pool(bench, block=BLOCK + 4)
    assert bench.only(CommandRejected).reason is RejectReason.INVALID_PARAMETER, "seen before the trade"
    seen = bench.engine.pools[1]
    assert (seen.base_reserve, seen.quote_reserve) == expected


def test_observed_after_the_trade_stays(bench: Bench) -> None:
    fill = swap(bench)
    assert fill is not None
    bench.wait(2_000)
    pool(bench, (7, 8), block=BLOCK + 5)
    leg(bench, fill)
    assert not bench.all(PoolChanged) and bench.engine.pools[1].base_reserve == 7


def test_what_cannot_be_observed(bench: Bench) -> None:
    pool(bench, market=9)
    assert bench.only(CommandRejected).reason is RejectReason.UNKNOWN_MARKET
    for reserves in ((-1, 5), (5, RESERVE_MAX + 1)):
        pool(bench, reserves, block=BLOCK + 1)
        assert bench.only(CommandRejected).reason is RejectReason.INVALID_PARAMETER
    pool(bench, block=BLOCK + 1, time=TIME - 1)
    assert not bench.all(CommandRejected), "blocks count, not clocks"


def test_snapshots_hold_fills_legs_and_pools(bench: Bench) -> None:
    """Restored at every step of an AMM fill's life, and the same from there."""
    bench.see(SynthRegistered, token=OTHER)
    bench.see(Deposited, account=BOB, token=OTHER, amount=5, balance=5)
    restored = [Engine.restore(bench.engine.snapshot())]
    fill = swap(bench)
    assert fill is not None

    def step() -> None:
        place = bench.log[-1]
        for engine in restored:
            assert engine.apply(*place) == bench.events
            assert engine.state_hash() == bench.engine.state_hash()
            assert list(engine.describe()) == list(bench.engine.describe())
        restored.append(Engine.restore(bench.engine.snapshot()))

    step()
    assert swap(bench) is None
    step()
    bench.wait(2_000)
    step()
    assert restored[-1].settlement_batch(1) == bench.engine.settlement_batch(1)
    leg(bench, fill, more=1)
    step()
    bench.see(BatchSettled, first=1, last=1, refusals=())
    step()
    assert swap(bench) is not None
    step()


@given(
    base=st.integers(1, RESERVE_MAX),
    quote=st.integers(1, RESERVE_MAX),
    atoms=st.integers(1, 2**90),
    limit=st.integers(1, RESERVE_MAX),
)
def test_a_promise_is_within_the_limit_and_the_pair(base: int, quote: int, atoms: int, limit: int) -> None:
    """What is promised, the pair gives in the state that was observed; never worse than the limit."""
    pool_ = Pool(base, quote, 1, 1)
    bought = pool_.promise_buy(atoms, limit)
    if bought is not None:
        assert bought <= limit and amount_out(bought, quote, base) >= atoms
    sold = pool_.promise_sale(atoms, limit)
    if sold is not None:
        assert limit <= sold <= amount_out(atoms, base, quote)


def test_a_block_far_beyond_what_is_known_silences_nobody(bench: Bench) -> None:
    """Once believed, a made-up block would make every honest one look old."""
    bench.block(TIME, number=BLOCK)
    for number, time in ((2**62, TIME), (BLOCK, 2**62), (2**64, TIME), (BLOCK + POOL_BLOCKS_AHEAD_MAX + 1, TIME)):
        bench.do(ObservePool(market=1, base_reserve=7, quote_reserve=7, block_number=number, block_time=time))
        assert bench.only(CommandRejected).reason == RejectReason.INVALID_PARAMETER
    bench.do(ObservePool(market=1, base_reserve=7, quote_reserve=9, block_number=BLOCK + 5, block_time=TIME + 5))
    assert bench.all(PoolChanged)[-1].quote_reserve == 9
    bench.engine.state_hash()


def test_what_a_pair_promised_cannot_be_sold_on(bench: Bench) -> None:
    """A seller of the promise could move the pair a little, and his buyer's fill would be refused with his own."""
    owned, how = bench.balance(ALICE, BASE).settled, {"approval": 0, "request_remaining": 0, "as_cxpt": False}
    bench.see(Withdrawn, account=ALICE, token=BASE, amount=owned, balance=0, destination=ALICE, **how)
    bench.place(BOB, BUY, 1_010, 10)
    assert swap(bench) is not None
    bench.place(ALICE, SELL, 1_010, 10, tif=IOC)
    assert bench.rejection == RejectReason.INSUFFICIENT_BALANCE
