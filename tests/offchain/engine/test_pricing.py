"""Fee tiers and discounts: who pays what, from when on."""

from typing import Any

import msgspec
import pytest
from scene import ALICE, BOB, BUY, CAROL, DAVE, IOC, QUOTE_ATOMS, SELL, START, STRANGER, VENUE, Bench, open_market

from offchain.domain.command import SetFees
from offchain.domain.event import CommandRejected, CxptObserved, FeesChanged, FeeScheduleChanged, FillMatched
from offchain.domain.reasons import RejectReason
from offchain.domain.terms import CxptDiscount, FeeTier, ObserveCxpt, SetFeeSchedule
from offchain.engine.engine import Engine

DAY = 24 * 60 * 60 * 1000
LOT = 100 * QUOTE_ATOMS
TIERS = (FeeTier(10 * LOT, 500, 2_000), FeeTier(50 * LOT, -300, 1_000))
DISCOUNTS = (CxptDiscount(100, 250_000), CxptDiscount(1_000, 500_001))
SCHEDULE = SetFeeSchedule(tiers=TIERS, discounts=DISCOUNTS)
BASE_RATES = (VENUE.maker_fee_ppm, VENUE.taker_fee_ppm)


@pytest.fixture
def bench() -> Bench:
    bench = open_market()
    bench.do(SCHEDULE)
    assert bench.only(FeeScheduleChanged).tiers == TIERS
    return bench


def trade(bench: Bench, lots: int, *, settles: bool = True) -> None:
    """Alice sells to Bob."""
    bench.place(ALICE, SELL, 100, lots)
    bench.place(BOB, BUY, 100, lots, tif=IOC)
    bench.wait(1_000)
    bench.settle(*(() if settles else ((0, 1),)))


