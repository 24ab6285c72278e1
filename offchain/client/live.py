"""What is true now, kept by streams: a book, and an account's open orders, fills and balances.

Invariant: whatever was lost on the way (connection, gateway, sequencer), an account ends up with what REST would
answer, and tells every fill and the end of every order that it knew. A book whose checksum differs starts again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from offchain.client.answers import Balance, Fill, Order, convert
from offchain.client.book import LocalBook
from offchain.client.failures import ExchangeUnreachable, Refused
from offchain.client.stream import Stream

if TYPE_CHECKING:
    from offchain.client.http import HooatsClient

FILLS_KEPT = 10_000
CLOSED_KEPT = 10_000
PAGE = 1_000
FINAL = ("SETTLED", "REFUSED")
ASK_AGAIN_SECONDS = 0.2
HISTORY_SECONDS = 60.0
"""How long the history of a venue that has just started may lag."""
T = TypeVar("T")
Update = Order | Fill | Balance


async def follow_book(client: "HooatsClient", symbol: str) -> AsyncGenerator[LocalBook, None]:
    """The book after every message, the same object each time."""
    channel, book = f"book:{symbol}", LocalBook()
    stream = Stream(client, [channel])
    try:
        async for message in stream:
            if book.apply(message):
                yield book
            else:
                await stream.reset(channel)
    finally:
        await stream.aclose()


class LiveAccount:
    """`async with LiveAccount(client) as account`: from then on `orders`, `balances` and `fills` follow the venue.

    `updates` yields what changed, in order per kind; one that is not taken stays in a queue.
    """

    def __init__(self, client: "HooatsClient") -> None:
        self.orders: dict[str, Order] = {}
        """Open ones, by id."""
        self.closed: OrderedDict[str, Order] = OrderedDict()
        """Whose end was seen, the last CLOSED_KEPT of them."""
        self.balances: dict[str, Balance] = {}
        """By token address."""
        self.fills: OrderedDict[tuple[str, str], Fill] = OrderedDict()
        """By id and order, each as last told: its state changes until it is settled. The last FILLS_KEPT of them."""
        self._client = client
        self._stream = Stream(client, ["orders", "fills", "balances"])
        self._updates: asyncio.Queue[Update] = asyncio.Queue()
        self._changed = asyncio.Condition()
        self._loaded: set[str] = set()
        self._newest_fill = -1
        self._unsettled: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_connected(self) -> bool:
        """What is known now; without a connection it is what was true when it was lost."""
        return self._stream.is_connected

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name="live account")
        await self.wait(lambda: len(self._loaded) == 3)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._stream.aclose()

    async def next(self) -> Update:
        """The next change. Raises what ended the stream, if something did."""
        waiting = asyncio.ensure_future(self._updates.get())
        assert self._task is not None
        await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            self._task.result()
        return await waiting

    async def wait(self, condition: Callable[[], bool], seconds: float | None = None) -> None:
        """Until the condition holds. TimeoutError, or what ended the stream."""
        async with asyncio.timeout(seconds), self._changed:
            while not condition():
                if self._task is not None and self._task.done():
                    self._task.result()
                await self._changed.wait()

    async def wait_closed(self, digest: str, seconds: float | None = None) -> Order:
        """The end of an order."""
        await self.wait(lambda: digest in self.closed, seconds)
        return self.closed[digest]

    # --- what comes ---

    async def _follow(self) -> None:
        try:
            async for message in self._stream:
                await self._take(message)
        finally:
            async with self._changed:
                self._changed.notify_all()

    async def _take(self, message: dict[str, Any]) -> None:
        channel, is_snapshot = message["channel"], message["type"] == "snapshot"
        if channel == "orders":
            orders = convert(message["orders"], list[Order])
            if is_snapshot:
                await self._reconcile_orders(orders)
            else:
                self._take_orders(orders)
        elif channel == "fills":
            fills = convert(message["fills"], list[Fill])
            if is_snapshot:
                fills = await self._missing_fills(fills) + fills
            self._take_fills(fills)
        else:
            self._take_balances(convert(message["balances"], list[Balance]))
        self._loaded.add(channel)
        async with self._changed:
            self._changed.notify_all()

    def _take_orders(self, orders: list[Order]) -> None:
        for order in orders:
            known = self.orders.get(order.id) or self.closed.get(order.id)
            if order.status == "open":
                self.orders[order.id] = order
            else:
                self.orders.pop(order.id, None)
                self.closed[order.id] = order
                if len(self.closed) > CLOSED_KEPT:
                    self.closed.popitem(last=False)
            if known != order:
                self._updates.put_nowait(order)

    async def _reconcile_orders(self, open_now: list[Order]) -> None:
        """After a snapshot: what was open and is not there any more has ended meanwhile."""
        vanished = self.orders.keys() - {order.id for order in open_now}
        self._take_orders([*[await self._ended(digest) for digest in sorted(vanished)], *open_now])

    async def _ended(self, digest: str) -> Order:
        """How an order ended that is open no more. A gateway that has just started asks the history, which lags."""
        async with asyncio.timeout(HISTORY_SECONDS):
            while True:
                try:
                    order = await self._ask(lambda: self._client.order(digest))
                    if order.status != "open":
                        return order
                except Refused as refused:
                    if refused.code != "ORDER_NOT_FOUND":
                        raise
                await asyncio.sleep(ASK_AGAIN_SECONDS)

    async def _missing_fills(self, shown: list[Fill]) -> list[Fill]:
        """Fills below those of a snapshot that are new, or whose state may have changed; oldest first. A venue that has
        just started shows none, and has had some all the same."""
        if "fills" not in self._loaded:
            return []
        missing: list[Fill] = []
        known = min(self._newest_fill, min(self._unsettled, default=self._newest_fill + 1) - 1)
        cursor = min((int(fill.id) for fill in shown), default=None)
        while (cursor is None or cursor > known + 1) and len(missing) < FILLS_KEPT:
            before = "" if cursor is None else str(cursor)
            page = await self._ask(partial(self._client.fills, limit=PAGE, cursor=before))
            if not page:
                break
            missing += page
            cursor = int(page[-1].id)
        return missing[::-1]

    def _take_fills(self, fills: list[Fill]) -> None:
        for fill in fills:
            name = fill.id, fill.order
            if self.fills.get(name) == fill:
                continue
            self.fills[name] = fill
            number = int(fill.id)
            self._newest_fill = max(self._newest_fill, number)
            (self._unsettled.discard if fill.state in FINAL else self._unsettled.add)(number)
            self._updates.put_nowait(fill)
        while len(self.fills) > FILLS_KEPT:
            self.fills.popitem(last=False)

    def _take_balances(self, balances: list[Balance]) -> None:
        for balance in balances:
            if self.balances.get(balance.address) != balance:
                self.balances[balance.address] = balance
                self._updates.put_nowait(balance)

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """The venue, until it answers."""
        while True:
            try:
                return await question()
            except ExchangeUnreachable:
                await asyncio.sleep(ASK_AGAIN_SECONDS)
            except Refused as refused:
                if refused.code != "RATE_LIMITED":
                    raise
                await asyncio.sleep(refused.data.get("retryAfterMs", 500) / 1000)
