"""What the chain decided about batches, and what the operator takes back.

Invariant: a batch is decided whole, in order; a settled fill moves from pending to settled, a refused one is reversed,
the remainders of its orders leave the book and its quantity never comes back.
"""

from offchain.domain.chainlog import BatchSettled
from offchain.domain.command import RefuseFill
from offchain.domain.event import CloseReason, FillRefused, FillSettled, FillTakenBack, RejectReason
from offchain.domain.order import OrderStatus
from offchain.engine.fills import Fill, FillTrigger
from offchain.engine.state import State
from offchain.engine.trading import close


def refuse_fill(state: State, command: RefuseFill) -> None:
    """Marks an undecided fill, so that it is sent with size 0; the chain's refusal will reverse it."""
    fill = state.backlog.unsettled.get(command.fill)
    if fill is None:
        state.reject(RejectReason.UNKNOWN_FILL)
    elif fill.is_taken_back:
        state.reject(RejectReason.INVALID_PARAMETER)
    else:
        fill.trigger(FillTrigger.OPERATOR_TAKES_BACK)
        state.events.append(FillTakenBack(fill=command.fill, reason=command.reason))


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
    for offset, fill in enumerate(state.backlog.decide(batch)):
        reason = reasons.get(offset)
        if reason is None:
            fill.trigger(FillTrigger.CHAIN_SETTLES)
            state.ledger.settle(fill.legs)
            state.events.append(FillSettled(fill=fill.number, transaction=log.transaction))
        else:
            fill.trigger(FillTrigger.CHAIN_REFUSES)
            _refuse(state, fill, reason, log.transaction)


def _refuse(state: State, fill: Fill, reason: int, transaction: str) -> None:
    state.ledger.reverse(fill.legs)
    state.events.append(FillRefused(fill=fill.number, reason=reason, transaction=transaction))
    for ticket in (fill.maker, fill.taker):
        if ticket.status is OrderStatus.OPEN:
            close(state, ticket, CloseReason.FILL_REFUSED)


def restore_cover(state: State) -> None:
    """Cancels, newest first, the orders that a touched balance no longer covers."""
    for balance in tuple(state.ledger.touched):
        if balance.cover >= 0 or not balance.held:
            continue
        for ticket in reversed(tuple(state.accounts[balance.account].open.values())):
            if ticket.balance is balance:
                close(state, ticket, CloseReason.UNCOVERED)
                if balance.cover >= 0:
                    break
