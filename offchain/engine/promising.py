"""Countersigning debits: `RequestApproval` in, a promise in the ledger out.

Invariant: only what is withdrawable is promised, to the account itself, for at most APPROVAL_LIFETIME_SECONDS.
"""

from offchain.domain.command import RequestApproval
from offchain.domain.event import ApprovalGranted, ApprovalReleased, RejectReason
from offchain.domain.limits import (
    APPROVAL_LIFETIME_SECONDS,
    APPROVALS_PER_ACCOUNT_MAX,
    WITHDRAWAL_DEADLINE_SECONDS_MAX,
)
from offchain.domain.reasons import VenueState
from offchain.domain.units import ZERO_ADDRESS
from offchain.engine.approvals import Spent
from offchain.engine.parts import withdrawable_of
from offchain.engine.state import State

WITHDRAW, LOCK, BURN = "withdraw", "lock", "burn"


def request_approval(state: State, command: RequestApproval) -> None:
    """One ApprovalGranted, or a CommandRejected."""
    deadline = state.at // 1000 + APPROVAL_LIFETIME_SECONDS
    if command.signature or command.deadline:
        deadline = min(deadline, command.deadline)
    reason = _refusal(state, command, deadline)
    if reason is not None:
        state.reject(reason)
        return
    account = state.accounts[command.account]
    account.approvals += 1
    state.ledger.promise(state.ledger.of(command.account, command.token), command.amount)
    granted = ApprovalGranted(
        nonce=state.sequence,
        purpose=command.purpose,
        account=command.account,
        token=command.token,
        amount=command.amount,
        destination=command.destination,
        as_cxpt=command.as_cxpt,
        owner_nonce=command.nonce,
        owner_deadline=command.deadline,
        owner_signature=command.signature,
        deadline=deadline,
    )
    state.approvals.add(granted)
    if command.signature:
        state.approvals.spend(granted.nonce, Spent(command.account, command.nonce, command.deadline))
    state.effects.append(granted)


def release(state: State, nonce: int, used: bool) -> None:
    """The promise ends: used on chain, or lapsed there."""
    granted = state.approvals.remove(nonce)
    account = state.accounts[granted.account]
    account.approvals -= 1
    state.ledger.unpromise(state.ledger.of(granted.account, granted.token), granted.amount)
    state.effects.append(ApprovalReleased(nonce=nonce, account=granted.account, used=used))


def _refusal(state: State, command: RequestApproval, deadline: int) -> RejectReason | None:
    if command.signer != command.account:
        return RejectReason.WRONG_SIGNER
    if command.token not in state.tokens:
        return RejectReason.UNKNOWN_TOKEN
    if flaw_of_approval(command, command.token == state.quote_token):
        return RejectReason.INVALID_PARAMETER
    if deadline * 1000 <= state.at:
        return RejectReason.EXPIRED
    if is_too_far(command, state.at):
        return RejectReason.INVALID_PARAMETER
    # Whoever names a deadline may ask for the very message of a signature. Sessions of older journals name none.
    if command.deadline and state.approvals.is_spent(command.account, command.nonce):
        return RejectReason.DEAD_NONCE
    if state.gate.state is VenueState.HALTED:
        return RejectReason.CANCEL_ONLY_VENUE
    account = state.accounts.get(command.account)
    if account is None:
        return RejectReason.INSUFFICIENT_BALANCE
    if account.uncovered:
        return RejectReason.CANCEL_ONLY_ACCOUNT
    if account.approvals >= APPROVALS_PER_ACCOUNT_MAX:
        return RejectReason.TOO_MANY_APPROVALS
    balance = state.ledger.find(command.account, command.token)
    if balance is None or command.amount > withdrawable_of(state.ledger, command.account, command.token):
        return RejectReason.INSUFFICIENT_BALANCE
    return None


def flaw_of_approval(command: RequestApproval, is_quote: bool) -> str:
    """The first field that will not do, "" if all will: collateral is the settlement token, what is burned is a synth,
    CXPT stands for the settlement token."""
    if command.amount <= 0:
        return "amount"
    if command.purpose not in (WITHDRAW, LOCK, BURN):
        return "purpose"
    if command.as_cxpt and (command.purpose != WITHDRAW or not is_quote):
        return "as_cxpt"
    if command.purpose == WITHDRAW:
        return "destination" if command.destination == ZERO_ADDRESS else ""
    return "" if is_quote == (command.purpose == LOCK) else "token"


def is_too_far(command: RequestApproval, at: int) -> bool:
    """Whether its deadline would have to be remembered for too long."""
    return bool(command.signature) and command.deadline > at // 1000 + WITHDRAWAL_DEADLINE_SECONDS_MAX
