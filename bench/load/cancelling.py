"""`python -m bench.load.cancelling URL SECONDS SEED READY RESULT KEY…`: traders who cancel while others overload a
venue.

Each key's account has orders in the book before the clock starts; then one is cancelled at a time, in fixed frames and
over REST, at times drawn beforehand, and **latency counts from the scheduled time**. They place a few over REST, too:
each must be taken, or refused with 429. The file READY appears when the orders rest, and the clock starts when it is
taken away; RESULT says how it went.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect

from bench.load.histogram import Histogram
from bench.load.presign import MIDDLE_TICKS
from bench.load.schedule import poisson
from offchain.client import HooatsClient
from offchain.client.failures import ExchangeUnreachable, Refused
from offchain.client.orders import SignedOrder, Ticket
from offchain.domain import wire
from offchain.domain.units import Lots, Ticks
from offchain.gateway.stream import LOGIN_REQUEST

FRAMES_A_SECOND, REST_A_SECOND, PLACED_A_SECOND = 10.0, 3.0, 3.0
"""Of each trader."""
ANSWER_SECONDS = 30.0
FAR_TICKS = 100_000
"""From where others trade: only these cancels take the orders out."""


class Trader:
    """One account."""

    def __init__(self, url: str, key: bytes, seconds: float, seed: int) -> None:
        self.url = url
        self.client = HooatsClient(url, key, retry_seconds=0)
        self.seconds, self.seed = seconds, seed
        self.latency = {"frames": Histogram(), "rest": Histogram()}
        self.outcomes: dict[str, Counter[str]] = {name: Counter() for name in ("frames", "rest", "placed")}
        self._resting: list[tuple[int, str]] = []
        self._placed = 0

    async def prepare(self) -> None:
        """So many resting orders as will be cancelled, and no more."""
        (self.market,) = (await self.client.markets()).values()
        count = int((FRAMES_A_SECOND + REST_A_SECOND) * self.seconds) + 1
        while len(self._resting) < count:
            signed = [await self._signed() for _ in range(min(50, count - len(self._resting)))]
            for placed in await self.client.place_all_signed(signed):
                assert not isinstance(placed, Refused), placed
            self._resting += [(one.order.nonce, one.digest) for one in signed]

    async def _signed(self) -> SignedOrder:
        """In a slot of its own."""
        self._placed += 1
        price, size = self.market.format_price(Ticks(MIDDLE_TICKS - FAR_TICKS)), self.market.format_size(Lots(1))
        ticket = Ticket(symbol=self.market.symbol, side="buy", price=price, size=size, slot=self._placed)
        return await self.client.sign(ticket)

    async def run(self) -> None:
        url = "ws" + self.url.removeprefix("http") + "/v1/ws"
        async with connect(url, compression=None) as socket:
            key, timestamp, sign = await self.client.sign_request(LOGIN_REQUEST)
            await socket.send(json.dumps({"op": "login", "key": key, "timestamp": timestamp, "sign": sign}))
            assert json.loads(await socket.recv())["ok"]
            self._begun = time.monotonic()
            await asyncio.gather(self._frames(socket), self._rest(), self._place())
        await self.client.close()

    async def _due(self, rate: float, salt: int) -> AsyncIterator[float]:
        """Each moment, when it has come."""
        for due in poisson(rate, int(rate * self.seconds), self.seed * 7 + salt):
            if due > self.seconds:
                return
            await asyncio.sleep(max(0.0, self._begun + due - time.monotonic()))
            yield due

    async def _frames(self, socket: ClientConnection) -> None:
        """Any number under way."""
        under_way: dict[int, tuple[float, asyncio.Future[None]]] = {}

        async def hear() -> None:
            while True:
                message = await socket.recv()
                if not isinstance(message, bytes):
                    continue
                _, kind, _, number = wire.HEAD.unpack_from(message)
                due, answered = under_way.pop(number)
                answered.set_result(None)
                self._note("frames", due)
                if kind == wire.MessageKind.RESULTS:
                    result = wire.unpack_result(message[wire.HEAD.size : wire.HEAD.size + wire.RESULT_BYTES])
                    self.outcomes["frames"]["OK" if result.status == "canceled" else result.reason] += 1
                else:
                    self.outcomes["frames"][f"fault {message[wire.HEAD.size]}"] += 1

        hearing = asyncio.create_task(hear())
        number = 0
        async for due in self._due(FRAMES_A_SECOND, 1):
            number += 1
            under_way[number] = due, asyncio.get_running_loop().create_future()
            nonce, _ = self._resting.pop()
            head = wire.HEAD.pack(wire.VERSION, wire.MessageKind.CANCELS, 1, number)
            await socket.send(head + wire.CANCEL.pack(nonce))
        if under_way:
            await asyncio.wait([answered for _, answered in under_way.values()], timeout=ANSWER_SECONDS)
        hearing.cancel()
        self.outcomes["frames"].update({"unanswered": len(under_way)} if under_way else {})

    async def _rest(self) -> None:
        async for due in self._due(REST_A_SECOND, 2):
            _, digest = self._resting.pop()
            await self._ask("rest", self.client.cancel(digest))
            self._note("rest", due)

    async def _place(self) -> None:
        async for _ in self._due(PLACED_A_SECOND, 3):
            await self._ask("placed", self.client.place_signed(await self._signed()))

    async def _ask(self, name: str, request: Awaitable[object]) -> None:
        try:
            await request
            self.outcomes[name]["OK"] += 1
        except Refused as refused:
            self.outcomes[name][refused.code] += 1
        except ExchangeUnreachable as lost:
            self.outcomes[name][str(lost)] += 1

    def _note(self, name: str, due: float) -> None:
        self.latency[name].add(int((time.monotonic() - self._begun - due) * 1e6))


def summary(traders: Sequence[Trader]) -> dict[str, object]:
    latency, outcomes = {name: Histogram() for name in ("frames", "rest")}, dict[str, Counter[str]]()
    for trader in traders:
        for name, histogram in trader.latency.items():
            for micros, count in histogram:
                latency[name].add(micros, count)
        for name, counted in trader.outcomes.items():
            outcomes.setdefault(name, Counter()).update(counted)
    return {"latency_ms": {name: one.summary() for name, one in latency.items()}, "outcomes": outcomes}


async def all_of(work: Sequence[Awaitable[None]]) -> None:
    await asyncio.gather(*work)


def main() -> int:
    url, seconds, seed, name, result, *keys = sys.argv[1:]
    ready = Path(name)
    with asyncio.Runner() as runner:
        traders = [Trader(url, bytes.fromhex(key), float(seconds), int(seed) + at) for at, key in enumerate(keys)]
        runner.run(all_of([trader.prepare() for trader in traders]))
        ready.touch()
        while ready.exists():
            time.sleep(0.01)
        runner.run(all_of([trader.run() for trader in traders]))
    Path(result).write_text(json.dumps(summary(traders)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
