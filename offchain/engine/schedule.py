"""Fee tiers by settled volume, and discounts for CXPT: which rates are an account's.

Invariant: an account's rates are a function of the schedule, of what it settled on the 30 days before this one (UTC, by
the engine's `at`), and of the CXPT that it was last seen with before this day: they change when a day begins, and with
the schedule. What is kept beside that is kept to save work, and follows from it.
"""

from collections.abc import Iterator

from offchain.domain.event import AnyEvent, CxptObserved, FeeScheduleChanged, VolumeChanged
from offchain.domain.limits import VOLUME_DAYS
from offchain.domain.terms import CxptDiscount, FeeTier
from offchain.domain.units import PPM, Address, ceil_div
from offchain.engine.orders import Moment

DAY_MILLIS = 24 * 60 * 60 * 1000

Level = tuple[int, int]
"""Of the tiers that were reached, how many; millionths of discount."""


class Schedule:
    __slots__ = ("_day", "_levels", "_moments", "_now", "discounts", "observed", "tiers", "volumes")

    def __init__(self, tiers: tuple[FeeTier, ...], discounts: tuple[CxptDiscount, ...]) -> None:
        self.tiers = tiers
        self.discounts = discounts
        self.volumes: dict[Address, dict[int, int]] = {}
        """Quote atoms that settled, by day."""
        self.observed: dict[Address, tuple[int, int, int]] = {}
        """Day, CXPT atoms since then, CXPT atoms that counted on that day."""
        self._now = Moment(0, 0, 0)
        self._moments: dict[Level, Moment] = {}
        self._day = 0
        self._levels: dict[Address, Level] = {}

    def moment(self, account: Address, now: Moment) -> Moment:
        """`now` with the rates of this account in the place of those without tier and discount."""
        if now is not self._now:
            self._now, self._moments = now, {(0, 0): now}
            if now.at // DAY_MILLIS != self._day:
                self._day, self._levels = now.at // DAY_MILLIS, {}
        level = self._levels.get(account)
        if level is None:
            level = self._levels[account] = self._reached(account), self._discount(account)
        moment = self._moments.get(level)
        if moment is None:
            moment = self._moments[level] = self._make(now, *level)
        return moment

    def _make(self, now: Moment, count: int, discount: int) -> Moment:
        maker, taker = now.maker_ppm, now.taker_ppm
        if count:
            tier = self.tiers[count - 1]
            maker, taker = tier.maker_fee_ppm, tier.taker_fee_ppm
        return Moment(now.at, discounted(maker, discount), discounted(taker, discount))

    def _reached(self, account: Address) -> int:
        volume = self.volume(account, self._day)
        return sum(tier.volume_min <= volume for tier in self.tiers)

    def _discount(self, account: Address) -> int:
        counted = self.cxpt(account, self._day)
        return max((one.discount_ppm for one in self.discounts if one.cxpt_min <= counted), default=0)

    def cxpt(self, account: Address, day: int) -> int:
        """What counts on this day."""
        since, atoms, before = self.observed.get(account, (0, 0, 0))
        return atoms if since < day else before

    def level(self, account: Address, now: Moment) -> Level:
        """Where its rates of `now` come from."""
        self.moment(account, now)
        return self._levels.get(account, (0, 0))

    def volume(self, account: Address, day: int) -> int:
        """Of the days that count on this one."""
        days = self.volumes.get(account, {})
        return sum(amount for when, amount in days.items() if day - VOLUME_DAYS <= when < day)

    def count(self, account: Address, at: int, amount: int) -> None:
        """A fill of this account settled."""
        days, day = self.volumes.setdefault(account, {}), at // DAY_MILLIS
        self._forget(days, day)
        days[day] = days.get(day, 0) + amount

    def _forget(self, days: dict[int, int], day: int) -> None:
        if day not in days:
            for old in [when for when in days if when < day - VOLUME_DAYS]:
                del days[old]

    def observe(self, account: Address, at: int, atoms: int) -> None:
        day = at // DAY_MILLIS
        since, latest, before = self.observed.get(account, (0, 0, 0))
        self.observed[account] = day, atoms, latest if since < day else before

    # --- as events, and from them ---

    def volume_event(self, account: Address, day: int) -> VolumeChanged:
        return VolumeChanged(account=account, day=day, atoms=self.volumes[account][day])

    def cxpt_event(self, account: Address) -> CxptObserved:
        day, atoms, before = self.observed[account]
        return CxptObserved(account=account, atoms=atoms, day=day, before=before)

    def events(self) -> Iterator[AnyEvent]:
        """All of it."""
        yield FeeScheduleChanged(tiers=self.tiers, discounts=self.discounts)
        for account in sorted(self.observed):
            yield self.cxpt_event(account)
        for account, days in sorted(self.volumes.items()):
            for day in sorted(days):
                yield self.volume_event(account, day)

    def learn(self, event: CxptObserved | VolumeChanged) -> None:
        """What another one told."""
        if isinstance(event, CxptObserved):
            self.observed[event.account] = event.day, event.atoms, event.before
        else:
            days = self.volumes.setdefault(event.account, {})
            self._forget(days, event.day)
            days[event.day] = event.atoms

    def replaced(self, tiers: tuple[FeeTier, ...], discounts: tuple[CxptDiscount, ...]) -> "Schedule":
        """Other tiers for the same volumes."""
        schedule = Schedule(tiers, discounts)
        schedule.volumes, schedule.observed = self.volumes, self.observed
        return schedule


def discounted(ppm: int, discount_ppm: int) -> int:
    """A fee, but no rebate, less the discount, rounded up."""
    return ceil_div(ppm * (PPM - discount_ppm), PPM) if ppm > 0 else ppm
