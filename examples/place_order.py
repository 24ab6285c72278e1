"""Places an order, watches it, cancels it: `python examples/place_order.py KEY_FILE [URL]`.

The key file holds 0x and 64 hex digits, and its account has USDC in the Vault.
"""

import asyncio
import sys
from pathlib import Path

from offchain.client import HooatsClient, Refused


async def main(key: bytes, url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        symbol, market = next(iter((await client.markets()).items()))
        print(f"{symbol}: prices in steps of {market.tick_size}, sizes in steps of {market.lot_size}")
        for balance in (await client.balances()).values():
            print(f"{balance.token}: {balance.free} free of {balance.total}")
        try:
            placed = await client.place(symbol, "buy", market.tick_size, market.lot_size, post_only=True)
        except Refused as refused:
            print(f"refused: {refused}")
            return 1
        print(f"{placed.order.id} is {placed.order.status}, receipt at sequence {placed.order.seq}")
        cancelled = await client.cancel(placed.order.id)
        print(f"{cancelled.id} is {cancelled.status}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
