"""Quotes that go when too much of them fills: `python examples/protect.py KEY_FILE SYMBOL PRICE [URL]`.

A protection of 1 s, tripped by more than half of what two bids are worth together; then both are taken away again.
"""

import asyncio
import sys
from decimal import Decimal
from pathlib import Path

from offchain.client import HooatsClient

NUMBER = 0
WINDOW_MILLIS = 1_000


async def main(key: bytes, symbol: str, price: str, url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        market = (await client.markets())[symbol]
        worth = f"{(Decimal(price) * Decimal(market.lot_size)).normalize():f}"
        await client.set_protection(NUMBER, WINDOW_MILLIS, amount_max=worth, symbols=[symbol])
        below = f"{(Decimal(price) - Decimal(market.tick_size)).normalize():f}"
        for slot, bid in enumerate((price, below), start=1):
            placed = await client.place(symbol, "buy", bid, market.lot_size, slot=slot, post_only=True, protected=True)
            print(f"{bid}: {placed.order.status}, protected")
        for one in await client.protections():
            why = f", {one.tripped.amount} filled" if one.tripped else ""
            print(f"protection {one.number}: {one.state}, at most {one.amount_max} in {one.window_millis} ms{why}")
        print(f"cancelled {len(await client.cancel_all(symbol))}")
        await client.remove_protection(NUMBER)
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
