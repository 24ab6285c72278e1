"""Final logs and blocks of the chain, in the contracts' own gapless sequence.

Invariant: `settled` moves only here. Whatever the chain says that this ledger does not (a gap, another balance, a
batch that is not the next one) is announced as `Diverged` and halts the venue for good; the ledger keeps its numbers.
"""

import msgspec

from offchain.domain.chainlog import (
    AgentRegistered,
    AgentRevoked,
    AllOrdersCancelledOnChain,
    AmmLegSettled,
    AnyChainLog,
    BatchSettled,
    CollateralLocked,
    CollateralUnlocked,
    Deposited,
    LossDeclared,
    MarketListed,
    OrderCancelledOnChain,
    SynthBurned,
    SynthMinted,
    SynthRegistered,
    WithdrawalRequestCancelled,
    WithdrawalRequested,
    Withdrawn,
)
from offchain.domain.command import ObserveBlock, ObservePool
from offchain.domain.event import AgentChanged, IndexLowered
from offchain.domain.limits import POOL_BLOCKS_AHEAD_MAX, POOL_SECONDS_AHEAD_MAX, SEQUENCE_MAX
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.domain.units import Address, from_hex
from offchain.engine.agents import Agent
from offchain.engine.closing import close, kill_slot
from offchain.engine.ledger import Balance
from offchain.engine.markets import list_market
from offchain.engine.orders import Account
from offchain.engine.parts import settled_of
from offchain.engine.pools import Pool
from offchain.engine.promising import release
from offchain.engine.relaying import end_agent, end_deposit, lapse
from offchain.engine.settling import note_amm_leg, restore_cover, settle_batch
from offchain.engine.state import State
from offchain.engine.subaccounts import share_cover


def observe_log(state: State, log: AnyChainLog) -> None:
    expected = state.event_sequence + 1
    if log.event_sequence != expected:
        state.diverge("event_sequence", expected, log.event_sequence)
        return
    state.event_sequence = expected
    _apply(state, log)
    for balance in state.ledger.touched:
        if balance.settled < 0 and settled_of(state.ledger, balance.account, balance.token) < 0:
            state.diverge(f"settled of {balance.account} in {balance.token}", ">= 0", balance.settled)
    restore_cover(state)
    if state.ledger.parts:
        share_cover(state)


def observe_block(state: State, command: ObserveBlock) -> None:
    """Every log up to this block is known: approvals and requests that no later block can use lapse."""
    if command.block_number < state.block_number or command.block_time < state.block_time:
        state.reject(RejectReason.INVALID_PARAMETER)
        return
    state.block_number, state.block_time = command.block_number, command.block_time
    while (approval := state.approvals.lapsed(command.block_time)) is not None:
        release(state, approval.nonce, used=False)
    state.approvals.forget_spent(command.block_time)
    lapse(state, command.block_time)


def observe_pool(state: State, command: ObservePool) -> None:
    """Only the latest matters: one of an older block than the last changes nothing, and one far beyond the last block
    whose logs are known is no block at all: believed, it would silence every honest one after it."""
    known = state.pools.get(command.market)
    if command.market not in state.books:
        state.reject(RejectReason.UNKNOWN_MARKET)
        return
    pool = Pool(command.base_reserve, command.quote_reserve, command.block_number, command.block_time)
    is_far = bool(state.block_number) and (
        command.block_number > state.block_number + POOL_BLOCKS_AHEAD_MAX
        or command.block_time > state.block_time + POOL_SECONDS_AHEAD_MAX
    )
    if not pool.is_sane or is_far or (known is not None and pool.block < known.block):
        state.reject(RejectReason.INVALID_PARAMETER)
    else:
        state.pools[command.market] = pool
        state.effects.append(pool.as_event(command.market))


def _apply(state: State, log: AnyChainLog) -> None:
    match log:
        case BatchSettled():
            settle_batch(state, log)
        case Deposited():
            state.ledger.flow(log.token).deposits += log.amount
            _credit(state, log.account, log.token, log.amount, log.balance)
            end_deposit(state, log)
        case WithdrawalRequested():
            balance = _balance(state, log.account, log.token)
            if balance.requested:
                state.diverge(f"request of {log.account} in {log.token}", balance.requested, log.amount)
            state.ledger.request(balance, log.amount)
        case WithdrawalRequestCancelled():
            state.ledger.request(_balance(state, log.account, log.token), 0)
        case Withdrawn():
            _withdraw(state, log)
        case CollateralLocked() | CollateralUnlocked():
            _move_collateral(state, log)
        case SynthMinted():
            state.ledger.flow(log.token).minted += log.amount
            _credit(state, log.account, log.token, log.amount, log.balance)
        case SynthBurned():
            state.ledger.flow(log.token).burned += log.amount
            _debit(state, log, log.token)
        case SynthRegistered():
            state.tokens[log.token] = None
        case MarketListed():
            list_market(state, log)
        case AmmLegSettled():
            note_amm_leg(state, log)
        case OrderCancelledOnChain():
            _count_cancel(state, log.account)
            kill_slot(state, state.account(log.account), log.nonce, CloseReason.CANCELED_ON_CHAIN)
        case AllOrdersCancelledOnChain():
            _raise_floor(state, log)
        case AgentRegistered():
            _register_agent(state, log)
            end_agent(state, log)
        case AgentRevoked():
            _revoke_agent(state, log)
        case LossDeclared():
            state.loss = IndexLowered(index=log.index, new_index=log.new_index, shortfall=log.shortfall)
            state.effects.append(state.loss)


