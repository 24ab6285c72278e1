"""Countersignatures: every reason to refuse one, its deadline, and what it does to balances."""

from typing import Any

import pytest
from scene import ALICE, BASE, BOB, BUY, CAROL, DAVE, QUOTE, RICH, SELL, STRANGER, Bench, open_market

from offchain.domain.chainlog import WithdrawalRequested
from offchain.domain.command import SetVenueState
from offchain.domain.event import ApprovalGranted, CommandRejected
from offchain.domain.limits import APPROVALS_PER_ACCOUNT_MAX, WITHDRAWAL_DEADLINE_SECONDS_MAX
from offchain.domain.market import MarketState
from offchain.domain.reasons import RejectReason
from offchain.domain.units import ZERO_ADDRESS


@pytest.fixture
def bench() -> Bench:
    return open_market()


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        (RejectReason.WRONG_SIGNER, {"signer": STRANGER}),
        (RejectReason.UNKNOWN_TOKEN, {"token": STRANGER}),
        (RejectReason.INVALID_PARAMETER, {"amount": 0}),
        (RejectReason.INVALID_PARAMETER, {"amount": -1}),
        (RejectReason.INVALID_PARAMETER, {"purpose": "steal"}),
        (RejectReason.INVALID_PARAMETER, {"purpose": "burn"}),
        (RejectReason.INVALID_PARAMETER, {"purpose": "lock", "token": BASE}),
        (RejectReason.INVALID_PARAMETER, {"purpose": "lock", "as_cxpt": True}),
        (RejectReason.INVALID_PARAMETER, {"token": BASE, "as_cxpt": True}),
        (RejectReason.INVALID_PARAMETER, {"destination": ZERO_ADDRESS}),
        (RejectReason.EXPIRED, {"signature": "0x01", "deadline": 0}),
        (RejectReason.EXPIRED, {"deadline": 1_699_999_999}),
        (RejectReason.INSUFFICIENT_BALANCE, {"amount": RICH + 1}),
        (RejectReason.INSUFFICIENT_BALANCE, {"account": DAVE, "signer": DAVE}),
    ],
)
def test_reasons(bench: Bench, reason: RejectReason, changes: dict[str, Any]) -> None:
    bench.approve(**{"account": ALICE, "amount": 5, **changes})
    assert bench.events == (CommandRejected(reason=reason),)
    assert bench.balance(ALICE).leaving == 0


