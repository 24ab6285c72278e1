"""The exchange in ccxt's shape: its method names, unified structures and exceptions, without ccxt itself.

    async with Hooats({"apiUrl": "http://127.0.0.1:8080", "privateKey": "0x..."}) as exchange:
        order = await exchange.create_order("BTC/USDC", "limit", "buy", 0.01, 61500)

Invariant: it is a view of `HooatsClient`: what it says equals what REST says, digit for digit with `number` str. Shapes
follow ccxt 4.5 (tests/offchain/client/ccxt_shapes.json); `info` holds the venue's own words.
"""

from offchain.client.unified import errors
from offchain.client.unified.exchange import Hooats

__all__ = ["Hooats", "errors"]
