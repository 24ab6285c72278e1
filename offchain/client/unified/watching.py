"""ccxt's `watch_*`: each call waits for the next change and answers with the whole of it.

One connection carries all public channels, another one the account; both reconnect and resume by themselves.
"""

import asyncio
from collections import deque
from typing import Any

import msgspec

from offchain.client.answers import Balance, Fill, Order
from offchain.client.book import LocalBook
from offchain.client.http import HooatsClient
from offchain.client.live import LiveAccount, Update
from offchain.client.stream import Stream
from offchain.client.unified import shapes

Json = dict[str, Any]
CACHE = 1_000
"""Messages that nobody has asked for yet, per channel; the oldest give way."""


class Watching:
    """The half of `Hooats` that listens."""

    number: shapes.Number

    def __init__(self, client: HooatsClient) -> None:
        self._client = client
        self._public: Stream | None = None
        self._account: LiveAccount | None = None
        self._opening = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._books: dict[str, LocalBook] = {}
        self._fresh: dict[str, asyncio.Event] = {}
        self._trades: dict[str, deque[Json]] = {}
        self._updates: dict[type, deque[Any]] = {kind: deque(maxlen=CACHE) for kind in (Order, Fill, Balance)}

    async def native(self, symbol: str) -> str:
        raise NotImplementedError  # `Hooats` has it; here it is named for the type checker

    async def watch_order_book(self, symbol: str, limit: int | None = None, params: Json | None = None) -> Json:
        native = await self._listen("book", symbol)
        await self._next(f"book:{native}")
        book = self._books[native]
        return shapes.book_of(
            symbol, book.levels("bids", limit), book.levels("asks", limit), book.sequence, self.number
        )

    async def watch_ticker(self, symbol: str, params: Json | None = None) -> Json:
        """Whenever the book changes."""
        native = await self._listen("book", symbol)
        await self._next(f"book:{native}")
        book, trades = self._books[native], await self._client.trades(native, 1)
        bids, asks = book.levels("bids", 1), book.levels("asks", 1)
        return shapes.ticker_of(symbol, bids, asks, trades[0] if trades else None, self.number)

    async def watch_trades(
        self, symbol: str, since: int | None = None, limit: int | None = None, params: Json | None = None
    ) -> list[Json]:
        """Those that came since the last call."""
        native = await self._listen("trades", symbol)
        await self._next(f"trades:{native}")
        rows, self._trades[native] = self._trades[native], deque(maxlen=CACHE)
        return _cut([shapes.trade_of(row, symbol, self.number) for row in rows], since, limit)

    async def watch_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Json | None = None
    ) -> list[Json]:
        """Those that changed since the last call."""
        orders = await self._changed(Order)
        found = [shapes.order_of(order, msgspec.to_builtins(order), self.number) for order in orders]
        return _cut([row for row in found if symbol in (None, row["symbol"])], since, limit)

    async def watch_my_trades(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Json | None = None
    ) -> list[Json]:
        """Those that came, or whose settlement went on, since the last call."""
        fills = await self._changed(Fill)
        found = [shapes.my_trade_of(fill, msgspec.to_builtins(fill), self.number) for fill in fills]
        return _cut([row for row in found if symbol in (None, row["symbol"])], since, limit)

    async def watch_balance(self, params: Json | None = None) -> Json:
        await self._changed(Balance)
        assert self._account is not None
        rows: dict[str, Balance] = {}
        for row in self._account.balances.values():
            rows[row.address if row.token in rows else row.token] = row
        info = {code: msgspec.to_builtins(row) for code, row in rows.items()}
        return shapes.balance_of(rows.items(), info, self.number)

    async def stop_watching(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._public is not None:
            await self._public.aclose()
        if self._account is not None:
            await self._account.__aexit__()
        self._public = self._account = None

    # --- public channels ---

    async def _listen(self, kind: str, symbol: str) -> str:
        """The venue's name of a market to whose channel the connection is, or will be, subscribed."""
        native = await self.native(symbol)
        channel = f"{kind}:{native}"
        if channel not in self._fresh:
            self._fresh[channel] = asyncio.Event()
            self._books.setdefault(native, LocalBook())
            self._trades.setdefault(native, deque(maxlen=CACHE))
            if self._public is None:
                self._public = Stream(self._client, [channel])
                self._tasks.append(asyncio.create_task(self._follow(self._public), name="public channels"))
            else:
                await self._public.add(channel)
        return native

    async def _next(self, channel: str) -> None:
        fresh = self._fresh[channel]
        await self._or_broken(fresh.wait())
        fresh.clear()

    async def _follow(self, stream: Stream) -> None:
        async for message in stream:
            channel: str = message["channel"]
            kind, _, native = channel.partition(":")
            if kind == "trades":
                self._trades[native].extend(message["trades"])
                if not message["trades"]:
                    continue
            elif not self._books[native].apply(message):
                await stream.reset(channel)
                continue
            self._fresh[channel].set()

    # --- the account ---

    async def _changed(self, kind: type) -> list[Any]:
        async with self._opening:
            if self._account is None:
                account = LiveAccount(self._client)
                await account.__aenter__()
                self._account = account
                for name in (Order, Fill, Balance):
                    self._fresh[name.__name__] = asyncio.Event()
                self._tasks.append(asyncio.create_task(self._sort(account), name="own updates"))
        await self._next(kind.__name__)
        found, self._updates[kind] = list(self._updates[kind]), deque(maxlen=CACHE)
        return found

    async def _sort(self, account: LiveAccount) -> None:
        while True:
            update: Update = await account.next()
            self._updates[type(update)].append(update)
            self._fresh[type(update).__name__].set()

    async def _or_broken(self, waiting: Any) -> None:
        """Waits, or raises what ended one of the connections."""
        task = asyncio.ensure_future(waiting)
        await asyncio.wait({task, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            for broken in self._tasks:
                if broken.done():
                    broken.result()
        await task


def _cut(rows: list[Json], since: int | None, limit: int | None) -> list[Json]:
    found = [row for row in rows if since is None or row["timestamp"] >= since]
    return found[-limit:] if limit else found
