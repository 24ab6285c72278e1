"""Rate limits: GCRA, one integer per key, time passed in; and bans for those whom a refusal does not stop.

Source: the generic cell rate algorithm of ITU-T I.371; one theoretical arrival time (TAT) per key instead of a bucket
and its refill job. Invariant: over any span t, weights allowed to a key are at most burst + rate * t; a refusal costs
nothing. Memory is bounded: keys that are at rest are forgotten, and at the bound a new key is refused.

Who waits as long as a refusal says is never banned. A ban doubles with every one that follows it, up to a bound, and
what was before is forgotten again, one step for every calm while.
"""

from collections import OrderedDict
from typing import NamedTuple

KEYS_MAX = 100_000
"""Of one limit; a hundred bytes each."""
_NANOS = 1_000_000_000


class Rate(NamedTuple):
    """`per_second` weight is refilled, up to `burst`."""

    per_second: int
    burst: int


class Gcra:
    """A limit for many keys. All times are nanoseconds of one clock that does not run back."""

    def __init__(self, rate: Rate, keys_max: int = KEYS_MAX) -> None:
        assert rate.per_second > 0 and rate.burst > 0
        self.rate = rate
        self._interval = _NANOS // rate.per_second
        self._tolerance = self._interval * rate.burst
        self._keys_max = keys_max
        self._arrivals: OrderedDict[object, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._arrivals)

    def wait(self, key: object, weight: int, now: int) -> int:
        """Nanoseconds until `weight` would be allowed, 0 if it is now. Nothing is charged.

        A weight above the burst is never allowed; it is charged as the burst, so that a caller can wait for it.
        """
        arrival = max(self._arrivals.get(key, now), now)
        return max(0, arrival + self._interval * min(weight, self.rate.burst) - self._tolerance - now)

    def room(self, key: object, now: int) -> int:
        """How many of weight 1 would be allowed now, one after the other."""
        ahead = self._arrivals.get(key, 0) - now
        if ahead <= 0:
            return self.rate.burst
        return (self._tolerance - ahead) // self._interval if ahead < self._tolerance else 0

    def charge(self, key: object, weight: int, now: int) -> None:
        """Takes `weight` without asking."""
        arrivals, burst = self._arrivals, self.rate.burst
        arrival = arrivals.get(key, 0)
        arrivals[key] = (arrival if arrival > now else now) + self._interval * (weight if weight < burst else burst)
        arrivals.move_to_end(key)

    def take(self, key: object, weight: int, now: int) -> int:
        """`wait`, and the charge if it is 0."""
        arrivals = self._arrivals
        if key not in arrivals and not self._has_room(now):
            return _NANOS
        arrival = max(arrivals.get(key, now), now) + self._interval * min(weight, self.rate.burst)
        if arrival > self._tolerance + now:
            return arrival - self._tolerance - now
        arrivals[key] = arrival
        arrivals.move_to_end(key)
        return 0

    def _has_room(self, now: int) -> bool:
        """Forgets keys at rest, oldest use first; a key in the middle of its burst stays."""
        arrivals = self._arrivals
        for _ in range(2):
            if not arrivals:
                break
            key, arrival = next(iter(arrivals.items()))
            if arrival > now and len(arrivals) < self._keys_max:
                break
            if arrival > now:
                arrivals.move_to_end(key)
            else:
                del arrivals[key]
        return len(arrivals) < self._keys_max


class BanTerms(NamedTuple):
    """`patience`: requests before the time that a refusal told which are borne. A ban lasts `first_seconds`, the next
    one twice as long, none longer than `longest_seconds`; `calm_seconds` without one take a step back. `first_seconds`
    0: nobody is banned."""

    patience: Rate = Rate(20, 200)
    """A hundred requests in flight at once may all be refused, twice."""
    first_seconds: int = 1
    longest_seconds: int = 256
    calm_seconds: int = 60


class Bans:
    """Who is refused everything for a while. Times as in `Gcra`."""

    def __init__(self, terms: BanTerms, keys_max: int = KEYS_MAX) -> None:
        assert 0 <= terms.first_seconds <= terms.longest_seconds and terms.calm_seconds > 0
        self._terms = terms
        self._patience = Gcra(terms.patience, keys_max)
        self._keys_max = keys_max
        self._told: OrderedDict[object, int] = OrderedDict()
        """key -> when it was told to come back; oldest word first"""
        self._bans: OrderedDict[object, tuple[int, int]] = OrderedDict()
        """key -> (end of its last ban, how many steps up); oldest ban first"""

    def __len__(self) -> int:
        return len(self._bans)

    def left(self, key: object, now: int) -> int:
        """Nanoseconds until the ban of `key` ends, 0 if there is none."""
        ban = self._bans.get(key)
        return 0 if ban is None else max(0, ban[0] - now)

    def refused(self, key: object, delay: int, now: int) -> int:
        """Notes that `key` was told to wait for `delay`. Nanoseconds of the ban that this brings, else 0."""
        if not self._terms.first_seconds:
            return 0
        is_early = now < self._told.get(key, now)
        self._told[key] = now + delay
        self._told.move_to_end(key)
        if len(self._told) > self._keys_max:
            self._told.popitem(last=False)
        if not is_early or not self._patience.take(key, 1, now):
            return 0
        self._forget(now)
        steps = min(self._steps(key, now) + 1, 64)
        seconds = min(self._terms.first_seconds << (steps - 1), self._terms.longest_seconds)
        self._bans[key] = now + seconds * _NANOS, steps
        self._bans.move_to_end(key)
        return seconds * _NANOS

    def _steps(self, key: object, now: int) -> int:
        until, steps = self._bans.get(key, (now, 0))
        return max(0, steps - max(0, now - until) // (self._terms.calm_seconds * _NANOS))

    def _forget(self, now: int) -> None:
        """The two oldest bans, if nothing is left of them; at the bound the oldest in any case."""
        for _ in range(2):
            if not self._bans:
                return
            key = next(iter(self._bans))
            if self._steps(key, now) and len(self._bans) < self._keys_max:
                return
            del self._bans[key]


def retry_after_seconds(delay_nanos: int) -> int:
    """Whole seconds for the Retry-After header, at least 1."""
    return max(1, -(-delay_nanos // _NANOS))
