"""Moves a quote without a gap: `python examples/replace.py KEY_FILE SYMBOL PRICE NEW_PRICE [URL]`.

A newer order in a slot replaces the one that rests there, in one message, also on chain: never both, never neither.
"""

import asyncio
import sys
from pathlib import Path

from offchain.client import HooatsClient, Refused

SLOT = 77


async def main(key: bytes, symbol: str, price: str, new_price: str, url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        market = (await client.markets())[symbol]
        try:
            first = await client.place(symbol, "buy", price, market.lot_size, slot=SLOT)
            second = await client.place(symbol, "buy", new_price, market.lot_size, slot=SLOT)
        except Refused as refused:
            print(f"refused: {refused}")
            return 1
        before = await client.order(first.order.id)
        print(f"{before.price} is {before.status}: {before.reason}")
        print(f"{second.order.price} is {second.order.status}")
        await client.cancel(second.order.id)
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 5:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
