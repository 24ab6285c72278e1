"""Orders that get smaller, many that leave at once, dead-man switches: examples to the atom."""

import pytest
from laws import check
from scene import ALICE, BASE, BOB, BUY, CAROL, IOC, SELL, START, STRANGER, Bench, open_market

from offchain.domain.beside import Beside
from offchain.domain.command import AmendOrder, CancelAllAfter, CancelMany
from offchain.domain.event import (
    CancelAllAfterSet,
    CommandRejected,
    FillMatched,
    LevelChanged,
    OrderAmended,
    OrderClosed,
)
from offchain.domain.order import make_nonce
from offchain.domain.reasons import CloseReason
from offchain.domain.units import Address
from offchain.engine.engine import Engine


@pytest.fixture
def bench() -> Bench:
    return open_market()


def amend(bench: Bench, account: Address, size: int, **fields: object) -> None:
    (ticket,) = bench.engine.accounts[account].open.values()
    values: dict[str, object] = {"account": account, "nonce": ticket.nonce, "size_lots": size, "signer": account}
    bench.do(AmendOrder(**{**values, **fields}))  # type: ignore[arg-type]


def makers(bench: Bench) -> list[tuple[str, int]]:
    return [(event.maker, event.size_lots) for event in bench.all(FillMatched)]


def closes(bench: Bench) -> list[tuple[str, CloseReason]]:
    return [(event.account, event.reason) for event in bench.all(OrderClosed)]


def test_a_smaller_order_keeps_its_place(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 5)
    bench.place(BOB, SELL, 100, 5)
    free = bench.balance(ALICE, BASE).free
    amend(bench, ALICE, 3)
    assert bench.only(OrderAmended).size_lots == 3
    assert bench.only(LevelChanged).size_lots == 8
    assert bench.balance(ALICE, BASE).free - free == 2 * 10**12
    bench.place(CAROL, BUY, 100, 4, tif=IOC)
    assert makers(bench) == [(ALICE, 3), (BOB, 1)]
    assert closes(bench) == [(ALICE, CloseReason.FILLED), (CAROL, CloseReason.FILLED)]
    check(bench.engine)


def test_what_has_filled_counts(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 5)
    bench.place(BOB, BUY, 100, 2, tif=IOC)
    for size in (0, 1, 2, 5, 6, -1):
        amend(bench, ALICE, size)
        assert bench.only(CommandRejected).reason == "INVALID_SIZE"
    amend(bench, ALICE, 3)
    assert bench.levels(SELL) == [(100, 1)]
    digest = next(iter(bench.engine.accounts[ALICE].open.values())).digest
    accepted, amended = bench.engine.find_order(digest) or ()
    assert (accepted.filled_lots, amended.size_lots) == (2, 3)  # type: ignore[union-attr]
    bench.cancel_all(ALICE)
    assert bench.only(OrderClosed).filled_lots == 2
    assert not bench.engine.accounts[ALICE].specials
    check(bench.engine)


def test_only_its_own_account_amends_an_open_order(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 5)
    amend(bench, ALICE, 3, signer=STRANGER)
    assert bench.only(CommandRejected).reason == "WRONG_SIGNER"
    amend(bench, ALICE, 3, nonce=make_nonce(1, 1))
    assert bench.only(CommandRejected).reason == "ORDER_NOT_OPEN"
    bench.do(AmendOrder(account=STRANGER, nonce=1, size_lots=1, signer=STRANGER))
    assert bench.only(CommandRejected).reason == "ORDER_NOT_OPEN"


def test_a_smaller_order_settles_as_it_was_signed(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 5)
    amend(bench, ALICE, 3)
    bench.place(BOB, BUY, 100, 3, tif=IOC)
    bench.wait(1_000)
    batch = bench.engine.settlement_batch(1)
    assert [signed.order.size_lots for signed in batch.orders] == [5, 3]
    assert batch.fills[0].size_lots == 3


def signed_amend(bench: Bench, account: Address, price: int, size: int, slot: int = 1) -> None:
    bench.place(account, SELL, price, size, slot=slot, beside=Beside(is_amend=True))


def test_a_signed_amend_keeps_its_place_if_only_the_size_shrinks(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 5, slot=1)
    bench.place(BOB, SELL, 100, 5)
    signed_amend(bench, ALICE, 100, 4)
    assert closes(bench) == [(ALICE, CloseReason.REPLACED)]
    again = Engine.restore(bench.engine.snapshot())
    bench.place(CAROL, BUY, 100, 5, tif=IOC)
    assert makers(bench) == [(ALICE, 4), (BOB, 1)]
    assert again.apply(*bench.log[-1]) == bench.events
    check(bench.engine)


