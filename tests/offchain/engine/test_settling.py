"""Batches decided by the chain: settled, refused, taken back; and who is left uncovered."""

import pytest
from laws import check
from scene import ALICE, BASE, BASE_ATOMS, BOB, BUY, CAROL, FEES, IOC, QUOTE, RICH, SELL, Bench, open_market

from offchain.domain.chainlog import BatchSettled, Deposited, WithdrawalRequested, Withdrawn
from offchain.domain.command import RefuseFill, SetOperators
from offchain.domain.event import (
    AccountRestricted,
    BatchClosed,
    CloseReason,
    CommandRejected,
    Diverged,
    FillMatched,
    FillRefused,
    FillSettled,
    FillTakenBack,
    OrderClosed,
    RejectReason,
)
from offchain.domain.reasons import REFUSAL_TAKER_BIT, RefusalCause, VenueState
from offchain.domain.units import Address

BALANCE, OPERATOR = RefusalCause.BALANCE, RefusalCause.OPERATOR


@pytest.fixture
def bench() -> Bench:
    """One fill of 2 lots at 100 between Alice (seller, maker) and Bob, batched."""
    bench = open_market()
    bench.place(ALICE, SELL, 100, 5)
    bench.place(BOB, BUY, 100, 2)
    bench.wait(1_000)
    assert bench.only(BatchClosed) == BatchClosed(batch=1, first=1, last=1)
    return bench


def test_a_settled_fill_moves_from_pending_to_settled(bench: Bench) -> None:
    bench.settle()
    assert bench.only(FillSettled).fill == 1 and bench.only(FillSettled).transaction == "0x02"
    assert bench.balance(BOB).as_tuple() == (RICH - 20_050, 0, 0, 0)
    assert bench.balance(BOB, BASE).as_tuple() == ((RICH + 2) * BASE_ATOMS, 0, 0, 0)
    assert bench.balance(ALICE).as_tuple() == (RICH + 19_980, 0, 0, 0)
    assert bench.balance(FEES).as_tuple() == (70, 0, 0, 0)
    assert bench.levels(SELL) == [(100, 3)], "the remainder stays"
    check(bench.engine)


def test_a_refused_fill_is_reversed_and_closes_both_orders(bench: Bench) -> None:
    bench.settle((0, BALANCE))
    assert (bench.only(FillRefused).fill, bench.only(FillRefused).reason) == (1, BALANCE)
    closed = bench.only(OrderClosed)
    assert (closed.account, closed.reason, closed.filled_lots) == (ALICE, CloseReason.FILL_REFUSED, 2)
    for account in (ALICE, BOB):
        assert bench.balance(account).as_tuple() == (RICH, 0, 0, 0)
        assert bench.balance(account, BASE).as_tuple() == (RICH * BASE_ATOMS, 0, 0, 0)
    assert bench.balance(FEES).as_tuple() == (0, 0, 0, 0)
    assert bench.levels(SELL) == [], "the quantity never comes back"
    assert bench.all(AccountRestricted) == []


def test_later_fills_of_a_refused_order_stand(bench: Bench) -> None:
    bench.place(CAROL, BUY, 100, 1)
    bench.wait(1_000)
    bench.settle((0, BALANCE | REFUSAL_TAKER_BIT))
    assert bench.balance(CAROL, BASE).pending == BASE_ATOMS
    bench.settle()
    assert bench.balance(CAROL, BASE).settled == (RICH + 1) * BASE_ATOMS
    check(bench.engine)


def test_what_the_refused_money_paid_for_is_cancelled_newest_first() -> None:
    """Alice sells for quote that never arrives, and her bids stood on it."""
    bench = open_market(quote=0)
    bench.fund(BOB, quote=RICH)
    bench.place(ALICE, SELL, 100, 10)
    bench.place(BOB, BUY, 100, 10)
    received = bench.balance(ALICE).pending
    assert received == 100_000 - 100
    for price in (90, 91, 92):
        bench.place(ALICE, BUY, price, 3)
    assert bench.balance(ALICE).held == 3 * (9_000 + 23 + 9_100 + 23 + 9_200 + 23)
    bench.see(Deposited, account=ALICE, token=QUOTE, amount=60_000, balance=60_000)
    bench.wait(1_000)
    bench.settle((0, BALANCE | REFUSAL_TAKER_BIT))
    assert [(e.reason, e.filled_lots) for e in bench.all(OrderClosed)] == [(CloseReason.UNCOVERED, 0)]
    assert bench.levels(BUY) == [(91, 3), (90, 3)], "the newest went, and only as many as had to"
    assert bench.all(AccountRestricted) == []
    check(bench.engine)


