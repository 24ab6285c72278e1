"""An order leaves: the book, its account's open orders, the timers; what it still held is free.

Invariant: an order closes once, for one reason, and is a recent one of its account from then on.
"""

from offchain.domain.event import CloseReason
from offchain.engine.orders import Account, Ticket
from offchain.engine.state import State


def close(state: State, ticket: Ticket, reason: CloseReason) -> None:
    """An order that rests, or one that came in just now and will not.

    All in one function, because every order goes this way, and a call costs as much as ten of its lines.
    """
    account, level, remaining = ticket.trader.account, ticket.level, ticket.remaining
    if level is not None:
        older, newer = ticket.older, ticket.newer
        if older is None:
            level.head = newer
        else:
            older.newer = newer
        if newer is None:
            level.tail = older
        else:
            newer.older = older
        ticket.level = ticket.older = ticket.newer = None
        level.size -= remaining
        if not level.is_touched:
            level.is_touched = True
            state.touched_levels.append(level)
        if level.head is None:
            level.ladder.drop_level(level)
        del account.open[ticket.nonce]
        if ticket.row[7]:
            state.forget_expiry(ticket)
    if remaining:
        balance = ticket.balance
        balance.held -= ticket.hold_per_lot * remaining
        assert balance.held >= 0
        if not balance.is_touched:
            balance.is_touched = True
            state.touched_balances.append(balance)
    assert ticket.reason is None, "no state but OPEN is ever left"
    ticket.reason = reason
    account.closed.append(ticket)
    if len(account.closed) > state.memory.limit:
        state.memory.forget_oldest(account)
    state.effects.append((reason, ticket))


def kill_slot(state: State, account: Account, nonce: int, reason: CloseReason) -> None:
    """The slot's sequences up to the nonce's are dead, and so is its open order if it is one of them."""
    ticket = account.find(nonce >> 48)
    if ticket is not None and ticket.nonce <= nonce:
        close(state, ticket, reason)
    account.nonces.kill(nonce)
