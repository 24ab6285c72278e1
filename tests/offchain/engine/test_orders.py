"""The life of an order as a table, and how long orders are remembered."""

import itertools

import pytest
from scene import ALICE, BOB, BUY, RICH, SELL, Bench, open_market

from offchain.domain.event import OrderRejected
from offchain.domain.order import OrderStatus
from offchain.domain.reasons import CloseReason
from offchain.engine.orders import ORDER_TRANSITIONS

ENDS = {
    CloseReason.FILLED: OrderStatus.CLOSED,
    CloseReason.EXPIRED: OrderStatus.EXPIRED,
    CloseReason.CANCELED: OrderStatus.CANCELED,
    CloseReason.REPLACED: OrderStatus.CANCELED,
    CloseReason.IMMEDIATE_REMAINDER: OrderStatus.CANCELED,
    CloseReason.SELF_TRADE: OrderStatus.CANCELED,
    CloseReason.UNCOVERED: OrderStatus.CANCELED,
    CloseReason.FILL_REFUSED: OrderStatus.CANCELED,
    CloseReason.CANCELED_ON_CHAIN: OrderStatus.CANCELED,
    CloseReason.DELISTED: OrderStatus.CANCELED,
    CloseReason.DISCONNECTED: OrderStatus.CANCELED,
    CloseReason.LINKED: OrderStatus.CANCELED,
    CloseReason.TRIGGER_REFUSED: OrderStatus.CANCELED,
    CloseReason.TIMED_OUT: OrderStatus.CANCELED,
    CloseReason.PROTECTED: OrderStatus.CANCELED,
}


@pytest.mark.parametrize(("status", "reason"), itertools.product(OrderStatus, CloseReason))
def test_the_table(status: OrderStatus, reason: CloseReason) -> None:
    expected = ENDS[reason] if status is OrderStatus.OPEN else None
    assert ORDER_TRANSITIONS.get((status, reason)) == expected


def small_memory() -> Bench:
    bench = open_market()
    bench.engine._state.memory.limit = 3
    return bench


def test_the_last_closed_orders_are_remembered() -> None:
    bench = small_memory()
    digests = []
    for number in range(5):
        bench.place(ALICE, BUY, 100, 1, client_order_id=f"id{number}")
        digests.append(bench.accepted.digest)
        bench.cancel(ALICE, bench.accepted.nonce)
    known = [bench.engine.find_order(digest) is not None for digest in digests]
    assert known == [False, False, True, True, True]
    assert bench.engine.find_client_order(ALICE, "id1") is None
    assert bench.engine.find_client_order(ALICE, "id2") == digests[2]
    bench.place(ALICE, BUY, 100, 1, client_order_id="id1")
    assert bench.accepted, "a forgotten name is free again"


def test_rejected_orders_do_not_push_out_closed_ones() -> None:
    bench = small_memory()
    bench.place(ALICE, BUY, 100, 1, client_order_id="kept")
    digest = bench.accepted.digest
    bench.cancel(ALICE, bench.accepted.nonce)
    rejected = []
    for _ in range(5):
        bench.place(ALICE, BUY, 100, RICH)
        rejected.append(bench.only(OrderRejected).digest)
    assert bench.engine.find_order(digest) is not None
    assert [bench.engine.find_order(one) is not None for one in rejected] == [False, False, True, True, True]


def test_other_accounts_have_their_own_memory() -> None:
    bench = small_memory()
    bench.place(BOB, SELL, 100, 1)
    digest = bench.accepted.digest
    bench.cancel(BOB, bench.accepted.nonce)
    for _ in range(5):
        bench.place(ALICE, BUY, 100, 1)
        bench.cancel(ALICE, bench.accepted.nonce)
    assert bench.engine.find_order(digest) is not None


def test_a_rejected_order_that_is_accepted_later_is_remembered_as_accepted() -> None:
    bench = small_memory()
    bench.place(ALICE, BUY, 100, RICH, slot=1, sequence=1)
    digest = bench.only(OrderRejected).digest
    bench.fund(ALICE, quote=10**18)
    bench.place(ALICE, BUY, 100, RICH, slot=1, sequence=1)
    assert bench.accepted.digest == digest
    accepted = bench.accepted
    for _ in range(5):
        bench.place(ALICE, BUY, 0, 1)
    assert bench.engine.find_order(digest) == (accepted,)
