"""Sends a flow as its traders would: signed orders over HTTP and WebSocket, retried until each outcome is known.

Invariant: every placement ends as acknowledged (accepted or refused), and the same signed bytes are sent again while
the outcome is unknown, so nothing is placed twice.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import websockets
from websockets.asyncio.client import ClientConnection

from demo.flow import Action
from offchain.client import ExchangeUnreachable, HooatsClient, Refused, SignedOrder, Ticket
from offchain.domain.units import Digest

STRETCH_PER_SECOND = 80
"""A flow that is faster than this many actions a second is slowed down: settlement has a ceiling."""
RETRY_SECONDS = 0.1
GIVE_UP_SECONDS = 60.0
UNKNOWN = ("UNKNOWN", "UNAVAILABLE")


class Outcome(NamedTuple):
    """What became of one placement. `sequence` is that of its receipt."""

    action: Action
    digest: Digest
    nonce: int
    sequence: int
    reason: str

    @property
    def ok(self) -> bool:
        return not self.reason


class SocketLane:
    """Order entry over one WebSocket connection, one order at a time."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("http", "ws", 1) + "/v1/ws"
        self._socket: ClientConnection | None = None
        self._requests = 0

    async def place(self, signed: SignedOrder) -> dict[str, Any]:
        """The answer; `ExchangeUnreachable` if the connection broke, the outcome is then unknown."""
        self._requests += 1
        try:
            if self._socket is None:
                self._socket = await websockets.connect(self._url)
            await self._socket.send(json.dumps({"op": "order", "id": self._requests, "order": signed.body}))
            async with asyncio.timeout(10):
                while True:
                    answer: dict[str, Any] = json.loads(await self._socket.recv())
                    if answer.get("id") == self._requests:
                        return answer
        except (OSError, TimeoutError, websockets.WebSocketException) as error:
            await self.close()
            raise ExchangeUnreachable(f"the stream broke: {error}", digest=signed.digest) from error

    async def close(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()


class Trading:
    """Runs a flow with one client per trader; even traders use HTTP, odd ones the WebSocket."""

    def __init__(self, clients: Sequence[HooatsClient], on_progress: Callable[[str], None]) -> None:
        self._clients = clients
        self._sockets = [SocketLane(client.url) for client in clients]
        self._on_progress = on_progress
        self.outcomes: dict[int, Outcome] = {}
        self.latencies: list[float] = []
        self.cancels = 0
        self.retries = 0
        self._done = 0

    async def run(self, flow: list[Action], hooks: Sequence[tuple[int, Callable[[], Awaitable[None]]]]) -> None:
        """Sends every action at its time. A hook (n, what) runs beside the flow once n actions were sent."""
        scale = max(1.0, len(flow) / STRETCH_PER_SECOND * 1000 / max(flow[-1].at, 1))
        lanes: list[asyncio.Queue[Action | None]] = [asyncio.Queue() for _ in self._clients]
        begun = time.monotonic()

        async def send() -> None:
            for number, action in enumerate(flow):
                for at, hook in hooks:
                    if at == number:
                        group.create_task(_as_coroutine(hook()))
                await asyncio.sleep(max(0.0, begun + action.at * scale / 1000 - time.monotonic()))
                lanes[action.trader].put_nowait(action)
            for lane in lanes:
                lane.put_nowait(None)

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            for number, lane in enumerate(lanes):
                group.create_task(self._follow(number, lane))
        for socket in self._sockets:
            await socket.close()

    def refusals(self) -> dict[str, int]:
        """Refused orders by reason."""
        return dict(Counter(outcome.reason for outcome in self.outcomes.values() if not outcome.ok))

    async def _follow(self, number: int, lane: "asyncio.Queue[Action | None]") -> None:
        """One trader sends in order, as one bot would."""
        while (action := await lane.get()) is not None:
            if action.op == "place":
                await self._place(number, action)
            else:
                await self._cancel(number, action)
            self._done += 1
            if self._done % 25 == 0:
                self._on_progress(f"{len(self.outcomes)} orders acknowledged, {self.cancels} cancels")

    async def _place(self, number: int, action: Action) -> None:
        signed = await self._until_known(lambda: self._clients[number].sign(_ticket(number, action)))
        begun, retries = time.monotonic(), self.retries
        by_socket = number % 2 == 1
        reason, receipt = await self._until_known(lambda: self._submit(number, signed, by_socket))
        if self.retries == retries:
            self.latencies.append(time.monotonic() - begun)
        sequence = int(receipt["seq"]) if receipt else 0
        self.outcomes[action.id] = Outcome(action, signed.digest, signed.order.nonce, sequence, reason)

    async def _submit(self, number: int, signed: SignedOrder, by_socket: bool) -> tuple[str, dict[str, Any] | None]:
        """(reason of the refusal or "", receipt)."""
        if by_socket:
            answer = await self._sockets[number].place(signed)
            if answer["ok"]:
                return "", answer["receipt"]
            error = answer["error"]
            if error["code"] in UNKNOWN:
                raise ExchangeUnreachable(error["message"], digest=signed.digest)
            return str(error["code"]), error["data"].get("receipt")
        try:
            placed = await self._clients[number].place_signed(signed)
        except Refused as refused:
            return refused.code, refused.data.get("receipt")
        return "", {"seq": placed.receipt.seq} if placed.receipt else None

    async def _cancel(self, number: int, action: Action) -> None:
        placed = self.outcomes.get(action.id)
        if placed is None or not placed.ok:
            return
        try:
            await self._until_known(lambda: self._clients[number].cancel(placed.digest))
        except Refused:
            return  # filled, replaced or expired meanwhile
        self.cancels += 1

    async def _until_known(self, send: Callable[[], Awaitable[Any]]) -> Any:
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                return await send()
            except ExchangeUnreachable:
                if time.monotonic() > deadline:
                    raise
                self.retries += 1
                await asyncio.sleep(RETRY_SECONDS)


def _ticket(number: int, action: Action) -> Ticket:
    assert action.side and action.type and action.tif
    return Ticket(
        symbol=action.market,
        side=action.side,
        price=action.price,
        size=action.size,
        type=action.type,
        time_in_force=action.tif,
        slot=action.slot,
        client_order_id=f"{number}-{action.id}",
    )


async def _as_coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable
