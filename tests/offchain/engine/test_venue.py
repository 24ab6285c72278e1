"""Which orders there are, reduce-only, price bands and marks."""

import msgspec
import pytest
from scene import ALICE, BASE, BOB, BUY, IOC, ITEMIZED_VENUE, SELL, WISHFUL_VENUE, Bench, open_market

from offchain.domain.chainlog import WithdrawalRequested
from offchain.domain.command import PostMark, Reading, SetBand, SetOrderRules
from offchain.domain.event import BandChanged, CommandRejected, MarkPosted, OrderRulesChanged
from offchain.domain.limits import MARK_AGE_MILLIS_MAX, ORDER_RULES_MAX
from offchain.domain.reasons import RejectReason
from offchain.domain.units import Address
from offchain.engine.engine import Engine

NOBODY = Address("")


@pytest.fixture
def bench() -> Bench:
    return open_market(base=10, venue=WISHFUL_VENUE)


# --- which orders there are ---


def test_an_old_venue_refuses_what_it_always_refused() -> None:
    bench = open_market(venue=ITEMIZED_VENUE)
    bench.place(ALICE, SELL, 100, 1, flags=2)
    assert bench.rejection is RejectReason.UNSUPPORTED
    bench.place(ALICE, SELL, 100, 1, flags=5)
    assert bench.rejection is RejectReason.UNSUPPORTED
    bench.do(SetOrderRules(order_rules=ORDER_RULES_MAX))
    assert bench.only(OrderRulesChanged).order_rules == ORDER_RULES_MAX == bench.engine.order_rules
    bench.place(ALICE, SELL, 100, 1, flags=2)
    assert bench.accepted
    for rules in (0, ORDER_RULES_MAX, ORDER_RULES_MAX + 1, -1):
        bench.do(SetOrderRules(order_rules=rules))
        assert bench.only(CommandRejected).reason == "INVALID_PARAMETER"


def test_the_last_price_counts_from_the_new_rules_on() -> None:
    """So that a venue that was restored from before them is one that lived through them."""
    bench = open_market(venue=ITEMIZED_VENUE)
    bench.place(ALICE, SELL, 100, 1)
    bench.place(BOB, BUY, 100, 1)
    again = Engine.restore(bench.engine.snapshot())
    bench.do(SetOrderRules(order_rules=1))
    again.apply(*bench.log[-1])
    assert again.snapshot() == bench.engine.snapshot()
    bench.place(ALICE, SELL, 100, 1)
    bench.place(BOB, BUY, 100, 1)
    again = Engine.restore(bench.engine.snapshot())
    assert again.books[1].tape.last == 100 and again.venue == bench.engine.venue


def test_rules_that_nobody_knows_open_no_venue() -> None:
    bench = Bench(msgspec.structs.replace(ITEMIZED_VENUE, order_rules=ORDER_RULES_MAX + 1))
    assert bench.only(CommandRejected).reason == "INVALID_PARAMETER"


# --- reduce-only ---


def test_a_reduce_only_order_sells_what_is_settled(bench: Bench) -> None:
    bench.place(BOB, SELL, 100, 5)
    bench.place(ALICE, BUY, 100, 5, tif=IOC)
    bench.place(ALICE, SELL, 110, 11, flags=2)
    assert bench.rejection == RejectReason.REDUCE_ONLY_EXCEEDED, "five of her fifteen have not settled"
    bench.place(ALICE, SELL, 110, 7, flags=3, slot=9)
    bench.place(ALICE, SELL, 110, 4, flags=2)
    assert bench.rejection == "REDUCE_ONLY_EXCEEDED", "seven are held"
    bench.place(ALICE, SELL, 110, 10, flags=2, slot=9, sequence=bench.at)
    assert bench.accepted, "in place of the seven"
    bench.wait(1_000)
    bench.settle()
    bench.place(ALICE, SELL, 110, 5, flags=2)
    assert bench.accepted


def test_what_is_leaving_is_not_there(bench: Bench) -> None:
    lot = 10**12
    bench.see(WithdrawalRequested, account=ALICE, token=BASE, amount=4 * lot, destination=ALICE, matures_at=5)
    bench.place(ALICE, SELL, 110, 7, flags=2)
    assert bench.rejection == "INSUFFICIENT_BALANCE"
    bench.place(ALICE, SELL, 110, 6, flags=2)
    assert bench.accepted


