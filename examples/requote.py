"""Moves both sides of a quote at once, or not at all: `python examples/requote.py KEY_FILE SYMBOL BID ASK [URL]`.

One request cancels the old pair and places the new one, post-only: a market is never quoted on one side only. A
dead-man switch of a minute cancels everything if this program falls silent.
"""

import asyncio
import sys
from pathlib import Path

from offchain.client import HooatsClient, Placed, Refused, Ticket


async def main(key: bytes, symbol: str, bid: str, ask: str, url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        market = (await client.markets())[symbol]
        step, lot = market.parse_price(bid) // 1000 or 1, market.lot_size
        old: list[str] = []
        await client.cancel_all_after(60_000)
        for shift in (0, 1):
            prices = {"buy": market.parse_price(bid) - shift * step, "sell": market.parse_price(ask) + shift * step}
            tickets = [
                Ticket(symbol=symbol, side=side, price=market.format_price(price), size=lot, post_only=True)
                for side, price in prices.items()
            ]
            try:
                done = await client.batch(tickets, cancels=old)
            except Refused as refused:
                print(f"nothing changed: {refused}")
                return 1
            placed = [one for one in done.orders if isinstance(one, Placed)]
            print(f"{len(done.cancels)} cancelled, quoted {' and '.join(one.order.price for one in placed)}")
            old = [one.order.id for one in placed]
        print(
            f"cancelled {len(await client.cancel_all(symbol))}, switch off: {await client.cancel_all_after(0) is None}"
        )
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 5:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
