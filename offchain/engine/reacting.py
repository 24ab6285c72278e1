"""What follows from a command: triggers that come, orders that are linked, orders that waited for others.

Invariant: it happens after the command, in the order of what happened in it, and no more than
REACTIONS_PER_COMMAND_MAX orders enter the book; the others enter after the next command, for which the venue asks at
once. Of two linked orders, what one fills the other loses; one whose trigger comes takes the other's place. An order
that waits for another one is as large as what that filled at most, and leaves if that filled nothing.
"""

from offchain.domain.event import MarkPosted, OrderTriggered
from offchain.domain.limits import REACTIONS_PER_COMMAND_MAX
from offchain.domain.reasons import CloseReason
from offchain.engine.admission import entry_refusal, hold_per_lot
from offchain.engine.amending import shrink
from offchain.engine.arming import follow
from offchain.engine.closing import close
from offchain.engine.fills import Fill
from offchain.engine.orders import Ticket
from offchain.engine.state import State
from offchain.engine.together import end_if_complete
from offchain.engine.trading import go, hold
from offchain.engine.waiting import take_out


def react(state: State) -> None:
    """After every command while anything waits. Nothing enters between orders that were promised to."""
    waiting = state.waiting
    _hear(state)
    end_if_complete(state)
    room = REACTIONS_PER_COMMAND_MAX if state.together is None else 0
    while (ticket := waiting.next_due()) is not None and room:
        room -= 1
        _enter(state, ticket)
        _hear(state)
    waiting.deadline = 0 if ticket is None else state.at + 1
    state.watch()


def _hear(state: State) -> None:
    """All that happened since."""
    effects = state.effects
    while state.seen < len(effects):
        effect = effects[state.seen]
        state.seen += 1
        if isinstance(effect, Fill):
            _hear_fill(state, effect)
        elif isinstance(effect, tuple):
            _hear_closing(state, *effect)
        elif isinstance(effect, MarkPosted):
            state.waiting.reach(effect.market, False, effect.price_ticks)


def _hear_fill(state: State, fill: Fill) -> None:
    if fill.maker is None:
        return
    for ticket in fill.tickets:
        other = state.waiting.links.get(ticket.sequence)
        if other is not None and other.reason is None:
            _lose(state, other, fill.size_lots)
    state.waiting.reach(fill.taker.market, True, fill.maker.price)


def _lose(state: State, ticket: Ticket, lots: int) -> None:
    left = ticket.left - lots
    if left > 0:
        shrink(state, ticket, ticket.filled + left)
    else:
        close(state, ticket, CloseReason.LINKED)


def _hear_closing(state: State, reason: CloseReason, ticket: Ticket) -> None:
    waiting, guard = state.waiting, state.together
    if guard is not None and ticket.account.address == guard.account:
        guard.done[ticket.nonce] = ticket.market, ticket.filled
    other = waiting.unlink(ticket)
    if other is not None and reason is CloseReason.FILLED:
        close(state, other, CloseReason.LINKED)
    children = waiting.parents.levels.get(ticket.sequence)
    while children is not None and (child := children.first()) is not None:
        follow(state, child, ticket.filled)


def _enter(state: State, ticket: Ticket) -> None:
    account = ticket.account
    # One without a trigger comes with its parent, and lives beside the other.
    other = state.waiting.unlink(ticket) if ticket.trigger else None
    refusal = entry_refusal(state, ticket, other)
    triggered = OrderTriggered(digest=ticket.digest, account=account.address, market=ticket.market, refusal=refusal)
    state.effects.append(triggered)
    if refusal is not None:
        close(state, ticket, CloseReason.TRIGGER_REFUSED)
        return
    if other is not None:
        close(state, other, CloseReason.LINKED)
    special = account.specials[ticket.nonce]
    take_out(ticket)
    special.is_waiting = False
    state.waiting.count -= 1
    del account.open[ticket.nonce]
    state.forget_expiry(ticket)
    ticket.moment = state.moment_for(account)
    ticket.hold_per_lot = hold_per_lot(ticket.order, ticket.trader.market, ticket.moment)
    hold(state, ticket)
    state.is_reordered = True
    go(state, ticket)
