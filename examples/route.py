"""Asks where a size trades best, and trades it: `python examples/route.py KEY_FILE SYMBOL buy|sell SIZE [URL]`.

The size is split between order book and AMM pair by equal marginal price; each part is an order that you sign.
"""

import asyncio
import sys
from pathlib import Path

from offchain.client import HooatsClient, Refused


async def main(key: bytes, symbol: str, side: str, size: str, url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        routed = await client.place_routed(symbol, side, size)
        quote = routed.quote
        print(f"quoted: {quote.filled} for {quote.total} with fees, {quote.average} on average")
        for name, result in (("book", routed.book), ("amm", routed.amm)):
            if isinstance(result, Refused):
                print(f"{name}: refused, {result}")
            elif result is not None:
                print(f"{name}: {result.order.filled} of {result.order.amount} at {result.order.average}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 5:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
