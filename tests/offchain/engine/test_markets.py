"""Operators, requested markets, and the states of a market from its listing to its end."""

from typing import Any

import msgspec
import pytest
from scene import ALICE, BASE_ATOMS, BOB, BUY, CAROL, INSURANCE, OTHER, QUOTE, SELL, STRANGER, VENUE, Bench, market_log
from scene import open_market as opened

from offchain.domain.chainlog import CollateralLocked, CollateralUnlocked
from offchain.domain.command import (
    ObserveLog,
    RequestMarket,
    SetMarketState,
    SetOperators,
    SetVenueState,
    WithdrawMarket,
)
from offchain.domain.event import (
    CommandRejected,
    Diverged,
    MarketOpened,
    MarketRequested,
    MarketStateChanged,
    MarketWithdrawn,
    OperatorsChanged,
    OrderClosed,
)
from offchain.domain.market import MarketState
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.domain.units import Address
from offchain.engine.engine import Engine

TERMS: dict[str, Any] = {
    "symbol": "GOLD-USDC",
    "synth_symbol": "sGOLD",
    "synth_name": "Synthetic Gold",
    "base_atoms_per_lot": BASE_ATOMS,
    "quote_atoms_per_tick_lot": 1,
    "ceiling": 10**30,
    "initial_percent": 200,
    "maintenance_percent": 150,
    "bonus_percent": 10,
    "quorum": 1,
    "max_age_seconds": 600,
    "max_move_ppm_per_minute": 50_000,
    "by": ALICE,
}


@pytest.fixture
def bench() -> Bench:
    """A market, funded traders, and Alice as the operator."""
    bench = opened()
    bench.do(SetOperators(operators=(ALICE,)))
    return bench


def request(bench: Bench, **changes: object) -> RejectReason | None:
    bench.do(RequestMarket(**{**TERMS, **changes}))
    rejected = bench.all(CommandRejected)
    return rejected[0].reason if rejected else None


def change(bench: Bench, state: MarketState, market: int = 1, by: Address = ALICE) -> RejectReason | None:
    bench.do(SetMarketState(market=market, state=state, by=by))
    rejected = bench.all(CommandRejected)
    return rejected[0].reason if rejected else None


def test_operators_are_named_and_replaced() -> None:
    bench = Bench(msgspec.structs.replace(VENUE, operators=(ALICE, BOB)))
    assert bench.only(OperatorsChanged).operators == bench.engine.operators == (ALICE, BOB)
    bench.do(SetOperators(operators=()))
    assert bench.only(OperatorsChanged).operators == bench.engine.operators == ()


@pytest.mark.parametrize(
    "wrong", [(ALICE, ALICE), ("0xAB" + "0" * 38,), ("me",), tuple(f"0x{n:040x}" for n in range(17))]
)
def test_wrong_operators_change_nothing(bench: Bench, wrong: Any) -> None:
    bench.do(SetOperators(operators=wrong))
    assert bench.only(CommandRejected).reason is RejectReason.INVALID_PARAMETER
    assert bench.engine.operators == (ALICE,)


def test_a_request_gets_the_lowest_free_number(bench: Bench) -> None:
    assert request(bench) is None
    asked = bench.only(MarketRequested)
    assert (asked.market, asked.symbol, asked.by) == (2, "GOLD-USDC", ALICE)
    assert {name: getattr(asked, name) for name in TERMS} == TERMS
    bench.do(ObserveLog(log=market_log(bench.engine.last_event_sequence + 1, market=3, base=OTHER)))
    assert request(bench, symbol="OIL-USDC", synth_symbol="sOIL") is None
    assert bench.only(MarketRequested).market == 4


def test_only_operators_may_ask(bench: Bench) -> None:
    assert request(bench, by=BOB) is RejectReason.NOT_AN_OPERATOR
    assert request(bench, by="") is RejectReason.NOT_AN_OPERATOR


@pytest.mark.parametrize("taken", [{"symbol": "BASE1-USDC"}, {"symbol": "GOLD-USDC"}, {"synth_symbol": "sGOLD"}])
def test_names_are_given_away_once(bench: Bench, taken: dict[str, str]) -> None:
    assert request(bench) is None
    changes = {"symbol": "OIL-USDC", "synth_symbol": "sOIL", **taken}
    assert request(bench, **changes) is RejectReason.MARKET_EXISTS
    log = market_log(bench.engine.last_event_sequence + 1, market=2, base=OTHER)
    bench.do(ObserveLog(log=msgspec.structs.replace(log, symbol="GOLD-USDC")))
    assert request(bench, **changes) is RejectReason.MARKET_EXISTS, "listed by now"


