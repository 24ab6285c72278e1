"""Asks for a market over a new synth: `python examples/create_market.py OPERATOR_KEY_FILE SYMBOL SYNTH NAME [URL]`.

The list keeper brings it on chain, the market opens PAUSED, and an operator resumes it.
"""

import asyncio
import sys
from pathlib import Path

from offchain.client import HooatsClient, Refused

TERMS = {
    "lotSize": "0.001",
    "tickSize": "0.01",
    "ceiling": "1000",
    "initialPercent": 150,
    "maintenancePercent": 130,
    "bonusPercent": 10,
    "quorum": 1,
    "maxAgeSeconds": 600,
    "maxMovePpmPerMinute": 100_000,
}


async def main(key: bytes, symbol: str, synth: str, name: str, url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        try:
            requested = await client.create_market(symbol, {"synth": synth, "name": name, **TERMS})
        except Refused as refused:
            print(f"refused: {refused}")
            return 1
        print(f"{symbol} is asked for as market {requested['market']}")
        print(f"it is {(await client.market_states())[symbol]}; then: hooats market resume {symbol}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 5:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
