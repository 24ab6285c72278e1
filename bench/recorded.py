"""A recorded flow as a workload: `FLOW=file`.

A line is a receive time in nanoseconds, a space, and a message, plain or gzipped: `depthUpdate` with the new totals of
levels, or `trade`. As the plain book plays along, a level that grows above what rests there is a new order, one that
shrinks below it a cancel of the newest orders there, and a new one for what a cancel took too much; a trade is an order
that takes at its price and never rests. Everything else (`bookTicker`) is passed over.

Prices and sizes become integers at the finest decimal that the file uses. What begins inside a running market has no
snapshot: the first updates of levels build the book.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from bench.operations import MAKERS_MAX, MAKERS_OF_TAKE_MAX, Workload
from bench.workloads import Stream, users_for

PRELOAD = 4_000
RESTING_MAX = 100_000


class BadFlow(Exception):
    """The file is not a recorded flow; the message names file, line and reason."""


class Change(NamedTuple):
    """`is_trade`: a taker of `side` met `size` at `price`; otherwise the level now holds `size` in all."""

    is_trade: bool
    side: int
    price: Decimal
    size: Decimal


def recorded(path: Path, count: int | None = None) -> Workload:
    """The whole recording, or its first `count` operations after the preload."""
    changes = list(_changes(path))
    if not changes:
        raise BadFlow(f"{path}: no line has a depthUpdate or a trade")
    tick = _finest(change.price for change in changes)
    lot = _finest(change.size for change in changes)
    stream = Stream(path.name.split(".")[0], 0, users=users_for(RESTING_MAX))
    for change in changes:
        if not stream.preloaded and len(stream.operations) >= PRELOAD:
            stream.start()
        if count is not None and stream.preloaded and stream.count >= count:
            break
        price, size = int(change.price / tick), int(change.size / lot)
        if change.is_trade:
            _trade(stream, change.side, price, size)
        else:
            _level(stream, change.side, price, size)
    return stream.done()


def _changes(path: Path) -> Iterator[Change]:
    opener = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opener(path, "rb") as lines:
            for line in lines:
                number += 1
                _, _, text = line.partition(b" ")
                message: dict[str, Any] = json.loads(text)
                content = message.get("data", message)
                if content.get("e") == "trade":
                    yield Change(True, 1 if content["m"] else 0, Decimal(content["p"]), Decimal(content["q"]))
                elif content.get("e") == "depthUpdate":
                    for side, key in enumerate(("b", "a")):
                        for price, size in content[key]:
                            yield Change(False, side, Decimal(price), Decimal(size))
    except (OSError, EOFError, ValueError, ArithmeticError, KeyError, TypeError, AttributeError) as error:
        raise BadFlow(f"{path}, line {number}: {error!r}") from error


def _finest(values: Iterator[Decimal]) -> Decimal:
    """The power of ten of which all are multiples."""
    exponent = min(int(value.normalize().as_tuple().exponent) for value in values)
    return Decimal(1).scaleb(exponent)


def _trade(stream: Stream, side: int, price: int, size: int) -> None:
    if price <= 0 or size <= 0:
        return
    best = stream.book().best(1 - side)
    if best is None or (best < price if side else best > price):
        return
    stream.take(side, price, min(size, _reach(stream, side, MAKERS_OF_TAKE_MAX)))


def _reach(stream: Stream, side: int, makers: int) -> int:
    """Lots of this many makers, best first."""
    return stream.within(side, levels=makers, makers=makers)[1]


def _level(stream: Stream, side: int, price: int, total: int) -> None:
    book = stream.book()
    there = book.totals[side].get(price, 0)
    if total < there:
        for order in reversed(_resting(stream, side, price)):
            stream.cancel(order)
            there = book.totals[side].get(price, 0)
            if there <= total:
                break
    if total <= there or price <= 0:
        return
    best = book.best(1 - side)
    crosses = best is not None and (best >= price if side else best <= price)
    size = total - there
    if crosses:
        size = min(size, _reach(stream, side, MAKERS_MAX))
    if crosses or len(book.left) < RESTING_MAX:
        stream.add(side, price, size)


def _resting(stream: Stream, side: int, price: int) -> list[int]:
    """Orders of one level, the oldest first."""
    book = stream.book()
    queue = book.levels[side][price]
    return [order for order, queued in queue if (found := book.left.get(order)) and found[3] == queued]