@pytest.mark.parametrize(
    "taken",
    [
        {"synth_symbol": "USDC"},
        {"synth_symbol": "usdc"},
        {"synth_symbol": "SGOLD"},
        {"synth_symbol": "gold"},
        {"synth_symbol": "Base1"},
        {"synth_symbol": "HBASE1"},
        {"symbol": "USDC-USDC"},
        {"symbol": "HBASE1-USDC"},
        {"symbol": "SGOLD-USDC"},
    ],
)
def test_no_two_tokens_have_names_that_differ_in_case_only(bench: Bench, taken: dict[str, str]) -> None:
    """`hooats balances` showed USDC 0 to everybody once a synth was called USDC."""
    assert request(bench) is None
    assert request(bench, **{"symbol": "OIL-USDC", "synth_symbol": "sOIL", **taken}) is RejectReason.MARKET_EXISTS
    assert request(bench, symbol="OIL-USDC", synth_symbol="OIL") is None, "base and synth of one market are one token"


def test_a_base_in_small_letters_is_taken_too(bench: Bench) -> None:
    log = market_log(bench.engine.last_event_sequence + 1, market=2, base=OTHER)
    bench.do(ObserveLog(log=msgspec.structs.replace(log, symbol="Gold-USDC")))
    assert request(bench) is RejectReason.MARKET_EXISTS


def test_markets_settle_in_what_the_listed_ones_name() -> None:
    bench = Bench(msgspec.structs.replace(VENUE, operators=(ALICE,)))
    assert request(bench, symbol="GOLD-USDT") is RejectReason.INVALID_PARAMETER
    assert request(bench) is None, "USDC while nothing is listed"
    bench.do(ObserveLog(log=msgspec.structs.replace(market_log(1), symbol="BASE1-EUR")))
    oil = {"synth_symbol": "sOIL"}
    assert request(bench, symbol="OIL-USDC", **oil) is RejectReason.INVALID_PARAMETER
    assert request(bench, symbol="OIL-EUR", **oil) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"symbol": "gold-usdc"},
        {"symbol": "GOLD-EUR"},
        {"symbol": "GOLD-XUSDC"},
        {"symbol": "GOLD"},
        {"symbol": "GOLD-USDC\n"},
        {"symbol": "G" * 16 + "-USDC"},
        {"synth_symbol": ""},
        {"synth_symbol": "s GOLD"},
        {"synth_name": " gold"},
        {"synth_name": "g" * 32},
        {"base_atoms_per_lot": 0},
        {"base_atoms_per_lot": 3},
        {"base_atoms_per_lot": 2**128},
        {"quote_atoms_per_tick_lot": 2**64},
        {"ceiling": 0},
        {"initial_percent": 150},
        {"initial_percent": 1_001},
        {"maintenance_percent": 109, "bonus_percent": 1},
        {"bonus_percent": 50},
        {"bonus_percent": 0},
        {"quorum": 0},
        {"quorum": 17},
        {"max_age_seconds": 3_601},
        {"max_move_ppm_per_minute": 0},
    ],
)
def test_what_the_contracts_would_refuse_is_refused(bench: Bench, wrong: dict[str, Any]) -> None:
    assert request(bench, **wrong) is RejectReason.INVALID_PARAMETER
    assert request(bench) is None


def test_markets_begin_as_the_venue_says() -> None:
    bench = Bench(msgspec.structs.replace(VENUE, listed_state=MarketState.PAUSED, operators=(ALICE,)))
    bench.do(ObserveLog(log=market_log(1)))
    opening, change_ = bench.only(MarketOpened), bench.only(MarketStateChanged)
    assert (opening.market, change_.state, change_.by) == (1, "PAUSED", "")
    bench.fund(ALICE, quote=10**9)
    bench.place(ALICE, BUY, 10, 1)
    assert bench.rejection == RejectReason.MARKET_NOT_OPEN
    assert change(bench, MarketState.ACTIVE) is None
    assert bench.only(MarketStateChanged).by == ALICE
    bench.place(ALICE, BUY, 10, 1)
    assert bench.accepted
    restored = Engine.restore(bench.engine.snapshot())
    assert restored.venue == bench.engine.venue and restored.operators == (ALICE,)


def test_a_venue_cannot_begin_or_end_delisted(bench: Bench) -> None:
    bench.do(SetVenueState(state=MarketState.DELISTED, reason=""))
    assert bench.only(CommandRejected).reason is RejectReason.INVALID_PARAMETER
    never = Bench(msgspec.structs.replace(VENUE, listed_state=MarketState.DELISTED))
    assert never.engine.venue is None


