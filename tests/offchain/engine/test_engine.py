"""The machine as a whole: what it asserts, what it refuses, epochs, fees, and what it costs the collector."""

import gc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from histories import History
from scene import ALICE, BOB, BUY, FEES, INSURANCE, SELL, START, STRANGER, TREASURY, VENUE, Bench, open_market
from wishful import WishfulHistory

from offchain.domain.command import AdvanceTime, CloseEpoch, SetFees, SetMarketState
from offchain.domain.event import (
    BalanceChanged,
    CommandRejected,
    EpochClosed,
    FeesChanged,
    LevelChanged,
    MarketStateChanged,
    OrderAccepted,
    RejectReason,
    VenueStateChanged,
)
from offchain.domain.market import MarketState
from offchain.domain.reasons import VenueState
from offchain.engine.engine import Engine, flaw_of_venue


def test_the_first_command_opens_the_venue() -> None:
    bench = Bench(None)
    bench.place(ALICE, BUY, 100, 1)
    assert bench.events == (CommandRejected(reason=RejectReason.INVALID_PARAMETER),) and bench.engine.venue is None
    bench.do(VENUE)
    assert bench.events == (
        FeesChanged(maker_fee_ppm=1_000, taker_fee_ppm=2_500),
        VenueStateChanged(state=VenueState.ACTIVE, reason=""),
    )
    assert bench.engine.venue == VENUE and set(bench.engine.accounts) == {FEES, TREASURY, INSURANCE}
    bench.do(VENUE)
    assert bench.events == (CommandRejected(reason=RejectReason.INVALID_PARAMETER),)


@pytest.mark.parametrize(
    ("field", "value", "is_good"),
    [
        ("taker_fee_ppm", -1, False),
        ("taker_fee_ppm", 10_001, False),
        ("maker_fee_ppm", -2_501, False),
        ("batch_interval_millis", -1, False),
        ("batch_gas_max", 1, False),
        ("fills_per_immediate_order_max", 0, False),
        ("operators", (ALICE, ALICE), False),
        ("listed_state", MarketState.DELISTED, False),
        ("batch_rules", msgspec.structs.replace(VENUE.batch_rules, fills_max=101), False),
        ("maker_fee_ppm", -2_500, True),
    ],
)
def test_a_venue_with_a_flaw_does_not_open_and_the_field_is_named(field: str, value: Any, is_good: bool) -> None:
    venue, bench = msgspec.structs.replace(VENUE, **{field: value}), Bench(None)
    bench.do(venue)
    assert (bench.engine.venue == venue) is is_good
    assert flaw_of_venue(venue) == ("" if is_good else field)


@pytest.mark.parametrize(("sequence", "at"), [(1, START + 5), (3, START + 5), (2, START - 1)])
def test_a_sequencer_that_breaks_its_promise_stops_the_process(sequence: int, at: int) -> None:
    engine = Engine()
    engine.apply(1, START, VENUE)
    with pytest.raises(AssertionError):
        engine.apply(sequence, at, AdvanceTime())


def test_epochs() -> None:
    bench = open_market()
    bench.do(CloseEpoch())
    assert bench.events == (CommandRejected(reason=RejectReason.NOTHING_TO_CLOSE),)
    bench.place(ALICE, SELL, 100, 5)
    bench.place(BOB, BUY, 100, 2, signer=STRANGER)
    bench.place(BOB, BUY, 100, 2)
    bench.do(CloseEpoch())
    last = bench.engine.sequence
    assert bench.only(EpochClosed) == EpochClosed(epoch=1, first=1, last=last, volume=20_000, count=3)
    bench.wait(1)
    bench.do(CloseEpoch())
    assert bench.only(CommandRejected).reason == RejectReason.NOTHING_TO_CLOSE
    bench.place(BOB, BUY, 50, 2)
    bench.do(CloseEpoch())
    assert bench.only(EpochClosed) == EpochClosed(epoch=2, first=last + 1, last=last + 4, volume=0, count=1)


@pytest.mark.parametrize(("maker", "taker"), [(10_001, 0), (0, 10_001), (-1, 0), (-501, 500), (1, -1)])
def test_a_schedule_that_the_chain_would_refuse(maker: int, taker: int) -> None:
    bench = open_market()
    bench.do(SetFees(maker_fee_ppm=maker, taker_fee_ppm=taker))
    assert bench.events == (CommandRejected(reason=RejectReason.INVALID_PARAMETER),)
    bench.place(ALICE, BUY, 100, 1)
    assert (bench.accepted.maker_fee_ppm, bench.accepted.taker_fee_ppm) == (1_000, 2_500)


@pytest.mark.parametrize(("maker", "taker"), [(10_000, 10_000), (-10_000, 10_000), (0, 0)])
def test_the_widest_schedules(maker: int, taker: int) -> None:
    bench = open_market()
    bench.do(SetFees(maker_fee_ppm=maker, taker_fee_ppm=taker))
    assert bench.events == (FeesChanged(maker_fee_ppm=maker, taker_fee_ppm=taker),)


def test_market_states() -> None:
    bench = open_market()
    bench.do(SetMarketState(market=2, state=MarketState.PAUSED))
    assert bench.events == (CommandRejected(reason=RejectReason.UNKNOWN_MARKET),)
    bench.do(SetMarketState(market=1, state=MarketState.PAUSED))
    assert bench.events == (MarketStateChanged(market=1, state="PAUSED"),)


def test_levels_and_balances_come_last_and_once() -> None:
    bench = open_market()
    bench.place(ALICE, SELL, 100, 1)
    bench.place(ALICE, SELL, 100, 1)
    bench.place(BOB, BUY, 100, 3)
    kinds = [type(event) for event in bench.events]
    state = (LevelChanged, BalanceChanged)
    first = next(index for index, kind in enumerate(kinds) if kind in state)
    assert all(kind in state for kind in kinds[first:]) and kinds[0] is OrderAccepted
    keys = [(event.account, event.token) for event in bench.all(BalanceChanged)]
    assert len(keys) == len(set(keys)) == 5
    assert sorted((event.side, event.size_lots) for event in bench.all(LevelChanged)) == [(0, 1), (1, 0)]


@pytest.mark.parametrize("kind", [History, WishfulHistory])
def test_a_day_of_commands_leaves_no_garbage(kind: type[History]) -> None:
    """The collector is disabled in the sequencer, so no command may make a reference cycle that outlives it."""
    history = kind(33)
    for _ in history.steps(500):
        pass
    commands = [(sequence, at, command) for sequence, at, command, _ in kind(34).steps(3_000)]
    engine = Engine()
    gc.collect()
    gc.disable()
    try:
        for sequence, at, command in commands:
            engine.apply(sequence, at, command)
        del sequence, at, command
        found = gc.collect()
    finally:
        gc.enable()
    assert found == 0


def test_every_reject_reason_is_used() -> None:
    """A word that no test provokes is a promise that nobody keeps."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    missing: list[Any] = [reason.name for reason in RejectReason if f"RejectReason.{reason.name}" not in tests]
    assert missing == []
