"""All or nothing, and the first that may: examples."""

import pytest
from laws import check
from scene import ALICE, BASE_ATOMS, BOB, BUY, CAROL, FOK, GTC, IOC, SELL, STRANGER, Bench, open_market

from offchain.domain.beside import Beside
from offchain.domain.command import Command, Intent, PlaceOrder, Together
from offchain.domain.event import CommandRejected, OrderAccepted, OrderClosed, OrderRejected, TogetherDecided
from offchain.domain.limits import OPEN_ORDERS_PER_ACCOUNT_MAX, TOGETHER_MAX
from offchain.domain.order import Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.domain.units import Lots, Ticks
from offchain.engine.engine import Engine

REFUSED = RejectReason.BATCH_REFUSED


@pytest.fixture
def bench() -> Bench:
    return open_market()


def order(
    bench: Bench, side: Side, price: int, size: int, slot: int = 0, tif: TimeInForce = GTC, flags: int = 0
) -> Order:
    bench.nonce += 1
    chosen = slot or (0 if tif in (IOC, FOK) else bench.nonce)
    nonce = make_nonce(chosen, bench.at + bench.nonce)
    terms = (ALICE, 0, 1, side, Kind.LIMIT, tif, flags, Ticks(price), Lots(size), Ticks(0), 10_000)
    return Order(*terms, nonce, 0)


def together(bench: Bench, *orders: Order, beside: Beside | None = None, after: int = 0, **fields: object) -> list[str]:
    """What became of each order."""
    frame = b"" if beside is None else beside.to_frame()
    intents = tuple(Intent(one.to_frame(), "", frame) for one in orders)
    bench.do(Together(**{"account": ALICE, "signer": ALICE, "orders": intents, **fields}))  # type: ignore[arg-type]
    bench.decided = bench.events  # type: ignore[attr-defined]
    results = []
    for one in orders:
        follow: Command = PlaceOrder(one, bytes(65), ALICE, "", beside)
        bench.do(follow, after)
        results += [
            event.reason if isinstance(event, OrderRejected) else "accepted"
            for event in bench.events
            if isinstance(event, OrderRejected | OrderAccepted)
        ]
    check(bench.engine)
    return results


def decided(bench: Bench) -> tuple[str | None, int]:
    (event,) = [event for event in bench.decided if isinstance(event, TogetherDecided)]  # type: ignore[attr-defined]
    return event.reason, event.index


def test_all_of_it_happens(bench: Bench) -> None:
    bench.place(ALICE, SELL, 110, 5)
    old = next(iter(bench.engine.accounts[ALICE].open))
    bench.place(ALICE, SELL, 120, 5)
    kept = list(bench.engine.accounts[ALICE].open)[1]
    orders = order(bench, BUY, 109, 1, flags=1), order(bench, SELL, 111, 2, flags=1), order(bench, BUY, 90, 1, tif=IOC)
    assert together(bench, *orders, cancels=(old,), amends=((kept, 2),)) == ["accepted"] * 3
    assert decided(bench) == (None, 5)
    assert bench.levels(SELL) == [(111, 2), (120, 2)] and bench.levels(BUY) == [(109, 1)]


@pytest.mark.parametrize("bad", ["post-only", "own post-only", "price", "slot", "sequence", "cancel", "amend", "size"])
def test_or_nothing_does(bench: Bench, bad: str) -> None:
    bench.place(BOB, SELL, 150, 5)
    bench.place(ALICE, SELL, 110, 5)
    (nonce,) = bench.engine.accounts[ALICE].open
    orders = [order(bench, BUY, 100, 1), order(bench, BUY, 101, 1, flags=1)]
    cancels, amends = [nonce], []
    if bad == "post-only":
        orders.append(order(bench, BUY, 150, 1, flags=1))
    elif bad == "own post-only":
        orders.append(order(bench, SELL, 101, 1, flags=1))
    elif bad == "price":
        orders.append(order(bench, BUY, 0, 1))
    elif bad == "slot":
        orders.append(order(bench, BUY, 100, 1, slot=orders[0].slot))
    elif bad == "sequence":
        orders += [order(bench, BUY, 90, 1, tif=IOC), order(bench, BUY, 90, 1, tif=IOC)][::-1]
    elif bad == "cancel":
        cancels.append(5)
    elif bad == "amend":
        cancels, amends = [], [(5, 1)]
    else:
        cancels, amends = [], [(nonce, 5)]
    assert together(bench, *orders, cancels=tuple(cancels), amends=tuple(amends)) == [REFUSED] * len(orders)
    reason, index = decided(bench)
    assert reason is not None and index == (
        len(cancels) + len(orders) - 1 if len(orders) > 2 else max(0, len(cancels) - 1)
    )
    assert bench.levels(SELL) == [(110, 5), (150, 5)] and not bench.levels(BUY)