def test_strangers_change_no_market(bench: Bench) -> None:
    assert change(bench, MarketState.PAUSED, by=STRANGER) is RejectReason.NOT_AN_OPERATOR
    assert change(bench, MarketState.PAUSED, market=9) is RejectReason.UNKNOWN_MARKET
    assert change(bench, MarketState.PAUSED, by=Address("")) is None, "the process itself may"


def test_delisting_cancels_everything_for_good(bench: Bench) -> None:
    bench.place(ALICE, BUY, 10, 5)
    bench.place(BOB, SELL, 10, 2)
    bench.place(BOB, SELL, 20, 2)
    bench.place(CAROL, BUY, 9, 1)
    assert change(bench, MarketState.DELISTED) is None
    closed = bench.all(OrderClosed)
    assert [event.account for event in closed] == [ALICE, BOB, CAROL]
    assert {event.reason for event in closed} == {CloseReason.DELISTED}
    assert not bench.levels(BUY) and not bench.levels(SELL)
    assert all(bench.balance(who, QUOTE).held == 0 for who in (ALICE, BOB, CAROL))
    for state in MarketState:
        assert change(bench, state) is RejectReason.MARKET_DELISTED
    bench.place(CAROL, BUY, 9, 1)
    assert bench.rejection == RejectReason.MARKET_DELISTED
    bench.wait(2_000)
    bench.settle()
    assert bench.balance(ALICE, QUOTE).pending == 0, "what had matched settles"


def test_a_state_without_news_hashes_as_before() -> None:
    """Operators, requests and pools leave no trace in a state that has none."""
    bench = opened()
    before = bench.engine.snapshot()
    bench.do(SetOperators(operators=(ALICE,)))
    request(bench)
    assert len(bench.engine.snapshot()) > len(before)
    restored = Engine.restore(bench.engine.snapshot())
    assert restored.snapshot() == bench.engine.snapshot()
    assert list(restored.describe()) == list(bench.engine.describe())
    assert request(bench, symbol="OIL-USDC") is RejectReason.MARKET_EXISTS, "the synth's symbol is remembered"


def test_collateral_may_be_unlocked_to_another_account() -> None:
    """A liquidator is paid out of another's position; only the total is the Vault's."""
    bench = opened(quote=1_000)
    locked = {"account": ALICE, "approval": 0, "request_remaining": 0}
    bench.see(CollateralLocked, amount=600, balance=400, **locked)
    bench.see(CollateralUnlocked, account=BOB, amount=250, balance=1_250)
    bench.see(CollateralUnlocked, account=INSURANCE, amount=300, balance=300)
    assert bench.engine.locked == {ALICE: 600, BOB: -250, INSURANCE: -300}
    assert not bench.all(Diverged)
    assert Engine.restore(bench.engine.snapshot()).locked == bench.engine.locked
    bench.see(CollateralUnlocked, account=CAROL, amount=51, balance=1_051)
    assert bench.only(Diverged).what == "locked collateral of all accounts"


def test_a_row_that_cannot_be_written_down_opens_no_book(bench: Bench) -> None:
    """A lot of three atoms has no finite decimal: one such row must not spoil the list of all markets."""
    log = market_log(bench.engine.last_event_sequence + 1, market=9, base=OTHER)
    bench.do(ObserveLog(log=msgspec.structs.replace(log, base_atoms_per_lot=3)))
    assert bench.only(CommandRejected).reason is RejectReason.INVALID_PARAMETER
    assert 9 not in bench.engine.books and not bench.engine.gate.is_diverged


def withdraw(bench: Bench, market: int, by: Address = ALICE) -> RejectReason | None:
    bench.do(WithdrawMarket(market=market, by=by))
    rejected = bench.all(CommandRejected)
    return rejected[0].reason if rejected else None


def test_a_request_that_is_withdrawn_frees_its_names_and_keeps_its_number(bench: Bench) -> None:
    request(bench)
    number = bench.only(MarketRequested).market
    assert withdraw(bench, number, BOB) is RejectReason.NOT_AN_OPERATOR
    assert withdraw(bench, number) is None
    assert bench.events == (MarketWithdrawn(market=number, symbol="GOLD-USDC", by=ALICE),)
    assert withdraw(bench, number) is withdraw(bench, 1) is RejectReason.UNKNOWN_MARKET
    assert [event for event in bench.engine.describe() if isinstance(event, MarketRequested)] == []
    restored = Engine.restore(bench.engine.snapshot())
    assert restored.snapshot() == bench.engine.snapshot()
    request(bench)
    assert bench.only(MarketRequested).market == number + 1
    log = market_log(bench.engine.last_event_sequence + 1, market=number + 1, base=OTHER)
    bench.do(ObserveLog(log=log))
    assert withdraw(bench, number + 1) is RejectReason.MARKET_EXISTS
