"""Trades with a market's AMM pair: `python examples/swap_amm.py KEY_FILE SYMBOL buy|sell SIZE LIMIT [URL]`.

The order is settled in a batch like any other, whole or not at all, never worse than LIMIT on average. What the pair
gives beyond the engine's promise is yours too, and shows once the fill has settled.
"""

import asyncio
import sys
from pathlib import Path

from offchain.client import HooatsClient, Refused


async def main(key: bytes, symbol: str, side: str, size: str, limit: str, url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        pool = (await client.pools()).get(symbol)
        if pool is None:
            print(f"{symbol} has no AMM pair")
            return 1
        print(f"the pair has {pool.base} and {pool.quote}, so {pool.price} before fees")
        try:
            placed = await client.place(symbol, side, limit, size, amm=True)
        except Refused as refused:
            print(f"refused: {refused}")
            return 1
        for fill in placed.fills:
            print(f"{fill.side} {fill.amount} for {fill.cost}, fee {fill.fee.cost}: {fill.state}")
        if not placed.fills:
            print("the pair asks for more than your limit")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 6:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
