"""What happens all or not at all: cancels, amends, and orders that follow as commands of their own.

Invariant: if all of it may happen, every order of it that follows at the same instant, before any other command, is
accepted; if not, none is, and nothing was cancelled or amended. Decided is by what the venue looks like once the
cancels and amends are done, order after order, none of which counts on another's fills.
"""

import struct
from typing import NamedTuple

from offchain.domain.beside import Beside
from offchain.domain.command import Intent, Together
from offchain.domain.eip712 import order_digest
from offchain.domain.event import TogetherDecided
from offchain.domain.limits import TOGETHER_MAX
from offchain.domain.order import Order, OrderRow
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.engine.admission import Plan, refusal
from offchain.engine.amending import is_smaller, shrink
from offchain.engine.book import AMM
from offchain.engine.closing import close
from offchain.engine.orders import Account, Ticket
from offchain.engine.state import Guard, State

WAIVED = (
    RejectReason.POST_ONLY_VENUE,
    RejectReason.CANCEL_ONLY_VENUE,
    RejectReason.ORDER_NOT_OPEN,
    RejectReason.PROTECTION_FROZEN,
)
"""What fills of an order can do to the next one: the backlog tightens the gate, self-trade prevention closes the order
that it names, a protection trips."""


class _Wanted(NamedTuple):
    order: Order
    client_order_id: str
    beside: Beside | None


def decide(state: State, command: Together) -> None:
    """One TogetherDecided, after whatever it does at once; or a CommandRejected."""
    account, wanted = state.accounts.get(command.account), _read(command)
    if command.signer != command.account:
        state.reject(RejectReason.WRONG_SIGNER)
    elif wanted is None:
        state.reject(RejectReason.INVALID_PARAMETER)
    elif account is None:
        state.reject(RejectReason.INSUFFICIENT_BALANCE)
    else:
        reason, index = _first_flaw(state, account, command, wanted)
        is_done = reason is None
        orders = {order_digest(state.separator, one.order): is_done for one in wanted}
        if is_done:
            for nonce in command.cancels:
                close(state, account.open[nonce], CloseReason.CANCELED)
            for nonce, size in command.amends:
                shrink(state, account.open[nonce], size)
            if command.is_first:
                chosen = order_digest(state.separator, wanted[index - len(command.cancels) - len(command.amends)].order)
                orders = {digest: digest == chosen for digest in orders}
        if orders:
            state.guard(Guard(account.address, state.at, orders, len(orders)))
        state.effects.append(TogetherDecided(account=account.address, reason=reason, index=index))


def refuses(state: State, row: OrderRow) -> RejectReason | None:
    """Why an order that was to follow may not enter. Any other one, or a cancel, ends the guard; another signer's copy
    is none of them, and takes nobody's place."""
    guard, digest = state.together, row[-1]
    if guard is None or guard.at != state.at or digest not in guard.orders:
        state.guard(None)
        return None
    if row[0] != row[-2]:
        return RejectReason.WRONG_SIGNER
    guard.left -= 1
    return None if guard.orders[digest] else RejectReason.BATCH_REFUSED


def end_if_complete(state: State) -> None:
    """With the last of its orders a guard ends, and what waited for that may go on."""
    if state.together is not None and state.together.left <= 0:
        state.guard(None)


def waives(state: State, digest: bytes, reason: RejectReason) -> bool:
    """It was promised that this order enters."""
    guard = state.together
    return guard is not None and reason in WAIVED and guard.orders.get(digest, False)


def _read(command: Together) -> list[_Wanted] | None:
    """The orders; None if they are none, or too many, or not the account's."""
    count = len(command.cancels) + len(command.amends) + len(command.orders)
    if not 0 < count <= TOGETHER_MAX or (command.is_first and not command.orders):
        return None
    try:
        wanted = [_wanted(intent) for intent in command.orders]
    except (ValueError, struct.error):
        return None
    nonces = [*command.cancels, *(nonce for nonce, _ in command.amends)]
    is_sound = len(dict.fromkeys(nonces)) == len(nonces) and all(one.order.account == command.account for one in wanted)
    return wanted if is_sound and not any(one.order.flags & AMM for one in wanted) else None


def _wanted(intent: Intent) -> _Wanted:
    beside = Beside.from_frame(intent.beside) if intent.beside else None
    return _Wanted(Order.from_frame(intent.order), intent.client_order_id, beside)


def _first_flaw(
    state: State, account: Account, command: Together, wanted: list[_Wanted]
) -> tuple[RejectReason | None, int]:
    """(why not, what); of orders of which the first is wanted: (None, the one that may enter)."""
    plan, index = Plan(), 0
    for nonce in command.cancels:
        ticket = account.open.get(nonce)
        if ticket is None:
            return RejectReason.ORDER_NOT_OPEN, index
        _free(plan, ticket, ticket.left)
        plan.gone[ticket.sequence] = None
        index += 1
    for nonce, size in command.amends:
        ticket = account.open.get(nonce)
        if ticket is None:
            return RejectReason.ORDER_NOT_OPEN, index
        if not is_smaller(ticket, size):
            return RejectReason.INVALID_SIZE, index
        _free(plan, ticket, ticket.filled + ticket.left - size)
        index += 1
    reason = None
    for one in wanted:
        reason = None if command.is_first else _clash(plan, one.order)
        if reason is not None:
            return reason, index
        reason = refusal(state, one.order, one.client_order_id, one.beside, plan)
        if (reason is None) is command.is_first:
            return reason, index
        if reason is None:
            _follow(account, plan, one)
        index += 1
    return reason, index - bool(command.is_first)


def _free(plan: Plan, ticket: Ticket, lots: int) -> None:
    balance = ticket.balance
    plan.taken[balance] = plan.taken.get(balance, 0) - ticket.hold_per_lot * lots


def _clash(plan: Plan, order: Order) -> RejectReason | None:
    """With an earlier order."""
    if order.slot and order.slot in plan.slots:
        return RejectReason.INVALID_SLOT
    return RejectReason.DEAD_NONCE if order.nonce <= plan.slots.get(order.slot, -1) else None


def _follow(account: Account, plan: Plan, one: _Wanted) -> None:
    """The next orders find this one accepted."""
    order = one.order
    plan.slots[order.slot] = order.nonce
    if one.client_order_id:
        plan.names[one.client_order_id] = None
    replaced = account.find(order.slot)
    if replaced is not None:
        plan.gone[replaced.sequence] = None
    waits = bool(order.trigger_ticks or (one.beside is not None and one.beside.parent))
    plan.links[order.nonce] = order.market, order.side, waits
    if not order.is_immediate and not waits:
        plan.orders.append(order)
