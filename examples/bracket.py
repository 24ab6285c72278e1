"""An entry with its exits: `python examples/bracket.py KEY_FILE SYMBOL SIZE ENTRY PROFIT STOP WORST [URL]`.

Buys at ENTRY; what it bought is then sold at PROFIT, or at WORST or better once the mark is at STOP: one of the two
cancels the other. All three orders are taken, or none.
"""

import asyncio
import sys
from pathlib import Path

from offchain.client import HooatsClient, Refused, Ticket


async def main(
    key: bytes,
    symbol: str,
    size: str,
    entry: str,
    profit: str,
    stop: str,
    worst: str,
    url: str = "http://127.0.0.1:8080",
) -> int:
    async with HooatsClient(url, key) as client:
        exits = {"symbol": symbol, "side": "sell", "size": size}
        try:
            placed = await client.bracket(
                Ticket(symbol=symbol, side="buy", size=size, price=entry),
                Ticket(**exits, price=profit),
                Ticket(**exits, price=worst, stop_loss_price=stop, immediate=True),
            )
        except Refused as refused:
            print(f"nothing was taken: {refused}")
            return 1
        for name, one in zip(("entry", "profit", "stop"), placed, strict=True):
            print(f"{name}: {one.order.side} at {one.order.price}, {'waits' if one.order.waiting else 'rests'}")
        await client.cancel(placed[0].order.id)
        print(f"without the entry: {(await client.order(placed[1].order.id)).reason}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 8:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
