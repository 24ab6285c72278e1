"""Stops, take-profits, trailing stops, orders that are linked or show a part: examples."""

import pytest
from laws import check
from scene import ALICE, BASE, BOB, BUY, CAROL, FOK, GTD, IOC, SELL, START, WISHFUL_VENUE, Bench, open_market

from offchain.domain.beside import Beside
from offchain.domain.command import Intent, PlaceOrder, PostMark, Reading, SetMarketState, Together
from offchain.domain.event import FillMatched, LevelChanged, OrderAccepted, OrderAmended, OrderClosed, OrderTriggered
from offchain.domain.limits import (
    REACTIONS_PER_COMMAND_MAX,
    TRAILING_ORDERS_PER_MARKET_MAX,
    WAITING_ORDERS_PER_ACCOUNT_MAX,
)
from offchain.domain.market import MarketState
from offchain.domain.order import Flags, Kind, Order, make_nonce
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.domain.units import Lots, Ticks
from offchain.engine.engine import Engine

LAST, TAKE, BRIEF = 8, 16, 32


@pytest.fixture
def bench() -> Bench:
    """Bob bids 95 and asks 105."""
    bench = open_market(venue=WISHFUL_VENUE)
    bench.place(BOB, BUY, 95, 50)
    bench.place(BOB, SELL, 105, 50)
    return bench


