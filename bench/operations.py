"""What every engine under comparison is asked to do, and the plain book that judges what they answer.

Integers only: prices in ticks, sizes in lots; side 0 buys, 1 sells. An operation is one command of a trader:

    ADD     order `order` enters at its limit, crosses what it can, and rests with what is left
    CANCEL  what is left of it goes
    MOVE    it goes, and enters again with `size` lots at `price`, behind those that are there
    TAKE    it crosses what it can within its limit, and never rests

Invariant: no ADD or MOVE meets more than `MAKERS_MAX` resting orders, no TAKE more than `MAKERS_OF_TAKE_MAX`, because
HOOATS bounds the work of one command there; a generator that would make one fails.
"""

from __future__ import annotations

import hashlib
import json
import struct
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ADD, CANCEL, MOVE, TAKE = range(4)
MAKERS_MAX = 100
MAKERS_OF_TAKE_MAX = 40
_PACKED = struct.Struct(">BIHBqq")


class Operation(NamedTuple):
    kind: int
    order: int
    market: int
    side: int
    price: int
    size: int


class Digest(NamedTuple):
    """What every engine must agree on after a stream."""

    trades: int
    quantity: int
    notional: int
    resting: int


class Workload(NamedTuple):
    name: str
    seed: int
    preload: list[Operation]
    """Played before the clock starts."""
    operations: list[Operation]
    digest: Digest
    """Of both together, by the plain book."""
    markets: int = 1
    users: int = 100
    """How many accounts trade on either side."""
    most_fills: int = 0
    """Of 100 operations in a row: whoever must settle between them needs to know."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(packed(self.preload + self.operations)).hexdigest()

    def save(self, path: Path) -> None:
        """A line of JSON, then the packed operations. Whole or not at all, since several may write the same one."""
        head = {
            "name": self.name,
            "seed": self.seed,
            "preload": len(self.preload),
            "digest": self.digest,
            "markets": self.markets,
            "users": self.users,
            "most_fills": self.most_fills,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_bytes(json.dumps(head).encode() + b"\n" + packed(self.preload + self.operations))
        new.replace(path)

    @classmethod
    def load(cls, path: Path) -> Workload:
        line, _, body = path.read_bytes().partition(b"\n")
        head = json.loads(line)
        operations = [Operation(*fields) for fields in _PACKED.iter_unpack(body)]
        first = head["preload"]
        return cls(
            head["name"],
            head["seed"],
            operations[:first],
            operations[first:],
            Digest(*head["digest"]),
            head["markets"],
            head["users"],
            head["most_fills"],
        )


def packed(operations: list[Operation]) -> bytes:
    pack = _PACKED.pack
    return b"".join(pack(*operation) for operation in operations)


class PlainBook:
    """Price-time priority as plainly as it can be written: the judge of the others."""

    def __init__(self) -> None:
        self.prices: tuple[list[int], list[int]] = ([], [])
        """Of bids and asks, ascending."""
        self.levels: tuple[dict[int, deque[tuple[int, int]]], dict[int, deque[tuple[int, int]]]] = ({}, {})
        """(order, when it queued up); those that left or moved stay in it until they come to the front."""
        self.totals: tuple[dict[int, int], dict[int, int]] = ({}, {})
        """Lots of a level."""
        self.left: dict[int, tuple[int, int, int, int]] = {}
        """Resting orders: side, price, what is left, when it queued up."""
        self.trades = self.quantity = self.notional = 0
        self._clock = 0

    def best(self, side: int) -> int | None:
        prices = self.prices[side]
        return (prices[0] if side else prices[-1]) if prices else None

    def add(self, order: int, side: int, price: int, size: int, rests: bool = True) -> None:
        met = 0
        while size:
            best = self.best(1 - side)
            if best is None or (best > price if side == 0 else best < price):
                break
            met += 1
            size -= self._take(1 - side, best, size)
        assert met <= (MAKERS_MAX if rests else MAKERS_OF_TAKE_MAX), f"order {order} meets {met} others"
        if size and rests:
            if price not in self.levels[side]:
                self.levels[side][price] = deque()
                self.totals[side][price] = 0
                insort(self.prices[side], price)
            self._clock += 1
            self.levels[side][price].append((order, self._clock))
            self.totals[side][price] += size
            self.left[order] = (side, price, size, self._clock)

    def cancel(self, order: int) -> None:
        side, price, left, _ = self.left.pop(order)
        self._reduce(side, price, left)

    def front(self, side: int, price: int) -> int:
        """The first order of a level."""
        queue = self.levels[side][price]
        while (found := self.left.get(queue[0][0])) is None or found[3] != queue[0][1]:
            queue.popleft()
        return queue[0][0]

    def _take(self, side: int, price: int, size: int) -> int:
        maker = self.front(side, price)
        _, _, there, queued = self.left[maker]
        taken = min(size, there)
        self.trades, self.quantity = self.trades + 1, self.quantity + taken
        self.notional += taken * price
        if taken == there:
            del self.left[maker]
        else:
            self.left[maker] = (side, price, there - taken, queued)
        self._reduce(side, price, taken)
        return taken

    def _reduce(self, side: int, price: int, lots: int) -> None:
        self.totals[side][price] -= lots
        if not self.totals[side][price]:
            del self.levels[side][price], self.totals[side][price]
            prices = self.prices[side]
            del prices[bisect_left(prices, price)]

    def depth(self, side: int) -> Iterator[int]:
        """Prices, best first."""
        return iter(self.prices[side]) if side else reversed(self.prices[side])


class PlainBooks:
    """One for every market."""

    def __init__(self, markets: int) -> None:
        self.books = [PlainBook() for _ in range(markets)]

    def play(self, operation: Operation) -> None:
        kind, order, market, side, price, size = operation
        book = self.books[market]
        if kind in (CANCEL, MOVE):
            book.cancel(order)
        if kind != CANCEL:
            book.add(order, side, price, size, rests=kind != TAKE)

    @property
    def digest(self) -> Digest:
        return Digest(
            sum(book.trades for book in self.books),
            sum(book.quantity for book in self.books),
            sum(book.notional for book in self.books),
            sum(len(book.left) for book in self.books),
        )
