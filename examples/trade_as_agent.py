"""A program that only trades: `python examples/trade_as_agent.py KEY_FILE AGENT_FILE SYMBOL PRICE [URL]`.

The account signs once that a key may trade in one market for a day, up to 1,000 USDC; the venue registers it on chain.
AGENT_FILE, made if it is not there, is then all that the program needs: it can quote and cancel, and take nothing out.
"""

import asyncio
import secrets
import sys
import time
from pathlib import Path

from offchain.client import HooatsClient
from offchain.client.orders import Signer
from offchain.domain.errors import ConfigurationError
from offchain.domain.market import parse_atoms

DAY = 24 * 3600
PATIENCE_SECONDS = 60
USDC_DECIMALS = 6


def key_in(path: Path) -> bytes:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text("0x" + secrets.token_hex(32))
    return bytes.fromhex(path.read_text().strip().removeprefix("0x"))


async def register(owner: HooatsClient, agent: str, symbol: str) -> None:
    """Until the venue has seen on chain that it may."""
    market, notional = (await owner.markets())[symbol].market, parse_atoms("1000", USDC_DECIMALS, "notional")
    await owner.register_agent(agent, notional=notional, expiry=int(time.time()) + DAY, markets=[market])
    for _ in range(PATIENCE_SECONDS):
        if agent in [one.agent for one in await owner.agents() if not one.revoked]:
            return
        await asyncio.sleep(1)
    raise SystemExit("the venue has not registered the agent yet: run this again")


async def main(key: bytes, agent: bytes, symbol: str, price: str, url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as owner:
        account = owner.account
        await register(owner, Signer(agent).address, symbol)
    print(f"{Signer(agent).address} may trade for {account}")
    async with HooatsClient(url, agent, account=account) as client:
        lot = (await client.markets())[symbol].lot_size
        placed = await client.place(symbol, "buy", price, lot, post_only=True)
        print(f"{placed.order.id} is {placed.order.status}, then {(await client.cancel(placed.order.id)).status}")
        try:
            await client.withdraw("USDC", "1")
        except ConfigurationError as refused:
            print(f"to withdraw: {refused}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 5:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, key_in(Path(sys.argv[2])), *sys.argv[3:])))