def test_an_account_that_owes_may_only_cancel_until_it_is_covered() -> None:
    bench = open_market(quote=0)
    bench.fund(BOB, quote=RICH)
    bench.place(ALICE, SELL, 100, 10)
    bench.place(BOB, BUY, 100, 10)
    bench.place(BOB, SELL, 50, 4)
    bench.place(ALICE, BUY, 50, 4)
    bench.wait(1_000)
    spent = 20_000 + 50
    assert bench.balance(ALICE).pending == 99_900 - spent
    bench.settle((0, BALANCE | REFUSAL_TAKER_BIT), (1, OPERATOR))
    assert bench.all(AccountRestricted) == []
    bench.place(BOB, BUY, 100, 10)
    bench.place(ALICE, SELL, 100, 10)
    bench.wait(1_000)
    bench.place(BOB, SELL, 50, 4)
    bench.place(ALICE, BUY, 50, 4)
    bench.wait(1_000)
    bench.settle((0, BALANCE))
    assert bench.only(AccountRestricted) == AccountRestricted(account=ALICE, cancel_only=True)
    assert bench.balance(ALICE).free == -spent
    bench.place(ALICE, SELL, 200, 1)
    assert bench.rejection == RejectReason.CANCEL_ONLY_ACCOUNT
    bench.see(Deposited, account=ALICE, token=QUOTE, amount=spent - 1, balance=spent - 1)
    assert bench.all(AccountRestricted) == []
    bench.see(Deposited, account=ALICE, token=QUOTE, amount=1, balance=spent)
    assert bench.only(AccountRestricted) == AccountRestricted(account=ALICE, cancel_only=False)
    bench.place(ALICE, SELL, 200, 1)
    assert bench.accepted
    bench.settle()
    check(bench.engine)


def test_a_restriction_that_only_changes_its_token_is_not_told() -> None:
    """One log covers Alice's quote and uncovers her base: she was cancel-only, and still is."""
    bench = open_market(base=0)
    bench.fund(BOB, base=5)
    bench.place(BOB, SELL, 100, 5)
    bench.place(ALICE, BUY, 100, 5)
    bench.wait(1_000)
    bench.place(ALICE, SELL, 100, 5)
    bench.place(CAROL, BUY, 100, 5)
    bench.see(WithdrawalRequested, account=ALICE, token=QUOTE, amount=RICH, destination=ALICE, matures_at=1)
    assert bench.only(AccountRestricted) == AccountRestricted(account=ALICE, cancel_only=True)
    bench.settle((0, BALANCE))
    assert bench.balance(ALICE).cover > 0 > bench.balance(ALICE, BASE).cover
    assert bench.all(AccountRestricted) == []
    check(bench.engine)


def test_taking_a_fill_back(bench: Bench) -> None:
    bench.do(RefuseFill(fill=2, reason="?"))
    assert bench.only(CommandRejected).reason == RejectReason.UNKNOWN_FILL
    bench.do(RefuseFill(fill=1, reason="bad signature"))
    assert bench.events == (FillTakenBack(fill=1, reason="bad signature"),)
    assert bench.balance(BOB).pending == -20_050, "only the chain reverses it"
    batch = bench.engine.settlement_batch(1)
    assert batch.fills[0].size_lots == 0 and batch.orders == ()
    bench.do(RefuseFill(fill=1, reason="again"))
    assert bench.only(CommandRejected).reason == RejectReason.INVALID_PARAMETER
    bench.settle((0, OPERATOR))
    assert bench.only(FillRefused).reason == OPERATOR and bench.balance(BOB).pending == 0
    bench.do(RefuseFill(fill=1, reason="late"))
    assert bench.only(CommandRejected).reason == RejectReason.UNKNOWN_FILL


def test_a_fill_is_taken_back_before_its_batch_closes() -> None:
    bench = open_market()
    bench.place(ALICE, SELL, 100, 5)
    bench.place(BOB, BUY, 100, 2)
    bench.place(CAROL, BUY, 100, 2)
    bench.do(RefuseFill(fill=1, reason="x"))
    bench.wait(1_000)
    batch = bench.engine.settlement_batch(1)
    assert [signed.order.account for signed in batch.orders] == [ALICE, CAROL]
    assert [(fill.maker, fill.taker, fill.size_lots) for fill in batch.fills] == [(0, 0, 0), (0, 1, 2)]


def test_a_batch_that_was_on_its_way_may_still_settle(bench: Bench) -> None:
    bench.do(RefuseFill(fill=1, reason="too late"))
    bench.settle()
    assert bench.only(FillSettled) and bench.balance(BOB).settled == RICH - 20_050


def test_the_batch_as_the_settler_sends_it() -> None:
    bench = open_market()
    bench.place(ALICE, SELL, 100, 5)
    bench.place(CAROL, SELL, 101, 5)
    bench.place(BOB, BUY, 101, 7, tif=IOC)
    with pytest.raises(KeyError):
        bench.engine.settlement_batch(1)
    bench.wait(1_000)
    batch = bench.engine.settlement_batch(1)
    assert (batch.batch, batch.first, batch.last) == (1, 1, 2)
    assert [signed.order.account for signed in batch.orders] == [ALICE, BOB, CAROL]
    assert all(len(signed.signature) == 132 for signed in batch.orders)
    assert [(fill.maker, fill.taker, fill.size_lots) for fill in batch.fills] == [(0, 1, 5), (2, 1, 2)]
    assert {(fill.maker_fee_ppm, fill.taker_fee_ppm) for fill in batch.fills} == {(1_000, 2_500)}
    assert bench.engine.batch_of(2) == 1 and bench.engine.batch_of(3) is None
    bench.settle()
    with pytest.raises(KeyError):
        bench.engine.settlement_batch(1)


