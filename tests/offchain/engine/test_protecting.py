"""A market maker's protection: what counts, what goes, and when it ends."""

from typing import Any

import msgspec
import pytest
from scene import (
    ALICE,
    BOB,
    BUY,
    CAROL,
    IOC,
    QUOTE_ATOMS,
    RULED_VENUE,
    SELL,
    STRANGER,
    WISHFUL_VENUE,
    Bench,
    open_market,
)

from offchain.domain.beside import Beside
from offchain.domain.command import Intent, PlaceOrder, Together
from offchain.domain.event import (
    CommandRejected,
    OrderAccepted,
    OrderClosed,
    ProtectionReset,
    ProtectionSet,
    ProtectionTripped,
)
from offchain.domain.limits import PROTECTED_MARKETS_MAX, PROTECTION_WINDOW_MILLIS_MAX
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.domain.terms import ResetProtection, SetProtection
from offchain.engine.engine import Engine

PROTECTED = 64
LOT = 100 * QUOTE_ATOMS
"""What a lot costs at 100 ticks."""
TERMS = SetProtection(
    account=ALICE,
    signer=ALICE,
    protection=1,
    window_millis=1_000,
    markets=(1,),
    amount_max=5 * LOT,
    freeze_millis=2_000,
)


@pytest.fixture
def bench() -> Bench:
    bench = open_market(venue=RULED_VENUE)
    bench.do(TERMS)
    return bench


def quote(bench: Bench, side: Any = SELL, price: int = 100, size: int = 5, **more: Any) -> None:
    bench.place(ALICE, side, price, size, flags=PROTECTED, **more)
    assert bench.accepted


def take(bench: Bench, size: int, price: int = 100, side: Any = BUY) -> list[OrderClosed]:
    """Somebody trades; who lost orders by a protection."""
    bench.place(BOB, side, price, size, tif=IOC)
    return [closed for closed in bench.all(OrderClosed) if closed.reason is CloseReason.PROTECTED]


def test_what_exceeds_the_amount_cancels_the_others(bench: Bench) -> None:
    for price in (100, 101, 102):
        quote(bench, price=price)
    bench.place(ALICE, SELL, 103, 5)
    assert take(bench, 5) == []
    assert len(take(bench, 1, 101)) == 2, "of the second order what was left, and the third"
    tripped = bench.only(ProtectionTripped)
    assert (tripped.amount, tripped.delta) == (6 * LOT + QUOTE_ATOMS, -6 * LOT - QUOTE_ATOMS)
    assert tripped.until == bench.at + 2_000
    assert bench.levels(SELL) == [(103, 5)], "what is not protected stays"


def test_a_protected_quote_goes_the_quick_way_until_something_changes(bench: Bench) -> None:
    """Whoever passed the long look once is not looked at again before the protection trips or is another one."""
    quick = bench.engine.books[1].guarded
    quote(bench, size=9)
    assert [trader.account.address for trader in quick[0].values()] == [ALICE]
    bench.do(TERMS)
    assert quick == {0: {}}
    quote(bench)
    assert quick[0]
    take(bench, 14)
    assert bench.all(ProtectionTripped) and quick == {0: {}}


def test_refused_until_the_freeze_ends(bench: Bench) -> None:
    quote(bench, size=9)
    take(bench, 6)
    bench.place(ALICE, SELL, 100, 1, flags=PROTECTED)
    assert bench.rejection is RejectReason.PROTECTION_FROZEN
    bench.place(ALICE, SELL, 110, 1)
    assert bench.accepted
    bench.wait(1_996)
    bench.place(ALICE, SELL, 100, 1, flags=PROTECTED)
    assert bench.rejection is RejectReason.PROTECTION_FROZEN
    quote(bench)


def test_refused_until_it_is_reset(bench: Bench) -> None:
    bench.do(msgspec.structs.replace(TERMS, freeze_millis=0))
    quote(bench, size=9)
    take(bench, 6)
    assert bench.only(ProtectionTripped).until == 0
    bench.wait(50_000)
    bench.place(ALICE, SELL, 100, 1, flags=PROTECTED)
    assert bench.rejection is RejectReason.PROTECTION_FROZEN
    bench.do(ResetProtection(account=ALICE, signer=ALICE, protection=1))
    assert bench.only(ProtectionReset).protection == 1
    quote(bench)
    assert take(bench, 5) == [], "it counts from nothing on"


def test_the_window_rolls(bench: Bench) -> None:
    quote(bench, size=20)
    assert take(bench, 3) == []
    bench.wait(500)
    assert take(bench, 2) == []
    bench.wait(498)
    again = Engine.restore(bench.engine.snapshot())
    assert take(bench, 3) == [], "the first three are 1,000 ms old"
    assert again.apply(*bench.log[-1]) == bench.events and again.snapshot() == bench.engine.snapshot()
    assert len(take(bench, 1)) == 1