def until_day(bench: Bench, days: int = 1) -> None:
    """To the first millisecond of a day."""
    bench.wait((bench.at // DAY + days) * DAY - bench.at)


def rates(bench: Bench, account: Any = ALICE) -> tuple[int, int]:
    return bench.engine.fees_of(account)[:2]


def test_the_tier_comes_with_the_next_day_and_goes_after_thirty(bench: Bench) -> None:
    trade(bench, 10)
    assert rates(bench) == BASE_RATES
    bench.wait(DAY - bench.at % DAY - 1)
    assert rates(bench) == BASE_RATES
    bench.wait(1)
    assert rates(bench) == rates(bench, BOB) == (500, 2_000) and bench.engine.fees_of(ALICE)[2] == 10 * LOT
    assert rates(bench, CAROL) == BASE_RATES
    until_day(bench, 29)
    assert rates(bench) == (500, 2_000)
    until_day(bench)
    assert rates(bench) == BASE_RATES and bench.engine.fees_of(ALICE)[2] == 0
    again = Engine.restore(bench.engine.snapshot())
    assert again.snapshot() == bench.engine.snapshot()


def test_what_the_chain_refused_is_no_volume(bench: Bench) -> None:
    trade(bench, 9)
    trade(bench, 9, settles=False)
    until_day(bench)
    assert rates(bench) == BASE_RATES and bench.engine.fees_of(BOB)[2] == 9 * LOT


def test_the_fill_carries_the_rates_of_both(bench: Bench) -> None:
    """Those of the instant of acceptance; the hold is what they need."""
    bench.place(ALICE, SELL, 100, 1)
    early = bench.accepted
    bench.cancel(ALICE, early.nonce)
    trade(bench, 50)
    until_day(bench)
    bench.place(ALICE, SELL, 100, 4)
    assert (bench.accepted.maker_fee_ppm, bench.accepted.taker_fee_ppm) == (-300, 1_000)
    assert (early.maker_fee_ppm, early.taker_fee_ppm) == BASE_RATES
    bench.place(CAROL, BUY, 100, 2)
    fill = bench.only(FillMatched)
    assert (fill.maker_fee_ppm, fill.taker_fee_ppm) == (-300, 2_500)
    assert fill.maker_fee + fill.taker_fee > 0
    held = bench.balance(BOB).held
    bench.place(BOB, BUY, 90, 1, max_fee=1_000)
    assert bench.balance(BOB).held - held == 90 * QUOTE_ATOMS * 1_001 // 1_000
    bench.place(CAROL, BUY, 90, 1, max_fee=1_000)
    assert bench.rejection is RejectReason.FEE_CAP_TOO_LOW


def test_cxpt_takes_off_a_fee_from_the_next_day_on(bench: Bench) -> None:
    bench.do(ObserveCxpt(atoms=((ALICE, 100), (BOB, 10**30), (CAROL, 99))))
    assert [event.account for event in bench.all(CxptObserved)] == [ALICE, BOB, CAROL]
    assert rates(bench, BOB) == BASE_RATES
    until_day(bench)
    assert rates(bench, ALICE) == (750, 1_875) and rates(bench, CAROL) == BASE_RATES
    assert rates(bench, BOB) == (500, 1_250), "rounded up: 499.999 and 1,249.9975"
    bench.do(ObserveCxpt(atoms=((BOB, 0),)))
    bench.do(ObserveCxpt(atoms=((BOB, 100),)))
    assert rates(bench, BOB) == (500, 1_250)
    again = Engine.restore(bench.engine.snapshot())
    assert again.fees_of(BOB) == bench.engine.fees_of(BOB) and again.snapshot() == bench.engine.snapshot()
    until_day(bench)
    assert rates(bench, BOB) == (750, 1_875)


def test_a_rebate_is_not_discounted(bench: Bench) -> None:
    bench.do(ObserveCxpt(atoms=((ALICE, 1_000),)))
    trade(bench, 50)
    until_day(bench)
    assert rates(bench) == (-300, 500)


@pytest.mark.parametrize(
    "changes",
    [
        {"tiers": TIERS[::-1]},
        {"tiers": (TIERS[0], TIERS[0])},
        {"tiers": (FeeTier(0, 500, 2_000),)},
        {"tiers": (FeeTier(1, 500, 10_001),)},
        {"tiers": (FeeTier(1, -501, 500),)},
        {"tiers": (FeeTier(1, -400, 3_000), FeeTier(2, 0, 399)), "discounts": ()},
        {"tiers": (FeeTier(1, -501, 1_000),)},
        {"tiers": tuple(FeeTier(n, 0, 1_000) for n in range(1, 18))},
        {"discounts": DISCOUNTS[::-1]},
        {"discounts": (CxptDiscount(0, 1),)},
        {"discounts": (CxptDiscount(1, 1_000_001),)},
        {"discounts": (CxptDiscount(1, 0),)},
    ],
)
def test_what_is_no_schedule(bench: Bench, changes: dict[str, Any]) -> None:
    bench.do(msgspec.structs.replace(SCHEDULE, **changes))
    assert bench.only(CommandRejected).reason is RejectReason.INVALID_PARAMETER


def test_the_base_rates_must_fit_the_schedule(bench: Bench) -> None:
    bench.do(SetFees(maker_fee_ppm=-501, taker_fee_ppm=2_500))
    assert bench.only(CommandRejected).reason is RejectReason.INVALID_PARAMETER
    bench.do(SetFees(maker_fee_ppm=-499, taker_fee_ppm=2_500))
    assert bench.only(FeesChanged).maker_fee_ppm == -499 == rates(bench, CAROL)[0]


def test_who_may_say_so(bench: Bench) -> None:
    for command in (msgspec.structs.replace(SCHEDULE, by=DAVE), ObserveCxpt(atoms=((ALICE, 1),), by=DAVE)):
        bench.do(command)
        assert bench.only(CommandRejected).reason is RejectReason.NOT_AN_OPERATOR
    for atoms in ((), ((STRANGER, 1),), ((ALICE, 1), (ALICE, 2)), ((ALICE, -1),)):
        bench.do(ObserveCxpt(atoms=atoms))
        assert bench.only(CommandRejected).reason is RejectReason.INVALID_PARAMETER


def test_without_a_schedule_nothing_is_kept(bench: Bench) -> None:
    plain = open_market()
    before = plain.engine.snapshot()
    assert b"fee_schedule" not in before and b"fee_schedule" in bench.engine.snapshot()
    plain.do(ObserveCxpt(atoms=((ALICE, 1),)))
    assert plain.only(CommandRejected).reason is RejectReason.UNSUPPORTED
    trade(bench, 50)
    bench.do(SetFeeSchedule(tiers=()))
    assert b"fee_schedule" not in bench.engine.snapshot()
    bench.do(SCHEDULE)
    until_day(bench)
    assert rates(bench) == BASE_RATES and bench.at > START
