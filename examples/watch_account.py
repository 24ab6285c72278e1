"""Keeps orders, fills and balances by streams: `python examples/watch_account.py KEY_FILE [URL] [UPDATES]`.

It survives lost connections and restarts of the venue: what it holds is what REST would answer.
"""

import asyncio
import sys
from pathlib import Path

from offchain.client import Balance, Fill, HooatsClient, LiveAccount


async def main(key: bytes, url: str = "http://127.0.0.1:8080", updates: str = "0") -> int:
    async with HooatsClient(url, key) as client, LiveAccount(client) as account:
        print(f"{len(account.orders)} open orders, {len(account.balances)} balances", flush=True)
        left = int(updates)
        while True:
            update = await account.next()
            if isinstance(update, Fill):
                print(f"fill {update.id}: {update.side} {update.amount} at {update.price}, {update.state}", flush=True)
            elif isinstance(update, Balance):
                print(f"{update.token}: {update.free} free of {update.total}", flush=True)
            else:
                print(f"order {update.id[:10]}: {update.status}, {update.filled} of {update.amount}", flush=True)
            left -= 1
            if left == 0:
                return 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
