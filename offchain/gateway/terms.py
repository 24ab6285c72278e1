"""What traders and operators said of accounts, as the read model keeps it: sub-accounts, protections, fee tiers.

Invariant: after a command it is what the engine has, also if it began with a snapshot; only what a trip had counted
before that is not known. Rates are computed by the engine's own schedule.
"""

from typing import NamedTuple

import msgspec

from offchain.domain.event import (
    AnyEvent,
    BalanceChanged,
    CxptObserved,
    FeeScheduleChanged,
    ProtectionReset,
    ProtectionSet,
    ProtectionTripped,
    SubaccountChanged,
    VolumeChanged,
)
from offchain.domain.units import Address
from offchain.engine.orders import Moment
from offchain.engine.schedule import DAY_MILLIS, Schedule

Part = BalanceChanged | SubaccountChanged
"""A balance as a whole, or what a sub-account has of it."""


class ProtectionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`frozen_until`: unix millis, 0 until it is reset, None if it never tripped. `amount` and `delta`: what made it
    trip at `tripped_at`, as far as that is known."""

    terms: ProtectionSet
    frozen_until: int | None = None
    tripped_at: int | None = None
    amount: int = 0
    delta: int = 0

    def is_frozen(self, at: int) -> bool:
        return self.frozen_until is not None and (not self.frozen_until or at < self.frozen_until)


class Rates(NamedTuple):
    """Of what an account places now. `tier`: how many bounds it reached; volumes in quote atoms."""

    maker_ppm: int
    taker_ppm: int
    tier: int = 0
    discount_ppm: int = 0
    volume: int = 0
    volume_today: int = 0
    cxpt: int = 0


class Terms:
    def __init__(self) -> None:
        self.parts: dict[tuple[Address, Address], dict[int, SubaccountChanged]] = {}
        """Of balances that more than one sub-account has some of."""
        self.protections: dict[Address, dict[int, ProtectionRecord]] = {}
        self.schedule: Schedule | None = None

    def learn(self, event: AnyEvent, at: int) -> bool:
        """False if it is about something else."""
        match event:
            case SubaccountChanged(account=account, token=token):
                self.parts.setdefault((account, token), {})[event.subaccount] = event
            case ProtectionSet() | ProtectionTripped() | ProtectionReset():
                self._protect(event, at)
            case FeeScheduleChanged(tiers=tiers, discounts=discounts):
                earlier = self.schedule or Schedule((), ())
                self.schedule = earlier.replaced(tiers, discounts) if tiers or discounts else None
            case CxptObserved() | VolumeChanged():
                if self.schedule is not None:
                    self.schedule.learn(event)
            case _:
                return False
        return True

    def _protect(self, event: ProtectionSet | ProtectionTripped | ProtectionReset, at: int) -> None:
        protections = self.protections.setdefault(event.account, {})
        if isinstance(event, ProtectionSet):
            protections[event.protection] = ProtectionRecord(terms=event)
            if not event.window_millis:
                del protections[event.protection]
        elif isinstance(event, ProtectionReset):
            protections[event.protection] = ProtectionRecord(terms=protections[event.protection].terms)
        else:
            protections[event.protection] = ProtectionRecord(
                terms=protections[event.protection].terms,
                frozen_until=event.until,
                tripped_at=at,
                amount=event.amount,
                delta=event.delta,
            )
        if not protections:
            del self.protections[event.account]

    def protection(self, terms: ProtectionSet) -> ProtectionRecord:
        """As it is now; one that was taken away with the terms that say so."""
        known = self.protections.get(terms.account, {}).get(terms.protection)
        return ProtectionRecord(terms=terms) if known is None else known

    def protections_of(self, account: Address) -> list[ProtectionRecord]:
        """By number."""
        return [record for _, record in sorted(self.protections.get(account, {}).items())]

    def parts_of(self, account: Address, token: Address) -> list[SubaccountChanged]:
        """By number; none if sub-account 0 has all of it."""
        return [part for _, part in sorted(self.parts.get((account, token), {}).items())]

    def part_of(self, whole: BalanceChanged | None, subaccount: int) -> Part | None:
        """What a sub-account has of a balance, None if nothing."""
        if whole is None:
            return None
        parts = self.parts.get((whole.account, whole.token))
        if parts is None:
            return None if subaccount else whole
        return parts.get(subaccount)

    def rates_of(self, account: Address, maker_ppm: int, taker_ppm: int, at: int) -> Rates:
        """`maker_ppm` and `taker_ppm` are those of who has reached nothing."""
        schedule = self.schedule
        if schedule is None:
            return Rates(maker_ppm, taker_ppm)
        now, day = Moment(at, maker_ppm, taker_ppm), at // DAY_MILLIS
        moment = schedule.moment(account, now)
        tier, discount = schedule.level(account, now)
        volume, today = schedule.volume(account, day), schedule.volumes.get(account, {}).get(day, 0)
        cxpt = schedule.cxpt(account, day)
        return Rates(moment.maker_ppm, moment.taker_ppm, tier, discount, volume, today, cxpt)