@pytest.mark.parametrize("flags", [2, 3, 6, 7])
def test_a_purchase_reduces_nothing(bench: Bench, flags: int) -> None:
    bench.place(ALICE, BUY, 100, 1, flags=flags)
    assert bench.rejection == "INVALID_PARAMETER"


# --- marks and bands ---


def post(bench: Bench, *prices: int, market: int = 1, late: int = 0) -> None:
    time = bench.at // 1000 - late
    readings = tuple(Reading(Address(f"0x{n:040x}"), price, time, "0x") for n, price in enumerate(prices))
    bench.do(PostMark(market=market, readings=readings))


def test_a_mark_is_the_median(bench: Bench) -> None:
    for prices, median in (((7,), 7), ((9, 7), 7), ((9, 7, 8), 8), ((1, 9, 7, 8), 7)):
        post(bench, *prices)
        assert bench.only(MarkPosted).price_ticks == median


def test_a_mark_needs_sound_readings(bench: Bench) -> None:
    post(bench, 5, market=2)
    assert bench.only(CommandRejected).reason == "UNKNOWN_MARKET"
    for prices, late in (((), 0), ((0,), 0), ((5, -1), 0), ((5,), 61), ((5,), -62), ((2**63,), 0), ((1,) * 33, 0)):
        post(bench, *prices, late=late)
        assert bench.only(CommandRejected).reason == "INVALID_PARAMETER", (prices, late)
    reading = Reading(ALICE, 5, bench.at // 1000)
    bench.do(PostMark(market=1, readings=(reading, reading)))
    assert bench.only(CommandRejected).reason == "INVALID_PARAMETER"


def band(bench: Bench, below: int, above: int, market: int = 1, by: Address = NOBODY) -> None:
    bench.do(SetBand(market=market, below_ppm=below, above_ppm=above, by=by))


def can(bench: Bench, side: object, price: int) -> bool:
    bench.place(ALICE, side, price, 1, tif=IOC)  # type: ignore[arg-type]
    refused = [event.reason for event in bench.events if hasattr(event, "reason") and hasattr(event, "client_order_id")]
    assert refused in ([], [RejectReason.PRICE_OUT_OF_BAND])
    return not refused


def test_a_band_bounds_what_goes_beyond_the_mark(bench: Bench) -> None:
    band(bench, 50_000, 100_000)
    assert bench.only(BandChanged).above_ppm == 100_000
    assert can(bench, BUY, 9_999) and can(bench, SELL, 1), "there is no price to go beyond"
    post(bench, 1_001)
    again = Engine.restore(bench.engine.snapshot())
    assert again.snapshot() == bench.engine.snapshot()
    assert can(bench, BUY, 1_101) and not can(bench, BUY, 1_102) and can(bench, BUY, 1)
    assert can(bench, SELL, 951) and not can(bench, SELL, 950) and can(bench, SELL, 9_999)
    band(bench, 0, 0)
    assert can(bench, BUY, 9_999) and can(bench, SELL, 1)


def test_an_old_mark_gives_way_to_the_last_price(bench: Bench) -> None:
    bench.place(BOB, SELL, 500, 1)
    bench.place(ALICE, BUY, 500, 1)
    bench.wait(1_000)
    bench.settle()
    band(bench, 0, 100_000)
    post(bench, 1_000)
    bench.wait(MARK_AGE_MILLIS_MAX - 1)
    assert can(bench, BUY, 1_100)
    assert not can(bench, BUY, 551) and can(bench, BUY, 550)


def test_only_the_operator_sets_a_band(bench: Bench) -> None:
    band(bench, 1, 1, by=ALICE)
    assert bench.only(CommandRejected).reason == "NOT_AN_OPERATOR"
    band(bench, 1, 1, market=2)
    assert bench.only(CommandRejected).reason == "UNKNOWN_MARKET"
    for below, above in ((-1, 0), (0, -1), (10**6 + 1, 0), (0, 10**8 + 1)):
        band(bench, below, above)
        assert bench.only(CommandRejected).reason == "INVALID_PARAMETER"
