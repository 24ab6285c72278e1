"""Turns a recorded depth-and-trade stream into a flow file: `python -m demo.convert RECORDED OUT [--orders N]`.

A line of the recording is a receive time in nanoseconds, a space, and a message with `depthUpdate` or `trade` data. A
level that grows is a new resting order, one that shrinks is a cancel, a trade is an aggressive order. Prices and sizes
are scaled to the demo's market; resting orders go round the makers, trades round the takers.
"""

import argparse
import gzip
import itertools
import sys
from collections import deque
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import msgspec

from demo.flow import MAKERS, Action, write

TRADERS = 20
TICK = Decimal("0.1")
LOT = Decimal("0.0001")
SIZE_MAX = Decimal("0.02")
"""A recorded venue is deeper than the demo's accounts: larger sizes are cut to this."""
NEAR = Decimal("0.003")
"""Only levels within 0.3 % of the last trade become orders."""
SLOTS_PER_MAKER = 60


def convert(lines: Iterator[bytes], orders: int, symbol: str) -> list[Action]:
    """At most `orders` placements, in recorded order; `at` counts from the first message."""
    flow: list[Action] = []
    depth: dict[tuple[str, Decimal], Decimal] = {}
    resting: dict[tuple[str, Decimal], deque[tuple[int, int]]] = {}
    makers = itertools.cycle((maker, 1 + slot) for slot in range(SLOTS_PER_MAKER) for maker in range(MAKERS))
    takers = itertools.cycle(range(MAKERS, TRADERS))
    start, last, count = 0, Decimal(0), 0
    for line in lines:
        stamp, _, raw = line.partition(b" ")
        message: dict[str, Any] = msgspec.json.decode(raw).get("data", {})
        start = start or int(stamp)
        at = (int(stamp) - start) // 1_000_000
        if message.get("e") == "trade":
            last = Decimal(message["p"])
            count += 1
            side = "sell" if message["m"] else "buy"
            size = min(Decimal(message["q"]), SIZE_MAX)
            flow.append(_place(at, next(takers), count, symbol, side, last, size, 0))
        elif message.get("e") == "depthUpdate":
            for side, key in (("buy", "b"), ("sell", "a")):
                for text, total in message[key]:
                    level, size = (side, Decimal(text)), Decimal(total)
                    grown = size - depth.get(level, Decimal(0))
                    depth[level] = size
                    if not last or abs(level[1] - last) > last * NEAR or count >= orders:
                        continue
                    queue = resting.setdefault(level, deque())
                    if grown > 0:
                        count += 1
                        maker, slot = next(makers)
                        queue.append((maker, count))
                        flow.append(_place(at, maker, count, symbol, side, level[1], min(grown, SIZE_MAX), slot))
                    elif grown < 0 and queue:
                        maker, order = queue.pop()
                        flow.append(Action(at=at, trader=maker, op="cancel", id=order))
        if count >= orders:
            break
    return flow


def _place(
    at: int, trader: int, order: int, symbol: str, side: str, price: Decimal, size: Decimal, slot: int
) -> Action:
    lots = max(size.quantize(LOT, rounding=ROUND_HALF_EVEN), LOT)
    return Action(
        at=at,
        trader=trader,
        op="place",
        id=order,
        market=symbol,
        side="buy" if side == "buy" else "sell",
        type="limit",
        tif="GTC" if slot else "IOC",
        price=_canonical(price.quantize(TICK, rounding=ROUND_HALF_EVEN)),
        size=_canonical(lots),
        slot=slot,
    )


def _canonical(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.convert", description=__doc__)
    parser.add_argument("recorded", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--orders", type=int, default=2_000)
    parser.add_argument("--symbol", default="BTC-USDC")
    options = parser.parse_args()
    opener = gzip.open if options.recorded.suffix == ".gz" else open
    try:
        with opener(options.recorded, "rb") as lines:
            flow = convert(iter(lines), options.orders, options.symbol)
    except (OSError, msgspec.DecodeError, ValueError) as error:
        print(f"cannot convert {options.recorded}: {error}", file=sys.stderr)
        return 2
    write(options.out, flow)
    print(f"{len(flow)} actions, {flow[-1].at / 1000 if flow else 0:.1f} s, written to {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
