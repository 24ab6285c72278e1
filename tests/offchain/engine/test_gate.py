"""The venue's state: operator, backlog and divergence, and the exact millisecond of each change."""

import msgspec
import pytest
from scene import ALICE, BOB, BUY, SELL, VENUE, Bench, open_market

from offchain.domain.batch import BatchRules
from offchain.domain.command import SetVenueState
from offchain.domain.event import VenueStateChanged
from offchain.domain.limits import BACKLOG_CANCEL_ONLY_MILLIS, BACKLOG_POST_ONLY_MILLIS, SETTLEMENT_MILLIS_PER_FILL
from offchain.domain.market import MarketState
from offchain.domain.reasons import VenueState
from offchain.engine.engine import Engine
from offchain.engine.fills import NEVER
from offchain.engine.gate import Gate


@pytest.mark.parametrize(
    ("age", "state", "deadline"),
    [
        (0, VenueState.ACTIVE, BACKLOG_POST_ONLY_MILLIS + 1),
        (BACKLOG_POST_ONLY_MILLIS, VenueState.ACTIVE, BACKLOG_POST_ONLY_MILLIS + 1),
        (BACKLOG_POST_ONLY_MILLIS + 1, VenueState.POST_ONLY, BACKLOG_CANCEL_ONLY_MILLIS + 1),
        (BACKLOG_CANCEL_ONLY_MILLIS, VenueState.POST_ONLY, BACKLOG_CANCEL_ONLY_MILLIS + 1),
        (BACKLOG_CANCEL_ONLY_MILLIS + 1, VenueState.CANCEL_ONLY, NEVER),
    ],
)
def test_the_age_of_the_backlog(age: int, state: VenueState, deadline: int) -> None:
    gate = Gate()
    gate.watch(1_000, 1_000 + age, 0)
    gate.refresh()
    assert gate.state is state
    assert gate.deadline == (deadline if deadline == NEVER else 1_000 + deadline)
    gate.watch(NEVER, 10**13, 0)
    assert gate.refresh() is (state is not VenueState.ACTIVE) and gate.deadline == NEVER


@pytest.mark.parametrize(
    ("operator", "age", "diverged", "expected"),
    [
        (MarketState.ACTIVE, 0, False, (VenueState.ACTIVE, "why")),
        (MarketState.POST_ONLY, 0, False, (VenueState.POST_ONLY, "why")),
        (MarketState.POST_ONLY, 61_000, False, (VenueState.POST_ONLY, "why")),
        (MarketState.POST_ONLY, 151_000, False, (VenueState.CANCEL_ONLY, "backlog")),
        (MarketState.CANCEL_ONLY, 61_000, False, (VenueState.CANCEL_ONLY, "why")),
        (MarketState.PAUSED, 151_000, False, (VenueState.HALTED, "why")),
        (MarketState.PAUSED, 0, True, (VenueState.HALTED, "diverged")),
        (MarketState.ACTIVE, 61_000, True, (VenueState.HALTED, "diverged")),
    ],
)
def test_the_strictest_wins(operator: MarketState, age: int, diverged: bool, expected: tuple[VenueState, str]) -> None:
    gate = Gate()
    gate.set_operator(operator, "why")
    if diverged:
        gate.diverge()
    gate.watch(0, age, 0)
    gate.refresh()
    assert (gate.state, gate.reason) == expected
    assert not gate.refresh()


@pytest.fixture
def bench() -> Bench:
    bench = open_market()
    bench.place(ALICE, SELL, 100, 5)
    bench.place(BOB, BUY, 100, 1)
    return bench


def test_the_backlog_closes_the_venue_step_by_step(bench: Bench) -> None:
    matched_at = bench.at
    bench.wait(1_000)
    assert bench.engine.next_deadline() == matched_at + BACKLOG_POST_ONLY_MILLIS + 1
    bench.wait(matched_at + BACKLOG_POST_ONLY_MILLIS - bench.at)
    assert bench.events == ()
    bench.wait(1)
    assert bench.events == (VenueStateChanged(state=VenueState.POST_ONLY, reason="backlog"),)
    bench.wait(matched_at + BACKLOG_CANCEL_ONLY_MILLIS + 1 - bench.at)
    assert bench.events == (VenueStateChanged(state=VenueState.CANCEL_ONLY, reason="backlog"),)
    assert bench.engine.next_deadline() is None
    bench.settle()
    assert bench.only(VenueStateChanged) == VenueStateChanged(state=VenueState.ACTIVE, reason="")


def test_a_long_pause_tells_both_steps(bench: Bench) -> None:
    bench.wait(10**6)
    assert [event.state for event in bench.all(VenueStateChanged)] == [VenueState.POST_ONLY, VenueState.CANCEL_ONLY]


def test_a_newer_backlog_is_a_younger_one(bench: Bench) -> None:
    bench.wait(59_000)
    bench.place(BOB, BUY, 100, 1)
    second_at = bench.at
    bench.wait(1_500)
    assert bench.only(VenueStateChanged).state is VenueState.POST_ONLY
    bench.settle()
    assert bench.only(VenueStateChanged).state is VenueState.ACTIVE
    assert bench.engine.next_deadline() == second_at + BACKLOG_POST_ONLY_MILLIS + 1


def test_the_operator(bench: Bench) -> None:
    bench.do(SetVenueState(state=MarketState.PAUSED, reason="upgrade"))
    assert bench.events == (VenueStateChanged(state=VenueState.HALTED, reason="upgrade"),)
    assert bench.do(SetVenueState(state=MarketState.PAUSED, reason="upgrade")) == ()
    bench.do(SetVenueState(state=MarketState.ACTIVE, reason="done"))
    assert bench.events == (VenueStateChanged(state=VenueState.ACTIVE, reason="done"),)


@pytest.mark.parametrize(
    ("fills", "state"),
    [(1_000, VenueState.ACTIVE), (1_001, VenueState.POST_ONLY), (2_501, VenueState.CANCEL_ONLY)],
)
def test_a_long_queue_of_young_fills_counts_as_old(fills: int, state: VenueState) -> None:
    """Found by attack: dust that takes longer to settle than W frees whoever trades behind it."""
    gate = Gate()
    gate.watch(5, 6, fills * SETTLEMENT_MILLIS_PER_FILL)
    gate.refresh()
    assert gate.state is state


@pytest.mark.parametrize(("millis", "state"), [(60_000, VenueState.ACTIVE), (60_001, VenueState.POST_ONLY)])
def test_a_venue_may_say_how_long_settling_takes(millis: int, state: VenueState) -> None:
    rules = BatchRules(settlement_millis_per_fill=millis)
    bench = open_market(venue=msgspec.structs.replace(VENUE, batch_rules=rules))
    bench.place(ALICE, BUY, 100, 1)
    bench.place(BOB, SELL, 100, 1)
    assert bench.engine.gate.state is state
    restored = Engine.restore(bench.engine.snapshot())
    assert restored.batches.rules == rules and restored.state_hash() == bench.engine.state_hash()
    assert restored.batches.estimate == millis