def mark(bench: Bench, price: int) -> None:
    """Also what a restored engine makes of it."""
    again = Engine.restore(bench.engine.snapshot())
    bench.do(PostMark(market=1, readings=(Reading(CAROL, price, bench.at // 1000),)))
    assert again.apply(*bench.log[-1]) == bench.events
    assert again.snapshot() == bench.engine.snapshot()
    check(bench.engine)


def trade(bench: Bench, price: int) -> None:
    """The last price, by two others."""
    bench.place(CAROL, SELL, price, 1)
    bench.place(BOB, BUY, price, 1, tif=IOC)
    check(bench.engine)


def sold(bench: Bench) -> list[tuple[str, int, int]]:
    return [(event.taker, event.price_ticks, event.size_lots) for event in bench.all(FillMatched)]


def closes(bench: Bench) -> list[tuple[str, str]]:
    return [(event.account, event.reason.value) for event in bench.all(OrderClosed)]


def test_a_stop_waits_and_holds_nothing(bench: Bench) -> None:
    free = bench.balance(ALICE, BASE).free
    bench.place(ALICE, SELL, 90, 5, trigger=98)
    assert bench.accepted.is_waiting and bench.accepted.trigger_ticks == 98
    assert bench.balance(ALICE, BASE).free == free and not bench.all(LevelChanged)
    mark(bench, 99)
    assert not bench.all(OrderTriggered)
    mark(bench, 98)
    assert bench.only(OrderTriggered).refusal is None
    assert sold(bench) == [(ALICE, 95, 5)]


def test_what_it_signed_is_what_settles(bench: Bench) -> None:
    bench.place(ALICE, SELL, 90, 5, trigger=98, flags=BRIEF)
    mark(bench, 90)
    bench.wait(1_000)
    orders = {signed.order.account: signed.order for signed in bench.engine.settlement_batch(1).orders}
    assert (orders[ALICE].trigger_ticks, orders[ALICE].flags) == (98, BRIEF)
    restored = Engine.restore(bench.engine.snapshot())
    assert restored.settlement_batch(1) == bench.engine.settlement_batch(1)


@pytest.mark.parametrize(
    ("side", "flags", "quiet", "fires"),
    [(SELL, 0, 101, 100), (BUY, 0, 99, 100), (SELL, TAKE, 99, 100), (BUY, TAKE, 101, 100)],
    ids=["stop sale", "stop purchase", "take-profit sale", "take-profit purchase"],
)
@pytest.mark.parametrize("on", [0, LAST], ids=["mark", "last"])
def test_directions(bench: Bench, side: object, flags: int, quiet: int, fires: int, on: int) -> None:
    move = trade if on else mark
    price = 100 if side is SELL else 101
    bench.place(ALICE, side, price, 1, flags=flags | on, trigger=100)  # type: ignore[arg-type]
    move(bench, quiet)
    assert not bench.all(OrderTriggered)
    move(bench, fires)
    assert bench.all(OrderTriggered)


def test_a_trigger_that_came_already_fires_at_once(bench: Bench) -> None:
    mark(bench, 97)
    bench.place(ALICE, SELL, 90, 5, trigger=98)
    assert sold(bench) == [(ALICE, 95, 5)] and bench.only(OrderAccepted).is_waiting
    trade(bench, 96)
    bench.place(ALICE, SELL, 90, 5, trigger=96, flags=LAST)
    assert sold(bench) == [(ALICE, 95, 5)]


def test_what_does_not_match_at_once_rests_or_leaves(bench: Bench) -> None:
    bench.place(ALICE, SELL, 95, 60, trigger=98, flags=BRIEF)
    bench.place(ALICE, SELL, 96, 60, trigger=97)
    mark(bench, 98)
    assert closes(bench)[-1] == (ALICE, "IMMEDIATE_REMAINDER")
    assert [event.filled_lots for event in bench.all(OrderClosed)][-1] == 50
    mark(bench, 97)
    assert bench.levels(SELL) == [(96, 60), (105, 50)]


def test_a_stop_that_cannot_enter_says_why(bench: Bench) -> None:
    poor = open_market(base=3, venue=WISHFUL_VENUE)
    poor.place(ALICE, SELL, 90, 4, trigger=98)
    mark(poor, 98)
    assert poor.only(OrderTriggered).refusal == "INSUFFICIENT_BALANCE"
    assert closes(poor) == [(ALICE, "TRIGGER_REFUSED")]
    bench.place(ALICE, SELL, 90, 5, trigger=98)
    bench.do(SetMarketState(market=1, state=MarketState.PAUSED))
    mark(bench, 98)
    assert bench.only(OrderTriggered).refusal == "MARKET_NOT_OPEN"


def test_a_waiting_order_leaves_as_any_other(bench: Bench) -> None:
    bench.place(ALICE, SELL, 90, 5, trigger=98, slot=7)
    bench.cancel(ALICE, bench.accepted.nonce)
    assert closes(bench) == [(ALICE, "CANCELED")]
    bench.place(ALICE, SELL, 90, 5, trigger=98, slot=8)
    bench.place(ALICE, SELL, 110, 5, slot=8)
    assert closes(bench) == [(ALICE, "REPLACED")]
    bench.place(ALICE, SELL, 90, 5, trigger=98, tif=GTD, expiry=START // 1000 + 5)
    bench.wait(6_000)
    assert closes(bench) == [(ALICE, "EXPIRED")]
    bench.place(ALICE, SELL, 90, 5, trigger=98)
    bench.cancel_all(ALICE)
    assert closes(bench)[-1] == (ALICE, "CANCELED")
    mark(bench, 1)
    assert not bench.all(OrderTriggered) and not bench.engine._state.is_watched


def test_what_makes_no_sense(bench: Bench) -> None:
    for fields in (
        {"trigger": 98, "tif": IOC},
        {"trigger": 98, "flags": 1},
        {"trigger": 2**63},
        {"flags": LAST},
        {"flags": BRIEF},
        {"beside": Beside(trail_ticks=1)},
        {"beside": Beside(trail_ticks=1), "trigger": 98, "flags": TAKE},
        {"beside": Beside(display_lots=1), "tif": IOC},
        {"beside": Beside(display_lots=1), "trigger": 98, "flags": BRIEF},
        {"beside": Beside(parent=1), "tif": IOC},
    ):
        bench.place(ALICE, SELL, 110, 2, **fields)  # type: ignore[arg-type]
        assert bench.rejection == "INVALID_PARAMETER", fields


def test_a_trailing_stop_follows_the_price_one_way(bench: Bench) -> None:
    bench.place(ALICE, SELL, 90, 5, trigger=90, beside=Beside(trail_ticks=3))
    for price in (100, 104, 102):
        mark(bench, price)
        assert not bench.all(OrderTriggered), price
    mark(bench, 101)
    assert bench.only(OrderTriggered), "104 less 3"
    bench.place(ALICE, BUY, 110, 5, trigger=110, beside=Beside(trail_ticks=3))
    for price in (100, 97, 99):
        mark(bench, price)
        assert not bench.all(OrderTriggered), price
    mark(bench, 100)
    assert bench.only(OrderTriggered), "97 and 3"


def test_no_more_enter_than_a_command_has_room_for(bench: Bench) -> None:
    for _ in range(REACTIONS_PER_COMMAND_MAX + 2):
        bench.place(ALICE, SELL, 95, 1, trigger=98)
    mark(bench, 98)
    assert len(bench.all(OrderTriggered)) == REACTIONS_PER_COMMAND_MAX
    assert bench.engine.next_deadline() == bench.at + 1
    again = Engine.restore(bench.engine.snapshot())
    assert again.next_deadline() == bench.at + 1
    bench.wait(1)
    assert len(bench.all(OrderTriggered)) == 2 and again.apply(*bench.log[-1]) == bench.events


def test_the_number_of_waiting_orders_is_bounded(bench: Bench) -> None:
    for account in (ALICE, BOB):
        for _ in range(WAITING_ORDERS_PER_ACCOUNT_MAX):
            bench.place(account, SELL, 95, 1, trigger=98, beside=Beside(trail_ticks=1))
            assert bench.accepted
    bench.place(ALICE, SELL, 95, 1, trigger=98)
    assert bench.rejection is RejectReason.TOO_MANY_WAITING_ORDERS
    assert 2 * WAITING_ORDERS_PER_ACCOUNT_MAX == TRAILING_ORDERS_PER_MARKET_MAX
    bench.place(CAROL, SELL, 95, 1, trigger=98, beside=Beside(trail_ticks=1))
    assert bench.rejection == "TOO_MANY_WAITING_ORDERS"
    bench.place(CAROL, SELL, 95, 1, trigger=98)
    assert bench.accepted


# --- linked orders ---


def pair(bench: Bench) -> None:
    """Alice sells five at 110, or at a stop."""
    bench.place(ALICE, SELL, 110, 5)
    bench.place(ALICE, SELL, 90, 5, trigger=98, flags=BRIEF, beside=Beside(other=bench.accepted.nonce))


def test_what_one_fills_the_other_loses(bench: Bench) -> None:
    bench.cancel_all(BOB)
    pair(bench)
    bench.place(CAROL, BUY, 110, 2, tif=IOC)
    assert bench.only(OrderAmended).size_lots == 3
    bench.place(CAROL, BUY, 110, 3, tif=IOC)
    assert closes(bench) == [(ALICE, "FILLED"), (CAROL, "FILLED"), (ALICE, "LINKED")]
    check(bench.engine)


def test_one_that_triggers_takes_the_place_of_the_other(bench: Bench) -> None:
    tight = open_market(base=5, venue=WISHFUL_VENUE)
    tight.place(BOB, BUY, 95, 5)
    pair(tight)
    mark(tight, 97)
    assert closes(tight)[0] == (ALICE, "LINKED") and sold(tight) == [(ALICE, 95, 5)]


def test_a_pair_ends_with_a_cancel(bench: Bench) -> None:
    pair(bench)
    (limit, stop) = bench.engine.accounts[ALICE].open
    bench.cancel(ALICE, limit)
    assert closes(bench) == [(ALICE, "CANCELED")] and stop in bench.engine.accounts[ALICE].open
    assert not bench.engine._state.waiting.links


def test_a_pair_has_two_of_which_one_waits(bench: Bench) -> None:
    bench.place(ALICE, SELL, 110, 5)
    nonce = bench.accepted.nonce
    bench.place(ALICE, SELL, 111, 5, beside=Beside(other=nonce))
    assert bench.rejection == "INVALID_PARAMETER"
    bench.place(ALICE, BUY, 111, 5, trigger=120, beside=Beside(other=nonce))
    assert bench.rejection == "INVALID_PARAMETER"
    bench.place(ALICE, SELL, 90, 5, trigger=98, beside=Beside(other=nonce))
    bench.place(ALICE, SELL, 90, 5, trigger=98, beside=Beside(other=nonce))
    assert bench.rejection == "ORDER_NOT_OPEN", "it is linked already"


def child(bench: Bench, size: int = 5) -> None:
    bench.place(ALICE, BUY, 94, 5)
    bench.place(ALICE, SELL, 120, size, beside=Beside(parent=bench.accepted.nonce))
    assert bench.accepted.is_waiting


def test_a_child_follows_a_filled_parent(bench: Bench) -> None:
    bench.cancel_all(BOB)
    child(bench, size=7)
    bench.place(CAROL, SELL, 94, 3, tif=IOC)
    assert not bench.all(OrderTriggered), "not before the parent is done"
    bench.place(CAROL, SELL, 94, 2, tif=IOC)
    assert bench.only(OrderAmended).size_lots == 5, "no larger than what its parent filled"
    assert bench.levels(SELL) == [(120, 5)]


@pytest.mark.parametrize("filled", [0, 2])
def test_a_child_is_as_large_as_its_parent_filled(bench: Bench, filled: int) -> None:
    bench.cancel_all(BOB)
    child(bench)
    if filled:
        bench.place(CAROL, SELL, 94, filled, tif=IOC)
    bench.cancel(ALICE, next(iter(bench.engine.accounts[ALICE].open)))
    assert bench.levels(SELL) == ([(120, filled)] if filled else [])
    assert closes(bench) == [(ALICE, "CANCELED")] + ([] if filled else [(ALICE, "LINKED")])


@pytest.mark.parametrize(("price", "refusal"), [(93, RejectReason.POST_ONLY_WOULD_CROSS), (94, None)])
def test_a_post_only_child_takes_nothing(bench: Bench, price: int, refusal: RejectReason | None) -> None:
    """No batch settles whose taker signed post-only."""
    bench.cancel_all(BOB)
    bench.place(ALICE, BUY, 94, 5)
    bench.place(ALICE, SELL, price, 5, flags=Flags.POST_ONLY, beside=Beside(parent=bench.accepted.nonce))
    bench.place(BOB, BUY, 93, 5)
    bench.place(CAROL, SELL, 94, 5, tif=IOC)
    assert bench.only(OrderTriggered).refusal is refusal
    assert len(bench.all(FillMatched)) == 1
    assert bench.levels(SELL) == ([] if refusal else [(94, 5)])


def test_a_bracket_comes_together(bench: Bench) -> None:
    """The parent fills at once; its profit and its stop are there before anything else happens."""
    at = bench.at

    def order(slot: int, side: int, price: int, trigger: int = 0, flags: int = 0) -> Order:
        terms = (ALICE, 0, 1, side, Kind.LIMIT, 0, flags, Ticks(price), Lots(5), Ticks(trigger), 10_000)
        return Order(*terms, make_nonce(slot, at), 0)  # type: ignore[arg-type]

    parent, profit, stop = order(1, BUY, 105), order(2, SELL, 120), order(3, SELL, 80, 100, BRIEF)
    besides = (
        None,
        Beside(parent=parent.nonce),
        Beside(parent=parent.nonce, other=profit.nonce),
    )
    orders = (parent, profit, stop)
    intents = tuple(
        Intent(one.to_frame(), "", b"" if beside is None else beside.to_frame())
        for one, beside in zip(orders, besides, strict=True)
    )
    bench.do(Together(account=ALICE, signer=ALICE, orders=intents))
    for one, beside in zip(orders, besides, strict=True):
        bench.do(PlaceOrder(one, bytes(65), ALICE, "", beside), 0)
        assert bench.all(OrderAccepted)
    assert bench.levels(SELL) == [(105, 45), (120, 5)]
    mark(bench, 100)
    assert closes(bench)[0] == (ALICE, CloseReason.LINKED.value) and sold(bench) == [(ALICE, 95, 5)]
    assert not bench.engine.accounts[ALICE].open


# --- orders that show a part ---


def test_only_a_part_shows_and_queues_anew(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 7, beside=Beside(display_lots=3))
    held = bench.balance(ALICE, BASE).held
    assert bench.only(LevelChanged).size_lots == 3 and held == 7 * 10**12
    bench.place(BOB, SELL, 100, 2)
    bench.place(CAROL, BUY, 100, 4, tif=IOC)
    assert [(event.maker, event.size_lots) for event in bench.all(FillMatched)] == [(ALICE, 3), (BOB, 1)]
    assert bench.levels(SELL)[0] == (100, 4)
    again = Engine.restore(bench.engine.snapshot())
    bench.place(CAROL, BUY, 100, 5, tif=IOC)
    fills = [(event.maker, event.size_lots) for event in bench.all(FillMatched)]
    assert fills == [(BOB, 1), (ALICE, 3), (ALICE, 1)] and again.apply(*bench.log[-1]) == bench.events
    assert closes(bench)[-2:] == [(ALICE, "FILLED"), (CAROL, "FILLED")]
    check(bench.engine)


def test_fill_or_kill_sees_what_is_hidden(bench: Bench) -> None:
    bench.cancel_all(BOB)
    bench.place(ALICE, SELL, 100, 7, beside=Beside(display_lots=3))
    bench.place(CAROL, BUY, 100, 8, tif=FOK)
    assert closes(bench) == [(CAROL, "IMMEDIATE_REMAINDER")]
    bench.place(CAROL, BUY, 100, 7, tif=FOK)
    assert closes(bench) == [(ALICE, "FILLED"), (CAROL, "FILLED")]


def test_a_cancel_frees_what_was_hidden(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 7, beside=Beside(display_lots=3))
    bench.cancel_all(ALICE)
    assert bench.balance(ALICE, BASE).held == 0 and not bench.engine.accounts[ALICE].specials
    assert bench.engine.accounts[ALICE].doubts == 0
