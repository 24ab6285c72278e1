"""Withdraws at once, countersigned and relayed by the venue: `python examples/withdraw.py KEY_FILE TOKEN AMOUNT [URL]`.

Without the operator: `hooats withdraw --mode request`, and after 15 minutes `--mode complete`.
"""

import asyncio
import sys
from pathlib import Path

from offchain.client import HooatsClient, Refused


async def main(key: bytes, token: str, amount: str, url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        balances = await client.balances()
        token = next((name for name in balances if token in (name, f"h{name}")), token)
        if token not in balances:
            print(f"this account has no {token}")
            return 1
        print(f"{balances[token].withdrawable} {token} may leave at once")
        try:
            approval = await client.withdraw(token, amount)
        except Refused as refused:
            print(f"refused: {refused}")
            return 1
        print(f"{approval.amount} {token} to {approval.destination}: countersigned, the relay sends it")
        print(f"{(await client.balances())[token].withdrawable} {token} are left")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
