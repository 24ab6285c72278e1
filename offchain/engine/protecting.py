"""A market maker's protection: if too much of its quotes fills within a moment, the others are taken out.

Invariant: only fills of orders with the flag PROTECTED count, and only such orders are cancelled or refused. A
protection trips after the order whose fills exceeded
it, in the same command: a single order may fill more than the limit, no second one does. Nothing here is asked of
venues in which nobody has set a protection.
"""

from typing import Final

from offchain.domain.event import ProtectionReset, ProtectionSet, ProtectionTripped
from offchain.domain.limits import (
    NOTIONAL_ATOMS_MAX,
    PROTECTED_MARKETS_MAX,
    PROTECTION_FREEZE_MILLIS_MAX,
    PROTECTION_WINDOW_MILLIS_MAX,
    PROTECTIONS_PER_ACCOUNT_MAX,
)
from offchain.domain.reasons import CloseReason, RejectReason
from offchain.domain.terms import ResetProtection, SetProtection
from offchain.domain.units import Address
from offchain.engine.closing import close
from offchain.engine.fills import NEVER
from offchain.engine.orders import Ticket
from offchain.engine.protection import Protection
from offchain.engine.state import State

RULES_FOR_ACCOUNTS: Final = 2
"""Of orders, from which on there are protected ones, and those of sub-accounts."""


# --- the owner's commands ---


def set_protection(state: State, command: SetProtection) -> None:
    reason = _refusal(state, command)
    if reason is not None:
        state.reject(reason)
        return
    protections = state.protections.setdefault(command.account, {})
    if command.window_millis:
        protections[command.protection] = Protection(command)
    else:
        protections.pop(command.protection, None)
    if not protections:
        del state.protections[command.account]
    _look_again(state, command)
    state.effects.append(protection_event(command))


def reset_protection(state: State, command: ResetProtection) -> None:
    protection = state.protections.get(command.account, {}).get(command.protection)
    if command.signer != command.account:
        state.reject(RejectReason.WRONG_SIGNER)
    elif protection is None:
        state.reject(RejectReason.NO_PROTECTION)
    else:
        protection.restart()
        state.effects.append(ProtectionReset(account=command.account, protection=command.protection))


def _refusal(state: State, command: SetProtection) -> RejectReason | None:
    if command.signer != command.account:
        return RejectReason.WRONG_SIGNER
    if state.order_rules < RULES_FOR_ACCOUNTS:
        return RejectReason.UNSUPPORTED
    if command.account not in state.accounts:
        return RejectReason.INSUFFICIENT_BALANCE
    limits, markets = (command.amount_max, command.delta_max), command.markets
    is_sound = (
        0 <= command.protection < PROTECTIONS_PER_ACCOUNT_MAX
        and 0 <= command.window_millis <= PROTECTION_WINDOW_MILLIS_MAX
        and 0 <= command.freeze_millis <= PROTECTION_FREEZE_MILLIS_MAX
        and all(0 <= limit <= NOTIONAL_ATOMS_MAX for limit in limits)
        and (any(limits) or not command.window_millis)
        and len(dict.fromkeys(markets)) == len(markets) <= PROTECTED_MARKETS_MAX
    )
    if not is_sound:
        return RejectReason.INVALID_PARAMETER
    return None if all(market in state.books for market in markets) else RejectReason.UNKNOWN_MARKET


def protection_event(terms: SetProtection) -> ProtectionSet:
    return ProtectionSet(
        account=terms.account,
        protection=terms.protection,
        window_millis=terms.window_millis,
        markets=terms.markets,
        amount_max=terms.amount_max,
        delta_max=terms.delta_max,
        freeze_millis=terms.freeze_millis,
    )


# --- orders and fills ---


def protection_refusal(state: State, account: Address, market: int) -> RejectReason | None:
    """Of a protected order."""
    covering = [one for one in state.protections.get(account, {}).values() if one.covers(market)]
    if not covering:
        return RejectReason.NO_PROTECTION
    return RejectReason.PROTECTION_FROZEN if any(one.is_frozen(state.at) for one in covering) else None


def is_frozen(state: State, ticket: Ticket) -> bool:
    return protection_refusal(state, ticket.account.address, ticket.market) is RejectReason.PROTECTION_FROZEN


def may_go_on(state: State, ticket: Ticket) -> None:
    """It may enter, so those that follow it may, until the protection trips or is another one."""
    ticket.lane.traders[ticket.account.key] = ticket.trader


def _look_again(state: State, terms: SetProtection) -> None:
    """At the next protected order of this account."""
    key = state.accounts[terms.account].key
    for book in state.books.values():
        for traders in book.guarded.values():
            traders.pop(key, None)


def watch_fills(state: State, first: int) -> None:
    """An order traded, and is done with it: fills `first` and later are its."""
    counted: dict[Protection, None] = {}
    for number in range(first, state.backlog.last_fill + 1):
        fill = state.backlog.unsettled[number]
        for ticket in fill.tickets:
            if ticket.lane.is_protected:
                _count(state, ticket, fill.notional, counted)
    for protection in counted:
        if protection.is_exceeded():
            _trip(state, protection)


def _count(state: State, ticket: Ticket, notional: int, counted: dict[Protection, None]) -> None:
    protections = state.protections.get(ticket.account.address, {})
    for number in sorted(protections):
        protection = protections[number]
        if protection.covers(ticket.market) and not protection.is_frozen(state.at):
            protection.count(state.at, notional if ticket.lane.is_buy else -notional)
            counted[protection] = None


def _trip(state: State, protection: Protection) -> None:
    terms, at = protection.terms, state.at
    until = at + terms.freeze_millis if terms.freeze_millis else 0
    tripped = ProtectionTripped(
        account=terms.account,
        protection=terms.protection,
        until=until,
        amount=protection.amount,
        delta=protection.delta,
    )
    state.effects.append(tripped)
    protection.restart(until or NEVER)
    _look_again(state, terms)
    tickets = state.accounts[terms.account].open.values()
    for ticket in sorted(tickets, key=lambda ticket: ticket.sequence):
        if ticket.lane.is_protected and protection.covers(ticket.market):
            close(state, ticket, CloseReason.PROTECTED)
