"""Orders of one owner that would meet: who gives way."""

import pytest
from laws import check
from scene import ALICE, BOB, BUY, CAROL, FOK, GTC, IOC, SELL, STRANGER, WISHFUL_VENUE, Bench, open_market

from offchain.domain.beside import Beside, SelfTrade
from offchain.domain.command import SetTradeGroup
from offchain.domain.event import CommandRejected, FillMatched, OrderClosed, TradeGroupChanged
from offchain.domain.reasons import CloseReason
from offchain.engine.engine import Engine

MAKER, TAKER, BOTH, NONE = SelfTrade


@pytest.fixture
def bench() -> Bench:
    """Bob sells 2 at 100, Alice 3 behind him, Bob 4 more at 101."""
    bench = open_market(venue=WISHFUL_VENUE)
    bench.place(BOB, SELL, 100, 2)
    bench.place(ALICE, SELL, 100, 3)
    bench.place(BOB, SELL, 101, 4)
    return bench


def buy(bench: Bench, mode: SelfTrade, size: int = 5, tif: object = GTC) -> tuple[int, list[tuple[str, str]]]:
    """What Alice bought, and whose orders closed."""
    bench.place(ALICE, BUY, 101, size, tif=tif, beside=Beside(self_trade=mode))  # type: ignore[arg-type]
    check(bench.engine)
    closed = [(event.account, event.reason.value) for event in bench.all(OrderClosed)]
    return sum(event.size_lots for event in bench.all(FillMatched)), closed


OWN, HERS = (ALICE, "SELF_TRADE"), (BOB, "FILLED")


@pytest.mark.parametrize(
    ("mode", "tif", "bought", "closed"),
    [
        (MAKER, GTC, 5, [HERS, OWN, (ALICE, "FILLED")]),
        (NONE, GTC, 5, [OWN, HERS, (ALICE, "FILLED")]),
        (TAKER, GTC, 2, [HERS, OWN]),
        (BOTH, GTC, 2, [HERS, OWN, OWN]),
        (MAKER, FOK, 5, [HERS, OWN, (ALICE, "FILLED")]),
        (TAKER, FOK, 0, [OWN]),
        (BOTH, IOC, 2, [HERS, OWN, OWN]),
    ],
)
def test_modes(bench: Bench, mode: SelfTrade, tif: object, bought: int, closed: list[tuple[str, str]]) -> None:
    assert buy(bench, mode, tif=tif) == (bought, closed)


@pytest.mark.parametrize("mode", SelfTrade)
def test_what_is_not_met_stays(bench: Bench, mode: SelfTrade) -> None:
    assert buy(bench, mode, size=2) == (2, [HERS, (ALICE, "FILLED")])


def test_a_group_is_one_owner(bench: Bench) -> None:
    bench.do(SetTradeGroup(accounts=(ALICE, BOB), group=7))
    assert bench.only(TradeGroupChanged).group == 7
    again = Engine.restore(bench.engine.snapshot())
    bench.place(ALICE, BUY, 100, 1)
    closed = [(event.account, event.reason) for event in bench.all(OrderClosed)]
    assert closed == [(BOB, CloseReason.SELF_TRADE), (ALICE, CloseReason.SELF_TRADE)], "and nothing is left to meet"
    assert again.apply(*bench.log[-1]) == bench.events
    assert bench.levels(BUY) == [(100, 1)]


def test_a_group_may_trade_with_itself_if_it_says_so(bench: Bench) -> None:
    bench.do(SetTradeGroup(accounts=(ALICE, BOB), group=7))
    assert buy(bench, NONE) == (5, [OWN, HERS, (ALICE, "FILLED")])


def test_who_is_in_no_group_any_more_is_a_stranger(bench: Bench) -> None:
    bench.do(SetTradeGroup(accounts=(ALICE, BOB), group=7))
    bench.do(SetTradeGroup(accounts=(BOB,), group=0))
    assert buy(bench, MAKER, size=2) == (2, [HERS, (ALICE, "FILLED")])
    assert bench.engine.accounts[BOB].doubts == 0


def test_fill_or_kill_closes_nobody_for_nothing(bench: Bench) -> None:
    """Six are there for others, so that seven are none, and no maker gives way."""
    assert buy(bench, MAKER, size=7, tif=FOK) == (0, [(ALICE, "IMMEDIATE_REMAINDER")])
    assert buy(bench, NONE, size=7, tif=FOK) == (0, [(ALICE, "IMMEDIATE_REMAINDER")])
    bench.do(SetTradeGroup(accounts=(ALICE, CAROL), group=7))
    bench.place(CAROL, SELL, 101, 9)
    assert buy(bench, MAKER, size=7, tif=FOK) == (0, [(ALICE, "IMMEDIATE_REMAINDER")])
    assert bench.levels(SELL) == [(100, 5), (101, 13)]


def test_only_the_operator_makes_groups(bench: Bench) -> None:
    bench.do(SetTradeGroup(accounts=(ALICE, BOB), group=7, by=ALICE))
    assert bench.only(CommandRejected).reason == "NOT_AN_OPERATOR"
    for accounts, group in (((), 1), ((ALICE, STRANGER), 1), ((ALICE,), -1)):
        bench.do(SetTradeGroup(accounts=accounts, group=group))
        assert bench.only(CommandRejected).reason == "INVALID_PARAMETER"
