"""What the chain decided about batches, and what the operator takes back.

Invariant: a batch is decided whole, in order; a settled fill moves from pending to settled, a refused one is reversed,
the remainders of its orders leave the book and its quantity never comes back.
"""

from offchain.domain.chainlog import AmmLegSettled, BatchSettled
from offchain.domain.command import RefuseFill
from offchain.domain.event import (
    AmmFillImproved,
    CloseReason,
    FillRefused,
    FillSettled,
    FillTakenBack,
    RejectReason,
)
from offchain.domain.units import Address
from offchain.engine.closing import close
from offchain.engine.fills import Batch, Fill, FillTrigger
from offchain.engine.ledger import AmmLegs
from offchain.engine.parts import settled_of
from offchain.engine.schedule import DAY_MILLIS
from offchain.engine.state import State


def refuse_fill(state: State, command: RefuseFill) -> None:
    """Marks an undecided fill, so that it is sent with size 0; the chain's refusal will reverse it. The fills of a
    fill-or-kill order settle all or none: one takes the others with it."""
    fill = state.backlog.unsettled.get(command.fill)
    if command.by and command.by not in state.operators:
        state.reject(RejectReason.NOT_AN_OPERATOR)
    elif fill is None:
        state.reject(RejectReason.UNKNOWN_FILL)
    elif fill.is_taken_back:
        state.reject(RejectReason.INVALID_PARAMETER)
    else:
        for taken_back in state.backlog.taken_back_with(fill):
            taken_back.trigger(FillTrigger.OPERATOR_TAKES_BACK)
            state.effects.append(FillTakenBack(fill=taken_back.number, reason=command.reason))


def settle_batch(state: State, log: BatchSettled) -> None:
    """Applies the log of the next batch; any other range, or refusals that do not fit it, is a divergence."""
    batch = state.backlog.next_batch
    expected = (batch.first, batch.last) if batch is not None else None
    if batch is None or (log.first, log.last) != expected:
        state.diverge("batch", expected, (log.first, log.last))
        return
    reasons = dict(log.refusals)
    count = batch.last - batch.first + 1
    if len(reasons) != len(log.refusals) or any(not 0 <= offset < count for offset in reasons):
        state.diverge("refusals", f"distinct offsets below {count}", log.refusals)
        return
    if not _do_legs_fit(state, batch, reasons):
        return
    fills = state.backlog.decide(batch)
    balances = () if log.changes is None else (b for fill in fills for b in fill.legs.balances)
    before = {(b.token, b.account): settled_of(state.ledger, b.account, b.token) for b in balances}
    for offset, fill in enumerate(fills):
        reason = reasons.get(offset)
        if reason is None:
            fill.trigger(FillTrigger.CHAIN_SETTLES)
            _settle(state, fill, log.transaction)
        else:
            fill.trigger(FillTrigger.CHAIN_REFUSES)
            _refuse(state, fill, reason, log.transaction)
    if log.changes is not None:
        _check_changes(state, log.changes, before)


def _check_changes(
    state: State, changes: tuple[tuple[Address, Address, int], ...], before: dict[tuple[Address, Address], int]
) -> None:
    """What the chain says that the batch moved is what this ledger moved, to the atom."""
    moved = {}
    for (token, account), settled in sorted(before.items()):
        delta = settled_of(state.ledger, account, token) - settled
        if delta:
            moved[token, account] = delta
    observed = {(token, account): delta for token, account, delta in changes}
    if observed != moved or len(observed) != len(changes):
        state.diverge("changes", sorted(moved.items()), changes)


def note_amm_leg(state: State, log: AmmLegSettled) -> None:
    """Keeps what the pair was given and gave, until the batch's own log, which follows it."""
    fill = state.backlog.unsettled.get(log.fill)
    legs = fill.legs if fill is not None and fill.taker.market == log.market else None
    expected = (legs.is_buy, legs.given[1]) if isinstance(legs, AmmLegs) else None
    if not isinstance(legs, AmmLegs) or expected != (log.is_buy, log.amount_in) or log.amount_out < legs.promised:
        state.diverge(f"AMM leg of fill {log.fill}", expected, (log.is_buy, log.amount_in, log.amount_out))
        return
    state.amm_legs[log.fill] = log
    _trade_in_pools(state, legs, log)


def _trade_in_pools(state: State, legs: AmmLegs, log: AmmLegSettled) -> None:
    """What was observed before this trade is as if it had been observed after it."""
    for market in sorted(state.pools):
        pool = state.pools[market]
        if pool.block_number >= log.block_number or state.books[market].market.base_token != legs.base.token:
            continue
        base, quote = (-log.amount_out, log.amount_in) if log.is_buy else (log.amount_in, -log.amount_out)
        block = log.block_number, max(log.block_time, pool.block_time)
        state.pools[market] = pool.after(base, quote, block)
        state.effects.append(state.pools[market].as_event(market))


def _do_legs_fit(state: State, batch: Batch, reasons: dict[int, int]) -> bool:
    """Every settled fill with a pair, and no other, had its leg before."""
    fills = [state.backlog.unsettled[number] for number in range(batch.first, batch.last + 1)]
    wanted = [f.number for f in fills if f.maker is None and f.number - batch.first not in reasons]
    if sorted(state.amm_legs) != wanted:
        state.diverge("AMM legs", wanted, sorted(state.amm_legs))
        return False
    return True


def _settle(state: State, fill: Fill, transaction: str) -> None:
    state.effects.append(FillSettled(fill=fill.number, transaction=transaction))
    if state.backlog.rules.gas_per_fresh_slot:
        for ticket in fill.tickets:
            ticket.account.settled_slots[ticket.nonce >> 48] = None
    if state.schedule is not None:
        for ticket in fill.tickets:
            state.schedule.count(ticket.account.address, state.at, fill.notional)
            state.effects.append(state.schedule.volume_event(ticket.account.address, state.at // DAY_MILLIS))
    legs = fill.legs
    if not isinstance(legs, AmmLegs):
        state.ledger.settle(legs)
        return
    surplus = state.ledger.settle_amm(legs, state.amm_legs.pop(fill.number).amount_out)
    if surplus:
        bought = legs.bought
        improved = AmmFillImproved(fill=fill.number, taker=bought.account, token=bought.token, amount=surplus)
        state.effects.append(improved)


def _refuse(state: State, fill: Fill, reason: int, transaction: str) -> None:
    legs = fill.legs
    if isinstance(legs, AmmLegs):
        state.ledger.reverse_amm(legs)
    else:
        state.ledger.reverse(legs)
    state.effects.append(FillRefused(fill=fill.number, reason=reason, transaction=transaction))
    for ticket in fill.tickets:
        if ticket.agent is not None and fill.number > ticket.agent.since:
            ticket.agent.spend(-fill.notional)
        if ticket.reason is None:
            close(state, ticket, CloseReason.FILL_REFUSED)


def restore_cover(state: State) -> None:
    """Cancels, newest first, the orders that a touched balance no longer covers."""
    for balance in tuple(state.ledger.touched):
        if balance.cover >= 0 or not balance.held:
            continue
        for ticket in reversed(tuple(state.accounts[balance.account].open.values())):
            if ticket.balance is balance and ticket.hold_per_lot:
                close(state, ticket, CloseReason.UNCOVERED)
                if balance.cover >= 0:
                    break
