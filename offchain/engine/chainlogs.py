"""What final chain logs do to the ledger and to open orders.

Invariant: logs are applied in the contracts' own gapless sequence; a balance that the chain reports is the balance that
is settled here, or the venue halts.
"""

from typing import assert_never

from offchain.domain import chainlog as log
from offchain.domain.event import (
    REFUSAL_TAKER_BIT,
    ApprovalReleased,
    CloseReason,
    CommandRejected,
    Diverged,
    FillRefused,
    FillSettled,
    MarketOpened,
    RejectReason,
)
from offchain.domain.market import Market, MarketState
from offchain.domain.units import Address
from offchain.engine.book import Book
from offchain.engine.orders import legs, pend
from offchain.engine.state import State


def observe_log(state: State, entry: log.AnyChainLog) -> None:
    """One log. A gap in the sequence halts the venue and applies nothing."""
    expected = state.last_event_sequence + 1
    if entry.event_sequence != expected:
        _diverge(state, "event sequence", expected, entry.event_sequence)
        return
    state.last_event_sequence = expected
    _apply(state, entry)


def _apply(state: State, entry: log.AnyChainLog) -> None:
    match entry:
        case log.Deposited():
            _move(state, entry.account, entry.token, entry.amount, entry.amount)
            _check_balance(state, entry.account, entry.token, entry.balance)
        case log.SynthMinted():
            _move(state, entry.account, entry.token, entry.amount, entry.amount)
            _check_balance(state, entry.account, entry.token, entry.balance)
        case log.Withdrawn():
            _withdrawn(state, entry)
        case log.CollateralLocked():
            state.locked[entry.account] = state.locked.get(entry.account, 0) + entry.amount
            _debited(state, entry.account, state.quote, entry.amount, 0, entry.approval, entry.request_remaining)
            _check_balance(state, entry.account, state.quote, entry.balance)
        case log.CollateralUnlocked():
            state.locked[entry.account] = state.locked.get(entry.account, 0) - entry.amount
            _move(state, entry.account, state.quote, entry.amount, 0)
            _check_balance(state, entry.account, state.quote, entry.balance)
        case log.SynthBurned():
            flow = -entry.amount
            _debited(state, entry.account, entry.token, entry.amount, flow, entry.approval, entry.request_remaining)
            _check_balance(state, entry.account, entry.token, entry.balance)
        case log.WithdrawalRequested():
            _set_request(state, entry.account, entry.token, entry.amount)
        case log.WithdrawalRequestCancelled():
            _set_request(state, entry.account, entry.token, 0)
        case log.SynthRegistered():
            state.tokens[entry.token] = None
        case log.MarketListed():
            _list(state, entry)
        case log.OrderCancelledOnChain():
            _cancel(state, entry)
        case log.AllOrdersCancelledOnChain():
            _cancel_all(state, entry)
        case log.BatchSettled():
            _settle(state, entry)
        case _:
            assert_never(entry)


def _move(state: State, account: Address, token: Address, atoms: int, flow: int) -> None:
    """Changes a settled balance; `flow` is what entered or left the Vault with it."""
    state.tokens[token] = None
    state.ledger.credit(account, token, atoms)
    state.flows[token] = state.flows.get(token, 0) + flow


def _debited(
    state: State, account: Address, token: Address, amount: int, flow: int, approval: int, request_remaining: int
) -> None:
    """A free balance fell: by countersignature, whose hold is used, or by drawing on the request."""
    _move(state, account, token, -amount, flow)
    if approval:
        hold = state.approvals.pop(approval, None)
        if hold is not None:
            state.ledger.leave(hold.account, hold.token, -hold.amount)
            state.emit(ApprovalReleased(nonce=approval, account=hold.account, used=True))
    else:
        _set_request(state, account, token, request_remaining)


def _withdrawn(state: State, entry: log.Withdrawn) -> None:
    flow = 0 if entry.as_cxpt else -entry.amount
    _debited(state, entry.account, entry.token, entry.amount, flow, entry.approval, entry.request_remaining)
    if entry.as_cxpt:
        assert state.venue is not None
        state.ledger.credit(state.venue.treasury_account, entry.token, entry.amount)
    _check_balance(state, entry.account, entry.token, entry.balance)


