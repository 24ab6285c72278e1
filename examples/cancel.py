"""Cancels one order, or everything: `python examples/cancel.py KEY_FILE [ORDER_ID|all] [URL]`."""

import asyncio
import sys
from pathlib import Path

from offchain.client import HooatsClient, Refused


async def main(key: bytes, what: str = "all", url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        for order in await client.orders():
            print(f"open: {order.side} {order.remaining} {order.symbol} at {order.price}, {order.id}")
        try:
            if what == "all":
                print(f"cancelled {len(await client.cancel_all())}")
            else:
                print(f"{what} is {(await client.cancel(what)).status}")
        except Refused as refused:
            print(f"refused: {refused}")
            return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
