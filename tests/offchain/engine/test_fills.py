"""The life of fills as a table, and when batches close."""

import itertools

import msgspec
import pytest
from scene import ALICE, BOB, BUY, CAROL, FOK, GTC, IOC, PACKED_VENUE, SELL, VENUE, Bench, market_log, open_market

from offchain.domain.batch import PACKED_RULES, BatchRules
from offchain.domain.command import ObserveLog, OpenVenue, RefuseFill
from offchain.domain.event import BatchClosed, CommandRejected, FillMatched, FillTakenBack, OrderClosed
from offchain.domain.limits import FILLS_PER_BATCH_MAX, FILLS_PER_IMMEDIATE_ORDER_MAX
from offchain.domain.reasons import CloseReason
from offchain.engine.engine import Engine
from offchain.engine.fills import FILL_TRANSITIONS, FillState, FillTrigger

MATCHED, BATCHED, SETTLED, REFUSED = FillState
CLOSES, TAKES_BACK, SETTLES, REFUSES = FillTrigger
MOST = VENUE.fills_per_immediate_order_max
FULL = VENUE.batch_rules.fills_max


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


def venue_with(**changes: object) -> OpenVenue:
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
    for _ in range(FULL - 1):
        bench.place(BOB, BUY, 100, 1)
        assert bench.all(BatchClosed) == []
    bench.place(BOB, BUY, 100, 1)
    assert bench.only(BatchClosed) == BatchClosed(batch=1, first=1, last=FULL)


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
        assert VENUE.batch_rules.gas(count + 1, count) <= VENUE.batch_gas_max
        assert VENUE.batch_rules.gas(count + 2, count + 1) > VENUE.batch_gas_max or count == FULL


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
        {"fills_per_immediate_order_max": FULL + 1, "batch_gas_max": 10**9},
        {"batch_rules": msgspec.structs.replace(PACKED_RULES, fills_max=FILLS_PER_BATCH_MAX + 1)},
        {"batch_rules": msgspec.structs.replace(PACKED_RULES, gas_per_fill=-1)},
        {"batch_rules": PACKED_RULES, "batch_gas_max": PACKED_RULES.gas(2, 1, fresh_slots=2) - 1},
        {"batch_gas_max": VENUE.batch_rules.gas(2, 1) - 1},
        {"batch_interval_millis": -1},
        {"maker_fee_ppm": -2_501},
        {"maker_fee_ppm": 10_001},
        {"taker_fee_ppm": 10_001},
        {"taker_fee_ppm": -1, "maker_fee_ppm": 5},
    ],
)
def test_a_venue_whose_parameters_contradict_each_other_does_not_open(changes: dict[str, object]) -> None:
    engine = Engine()
    venue = venue_with(**changes)
    (event,) = engine.apply(1, 1, venue)
    assert isinstance(event, CommandRejected) and engine.venue is None
    assert engine.apply(2, 1, VENUE) and engine.venue == VENUE


def packed_market(makers: int, *, rules: BatchRules = PACKED_RULES) -> Bench:
    """A market with `makers` asks of one lot each, in slots of their own."""
    bench = Bench(msgspec.structs.replace(PACKED_VENUE, batch_rules=rules))
    fund(bench)
    for number in range(makers):
        bench.place(ALICE, SELL, 100 + number, 1, slot=1 + number)
    return bench


def settle_everything(bench: Bench) -> None:
    bench.wait(1_000)
    while bench.engine.batches.next_batch is not None:
        bench.settle()


def use_slots(bench: Bench, count: int) -> None:
    """Lets an order settle in each of ALICE's first slots, and one of BOB's immediate orders."""
    for slot in range(1, count + 1):
        bench.place(ALICE, SELL, 50, 1, slot=slot)
        bench.place(BOB, BUY, 50, 1, tif=IOC)
    settle_everything(bench)


def makers_that_fit(bench: Bench, *, are_fresh: bool) -> int:
    rules, count = PACKED_RULES, 0
    while rules.gas(count + 2, count + 1, fresh_slots=(count + 2) * are_fresh) <= bench.engine.batches.gas_max:
        count += 1
    return min(count, FILLS_PER_IMMEDIATE_ORDER_MAX)


