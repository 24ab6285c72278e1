"""Streams of orders, made from a seed, that every engine under comparison is given.

A generator plays its own stream on a plain book as it goes, so that prices follow the market and a cancel names an
order that rests. Names and proportions: docs/benchmarks.md.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

from bench import operations
from bench.operations import (
    ADD,
    CANCEL,
    MAKERS_MAX,
    MAKERS_OF_TAKE_MAX,
    MOVE,
    TAKE,
    Operation,
    PlainBook,
    PlainBooks,
    Workload,
)

SEEDS = (7, 11, 13, 17, 19)
MIDDLE = 4_000
FILLS_WINDOW = 100


class Stream:
    """A workload in the making."""

    def __init__(self, name: str, seed: int, markets: int = 1, users: int = 100) -> None:
        self.name, self.seed, self.markets, self.users = name, seed, markets, users
        self.chance = random.Random(seed)
        self.plain = PlainBooks(markets)
        self.operations: list[Operation] = []
        self.preloaded = 0
        self._live: list[list[int]] = [[] for _ in range(markets)]
        self._orders = 0
        self._fills: list[int] = []

    @property
    def count(self) -> int:
        """Of operations after the preload."""
        return len(self.operations) - self.preloaded

    def book(self, market: int = 0) -> PlainBook:
        return self.plain.books[market]

    def start(self) -> None:
        """What was played so far is the preload."""
        self.preloaded = len(self.operations)

    def add(self, side: int, price: int, size: int, market: int = 0) -> int:
        """The new order's number."""
        return self._enter(ADD, side, price, size, market)

    def take(self, side: int, price: int, size: int, market: int = 0) -> int:
        return self._enter(TAKE, side, price, size, market)

    def cancel(self, order: int, market: int = 0) -> None:
        self._play(Operation(CANCEL, order, market, self.book(market).left[order][0], 0, 0))

    def move(self, order: int, price: int, market: int = 0) -> None:
        side, _, left, _ = self.book(market).left[order]
        self._play(Operation(MOVE, order, market, side, price, left))

    def choose(self, market: int = 0) -> int | None:
        """A resting order, uniformly; None if there is none."""
        live, left = self._live[market], self.book(market).left
        while live:
            at = self.chance.randrange(len(live))
            if live[at] in left:
                return live[at]
            live[at] = live[-1]
            live.pop()
        return None

    def best(self, side: int, market: int = 0) -> int:
        best = self.book(market).best(side)
        return MIDDLE if best is None else best

    def within(self, side: int, levels: int, makers: int, market: int = 0) -> tuple[int, int]:
        """(price of the last level, lots) that an order of `side` meets in this many levels and makers at most."""
        book = self.book(market)
        price = total = met = 0
        for price in book.depth(1 - side):
            levels -= 1
            for order, queued in book.levels[1 - side][price]:
                found = book.left.get(order)
                if found is None or found[3] != queued:
                    continue
                met += 1
                total += found[2]
                if met == makers:
                    return price, total
            if not levels:
                break
        return price, total

    def done(self) -> Workload:
        fills = self._fills
        most = max((sum(fills[at : at + FILLS_WINDOW]) for at in range(0, len(fills), FILLS_WINDOW)), default=0)
        before, after = self.operations[: self.preloaded], self.operations[self.preloaded :]
        return Workload(self.name, self.seed, before, after, self.plain.digest, self.markets, self.users, most)

    def _enter(self, kind: int, side: int, price: int, size: int, market: int) -> int:
        self._orders += 1
        order = self._orders
        self._play(Operation(kind, order, market, side, price, size))
        if order in self.book(market).left:
            self._live[market].append(order)
        return order

    def _play(self, operation: Operation) -> None:
        book = self.book(operation.market)
        before = book.trades
        self.plain.play(operation)
        self._fills.append(book.trades - before)
        self.operations.append(operation)


def geometric(chance: random.Random, mean: int) -> int:
    """At least 1."""
    offset = 1
    while chance.random() > 1 / mean:
        offset += 1
    return offset


