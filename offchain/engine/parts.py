"""Sub-accounts: off-chain parts of one Vault account's balances.

Invariant: the chain knows the account only, and what it says of a balance is the sum over its parts. Deposits, debits
and requests are those of sub-account 0; fills those of the sub-account that signed. A part may be below 0 where the
chain took more from the account than sub-account 0 had; the sum may not. Empty parts are kept.
"""

from collections.abc import Iterable, Iterator

from offchain.domain.event import BalanceChanged, SubaccountChanged
from offchain.domain.units import Address
from offchain.engine.ledger import Balance, Ledger


def part_of(ledger: Ledger, account: Address, token: Address, subaccount: int) -> Balance:
    """Opened empty if it is new. Whoever hears of a first part hears of sub-account 0's as well."""
    whole = ledger.of(account, token)
    if not subaccount:
        return whole
    parts = ledger.parts.setdefault((account, token), {})
    part = parts.get(subaccount)
    if part is None:
        part = parts[subaccount] = Balance(account, token, subaccount)
        ledger.touch(whole)
    return part


def find_part(ledger: Ledger, account: Address, token: Address, subaccount: int) -> Balance | None:
    if not subaccount:
        return ledger.find(account, token)
    return ledger.parts.get((account, token), {}).get(subaccount)


def parts_of(ledger: Ledger, account: Address, token: Address) -> list[Balance]:
    """All of a balance, by number."""
    parts = ledger.parts.get((account, token), {})
    return [ledger.of(account, token), *(parts[number] for number in sorted(parts))]


def settled_of(ledger: Ledger, account: Address, token: Address) -> int:
    """What the chain calls the balance."""
    return sum(part.settled for part in parts_of(ledger, account, token))


def withdrawable_of(ledger: Ledger, account: Address, token: Address) -> int:
    """By sub-account 0, and no more than the account has where others owe more than they have."""
    parts = parts_of(ledger, account, token)
    return max(0, min(parts[0].withdrawable, sum(part.settled - part.taken - part.leaving for part in parts)))


# --- as events ---


def balance_events(ledger: Ledger, touched: Iterable[Balance]) -> Iterator[BalanceChanged | SubaccountChanged]:
    """Each account's balance once, as a whole; and those of its parts that were touched."""
    told: dict[tuple[Address, Address], None] = {}
    for balance in touched:
        key = balance.account, balance.token
        if key not in ledger.parts:
            yield whole_event((balance,))
            continue
        if key not in told:
            told[key] = None
            yield whole_event(parts_of(ledger, *key))
        yield _part_event(balance)


def all_balance_events(ledger: Ledger) -> Iterator[BalanceChanged | SubaccountChanged]:
    """By account and token, what there is."""
    for key in sorted(ledger.balances):
        parts = [part for part in parts_of(ledger, *key) if not part.is_empty]
        if parts:
            yield whole_event(parts)
        if key in ledger.parts:
            yield from map(_part_event, parts)


def whole_event(parts: Iterable[Balance]) -> BalanceChanged:
    balances = list(parts)
    return BalanceChanged(
        account=balances[0].account,
        token=balances[0].token,
        settled=sum(balance.settled for balance in balances),
        pending=sum(balance.pending for balance in balances),
        owed=sum(balance.owed for balance in balances),
        held=sum(balance.held for balance in balances),
        leaving=sum(balance.leaving for balance in balances),
    )


def _part_event(part: Balance) -> SubaccountChanged:
    return SubaccountChanged(
        account=part.account,
        subaccount=part.subaccount,
        token=part.token,
        settled=part.settled,
        pending=part.pending,
        owed=part.owed,
        held=part.held,
        leaving=part.leaving,
    )