def _balance(state: State, account: Address, token: Address) -> Balance:
    state.tokens[token] = None
    state.account(account)
    return state.ledger.of(account, token)


def _check(state: State, balance: Balance, observed: int) -> None:
    settled = settled_of(state.ledger, balance.account, balance.token)
    if settled != observed:
        state.diverge(f"settled of {balance.account} in {balance.token}", settled, observed)


def _credit(state: State, account: Address, token: Address, amount: int, observed: int) -> None:
    balance = _balance(state, account, token)
    state.ledger.credit(balance, amount)
    _check(state, balance, observed)


def _debit(state: State, log: Withdrawn | CollateralLocked | SynthBurned, token: Address) -> None:
    """A debit uses up a promise or draws on the account's request; what is left of that comes with the log."""
    balance = _balance(state, log.account, token)
    state.ledger.debit(balance, log.amount)
    state.ledger.request(balance, log.request_remaining)
    if log.approval:
        approval = state.approvals.open.get(log.approval)
        expected = (approval.account, approval.token, approval.amount) if approval is not None else None
        if expected != (log.account, token, log.amount):
            state.diverge(f"approval {log.approval}", expected, (log.account, token, log.amount))
        else:
            release(state, log.approval, used=True)
    _check(state, balance, log.balance)


def _withdraw(state: State, log: Withdrawn) -> None:
    """Units withdrawn as CXPT stay in the Vault, on the treasury's account; the log comes after both moves."""
    if log.as_cxpt:
        assert state.venue is not None
        state.ledger.credit(_balance(state, state.venue.treasury_account, log.token), log.amount)
    else:
        state.ledger.flow(log.token).withdrawals += log.amount
    _debit(state, log, log.token)


def _move_collateral(state: State, log: CollateralLocked | CollateralUnlocked) -> None:
    """What is unlocked need not go to whoever locked it: a liquidator is paid out of another's position.

    Therefore only the total is held against the chain; which position has how much is SynthIssuer's to say.
    """
    token, account = state.quote_token, state.account(log.account)
    flow, moved = state.ledger.flow(token), log.amount if isinstance(log, CollateralLocked) else -log.amount
    if flow.locked + moved < 0:
        state.diverge("locked collateral of all accounts", flow.locked, log.amount)
    account.locked += moved
    flow.locked += moved
    if isinstance(log, CollateralLocked):
        _debit(state, log, token)
    else:
        _credit(state, log.account, token, log.amount, log.balance)


def _register_agent(state: State, log: AgentRegistered) -> None:
    """A later registration of the same key replaces the earlier one, which is over by then."""
    account = state.account(log.account)
    changed = AgentChanged(
        account=log.account, agent=log.agent, expiry=log.expiry, notional=log.notional, markets=log.markets
    )
    _cancel_orders_of(state, account, log.agent)
    state.agents[log.account, log.agent] = changed
    agent = Agent(changed, state.backlog.last_fill)
    account.agents[agent.key] = agent
    state.effects.append(changed)


def _revoke_agent(state: State, log: AgentRevoked) -> None:
    """Binds here at once, whatever the chain still settles."""
    known = state.agents.get((log.account, log.agent))
    if known is None or known.is_revoked:
        state.diverge(f"agent {log.agent} of {log.account}", "one that is not revoked", "a revocation")
        return
    revoked = msgspec.structs.replace(known, is_revoked=True)
    account = state.account(log.account)
    state.agents[log.account, log.agent] = revoked
    account.agents[from_hex(log.agent)].ends_at = 0
    state.effects.append(revoked)
    _cancel_orders_of(state, account, log.agent)


def _cancel_orders_of(state: State, account: Account, agent: Address) -> None:
    """Those that are open and were signed by this key."""
    known = account.agents.get(from_hex(agent))
    for ticket in tuple(account.open.values()) if known is not None else ():
        if ticket.agent is known:
            close(state, ticket, CloseReason.CANCELED_ON_CHAIN)


def _count_cancel(state: State, address: Address) -> None:
    """From now on settlement may have to look for cancels of this account."""
    if state.backlog.rules.is_itemized:
        account = state.account(address)
        state.backlog.count()  # As the accounts were when they matched.
        account.cancels += 1
        state.backlog.expect_looks(account.cancels)


def _raise_floor(state: State, log: AllOrdersCancelledOnChain) -> None:
    _count_cancel(state, log.account)
    account = state.account(log.account)
    account.nonces.raise_floor(log.floor)
    for ticket in tuple(account.open.values()):
        if ticket.nonce & SEQUENCE_MAX < log.floor:
            close(state, ticket, CloseReason.CANCELED_ON_CHAIN)
