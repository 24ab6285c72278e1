"""How an order that waits comes to wait for its trigger, or to be due.

Invariant: as `waiting`: it is in one level there at a time.
"""

from offchain.domain.limits import MARK_AGE_MILLIS_MAX
from offchain.domain.reasons import CloseReason
from offchain.engine.amending import shrink
from offchain.engine.closing import close
from offchain.engine.orders import Ticket
from offchain.engine.state import State
from offchain.engine.waiting import take_out, watch_of


def follow(state: State, child: Ticket, filled: int) -> None:
    """The order that it waited for is done."""
    if not filled:
        close(state, child, CloseReason.LINKED)
        return
    if child.left > filled:
        shrink(state, child, filled)
    take_out(child)
    arm(state, child)


def arm(state: State, ticket: Ticket) -> None:
    """From now on it waits for its trigger; without one it is due."""
    waiting, special, order = state.waiting, ticket.account.specials[ticket.nonce], ticket.order
    if not ticket.trigger:
        waiting.make_due(ticket)
        return
    watch = watch_of(order)
    market, on_last, _ = watch
    waiting.put(waiting.queue(watch), ticket.trigger, ticket)
    if special.trail:
        waiting.trailing.setdefault(watch, {})[ticket.sequence] = ticket
    book = state.books[market]
    is_fresh = state.at - book.mark_at <= MARK_AGE_MILLIS_MAX
    price = book.tape.last if on_last else book.mark if is_fresh else 0
    if price:
        waiting.reach(market, on_last, price)
