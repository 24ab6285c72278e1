"""Money between the sub-accounts of one account: by its owner's word, and where one of them owes more than it has.

Invariant: what moves is settled and free in its source, so no order and no fill loses its cover; the account's sum
stays; a transfer that its owner named is done once, as long as it is remembered. A sub-account's own orders go first
when its money is missing; then what others have free is taken, the lowest number first; then the newest of their orders
go whose money has settled. What is still missing then makes the account cancel-only, as it would without sub-accounts.
"""

from collections import OrderedDict

from offchain.domain.event import CloseReason, RejectReason, TransferKnown, TransferredBetween
from offchain.domain.limits import CLIENT_ORDER_ID_BYTES_MAX, SUBACCOUNT_MAX, TRANSFERS_REMEMBERED
from offchain.domain.terms import TransferBetween
from offchain.domain.units import Address
from offchain.engine.closing import close
from offchain.engine.ledger import Balance
from offchain.engine.parts import find_part, part_of, parts_of
from offchain.engine.protecting import RULES_FOR_ACCOUNTS
from offchain.engine.state import State


def transfer_between(state: State, command: TransferBetween) -> None:
    """One TransferredBetween, or TransferKnown, or a CommandRejected."""
    reason = _flaw(state, command)
    named = None if reason else state.transfers.get(command.account)
    earlier = None if named is None else named.get(command.client_id)
    if earlier is not None and earlier[1] == command:
        known = TransferKnown(account=command.account, client_id=command.client_id, sequence=earlier[0])
        state.effects.append(known)
        return
    reason = reason or (RejectReason.DUPLICATE_CLIENT_TRANSFER_ID if earlier else _shortage(state, command))
    if reason is not None:
        state.reject(reason)
        return
    account, token = state.accounts[command.account], command.token
    account.split()
    source = part_of(state.ledger, account.address, token, command.source)
    target = part_of(state.ledger, account.address, token, command.target)
    _move(state, source, target, command.amount, is_forced=False)
    if command.client_id:
        remember(state, state.sequence, command)


def remember(state: State, sequence: int, command: TransferBetween) -> None:
    named = state.transfers.setdefault(command.account, OrderedDict())
    named[command.client_id] = sequence, command
    if len(named) > TRANSFERS_REMEMBERED:
        named.popitem(last=False)


def _flaw(state: State, command: TransferBetween) -> RejectReason | None:
    if command.signer != command.account:
        return RejectReason.WRONG_SIGNER
    if state.order_rules < RULES_FOR_ACCOUNTS:
        return RejectReason.UNSUPPORTED
    if command.token not in state.tokens:
        return RejectReason.UNKNOWN_TOKEN
    numbers = command.source, command.target
    if command.amount <= 0 or len(set(numbers)) < 2 or not all(0 <= one <= SUBACCOUNT_MAX for one in numbers):
        return RejectReason.INVALID_PARAMETER
    if len(command.client_id) > CLIENT_ORDER_ID_BYTES_MAX:
        return RejectReason.INVALID_PARAMETER
    return None


def _shortage(state: State, command: TransferBetween) -> RejectReason | None:
    source = find_part(state.ledger, command.account, command.token, command.source)
    if source is None or command.amount > source.withdrawable:
        return RejectReason.INSUFFICIENT_BALANCE
    return None


def _move(state: State, source: Balance, target: Balance, atoms: int, *, is_forced: bool) -> None:
    state.ledger.debit(source, atoms)
    state.ledger.credit(target, atoms)
    moved = TransferredBetween(
        account=source.account,
        token=source.token,
        amount=atoms,
        source=source.subaccount,
        target=target.subaccount,
        is_forced=is_forced,
    )
    state.effects.append(moved)


def share_cover(state: State) -> None:
    """After a chain log, when orders that lost their cover are gone: whoever owes more than it has draws on the
    account's others."""
    keys = dict.fromkeys((balance.account, balance.token) for balance in state.ledger.touched)
    if state.uncovered:
        keys |= dict.fromkeys(key for key in state.ledger.parts if state.accounts[key[0]].uncovered)
    for account, token in sorted(keys):
        if (account, token) in state.ledger.parts:
            _share(state, account, token)


def _share(state: State, account: Address, token: Address) -> None:
    parts = parts_of(state.ledger, account, token)
    for needy in parts:
        _draw(state, needy, parts)
        for ticket in sorted(state.accounts[account].open.values(), key=lambda ticket: -ticket.sequence):
            if needy.cover >= 0:
                break
            giver = ticket.balance
            if giver in parts and ticket.hold_per_lot and giver.settled > giver.leaving + giver.owed:
                close(state, ticket, CloseReason.UNCOVERED)
                _draw(state, needy, parts)


def _draw(state: State, needy: Balance, parts: list[Balance]) -> None:
    for giver in parts:
        atoms = min(-needy.cover, giver.withdrawable)
        if atoms > 0 and giver is not needy:
            _move(state, giver, needy, atoms, is_forced=True)