def add_passive(stream: Stream, market: int = 0, mean: int = 12) -> None:
    """A geometric number of ticks behind the opposite best."""
    side = stream.chance.randrange(2)
    offset = geometric(stream.chance, mean)
    price = stream.best(1 - side, market) + (offset if side else -offset)
    stream.add(side, max(1, price), stream.chance.randint(1, 100), market)


def add_crossing(stream: Stream, market: int = 0) -> None:
    """Up to 8 ticks through the opposite best."""
    side = stream.chance.randrange(2)
    offset = stream.chance.randrange(9)
    price = stream.best(1 - side, market) + (-offset if side else offset)
    stream.add(side, max(1, price), stream.chance.randint(1, 300), market)


def mix(stream: Stream, market: int, adds: float, cancels: float) -> None:
    """One operation: passive with probability `adds`, a cancel with `cancels`, else one that crosses."""
    drawn = stream.chance.random()
    if drawn >= adds + cancels and stream.book(market).left:
        add_crossing(stream, market)
    elif drawn >= adds and (order := stream.choose(market)) is not None:
        stream.cancel(order, market)
    else:
        add_passive(stream, market)


def mixed(seed: int, count: int = 200_000, preload: int = 4_000) -> Workload:
    """W1: 60 % passive orders (12 ticks behind the opposite best on average), 30 % cancels, 10 % that cross."""
    return _mixed("mixed", seed, count, preload, 0.6, 0.3)


def cancelling(seed: int, count: int = 200_000, preload: int = 4_000) -> Workload:
    """W3: 48 % passive, 48 % cancels, 4 % that cross."""
    return _mixed("cancelling", seed, count, preload, 0.48, 0.48)


def _mixed(name: str, seed: int, count: int, preload: int, adds: float, cancels: float) -> Workload:
    stream = Stream(name, seed)
    for _ in range(preload):
        add_passive(stream)
    stream.start()
    for _ in range(count):
        mix(stream, 0, adds, cancels)
    return stream.done()


LIVE, SLOTS = 1_000, 750


