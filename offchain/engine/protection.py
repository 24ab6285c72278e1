"""What a market maker's quotes filled within a moment, and whether that is too much.

Invariant: what is counted is the exact sum over the window, to the millisecond. It knows no orders: which fills count
and what follows is said by `protecting`.
"""

from collections import deque

from offchain.domain.terms import SetProtection


class Protection:
    """One of an account. Amounts in quote atoms."""

    __slots__ = ("amount", "delta", "fills", "frozen_until", "terms")

    def __init__(self, terms: SetProtection) -> None:
        self.terms = terms
        self.fills: deque[tuple[int, int, int]] = deque()
        """At, bought and sold for, bought less sold for: one row for each millisecond of the window, or none."""
        self.amount = 0
        self.delta = 0
        """Sums over these."""
        self.frozen_until = 0
        """Unix millis; 0: it never tripped, or was reset."""

    def covers(self, market: int) -> bool:
        return not self.terms.markets or market in self.terms.markets

    def is_frozen(self, at: int) -> bool:
        return at < self.frozen_until

    def forget(self, at: int) -> None:
        """What left the window by now."""
        fills, end = self.fills, at - self.terms.window_millis
        while fills and fills[0][0] <= end:
            _, amount, delta = fills.popleft()
            self.amount -= amount
            self.delta -= delta

    def count(self, at: int, delta: int) -> None:
        """A fill, of which the order bought for `delta`, or sold for as much below 0."""
        self.forget(at)
        fills, amount = self.fills, abs(delta)
        if fills and fills[-1][0] == at:
            _, before, delta_before = fills.pop()
            fills.append((at, before + amount, delta_before + delta))
        else:
            fills.append((at, amount, delta))
        self.amount += amount
        self.delta += delta

    def is_exceeded(self) -> bool:
        terms = self.terms
        return 0 < terms.amount_max < self.amount or 0 < terms.delta_max < abs(self.delta)

    def restart(self, frozen_until: int = 0) -> None:
        self.fills.clear()
        self.amount = self.delta = 0
        self.frozen_until = frozen_until
