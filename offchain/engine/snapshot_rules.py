"""What a snapshot keeps of protections, fee tiers, sub-accounts and the transfers between them.

Invariant: as `snapshot_later`, whose tables these are among: each is there only where there is something of it. What
time alone has made meaningless is left out, so that it does not matter whether anybody looked since.
"""

from typing import Any

from offchain.domain.limits import VOLUME_DAYS
from offchain.domain.terms import CxptDiscount, FeeTier, SetProtection, TransferBetween
from offchain.domain.units import Address
from offchain.engine.accepted import Row
from offchain.engine.parts import part_of
from offchain.engine.protection import Protection
from offchain.engine.schedule import DAY_MILLIS, Schedule
from offchain.engine.state import State
from offchain.engine.subaccounts import remember


def rules_tables(state: State) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if state.schedule is not None:
        found["fee_schedule"] = _schedule_rows(state.schedule, state.at // DAY_MILLIS)
    if state.protections:
        found["protections"] = [
            (account, [_protection_row(of[number], state.at) for number in sorted(of)])
            for account, of in sorted(state.protections.items())
        ]
    split = [state.accounts[address] for address in sorted(state.accounts) if state.accounts[address].is_split]
    if split:
        found["subaccounts"] = [(account.address, _part_rows(state, account.address)) for account in split]
    if state.transfers:
        found["transfers"] = [
            (account, [_transfer_row(*one) for one in named.values()])
            for account, named in sorted(state.transfers.items())
        ]
    return found


def read_rules_tables(state: State, later: dict[str, Any]) -> None:
    if "fee_schedule" in later:
        state.schedule = _read_schedule(later["fee_schedule"])
    for account, rows in later.get("protections", ()):
        state.protections[account] = {row[0]: _read_protection(account, row) for row in rows}
    for account, rows in later.get("transfers", ()):
        for row in rows:
            _read_transfer(state, account, row)


# --- sub-accounts ---

_PART = ["settled", "funds", "owed", "taken"]
"""Nothing else of a balance is a part's."""


def _part_rows(state: State, account: Address) -> list[Row]:
    """Empty ones, too: whoever hears of a part for the first time is told more."""
    return [
        (token, number, *(str(getattr(part, name)) for name in _PART))
        for (owner, token), parts in sorted(state.ledger.parts.items())
        if owner == account
        for number, part in sorted(parts.items())
    ]


def read_parts(state: State, later: dict[str, Any]) -> None:
    """Before the orders that hold of them."""
    for account, rows in later.get("subaccounts", ()):
        state.account(account).split()
        for token, number, *amounts in rows:
            part = part_of(state.ledger, account, token, number)
            for name, amount in zip(_PART, amounts, strict=True):
                setattr(part, name, int(amount))
            state.ledger.touch(part)


def _transfer_row(sequence: int, one: TransferBetween) -> Row:
    """Its signer was its account."""
    return one.client_id, sequence, one.token, str(one.amount), one.source, one.target


def _read_transfer(state: State, account: Address, row: Row) -> None:
    client_id, sequence, token, amount, source, target = row
    command = TransferBetween(
        account=account,
        signer=account,
        token=token,
        amount=int(amount),
        source=source,
        target=target,
        client_id=client_id,
    )
    remember(state, sequence, command)


# --- fee tiers ---


def _schedule_rows(schedule: Schedule, today: int) -> Row:
    """Tiers; discounts; volumes of the days that still count; CXPT."""
    tiers = [(str(tier.volume_min), tier.maker_fee_ppm, tier.taker_fee_ppm) for tier in schedule.tiers]
    discounts = [(str(one.cxpt_min), one.discount_ppm) for one in schedule.discounts]
    volumes = [
        (account, [(day, str(amount)) for day, amount in sorted(days.items()) if day >= today - VOLUME_DAYS])
        for account, days in sorted(schedule.volumes.items())
    ]
    observed = [
        (account, day, str(atoms), str(before)) for account, (day, atoms, before) in sorted(schedule.observed.items())
    ]
    return tiers, discounts, [(account, days) for account, days in volumes if days], observed


def _read_schedule(rows: Row) -> Schedule:
    tiers, discounts, volumes, observed = rows
    schedule = Schedule(
        tuple(FeeTier(int(volume), maker, taker) for volume, maker, taker in tiers),
        tuple(CxptDiscount(int(cxpt), ppm) for cxpt, ppm in discounts),
    )
    schedule.volumes = {account: {day: int(amount) for day, amount in days} for account, days in volumes}
    schedule.observed = {account: (day, int(atoms), int(before)) for account, day, atoms, before in observed}
    return schedule


# --- protections ---


def _protection_row(protection: Protection, at: int) -> Row:
    protection.forget(at)
    terms = protection.terms
    limits = str(terms.amount_max), str(terms.delta_max)
    fills = [(when, str(amount), str(delta)) for when, amount, delta in protection.fills]
    until = protection.frozen_until if protection.is_frozen(at) else 0
    return terms.protection, terms.window_millis, terms.markets, *limits, terms.freeze_millis, fills, until


def _read_protection(account: Address, row: Row) -> Protection:
    number, window, markets, amount_max, delta_max, freeze, fills, until = row
    terms = SetProtection(
        account=account,
        signer=account,
        protection=number,
        window_millis=window,
        markets=tuple(markets),
        amount_max=int(amount_max),
        delta_max=int(delta_max),
        freeze_millis=freeze,
    )
    protection = Protection(terms)
    for at, amount, delta in fills:
        protection.fills.append((at, int(amount), int(delta)))
        protection.amount += int(amount)
        protection.delta += int(delta)
    protection.frozen_until = until
    return protection