def test_their_holds_are_summed() -> None:
    bench = open_market(base=10)
    orders = [order(bench, SELL, 100 + n, 4) for n in range(3)]
    assert together(bench, *orders) == [REFUSED] * 3
    assert decided(bench) == ("INSUFFICIENT_BALANCE", 2)
    assert together(bench, *[order(bench, SELL, 100 + n, 5) for n in range(2)]) == ["accepted"] * 2
    (first, second) = bench.engine.accounts[ALICE].open
    assert together(bench, order(bench, SELL, 90, 10), cancels=(first, second)) == ["accepted"]
    assert bench.balance(ALICE, bench.engine.books[1].market.base_token).free == 0 * BASE_ATOMS


def test_the_first_that_may_enter(bench: Bench) -> None:
    """A ladder of prices, all signed: what a post-only order that slides is, where each price needs a signature."""
    bench.place(BOB, SELL, 100, 5)
    slot = 7
    orders = [order(bench, BUY, price, 1, slot=slot, flags=1) for price in (102, 101, 99, 98)]
    assert together(bench, *orders, is_first=True) == [REFUSED, REFUSED, "accepted", REFUSED]
    assert decided(bench) == (None, 2) and bench.levels(BUY) == [(99, 1)]
    orders = [order(bench, BUY, price, 1, slot=slot, flags=1) for price in (102, 101)]
    assert together(bench, *orders, is_first=True) == [REFUSED] * 2
    assert decided(bench) == ("POST_ONLY_WOULD_CROSS", 1) and bench.levels(BUY) == [(99, 1)]


def test_a_promise_holds_at_once_only(bench: Bench) -> None:
    refused = order(bench, BUY, 0, 1)
    fine = order(bench, BUY, 90, 1)
    assert together(bench, fine, refused, after=1) == ["accepted", "INVALID_PRICE"]
    fine, refused = order(bench, BUY, 90, 1), order(bench, BUY, 0, 1)
    intents = tuple(Intent(one.to_frame()) for one in (fine, refused))
    bench.do(Together(account=ALICE, signer=ALICE, orders=intents))
    again = Engine.restore(bench.engine.snapshot())
    bench.place(CAROL, BUY, 80, 1)
    bench.do(PlaceOrder(fine, bytes(65), ALICE), 0)
    assert bench.accepted, "somebody else came in between"
    for command in bench.log[-2:]:
        again.apply(*command)
    assert again.state_hash() == bench.engine.state_hash()


def test_an_amend_needs_its_order(bench: Bench) -> None:
    bench.place(ALICE, BUY, 90, 2, slot=3)
    (nonce,) = bench.engine.accounts[ALICE].open
    amends = Beside(is_amend=True)
    assert together(bench, order(bench, BUY, 91, 1, slot=3), beside=amends, cancels=(nonce,)) == [REFUSED]
    assert decided(bench) == ("ORDER_NOT_OPEN", 1)
    assert together(bench, order(bench, BUY, 91, 1, slot=3), beside=amends) == ["accepted"]


def test_what_makes_no_sense(bench: Bench) -> None:
    fine = order(bench, BUY, 90, 1)
    swap = order(bench, BUY, 90, 1, tif=IOC, flags=4)
    bad: list[dict[str, object]] = [
        {"orders": ()},
        {"is_first": True, "orders": (), "cancels": (1,)},
        {"cancels": (1, 1)},
        {"cancels": (1,), "amends": ((1, 1),)},
        {"orders": (Intent(b"short"),)},
        {"orders": (Intent(b"\xff" * 74),)},
        {"orders": (Intent(fine.to_frame(), "", b"1"),)},
        {"orders": (Intent(swap.to_frame()),)},
        {"orders": (Intent(fine.to_frame()),), "account": BOB, "signer": BOB},
        {"cancels": tuple(range(TOGETHER_MAX + 1))},
    ]
    for fields in bad:
        bench.do(Together(**{"account": ALICE, "signer": ALICE, **fields}))  # type: ignore[arg-type]
        assert bench.only(CommandRejected).reason == "INVALID_PARAMETER", fields
    bench.do(Together(account=ALICE, signer=BOB, cancels=(1,)))
    assert bench.only(CommandRejected).reason == "WRONG_SIGNER"
    bench.do(Together(account=STRANGER, signer=STRANGER, cancels=(1,)))
    assert bench.only(CommandRejected).reason == "INSUFFICIENT_BALANCE"


def test_the_open_orders_are_counted(bench: Bench) -> None:
    for _ in range(OPEN_ORDERS_PER_ACCOUNT_MAX - 1):
        bench.place(ALICE, BUY, 90, 1)
    nonce = next(iter(bench.engine.accounts[ALICE].open))
    orders = [order(bench, BUY, 90, 1), order(bench, BUY, 90, 1)]
    assert together(bench, *orders) == [REFUSED] * 2
    assert decided(bench) == ("TOO_MANY_OPEN_ORDERS", 1)
    assert together(bench, *orders, cancels=(nonce,)) == ["accepted"] * 2
    assert [event.reason for event in bench.decided if isinstance(event, OrderClosed)] == [CloseReason.CANCELED]  # type: ignore[attr-defined]
