"""A market maker in one loop: `python examples/quote.py KEY_FILE SYMBOL PRICE`. Two slots, one quote a side.

An order in a slot that is taken replaces what rests there, so no cancel is needed and no two quotes of a side can fill.
"""

import asyncio
import sys
from decimal import Decimal
from pathlib import Path

from offchain.client import HooatsClient, Refused, Ticket

BID_SLOT, ASK_SLOT = 1, 2
ROUNDS = 20


async def main(key: bytes, symbol: str, price: str, url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        market = (await client.markets())[symbol]
        tick, middle = Decimal(market.tick_size), Decimal(price)
        for step in range(ROUNDS):
            width = tick * (5 + step % 3)
            tickets = [
                _quote(symbol, "buy", middle - width, market.lot_size, BID_SLOT),
                _quote(symbol, "sell", middle + width, market.lot_size, ASK_SLOT),
            ]
            for ticket, answer in zip(tickets, await client.place_all(tickets), strict=True):
                outcome = answer if isinstance(answer, Refused) else f"{answer.order.status} at {answer.order.seq}"
                print(f"{ticket.side:>4} {ticket.price}: {outcome}")
            await asyncio.sleep(0.2)
        print(f"cancelled {len(await client.cancel_all(symbol))}")
    return 0


def _quote(symbol: str, side: str, price: Decimal, size: str, slot: int) -> Ticket:
    text = format(price, "f")
    canonical = text.rstrip("0").rstrip(".") if "." in text else text
    return Ticket(symbol=symbol, side="buy" if side == "buy" else "sell", price=canonical, size=size, slot=slot)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
