"""The life of fills as a table, and when batches close."""

import itertools

import msgspec
import pytest
from scene import ALICE, BOB, BUY, CAROL, GTC, IOC, SELL, VENUE, Bench, market_log, open_market

from offchain.domain.batch import batch_gas_estimate
from offchain.domain.command import ObserveLog, OpenVenue
from offchain.domain.event import BatchClosed, CommandRejected, FillMatched
from offchain.domain.limits import FILLS_PER_BATCH_MAX
from offchain.engine.engine import Engine
from offchain.engine.fills import FILL_TRANSITIONS, FillState, FillTrigger

MATCHED, BATCHED, SETTLED, REFUSED = FillState
CLOSES, TAKES_BACK, SETTLES, REFUSES = FillTrigger
MOST = VENUE.fills_per_immediate_order_max


@pytest.mark.parametrize(("state", "trigger"), itertools.product(FillState, FillTrigger))
def test_the_table(state: FillState, trigger: FillTrigger) -> None:
    expected = {
        (MATCHED, CLOSES): BATCHED,
        (MATCHED, TAKES_BACK): MATCHED,
        (BATCHED, TAKES_BACK): BATCHED,
        (BATCHED, SETTLES): SETTLED,
        (BATCHED, REFUSES): REFUSED,
    }
    assert FILL_TRANSITIONS.get((state, trigger)) == expected.get((state, trigger))


def venue_with(**changes: int) -> OpenVenue:
    return msgspec.structs.replace(VENUE, **changes)


def test_a_fill_lives_by_the_table() -> None:
    bench = open_market()
    bench.place(ALICE, SELL, 100, 5)
    bench.place(BOB, BUY, 100, 1)
    fill = bench.engine.batches.unsettled[1]
    assert fill.state is MATCHED
    with pytest.raises(KeyError):
        fill.trigger(SETTLES)
    bench.wait(1_000)
    assert fill.state is BATCHED
    bench.settle()
    assert fill.state is SETTLED
    with pytest.raises(KeyError):
        fill.trigger(REFUSES)


def test_a_batch_closes_a_moment_after_its_first_fill() -> None:
    bench = open_market()
    bench.place(ALICE, SELL, 100, 5)
    bench.place(BOB, BUY, 100, 1)
    first_at = bench.at
    assert bench.engine.next_deadline() == first_at + VENUE.batch_interval_millis
    bench.wait(500)
    bench.place(BOB, BUY, 100, 1)
    assert bench.engine.next_deadline() == first_at + VENUE.batch_interval_millis
    bench.wait(first_at + VENUE.batch_interval_millis - bench.at)
    assert bench.events == (BatchClosed(batch=1, first=1, last=2),)
    bench.place(BOB, BUY, 100, 1)
    bench.wait(5_000)
    assert bench.events == (BatchClosed(batch=2, first=3, last=3),)


def test_a_batch_is_full_at_its_number_of_fills() -> None:
    """Gas decides first, unless it is ample."""
    bench = Bench(
        OpenVenue(**{name: getattr(VENUE, name) for name in VENUE.__struct_fields__} | {"batch_gas_max": 10**9})
    )
    fund(bench)
    bench.place(ALICE, SELL, 100, 100)
    for _ in range(FILLS_PER_BATCH_MAX - 1):
        bench.place(BOB, BUY, 100, 1)
        assert bench.all(BatchClosed) == []
    bench.place(BOB, BUY, 100, 1)
    assert bench.only(BatchClosed) == BatchClosed(batch=1, first=1, last=FILLS_PER_BATCH_MAX)


def fund(bench: Bench) -> None:
    bench.do(ObserveLog(log=market_log(1)))
    for account in (ALICE, BOB, CAROL):
        bench.fund(account, 10**12, 10**6)


def test_a_batch_is_full_at_its_gas() -> None:
    bench = open_market()
    bench.place(ALICE, SELL, 100, 100)
    closed = []
    for _ in range(60):
        bench.place(BOB, BUY, 100, 1)
        closed += bench.all(BatchClosed)
    assert len(closed) >= 2
    for batch in closed:
        count = batch.last - batch.first + 1
        assert batch_gas_estimate(count + 1, count) <= VENUE.batch_gas_max
        assert batch_gas_estimate(count + 2, count + 1) > VENUE.batch_gas_max or count == FILLS_PER_BATCH_MAX


def test_the_fills_of_an_immediate_order_share_a_batch() -> None:
    bench = open_market()
    bench.place(ALICE, SELL, 100, 100)
    for _ in range(10):
        bench.place(BOB, BUY, 100, 1)
    for number in range(MOST):
        bench.place(ALICE, SELL, 101 + number, 1)
    bench.place(CAROL, BUY, 200, 1_000, tif=IOC)
    assert len(bench.all(FillMatched)) == MOST
    assert bench.all(BatchClosed)[0] == BatchClosed(batch=1, first=1, last=10), "it did not fit, so it has its own"
    bench.wait(1_000)
    batches = [bench.engine.batch_of(number) for number in range(11, 11 + MOST)]
    assert set(batches) == {2}


def test_the_fills_of_a_resting_order_may_cross_batches() -> None:
    bench = open_market()
    for number in range(60):
        bench.place(ALICE if number % 2 else CAROL, SELL, 100 + number, 1)
    bench.place(BOB, BUY, 200, 60, tif=GTC)
    fills, closed = bench.all(FillMatched), bench.all(BatchClosed)
    assert [fill.fill for fill in fills] == list(range(1, 61)) and len(closed) >= 2
    assert [batch.batch for batch in closed] == list(range(1, len(closed) + 1))
    assert all(before.last + 1 == after.first for before, after in itertools.pairwise(closed))


@pytest.mark.parametrize(
    "changes",
    [
        {"fills_per_immediate_order_max": 0},
        {"fills_per_immediate_order_max": FILLS_PER_BATCH_MAX + 1, "batch_gas_max": 10**9},
        {"batch_gas_max": batch_gas_estimate(MOST + 1, MOST) - 1},
        {"batch_interval_millis": -1},
        {"maker_fee_ppm": -2_501},
        {"maker_fee_ppm": 10_001},
        {"taker_fee_ppm": 10_001},
        {"taker_fee_ppm": -1, "maker_fee_ppm": 5},
    ],
)
def test_a_venue_whose_parameters_contradict_each_other_does_not_open(changes: dict[str, int]) -> None:
    engine = Engine()
    venue = venue_with(**changes)
    (event,) = engine.apply(1, 1, venue)
    assert isinstance(event, CommandRejected) and engine.venue is None
    assert engine.apply(2, 1, VENUE) and engine.venue == VENUE
