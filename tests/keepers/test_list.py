"""The list keeper: what it decides. On a real chain: tests/system and the demo."""

import pytest

from keepers.list import Done, GiveUp, Observation, Send, decide
from offchain.chain.listing import ListingStep
from offchain.domain.event import MarketRequested
from offchain.domain.units import Address
from offchain.storage.transactions import TransactionState as S

REQUEST = MarketRequested(
    market=3,
    symbol="SOL-USDC",
    synth_symbol="hSOL",
    synth_name="HOOATS Solana",
    base_atoms_per_lot=10**16,
    quote_atoms_per_tick_lot=10,
    ceiling=10**24,
    initial_percent=150,
    maintenance_percent=130,
    bonus_percent=5,
    quorum=1,
    max_age_seconds=300,
    max_move_ppm_per_minute=10_000,
    by=Address("0x" + "11" * 20),
)
STEP = ListingStep("create hSOL", Address("0x" + "22" * 20), b"\x01", Address("0x" + "22" * 20), b"\x02", bool)


def seen(
    step: ListingStep | None, state: S | None = None, obstacle: str = "", retry_at: int = 0, now: int = 100
) -> Observation:
    return Observation(REQUEST, 0, step, obstacle, state, retry_at, now)


def test_nothing_asked_nothing_done() -> None:
    assert decide(None) == []


def test_the_first_missing_step_is_sent() -> None:
    assert decide(seen(STEP)) == [Send(REQUEST, 0, STEP)]
    assert decide(seen(STEP, S.FAILED)) == [Send(REQUEST, 0, STEP)]


@pytest.mark.parametrize("state", [S.PLANNED, S.SIGNED, S.SENT, S.MINED, S.FINAL])
def test_a_step_on_its_way_is_waited_for(state: S) -> None:
    """FINAL and still missing: the node that was asked lags."""
    assert decide(seen(STEP, state)) == []


def test_after_a_revert_it_waits() -> None:
    assert decide(seen(STEP, retry_at=110)) == []
    assert decide(seen(STEP, retry_at=110, now=110)) == [Send(REQUEST, 0, STEP)]


def test_all_steps_done() -> None:
    assert decide(seen(None, S.FINAL)) == [Done(REQUEST)]


def test_other_terms_under_the_same_number_are_left_alone() -> None:
    assert decide(seen(None, obstacle="market 3 is listed with other terms")) == [
        GiveUp(REQUEST, "market 3 is listed with other terms")
    ]
