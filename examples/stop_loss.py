"""Waits for a price: `python examples/stop_loss.py KEY_FILE SYMBOL SIZE STOP WORST [URL]`.

Sells SIZE once the mark is at STOP or below, at WORST or better; what does not match then is cancelled. The price, the
trigger and the worst price are signed; until the trigger comes the order holds no money.
"""

import asyncio
import sys
from pathlib import Path

from offchain.client import HooatsClient, Refused, Ticket


async def main(key: bytes, symbol: str, size: str, stop: str, worst: str, url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        market = (await client.listing())[symbol][1]
        print(f"the mark is {market.mark or 'not posted'}")
        ticket = Ticket(symbol=symbol, side="sell", price=worst, size=size, stop_loss_price=stop, immediate=True)
        try:
            placed = await client.place_ticket(ticket)
        except Refused as refused:
            print(f"refused: {refused}")
            return 1
        order = await client.order(placed.order.id)
        print(f"{order.status}, {'waits' if order.waiting else 'waits no more'} for {order.stop_loss_price}")
        print(f"cancelled: {(await client.cancel(order.id)).status}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 6:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
