"""Never wonders what happened to an order: `python examples/retry.py KEY_FILE SYMBOL PRICE [URL]`.

The digest of a signed order is its name before it is sent. Whatever is lost on the way, the same bytes again are
answered with the first result, and the digest can be asked for.
"""

import asyncio
import sys
from pathlib import Path

from offchain.client import ExchangeUnreachable, HooatsClient, Refused, Ticket


async def main(key: bytes, symbol: str, price: str, url: str = "http://127.0.0.1:8080") -> int:
    async with HooatsClient(url, key) as client:
        market = (await client.markets())[symbol]
        ticket = Ticket(symbol=symbol, side="buy", price=price, size=market.lot_size, client_order_id="retry-example")
        signed = await client.sign(ticket)
        print(f"its name is {signed.digest}")
        try:
            first = await client.place_signed(signed)
            again = await client.place_signed(signed)
        except Refused as refused:
            print(f"not executed: {refused}")
            return 1
        except ExchangeUnreachable as unknown:
            print(f"unknown, ask for {unknown.digest} later, or send the same bytes again")
            return 1
        print(f"placed at sequence {first.order.seq}; again: replayed {again.replayed}, sequence {again.order.seq}")
        print(f"by its own name: {(await client.order_by_client_id('retry-example')).status}")
        await client.cancel(signed.digest)
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
