"""Makes a quote smaller, then moves it: `python examples/amend.py KEY_FILE SYMBOL PRICE NEW_PRICE [URL]`.

A smaller size keeps the place in the queue. Another price is another order, in place of the first if that is still
open: if it was filled meanwhile there is no second one.
"""

import asyncio
import sys
from decimal import Decimal
from pathlib import Path

from offchain.client import HooatsClient, Refused, Ticket


async def main(key: bytes, symbol: str, price: str, new_price: str, url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        lot = (await client.markets())[symbol].lot_size
        size = f"{5 * Decimal(lot):f}"
        try:
            first = (await client.place(symbol, "buy", price, size)).order
            smaller = await client.amend(first.id, lot)
            print(f"{smaller.amount} instead of {first.amount}, the same order: {smaller.id == first.id}")
            moved = await client.replace(first.id, Ticket(symbol=symbol, side="buy", price=new_price, size=lot))
        except Refused as refused:
            print(f"refused: {refused}")
            return 1
        print(f"{price} is {(await client.order(first.id)).reason}, {moved.order.price} is {moved.order.status}")
        await client.cancel(moved.order.id)
        try:
            await client.replace(moved.order.id, Ticket(symbol=symbol, side="buy", price=price, size=lot))
        except Refused as refused:
            print(f"one that is gone is not replaced: {refused.code}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 5:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
