"""Places a ladder in one request, answered item by item: `python examples/batch.py KEY_FILE SYMBOL PRICE [URL]`.

Five bids, the third of them too large on purpose: it is refused, and the others rest.
"""

import asyncio
import sys
from decimal import Decimal
from pathlib import Path

from offchain.client import HooatsClient, Refused, Ticket

LEVELS = 5


async def main(key: bytes, symbol: str, price: str, url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        market = (await client.markets())[symbol]
        tickets = []
        for level in range(LEVELS):
            bid = Decimal(price) - level * Decimal(market.tick_size)
            size = "1000000" if level == 2 else market.lot_size
            tickets.append(Ticket(symbol=symbol, side="buy", price=f"{bid.normalize():f}", size=size, slot=1 + level))
        for ticket, answer in zip(tickets, await client.place_all(tickets), strict=True):
            if isinstance(answer, Refused):
                print(f"{ticket.price}: {answer.code}, {answer.data.get('free')} {answer.data.get('token')} are free")
            else:
                print(f"{ticket.price}: {answer.order.status}, sequence {answer.order.seq}")
        print(f"cancelled {len(await client.cancel_all(symbol))}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
