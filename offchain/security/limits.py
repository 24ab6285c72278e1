"""Rate limits: GCRA, one integer per key, time passed in.

Source: the generic cell rate algorithm of ITU-T I.371; one theoretical arrival time (TAT) per key instead of a bucket
and its refill job. Invariant: over any span t, weights allowed to a key are at most burst + rate * t; a refusal costs
nothing. Memory is bounded: keys that are at rest are forgotten, and at the bound a new key is refused.
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

    def charge(self, key: object, weight: int, now: int) -> None:
        """Takes `weight` without asking."""
        arrivals = self._arrivals
        arrivals[key] = max(arrivals.get(key, now), now) + self._interval * min(weight, self.rate.burst)
        arrivals.move_to_end(key)

    def take(self, key: object, weight: int, now: int) -> int:
        """`wait`, and the charge if it is 0."""
        if key not in self._arrivals and not self._has_room(now):
            return _NANOS
        delay = self.wait(key, weight, now)
        if delay == 0:
            self.charge(key, weight, now)
        return delay

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


class Budget(NamedTuple):
    """One limit that a request draws on, and how much of it."""

    limit: Gcra
    key: object
    weight: int


def take_all(budgets: list[Budget], now: int) -> int:
    """Takes from every budget or from none; nanoseconds to wait, 0 if taken."""
    delay = max((limit.wait(key, weight, now) for limit, key, weight in budgets), default=0)
    if delay == 0:
        for budget in budgets:
            delay = max(delay, budget.limit.take(budget.key, budget.weight, now))
    return delay


def retry_after_seconds(delay_nanos: int) -> int:
    """Whole seconds for the Retry-After header, at least 1."""
    return max(1, -(-delay_nanos // _NANOS))