def _set_request(state: State, account: Address, token: Address, amount: int) -> None:
    """The request's amount leaves tradable on sight."""
    before = state.requests.pop((account, token), 0)
    if amount:
        state.requests[account, token] = amount
    state.ledger.leave(account, token, amount - before)


def _list(state: State, entry: log.MarketListed) -> None:
    state.tokens[entry.base_token] = None
    state.markets[entry.market] = Market(
        market=entry.market,
        symbol=entry.symbol,
        base_token=entry.base_token,
        base_atoms_per_lot=entry.base_atoms_per_lot,
        quote_atoms_per_tick_lot=entry.quote_atoms_per_tick_lot,
        base_decimals=entry.base_decimals,
        quote_decimals=entry.quote_decimals,
    )
    state.market_states[entry.market] = MarketState.ACTIVE
    state.books[entry.market] = Book()
    state.emit(opened_event(state.markets[entry.market]))


def opened_event(market: Market) -> MarketOpened:
    return MarketOpened(
        market=market.market,
        symbol=market.symbol,
        base_token=market.base_token,
        base_atoms_per_lot=market.base_atoms_per_lot,
        quote_atoms_per_tick_lot=market.quote_atoms_per_tick_lot,
        base_decimals=market.base_decimals,
        quote_decimals=market.quote_decimals,
    )


def _cancel(state: State, entry: log.OrderCancelledOnChain) -> None:
    """Honoured at once, although settlement is bound only later."""
    account = state.account(entry.account)
    slot, sequence = entry.nonce >> 48, entry.nonce & (2**48 - 1)
    resting = account.in_slot(slot)
    account.use(slot, sequence)
    if resting is not None and resting.order.sequence <= sequence:
        state.close_order(resting, CloseReason.CANCELED_ON_CHAIN)


def _cancel_all(state: State, entry: log.AllOrdersCancelledOnChain) -> None:
    account = state.account(entry.account)
    account.floor = max(account.floor, entry.floor)
    for resting in account.newest_first():
        if resting.order.sequence < account.floor:
            state.close_order(resting, CloseReason.CANCELED_ON_CHAIN)


def _settle(state: State, entry: log.BatchSettled) -> None:
    batches = state.batches
    if entry.first != batches.oldest or entry.last >= batches.next_fill:
        _diverge(state, "settled fills", f"from {batches.oldest}", f"{entry.first}..{entry.last}")
        return
    refusals = dict(entry.refusals)
    for number in range(entry.first, entry.last + 1):
        fill = batches.pop(number)
        reason = refusals.get(number - entry.first)
        if reason is None:
            for account, token, atoms in legs(state, fill):
                state.ledger.settle(account, token, atoms)
            state.emit(FillSettled(fill=number, transaction=entry.transaction))
            continue
        pend(state, fill, -1)
        state.emit(FillRefused(fill=number, reason=reason, transaction=entry.transaction))
        for digest, order in ((fill.maker_digest, fill.maker), (fill.taker_digest, fill.taker)):
            resting = state.account(order.account).open.get(digest)
            if resting is not None:
                state.close_order(resting, CloseReason.FILL_REFUSED)


def at_fault(reason: int) -> str:
    """maker or taker."""
    return "taker" if reason & REFUSAL_TAKER_BIT else "maker"


def _check_balance(state: State, account: Address, token: Address, balance: int) -> None:
    settled = state.balance(account, token).settled
    if settled != balance:
        _diverge(state, f"balance of {account} in {token}", settled, balance)


def _diverge(state: State, what: str, expected: object, observed: object) -> None:
    state.halted = True
    state.emit(Diverged(what=what, expected=str(expected), observed=str(observed)))


def observe_block(state: State, number: int, time: int) -> None:
    """Every log up to this block is applied: countersignatures whose deadline has passed on chain are void."""
    if number < state.chain_block[0]:
        state.emit(CommandRejected(reason=RejectReason.INVALID_PARAMETER))
        return
    state.chain_block = number, time
    for nonce in [nonce for nonce, hold in state.approvals.items() if time > hold.deadline]:
        hold = state.approvals.pop(nonce)
        state.ledger.leave(hold.account, hold.token, -hold.amount)
        state.emit(ApprovalReleased(nonce=nonce, account=hold.account, used=False))