def test_a_grant(bench: Bench) -> None:
    bench.approve(ALICE, 50, nonce=9, as_cxpt=True, destination=BOB)
    granted = bench.only(ApprovalGranted)
    assert (granted.nonce, granted.deadline) == (bench.engine.sequence, bench.at // 1000 + 120)
    assert (granted.amount, granted.destination, granted.as_cxpt, granted.owner_nonce) == (50, BOB, True, 9)
    assert bench.balance(ALICE).as_tuple() == (RICH, 0, 0, 50)
    assert bench.balance(ALICE).tradable == RICH - 50


def test_a_relayed_one_ends_with_the_owners_deadline(bench: Bench) -> None:
    soon = bench.at // 1000 + 30
    bench.approve(ALICE, 50, signature="0x01", deadline=soon)
    assert bench.only(ApprovalGranted).deadline == soon
    bench.approve(ALICE, 50, signature="0x01", deadline=soon + 1_000, nonce=2)
    assert bench.only(ApprovalGranted).deadline == bench.at // 1000 + 120


def test_only_settled_money_is_withdrawable(bench: Bench) -> None:
    bench.place(ALICE, SELL, 100, 10)
    bench.place(BOB, BUY, 100, 10)
    received = bench.balance(ALICE).pending
    bench.approve(ALICE, RICH + received)
    assert bench.only(CommandRejected).reason == RejectReason.INSUFFICIENT_BALANCE
    bench.approve(BOB, RICH + bench.balance(BOB).pending + 1)
    assert bench.only(CommandRejected).reason == RejectReason.INSUFFICIENT_BALANCE
    bench.approve(BOB, RICH + bench.balance(BOB).pending)
    assert bench.only(ApprovalGranted) and bench.balance(BOB).tradable == 0


def test_held_money_is_not_withdrawable(bench: Bench) -> None:
    bench.place(ALICE, BUY, 100, 1)
    bench.approve(ALICE, RICH - 10_024)
    assert bench.only(CommandRejected).reason == RejectReason.INSUFFICIENT_BALANCE
    bench.approve(ALICE, RICH - 10_025)
    assert bench.only(ApprovalGranted)
    bench.place(ALICE, BUY, 1, 1)
    assert bench.rejection == RejectReason.INSUFFICIENT_BALANCE


def test_approvals_are_bounded(bench: Bench) -> None:
    for _ in range(APPROVALS_PER_ACCOUNT_MAX):
        bench.approve(ALICE, 1)
    bench.approve(ALICE, 1)
    assert bench.only(CommandRejected).reason == RejectReason.TOO_MANY_APPROVALS
    bench.approve(BOB, 1)
    assert bench.only(ApprovalGranted)
    bench.block(bench.at // 1000 + 500)
    bench.approve(ALICE, 1)
    assert bench.only(ApprovalGranted)


def test_a_paused_venue_countersigns_nothing(bench: Bench) -> None:
    bench.do(SetVenueState(state=MarketState.CANCEL_ONLY, reason=""))
    bench.approve(ALICE, 1)
    assert bench.only(ApprovalGranted)
    bench.do(SetVenueState(state=MarketState.PAUSED, reason=""))
    bench.approve(ALICE, 1)
    assert bench.only(CommandRejected).reason == RejectReason.CANCEL_ONLY_VENUE


def test_an_uncovered_account_gets_none(bench: Bench) -> None:
    bench.see(WithdrawalRequested, account=ALICE, token=QUOTE, amount=RICH + 1, destination=ALICE, matures_at=1)
    bench.approve(ALICE, 1, token=BASE)
    assert bench.only(CommandRejected).reason == RejectReason.CANCEL_ONLY_ACCOUNT


def test_a_debit_does_not_hide_behind_a_later_credit(bench: Bench) -> None:
    """Found by attack: fill 1 takes what ALICE has settled, fill 2 brings it back; but fill 1 is first on chain."""
    bench.place(BOB, SELL, 100, 10)
    bench.place(ALICE, BUY, 100, 10)
    bench.place(CAROL, BUY, 100, 10)
    bench.place(ALICE, SELL, 100, 10)
    balance = bench.balance(ALICE)
    assert balance.owed > -balance.pending > 0
    bench.approve(ALICE, RICH - balance.owed + 1)
    assert bench.only(CommandRejected).reason == RejectReason.INSUFFICIENT_BALANCE
    bench.approve(ALICE, RICH - balance.owed)
    assert bench.only(ApprovalGranted).amount == RICH - balance.owed


def test_a_signature_is_granted_once(bench: Bench) -> None:
    """Found by attack: a relayed signature is public, and held its owner's money again and again."""
    until = bench.at // 1000 + 1_000
    bench.approve(ALICE, 50, signature="0x01", deadline=until, nonce=7)
    bench.approve(ALICE, 50, signature="0x01", deadline=until, nonce=7)
    assert bench.only(CommandRejected).reason == RejectReason.DEAD_NONCE
    restored = type(bench.engine).restore(bench.engine.snapshot())
    assert restored.state_hash() == bench.engine.state_hash()
    bench.approve(ALICE, 50, signature="0x01", deadline=until, nonce=8)
    assert bench.only(ApprovalGranted)


def test_a_signature_is_not_granted_again_through_a_session(bench: Bench) -> None:
    """Found by attack: a session asked for the very message that its owner had signed, without the signature."""
    until = bench.at // 1000 + 3_000
    bench.approve(ALICE, 50, signature="0x01", deadline=until, nonce=7, destination=BOB)
    assert bench.only(ApprovalGranted)
    bench.approve(ALICE, 50, deadline=until, nonce=7, destination=BOB)
    assert bench.only(CommandRejected).reason == RejectReason.DEAD_NONCE, "while the promise stands"
    bench.block(bench.at // 1000 + 500)
    bench.approve(ALICE, 50, deadline=until, nonce=7, destination=BOB)
    assert bench.only(CommandRejected).reason == RejectReason.DEAD_NONCE, "and when it has lapsed"
    bench.approve(ALICE, 50, deadline=until, nonce=8, destination=BOB)
    assert bench.only(ApprovalGranted)
    bench.approve(BOB, 50, deadline=until, nonce=7)
    assert bench.only(ApprovalGranted), "the nonce of another account"


def test_sessions_of_older_journals_name_no_deadline_and_are_granted_as_before(bench: Bench) -> None:
    bench.approve(ALICE, 50, signature="0x01", deadline=bench.at // 1000 + 1_000, nonce=0)
    for _ in range(2):
        bench.approve(ALICE, 50, nonce=0, deadline=0)
        assert bench.only(ApprovalGranted)


def test_a_signature_has_a_deadline_within_a_day(bench: Bench) -> None:
    far = bench.at // 1000 + WITHDRAWAL_DEADLINE_SECONDS_MAX + 10
    bench.approve(ALICE, 50, signature="0x01", deadline=far)
    assert bench.only(CommandRejected).reason == RejectReason.INVALID_PARAMETER
