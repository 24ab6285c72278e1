"""Ends sessions: `python examples/logout.py KEY_FILE [this|all] [URL]`.

A session reads and cancels for a day. Whoever fears that one was seen ends it, or all of the account.
"""

import asyncio
import sys
from pathlib import Path

from offchain.client import HooatsClient, Refused


async def main(key: bytes, what: str = "this", url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        api_key, _ = await client.login()
        print(f"session {api_key[:12]}… is open")
        await client.logout(everywhere=what == "all")
        try:
            await client.orders()
        except Refused as refused:
            print(f"{refused.code}: ended")
            return 0
    return 1


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
