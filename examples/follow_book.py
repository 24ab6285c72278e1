"""Follows an order book, checksum and all: `python examples/follow_book.py SYMBOL [URL] [MESSAGES]`."""

import asyncio
import sys

from offchain.client import HooatsClient, LocalBook


async def main(symbol: str, url: str = "http://127.0.0.1:8080", messages: str = "0") -> int:
    book, left = LocalBook(), int(messages)
    async with HooatsClient(url) as client:
        async for message in client.stream([f"book:{symbol}"]):
            if not book.apply(message):
                print("the checksum differs: start again")
                return 1
            bid, ask = book.levels("bids", 1), book.levels("asks", 1)
            print(f"{message['seq']:>10}  {bid[0] if bid else '-'}  {ask[0] if ask else '-'}")
            left -= 1
            if left == 0:
                return 0
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    raise SystemExit(asyncio.run(main(*sys.argv[1:])))
