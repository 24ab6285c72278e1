"""Trades by ccxt's method names and structures: `python examples/trade_as_ccxt.py KEY_FILE SYMBOL PRICE [URL]`.

SYMBOL is ccxt's, like BTC/USDC. Nothing of ccxt is needed; a bot that knows its shape needs to change one line.
"""

import asyncio
import sys
from pathlib import Path

from offchain.client.unified import Hooats, errors


async def main(key: bytes, symbol: str, price: str, url: str = "http://127.0.0.1:8080") -> int:
    async with Hooats({"apiUrl": url, "privateKey": key.hex()}) as exchange:
        market = (await exchange.load_markets())[symbol]
        balance = await exchange.fetch_balance()
        print(f"{balance['free']['USDC']} USDC are free; a lot of {symbol} is {market['precision']['amount']}")
        order = await exchange.create_order(
            symbol, "limit", "buy", market["precision"]["amount"], float(price), {"postOnly": True}
        )
        print(f"{order['status']}: {order['remaining']} at {order['price']}")
        book = await exchange.watch_order_book(symbol)
        print(f"best bid {book['bids'][0]}")
        print((await exchange.cancel_order(order["id"], symbol))["status"])
        try:
            await exchange.create_order(symbol, "limit", "buy", 1_000_000, float(price))
        except errors.InsufficientFunds as error:
            print(f"{type(error).__name__}: {error}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))
    raise SystemExit(asyncio.run(main(secret, *sys.argv[2:])))