@pytest.mark.parametrize(("price", "size"), [(100, 6), (101, 5)])
def test_any_other_signed_amend_queues_anew(bench: Bench, price: int, size: int) -> None:
    bench.place(ALICE, SELL, 100, 5, slot=1)
    bench.place(BOB, SELL, price, 5)
    signed_amend(bench, ALICE, price, size)
    bench.place(CAROL, BUY, price, 6, tif=IOC)
    assert makers(bench) == [(BOB, 5), (ALICE, 1)]


def test_a_signed_amend_opens_no_second_order(bench: Bench) -> None:
    """The first one filled while the amend was on its way."""
    bench.place(ALICE, SELL, 100, 5, slot=1)
    bench.place(BOB, BUY, 100, 5, tif=IOC)
    signed_amend(bench, ALICE, 101, 5)
    assert bench.rejection == "ORDER_NOT_OPEN"
    assert bench.levels(SELL) == []


def test_many_are_cancelled_by_market_and_side(bench: Bench) -> None:
    for price, side in ((90, BUY), (91, BUY), (110, SELL)):
        bench.place(ALICE, side, price, 1)
    bench.place(BOB, BUY, 90, 1)
    bench.do(CancelMany(account=ALICE, signer=ALICE, market=2))
    assert bench.only(CommandRejected).reason == "UNKNOWN_MARKET"
    bench.do(CancelMany(account=ALICE, signer=BOB))
    assert bench.only(CommandRejected).reason == "WRONG_SIGNER"
    bench.do(CancelMany(account=ALICE, signer=ALICE, side=2))
    assert bench.only(CommandRejected).reason == "INVALID_PARAMETER"
    bench.do(CancelMany(account=ALICE, signer=ALICE, subaccount=1))
    assert not bench.events
    bench.do(CancelMany(account=ALICE, signer=ALICE, market=1, side=0))
    assert closes(bench) == [(ALICE, CloseReason.CANCELED)] * 2
    assert bench.levels(BUY) == [(90, 1)] and bench.levels(SELL) == [(110, 1)]
    bench.do(CancelMany(account=ALICE, signer=ALICE, is_disconnect=True))
    assert closes(bench) == [(ALICE, CloseReason.DISCONNECTED)]
    bench.place(ALICE, BUY, 90, 1)
    assert bench.accepted, "its nonces stay usable"


def switch(bench: Bench, timeout: int, account: Address = ALICE, signer: Address | None = None) -> None:
    bench.do(CancelAllAfter(account=account, signer=signer or account, timeout_millis=timeout))


def test_the_switch_fires_once_and_at_its_time(bench: Bench) -> None:
    bench.place(ALICE, BUY, 90, 1)
    bench.place(BOB, BUY, 90, 1)
    switch(bench, 5_000)
    due = bench.at + 5_000
    assert bench.only(CancelAllAfterSet).deadline == due == bench.engine.next_deadline()
    bench.wait(4_999)
    assert not bench.all(OrderClosed)
    again = Engine.restore(bench.engine.snapshot())
    bench.wait(1)
    assert closes(bench) == [(ALICE, CloseReason.TIMED_OUT)]
    assert bench.only(CancelAllAfterSet).deadline == 0
    assert again.apply(*bench.log[-1]) == bench.events
    bench.place(ALICE, BUY, 90, 1)
    bench.wait(60_000)
    assert not bench.all(OrderClosed)


def test_the_switch_is_put_off_or_taken_back(bench: Bench) -> None:
    bench.place(ALICE, BUY, 90, 1)
    switch(bench, 5_000)
    bench.wait(4_000)
    switch(bench, 5_000)
    bench.wait(4_999)
    switch(bench, 0)
    bench.wait(60_000)
    assert not bench.all(OrderClosed) and bench.engine.next_deadline() is None


def test_the_switch_has_bounds(bench: Bench) -> None:
    for timeout, reason in ((999, "INVALID_PARAMETER"), (-1, "INVALID_PARAMETER"), (900_001, "INVALID_PARAMETER")):
        switch(bench, timeout)
        assert bench.only(CommandRejected).reason == reason
    switch(bench, 5_000, signer=BOB)
    assert bench.only(CommandRejected).reason == "WRONG_SIGNER"
    switch(bench, 5_000, account=STRANGER)
    assert bench.only(CommandRejected).reason == "INSUFFICIENT_BALANCE"


def test_orders_expire_before_the_switch_fires(bench: Bench) -> None:
    bench.place(ALICE, BUY, 90, 1, expiry=START // 1000 + 5)
    bench.place(ALICE, BUY, 91, 1)
    switch(bench, START + 5_000 - bench.at - 1)
    bench.wait(10_000)
    assert closes(bench) == [(ALICE, CloseReason.EXPIRED), (ALICE, CloseReason.TIMED_OUT)]