def test_an_immediate_order_stops_at_the_gas_of_a_batch() -> None:
    bench = packed_market(FILLS_PER_IMMEDIATE_ORDER_MAX + 5)
    fits = makers_that_fit(bench, are_fresh=True)
    assert 0 < fits < FILLS_PER_IMMEDIATE_ORDER_MAX
    bench.place(BOB, BUY, 1_000, 1_000, tif=IOC)
    assert len(bench.all(FillMatched)) == fits
    (closed,) = [event for event in bench.all(OrderClosed) if event.account == BOB]
    assert closed.reason is CloseReason.IMMEDIATE_REMAINDER
    settle_everything(bench)
    assert bench.engine.batches.decided_batch == 1


def test_used_slots_make_room_for_more_of_its_fills() -> None:
    bench = packed_market(0)
    fits = makers_that_fit(bench, are_fresh=False)
    assert makers_that_fit(bench, are_fresh=True) < fits
    use_slots(bench, FILLS_PER_IMMEDIATE_ORDER_MAX + 5)
    before = bench.engine.batches.last_batch
    for number in range(FILLS_PER_IMMEDIATE_ORDER_MAX + 5):
        bench.place(ALICE, SELL, 100 + number, 1, slot=1 + number)
    bench.place(BOB, BUY, 1_000, 1_000, tif=IOC)
    assert len(bench.all(FillMatched)) == fits
    settle_everything(bench)
    assert bench.engine.batches.decided_batch == before + 1


def test_a_fill_or_kill_order_needs_the_gas_of_a_batch() -> None:
    bench = packed_market(FILLS_PER_IMMEDIATE_ORDER_MAX)
    fits = makers_that_fit(bench, are_fresh=True)
    bench.place(BOB, BUY, 1_000, fits + 1, tif=FOK)
    assert bench.all(FillMatched) == []
    bench.place(BOB, BUY, 1_000, fits, tif=FOK)
    assert len(bench.all(FillMatched)) == fits


def test_an_order_stays_fresh_as_it_was_accepted() -> None:
    """A snapshot in between changes nothing: what a batch holds does not depend on when it was taken."""
    bench = packed_market(0)
    bench.place(ALICE, SELL, 100, 10, slot=1)
    bench.place(BOB, BUY, 100, 1, tif=IOC)
    settle_everything(bench)
    bench.place(BOB, BUY, 100, 1, tif=IOC)
    assert list(bench.engine.batches.load.orders.values()) == [True, False]
    restored = Engine.restore(bench.engine.snapshot())
    assert restored.snapshot() == bench.engine.snapshot()
    assert restored.batches.load.orders == bench.engine.batches.load.orders
    bench.place(ALICE, SELL, 100, 10, slot=1)
    bench.place(BOB, BUY, 100, 10, tif=IOC)
    assert list(bench.engine.batches.load.orders.values()) == [True, False, False, False]


def test_the_longest_packed_batch() -> None:
    bench = Bench(msgspec.structs.replace(PACKED_VENUE, batch_gas_max=10**9))
    fund(bench)
    bench.place(ALICE, SELL, 100, 1_000)
    for _ in range(FILLS_PER_BATCH_MAX):
        assert bench.all(BatchClosed) == []
        bench.place(BOB, BUY, 100, 1)
    assert bench.only(BatchClosed).last == FILLS_PER_BATCH_MAX


@pytest.mark.parametrize("is_whole", [True, False])
def test_one_fill_of_a_fill_or_kill_order_takes_the_others_back(is_whole: bool) -> None:
    bench = packed_market(4, rules=msgspec.structs.replace(PACKED_RULES, is_fok_whole=is_whole))
    bench.place(CAROL, BUY, 100, 1, tif=IOC)
    bench.place(BOB, BUY, 1_000, 3, tif=FOK)
    bench.do(RefuseFill(fill=3, reason="it sinks its batch"))
    taken_back = [event.fill for event in bench.all(FillTakenBack)]
    assert taken_back == ([2, 3, 4] if is_whole else [3])
    bench.wait(1_000)
    batch = bench.engine.settlement_batch(1)
    assert [fill.size_lots for fill in batch.fills] == ([1, 0, 0, 0] if is_whole else [1, 1, 0, 1])
    assert len(batch.orders) == (2 if is_whole else 5)
    bench.do(RefuseFill(fill=4, reason="again"))
    assert bool(bench.all(CommandRejected)) is is_whole


def test_one_fill_of_another_order_is_taken_back_alone() -> None:
    bench = packed_market(4)
    bench.place(BOB, BUY, 1_000, 3, tif=IOC)
    bench.do(RefuseFill(fill=2, reason="it sinks its batch"))
    assert [event.fill for event in bench.all(FillTakenBack)] == [2]