def moving(seed: int, count: int = 200_000, preload: int = LIVE) -> Workload:
    """W2, exchange-core's mix: 9 % orders, 3 % immediate, 6 % cancels, 82 % moves; some 1,000 live orders of 1,000
    users in some 750 price slots."""
    stream = Stream("moving", seed, users=LIVE // 2)
    chance = stream.chance

    def price(side: int) -> int:
        offset = chance.randint(1, SLOTS // 2)
        return max(1, stream.best(1 - side) + (offset if side else -offset))

    def add() -> None:
        side = chance.randrange(2)
        stream.add(side, price(side), chance.randint(1, 100))

    for _ in range(preload):
        add()
    stream.start()
    while stream.count < count:
        drawn = chance.random()
        order = stream.choose()
        if drawn < 0.09 or order is None:
            if len(stream.book().left) < LIVE:
                add()
            else:
                add_crossing(stream)
        elif drawn < 0.12:
            side = chance.randrange(2)
            stream.take(side, stream.best(1 - side), chance.randint(1, 100))
        elif drawn < 0.18:
            stream.cancel(order)
        else:
            stream.move(order, price(stream.book().left[order][0]))
    return stream.done()


SWEPT_LEVELS, ADDS_PER_SWEEP = 50, 75


def avalanche(seed: int, count: int = 100_000, preload: int = 4_000) -> Workload:
    """W4: after every 75 passive orders one that takes the best 50 levels (100 orders at most) of a side."""
    stream = Stream("avalanche", seed)
    for _ in range(preload):
        add_passive(stream, mean=60)
    stream.start()
    side = 0
    while stream.count < count:
        for _ in range(min(ADDS_PER_SWEEP, count - stream.count)):
            add_passive(stream, mean=60)
        if stream.count < count:
            stream.add(side, *stream.within(side, SWEPT_LEVELS, MAKERS_MAX))
            side = 1 - side
    return stream.done()


FAR = 1_000_000
RESTING_PER_USER = 500
"""Half of what HOOATS allows an account, so that an uneven spread still fits."""


def users_for(resting: int) -> int:
    """How many accounts it takes on a side for so many orders to rest there."""
    return max(100, -(-resting // RESTING_PER_USER))


def adversarial(seed: int, count: int = 200_000) -> Workload:
    """W5: a sixth of `count` orders on one level, cancelled from the middle; as many levels of one order, entered from
    far to near and from near to far; as many orders that come and go behind one that stays."""
    part = max(2, count // 6)
    stream = Stream("adversarial", seed, users=users_for(part))
    cancel_from_the_middle(stream, part)
    ladder = [*range(FAR + part // 2, FAR, -1), *range(FAR + part // 2 + 1, FAR + part + 1)]
    for order in [stream.add(1, price, 1) for price in ladder]:
        stream.cancel(order)
    stays = stream.add(1, FAR, 1)
    for _ in range(part):
        stream.cancel(stream.add(1, FAR, 1))
    last = stream.add(1, FAR, 1)
    stream.take(0, FAR, 2)
    assert not {stays, last} & stream.book().left.keys()
    return stream.done()


def cancel_from_the_middle(stream: Stream, count: int, price: int = FAR) -> None:
    """That many orders enter one level, and leave it from the middle outwards."""
    orders = [stream.add(1, price, 1) for _ in range(count)]
    middle = count // 2
    for distance in range(middle + 1):
        for at in {middle - distance, middle + distance}:
            if 0 <= at < count and orders[at] in stream.book().left:
                stream.cancel(orders[at])


MARKETS = 100


def markets(seed: int, count: int = 200_000, preload: int = 10_000) -> Workload:
    """W6: 100 markets with Pareto(0.001, 1.5) weights, each with the mix of W1."""
    stream = Stream("markets", seed, MARKETS)
    weights = [0.001 * stream.chance.paretovariate(1.5) for _ in range(MARKETS)]
    chosen = stream.chance.choices(range(MARKETS), weights, k=preload + count)
    for market in chosen[:preload]:
        add_passive(stream, market)
    stream.start()
    for market in chosen[preload:]:
        mix(stream, market, 0.6, 0.3)
    return stream.done()


def feed(seed: int, count: int = 200_000, preload: int = 4_000) -> Workload:
    """W7, shaped as a NASDAQ day: 48 % orders, 48 % deletions, 2 % replacements, 2 % executions."""
    stream = Stream("feed", seed)
    chance = stream.chance
    for _ in range(preload):
        add_passive(stream)
    stream.start()
    while stream.count < count:
        drawn = chance.random()
        order = stream.choose()
        if drawn < 0.48 or order is None:
            add_passive(stream)
        elif drawn < 0.96:
            stream.cancel(order)
        elif drawn < 0.98:
            side = stream.book().left[order][0]
            offset = geometric(chance, 12)
            stream.move(order, max(1, stream.best(1 - side) + (offset if side else -offset)))
        else:
            side = chance.randrange(2)
            price, total = stream.within(side, 1, MAKERS_OF_TAKE_MAX)
            if total:
                stream.take(side, price, chance.randint(1, min(100, total)))
    return stream.done()


WORKLOADS: dict[str, Callable[..., Workload]] = {
    "mixed": mixed,
    "moving": moving,
    "cancelling": cancelling,
    "avalanche": avalanche,
    "adversarial": adversarial,
    "markets": markets,
    "feed": feed,
}


def code_hash(*more: Path) -> str:
    """Of what makes workloads: what other code has stored is another one's."""
    code = hashlib.sha256()
    for path in (Path(__file__), Path(operations.__file__), *more):
        code.update(path.read_bytes())
    return code.hexdigest()[:12]


def stored(folder: Path, name: str, seed: int, **sizes: int) -> Path:
    """The file of a generated workload, made if this code has not made it yet."""
    path = folder / code_hash() / ("-".join([name, str(seed), *map(str, sizes.values())]) + ".bin")
    if not path.exists():
        WORKLOADS[name](seed, **sizes).save(path)
    return path