def test_the_net_delta(bench: Bench) -> None:
    bench.do(msgspec.structs.replace(TERMS, amount_max=0, delta_max=2 * LOT))
    quote(bench, SELL, 100, 9)
    quote(bench, BUY, 99, 9)
    assert take(bench, 2) == []
    assert take(bench, 3, 99, SELL) == [], "sold for 200, bought for 297"
    assert len(take(bench, 2, 99, SELL)) == 2
    assert bench.only(ProtectionTripped).delta == (5 * 99 - 200) * QUOTE_ATOMS


def test_it_counts_takers_and_covers_markets_together(bench: Bench) -> None:
    """A protected order that crosses counts as well; what covers every market trips for all of them."""
    bench.do(msgspec.structs.replace(TERMS, protection=2, markets=(), amount_max=3 * LOT))
    bench.place(BOB, SELL, 100, 4)
    quote(bench, BUY, 90, 1)
    bench.place(ALICE, BUY, 100, 9, flags=PROTECTED)
    closed = [one.filled_lots for one in bench.all(OrderClosed) if one.reason is CloseReason.PROTECTED]
    assert closed == [0, 4] and bench.only(ProtectionTripped).protection == 2
    assert bench.levels(BUY) == []


def test_without_a_protection_none_is_pretended(bench: Bench) -> None:
    bench.place(CAROL, SELL, 100, 1, flags=PROTECTED)
    assert bench.rejection is RejectReason.NO_PROTECTION
    quote(bench)
    bench.do(msgspec.structs.replace(TERMS, window_millis=0))
    assert bench.only(ProtectionSet).window_millis == 0
    assert take(bench, 5) == [] and not bench.all(ProtectionTripped)
    bench.place(ALICE, SELL, 100, 1, flags=PROTECTED)
    assert bench.rejection is RejectReason.NO_PROTECTION
    bench.do(ResetProtection(account=ALICE, signer=ALICE, protection=1))
    assert bench.only(CommandRejected).reason is RejectReason.NO_PROTECTION


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"signer": BOB}, RejectReason.WRONG_SIGNER),
        ({"account": STRANGER, "signer": STRANGER}, RejectReason.INSUFFICIENT_BALANCE),
        ({"markets": (1, 7)}, RejectReason.UNKNOWN_MARKET),
        ({"markets": (1, 1)}, RejectReason.INVALID_PARAMETER),
        ({"markets": tuple(range(PROTECTED_MARKETS_MAX + 1))}, RejectReason.INVALID_PARAMETER),
        ({"amount_max": 0}, RejectReason.INVALID_PARAMETER),
        ({"amount_max": -1}, RejectReason.INVALID_PARAMETER),
        ({"delta_max": 2**112}, RejectReason.INVALID_PARAMETER),
        ({"protection": 32}, RejectReason.INVALID_PARAMETER),
        ({"window_millis": PROTECTION_WINDOW_MILLIS_MAX + 1}, RejectReason.INVALID_PARAMETER),
        ({"freeze_millis": -1}, RejectReason.INVALID_PARAMETER),
    ],
)
def test_what_is_no_protection(bench: Bench, changes: dict[str, Any], reason: RejectReason) -> None:
    bench.do(msgspec.structs.replace(TERMS, **changes), after=0)
    assert bench.only(CommandRejected).reason is reason
    bench.do(ResetProtection(account=ALICE, signer=BOB, protection=1), after=0)
    assert bench.only(CommandRejected).reason is RejectReason.WRONG_SIGNER
    (kept,) = [event for event in bench.engine.describe() if isinstance(event, ProtectionSet)]
    assert kept.amount_max == TERMS.amount_max and kept.markets == TERMS.markets


def test_an_older_venue_has_none() -> None:
    bench = open_market(venue=WISHFUL_VENUE)
    bench.do(TERMS)
    assert bench.only(CommandRejected).reason is RejectReason.UNSUPPORTED
    bench.place(ALICE, SELL, 100, 1, flags=PROTECTED)
    assert bench.rejection is RejectReason.UNSUPPORTED


def test_an_immediate_order_cannot_be_protected(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 1, flags=PROTECTED, tif=IOC)
    assert bench.rejection is RejectReason.INVALID_PARAMETER


def test_a_promised_order_enters_and_does_not_stay(bench: Bench) -> None:
    """The first of two orders that were to enter together trips the protection of both."""
    bench.place(BOB, BUY, 100, 6)
    orders = []
    for slot, price in ((1, 100), (2, 105)):
        bench.place(STRANGER, SELL, price, 6, slot=slot, flags=PROTECTED)
        (_, _, placed) = bench.log[-1]
        assert isinstance(placed, PlaceOrder)
        orders.append(msgspec.structs.replace(placed.order, account=ALICE))
    intents = tuple(Intent(order.to_frame()) for order in orders)
    bench.do(Together(account=ALICE, signer=ALICE, orders=intents))
    bench.do(PlaceOrder(orders[0], bytes(64) + b"\x1b", ALICE), after=0)
    assert bench.only(ProtectionTripped).amount == 6 * LOT
    bench.do(PlaceOrder(orders[1], bytes(64) + b"\x1c", ALICE, "", Beside()), after=0)
    assert bench.only(OrderAccepted) and bench.only(OrderClosed).reason is CloseReason.PROTECTED
    assert bench.levels(SELL) == []
