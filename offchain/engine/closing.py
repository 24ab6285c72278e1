"""An order leaves: the book, its account's open orders, the timers; what it still held is free.

Invariant: an order closes once, for one reason, and is a recent one of its account from then on.
"""

from offchain.domain.reasons import CloseReason
from offchain.engine.orders import Account, Ticket
from offchain.engine.state import State


def close(state: State, ticket: Ticket, reason: CloseReason) -> None:
    """An order that rests, one that came in just now and will not, or one of which nothing is left."""
    level = ticket.level
    remaining = ticket.remaining
    trader = ticket.trader
    account = trader.account
    agent = ticket.agent
    if level is not None:
        ticket.level = None
        level.size -= remaining
        if not level.is_touched:
            level.is_touched = True
            state.touched_levels.append(level)
        if not level.size:
            level.ladder.drop_level(level)
        del account.open[ticket.nonce]
        if agent is not None or ticket.expiry:
            state.forget_expiry(ticket)
    if remaining:
        if account.specials:
            remaining = ticket.left
        balance = trader.quote if ticket.lane.is_buy else trader.base
        balance.taken -= ticket.hold_per_lot * remaining
        if agent is not None and not ticket.is_waiting:
            agent.spend(-ticket.price * remaining * ticket.lane.quote_atoms_per_tick_lot)
        assert balance.taken >= balance.owed
        if not balance.is_touched:
            balance.is_touched = True
            state.touched_balances.append(balance)
    if account.specials:
        make_plain(state, account, ticket)
    assert ticket.reason is None, "no state but OPEN is ever left"
    ticket.reason = reason
    closed = account.closed
    closed.append(ticket)
    if len(closed) > state.memory.limit:
        state.memory.forget_oldest(account)
    state.effects.append((reason, ticket))


def make_plain(state: State, account: Account, ticket: Ticket) -> None:
    """What is not filled of an order that is not open any more is what remains of it."""
    special = account.specials.pop(ticket.nonce, None)
    if special is not None:
        account.doubts -= 1
        state.waiting.count -= special.is_waiting
        ticket.remaining += special.cut + special.hidden


def kill_slot(state: State, account: Account, nonce: int, reason: CloseReason) -> None:
    """The slot's sequences up to the nonce's are dead, and so is its open order if it is one of them."""
    ticket = account.find(nonce >> 48)
    if ticket is not None and ticket.nonce <= nonce:
        close(state, ticket, reason)
    account.nonces.kill(nonce)
