"""One market's price-time book: sorted price levels, best at the end, first-in first-out queues, O(1) cancel.

Invariant: never crossed at rest; a level that is empty is gone; a node that was removed refers to nothing.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

from offchain.domain.order import Order, Side
from offchain.domain.units import Digest


class Resting:
    """An order in the book. `remaining` in lots."""

    __slots__ = (
        "at",
        "client_order_id",
        "digest",
        "filled",
        "hold_per_lot",
        "level",
        "maker_ppm",
        "newer",
        "older",
        "order",
        "remaining",
        "sequence",
        "signature",
        "taker_ppm",
    )

    def __init__(
        self,
        *,
        sequence: int,
        at: int,
        digest: Digest,
        order: Order,
        signature: bytes,
        client_order_id: str,
        hold_per_lot: int,
        maker_ppm: int,
        taker_ppm: int,
        filled: int = 0,
    ) -> None:
        self.sequence = sequence
        self.at = at
        self.digest = digest
        self.order = order
        self.signature = signature
        self.client_order_id = client_order_id
        self.hold_per_lot = hold_per_lot
        self.maker_ppm = maker_ppm
        self.taker_ppm = taker_ppm
        self.filled = filled
        self.remaining: int = order.size_lots - filled
        self.level: Level | None = None
        self.older: Resting | None = None
        self.newer: Resting | None = None


class Level:
    """All orders at one price, oldest first."""

    __slots__ = ("first", "last", "price", "size")

    def __init__(self, price: int) -> None:
        self.price = price
        self.size = 0
        self.first: Resting | None = None
        self.last: Resting | None = None

    def __iter__(self) -> Iterator[Resting]:
        node = self.first
        while node is not None:
            yield node
            node = node.newer


class Half:
    """One side. `prices` holds sort keys, best last: the price of a bid, the negated price of an ask."""

    __slots__ = ("levels", "prices", "sign")

    def __init__(self, side: Side) -> None:
        self.sign = 1 if side is Side.BUY else -1
        self.prices: list[int] = []
        self.levels: dict[int, Level] = {}

    @property
    def best(self) -> Level | None:
        return self.levels[self.prices[-1] * self.sign] if self.prices else None

    def __iter__(self) -> Iterator[Level]:
        """Best first."""
        for key in reversed(self.prices):
            yield self.levels[key * self.sign]


class Book:
    """Both sides of a market."""

    __slots__ = ("halves",)

    def __init__(self) -> None:
        self.halves = (Half(Side.BUY), Half(Side.SELL))

    def add(self, resting: Resting) -> Level:
        """Behind everyone at its price."""
        half, price = self.halves[resting.order.side], resting.order.price_ticks
        level = half.levels.get(price)
        if level is None:
            level = half.levels[price] = Level(price)
            insort(half.prices, price * half.sign)
        resting.level, resting.older = level, level.last
        if level.last is None:
            level.first = resting
        else:
            level.last.newer = resting
        level.last = resting
        level.size += resting.remaining
        return level

    def remove(self, resting: Resting) -> Level:
        """Takes the order out, whatever remains of it; the level may be empty afterwards."""
        level = resting.level
        assert level is not None, resting.digest
        if resting.older is None:
            level.first = resting.newer
        else:
            resting.older.newer = resting.newer
        if resting.newer is None:
            level.last = resting.older
        else:
            resting.newer.older = resting.older
        resting.level = resting.older = resting.newer = None
        level.size -= resting.remaining
        if level.first is None:
            half = self.halves[resting.order.side]
            del half.levels[level.price]
            del half.prices[bisect_left(half.prices, level.price * half.sign)]
        return level

    def reduce(self, resting: Resting, size: int) -> Level:
        """Fills `size` lots of a resting order; it leaves the book when nothing remains."""
        level = resting.level
        assert level is not None and 0 < size <= resting.remaining
        resting.remaining -= size
        resting.filled += size
        level.size -= size
        return self.remove(resting) if resting.remaining == 0 else level

    def crossing(self, side: Side, price: int) -> Level | None:
        """Best opposite level that a taker with this limit reaches."""
        best = self.halves[side.opposite].best
        if best is None:
            return None
        reached = best.price <= price if side is Side.BUY else best.price >= price
        return best if reached else None

    def depth_within(self, side: Side, price: int, account: str, wanted: int) -> int:
        """Lots, up to `wanted`, that a taker of `account` could fill; its own orders do not count."""
        found = 0
        for level in self.halves[side.opposite]:
            if (level.price > price) if side is Side.BUY else (level.price < price):
                break
            for resting in level:
                if resting.order.account != account:
                    found += resting.remaining
            if found >= wanted:
                break
        return min(found, wanted)