@pytest.mark.parametrize(
    ("first", "last", "refusals"),
    [(2, 2, ()), (1, 2, ()), (0, 1, ()), (1, 1, ((1, 1),)), (1, 1, ((0, 1), (0, 2)))],
)
def test_a_log_that_fits_no_batch_halts(
    bench: Bench, first: int, last: int, refusals: tuple[tuple[int, int], ...]
) -> None:
    before = bench.balance(BOB).as_tuple()
    bench.see(BatchSettled, first=first, last=last, refusals=refusals)
    assert bench.only(Diverged) and bench.engine.gate.state is VenueState.HALTED
    assert bench.balance(BOB).as_tuple() == before and bench.engine.batches.unsettled


def test_a_settled_balance_below_zero_halts(bench: Bench) -> None:
    gone = {"destination": BOB, "as_cxpt": False, "approval": 0, "request_remaining": 0}
    bench.see(Withdrawn, account=BOB, token=QUOTE, amount=RICH, balance=0, **gone)
    assert bench.only(AccountRestricted).account == BOB
    bench.settle()
    assert bench.only(Diverged).observed == "-20050"


def test_refused_fills_do_not_return_liquidity(bench: Bench) -> None:
    bench.settle((0, BALANCE))
    bench.place(BOB, BUY, 100, 2)
    assert bench.all(FillMatched) == [] and bench.levels(BUY) == [(100, 2)]


GROUP, AGENT = RefusalCause.GROUP, RefusalCause.AGENT


def test_a_group_and_an_agent_leave_nobody_restricted(bench: Bench) -> None:
    """Whoever signed is at fault, or nobody: accounts are cancel-only for what they cannot pay, and nothing else."""
    bench.place(ALICE, SELL, 101, 1)
    bench.place(CAROL, SELL, 102, 9)
    bench.place(BOB, BUY, 102, 5)
    bench.wait(1_000)
    bench.settle((0, GROUP))
    assert bench.only(FillRefused).reason == GROUP
    bench.settle((0, AGENT), (1, AGENT | REFUSAL_TAKER_BIT), (2, GROUP))
    assert [event.reason for event in bench.all(FillRefused)] == [AGENT, AGENT | REFUSAL_TAKER_BIT, GROUP]
    closed = {event.account: event.reason for event in bench.all(OrderClosed)}
    assert closed == {CAROL: CloseReason.FILL_REFUSED}
    assert not bench.all(AccountRestricted) and not bench.all(Diverged)
    for account in (ALICE, BOB, CAROL):
        assert bench.engine.accounts[account].uncovered == 0
        assert bench.balance(account).as_tuple() == (RICH, 0, 0, 0)
    bench.place(ALICE, SELL, 100, 1)
    assert bench.accepted
    check(bench.engine)


CHANGES = (
    (QUOTE, ALICE, 19_980),
    (QUOTE, BOB, -20_050),
    (QUOTE, FEES, 70),
    (BASE, ALICE, -2 * BASE_ATOMS),
    (BASE, BOB, 2 * BASE_ATOMS),
)


def test_what_the_chain_says_that_it_changed(bench: Bench) -> None:
    bench.see(BatchSettled, first=1, last=1, refusals=(), changes=CHANGES)
    assert bench.only(FillSettled).fill == 1 and not bench.all(Diverged)


def test_a_batch_that_changed_nothing(bench: Bench) -> None:
    bench.see(BatchSettled, first=1, last=1, refusals=((0, BALANCE),), changes=())
    assert bench.only(FillRefused).fill == 1 and not bench.all(Diverged)


@pytest.mark.parametrize(
    "changes",
    [
        (),
        CHANGES[1:],
        (*CHANGES, (QUOTE, CAROL, 1)),
        (*CHANGES, CHANGES[0]),
        ((QUOTE, ALICE, 19_981), *CHANGES[1:]),
        ((BASE, ALICE, 19_980), *CHANGES[1:]),
    ],
)
def test_other_changes_are_a_divergence(bench: Bench, changes: tuple[tuple[Address, Address, int], ...]) -> None:
    bench.see(BatchSettled, first=1, last=1, refusals=(), changes=changes)
    assert bench.only(Diverged).what == "changes"


def test_only_operators_take_fills_back(bench: Bench) -> None:
    bench.do(SetOperators(operators=(CAROL,)))
    bench.do(RefuseFill(fill=1, reason="mine", by=BOB))
    assert bench.only(CommandRejected).reason == RejectReason.NOT_AN_OPERATOR
    bench.do(RefuseFill(fill=1, reason="it sinks its batch", by=CAROL))
    assert bench.events == (FillTakenBack(fill=1, reason="it sinks its batch"),)
