"""Orders that change or leave by a word of their account: smaller ones, many at once, and all after a silence.

Invariant: an order that is made smaller keeps its place in the queue and its signature; the venue only settles less of
what was signed. Each account has one dead-man switch, which fires once.
"""

from offchain.domain.command import AmendOrder, CancelAllAfter, CancelMany
from offchain.domain.event import CancelAllAfterSet
from offchain.domain.limits import CANCEL_ALL_AFTER_MILLIS_MAX, CANCEL_ALL_AFTER_MILLIS_MIN
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.engine.closing import close
from offchain.engine.description import amended
from offchain.engine.orders import Account, Ticket
from offchain.engine.state import State


def amend(state: State, command: AmendOrder) -> None:
    """One OrderAmended, or a CommandRejected."""
    account = state.accounts.get(command.account)
    ticket = None if account is None else account.open.get(command.nonce)
    if command.signer != command.account:
        state.reject(RejectReason.WRONG_SIGNER)
    elif account is None or ticket is None:
        state.reject(RejectReason.ORDER_NOT_OPEN)
    elif not is_smaller(ticket, command.size_lots):
        state.reject(RejectReason.INVALID_SIZE)
    else:
        shrink(state, ticket, command.size_lots)


def is_smaller(ticket: Ticket, size: int) -> bool:
    """Something is left of it, and less than now."""
    return ticket.filled < size < ticket.filled + ticket.left


def shrink(state: State, ticket: Ticket, size: int) -> None:
    """To `size` lots with what has filled."""
    account, level = ticket.account, ticket.level
    assert level is not None
    lots, special = ticket.filled + ticket.left - size, account.special(ticket.nonce)
    special.cut += lots
    of_hidden = min(lots, special.hidden)
    special.hidden -= of_hidden
    ticket.remaining -= lots - of_hidden
    level.size -= lots - of_hidden
    if not level.is_touched:
        level.is_touched = True
        state.touched_levels.append(level)
    ticket.balance.taken -= ticket.hold_per_lot * lots
    if ticket.agent is not None and not special.is_waiting:
        ticket.agent.spend(-ticket.price * lots * ticket.lane.quote_atoms_per_tick_lot)
    state.ledger.touch(ticket.balance)
    state.effects.append(amended(ticket, size))


def take_place(state: State, old: Ticket, new: Ticket) -> None:
    """Puts `new`, which rests nowhere yet, into the place of `old`, which is about to leave."""
    level = new.level = old.level
    assert level is not None
    level.bequeath(old, new)
    level.size += new.remaining
    state.is_reordered = True
    new.account.open[new.nonce] = new
    if new.expiry or new.agent is not None:
        state.expire_at(new)


def cancel_many(state: State, command: CancelMany) -> None:
    """Those that are open now; the account's nonces stay usable."""
    if command.signer != command.account:
        state.reject(RejectReason.WRONG_SIGNER)
    elif command.market and command.market not in state.books:
        state.reject(RejectReason.UNKNOWN_MARKET)
    elif command.side not in (None, 0, 1):
        state.reject(RejectReason.INVALID_PARAMETER)
    elif command.account in state.accounts:
        reason = CloseReason.DISCONNECTED if command.is_disconnect else CloseReason.CANCELED
        for ticket in tuple(state.accounts[command.account].open.values()):
            if (
                command.market in (0, ticket.market)
                and command.side in (None, ticket.side)
                and command.subaccount in (None, ticket.lane.subaccount)
            ):
                close(state, ticket, reason)


# --- the dead-man switch ---


def set_switch(state: State, command: CancelAllAfter) -> None:
    """In place of the one that the account has."""
    account, timeout = state.accounts.get(command.account), command.timeout_millis
    if command.signer != command.account:
        state.reject(RejectReason.WRONG_SIGNER)
    elif account is None:
        state.reject(RejectReason.INSUFFICIENT_BALANCE)
    elif timeout and not CANCEL_ALL_AFTER_MILLIS_MIN <= timeout <= CANCEL_ALL_AFTER_MILLIS_MAX:
        state.reject(RejectReason.INVALID_PARAMETER)
    else:
        _clear(state, account)
        deadline = state.at + timeout if timeout else 0
        if timeout:
            state.set_switch(account, state.sequence, deadline)
        state.effects.append(CancelAllAfterSet(account=account.address, deadline=deadline))


def _clear(state: State, account: Account) -> None:
    if account.switch:
        state.switches.cancel(account.switch)
        del state.switched[account.switch]
        account.switch = 0


def fire_switch(state: State, identity: int) -> None:
    """Its time has come."""
    account = state.switched[identity]
    _clear(state, account)
    state.effects.append(CancelAllAfterSet(account=account.address, deadline=0))
    for ticket in tuple(account.open.values()):
        close(state, ticket, CloseReason.TIMED_OUT)
