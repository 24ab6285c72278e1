"""The stream with reconnection: every channel goes on where it stopped, or starts again with a snapshot.

Invariant: between two snapshots of a channel no message is missing and none comes twice; a gap (`prevSeq` above what
was seen) is answered by asking for a snapshot. A reader that is too slow is told so by the venue (1013) and resumes.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from offchain.client.failures import ExchangeUnreachable, Refused

if TYPE_CHECKING:
    from offchain.client.http import HooatsClient

PRIVATE_CHANNELS = ("orders", "fills", "balances", "protections")
LOGIN_REQUEST = b"GET/v1/ws"
SILENCE_SECONDS = 45.0
"""Three missed heartbeats: the connection is dead."""
_BACKOFF_SECONDS = (0.05, 2.0)
_WORTH_ANOTHER = ("UNAVAILABLE", "RATE_LIMITED", "SESSION_EXPIRED", "REPLAYED", "TIMESTAMP_OUT_OF_WINDOW")
"""Codes after which another connection may do."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Progress:
    """What was seen of every channel; pure."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}
        self._awaiting: set[str] = set()

    def take(self, message: dict[str, Any]) -> Literal["next", "old", "gap"]:
        """`gap` asks for a snapshot, once; until it comes the channel's deltas are `old`."""
        channel: str = message["channel"]
        if message["type"] == "snapshot":
            self._awaiting.discard(channel)
            self.seen[channel] = message["seq"]
            return "next"
        seen = self.seen.get(channel)
        if channel in self._awaiting or (seen is not None and message["seq"] <= seen):
            return "old"
        if seen is None or message["prevSeq"] > seen:
            self.forget(channel)
            return "gap"
        self.seen[channel] = message["seq"]
        return "next"

    def forget(self, channel: str) -> None:
        """Nothing but a snapshot helps."""
        self._awaiting.add(channel)
        self.seen.pop(channel, None)

    def reconnected(self) -> None:
        """What was asked for on the old connection will not come."""
        self._awaiting.clear()


class Stream:
    """Snapshots and deltas of `channels` by `async for`, until it is closed. `Refused` if the venue refuses a channel
    or the login.

    `seen`: the last `seq` that was handled of a channel, by this or another program: it goes on after that, if the
    venue still has what came since. `connections` counts how often it connected; `is_connected` is what it knows now.
    """

    def __init__(self, client: "HooatsClient", channels: Sequence[str], seen: Mapping[str, int] | None = None) -> None:
        self.connections = 0
        self._client = client
        self._channels = list(channels)
        self._progress = Progress()
        self._progress.seen |= dict(seen or {})
        self._socket: ClientConnection | None = None
        self._messages = self._follow()

    @property
    def is_connected(self) -> bool:
        return self._socket is not None

    @property
    def seen(self) -> dict[str, int]:
        """The last `seq` of every channel: what to keep for the next start."""
        return dict(self._progress.seen)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        return await anext(self._messages)

    async def aclose(self) -> None:
        await self._messages.aclose()

    async def add(self, channel: str) -> None:
        """One more channel, from a snapshot on."""
        if channel not in self._channels:
            self._channels.append(channel)
            await self.reset(channel)

    async def reset(self, channel: str) -> None:
        """Starts a channel again with a snapshot: for a reader whose checksum differs."""
        self._progress.forget(channel)
        if self._socket is not None:
            try:
                await _send(self._socket, {"op": "subscribe", "channel": channel})
            except ConnectionClosed:
                return  # the next connection asks without `from`

    async def _follow(self) -> AsyncGenerator[dict[str, Any], None]:
        delay = _BACKOFF_SECONDS[0]
        url = "ws" + self._client.url.removeprefix("http") + "/v1/ws"
        while True:
            try:
                async with connect(url, compression=None, max_size=None) as socket:
                    await self._subscribe(socket)
                    self._socket = socket
                    self.connections += 1
                    while True:
                        async with asyncio.timeout(SILENCE_SECONDS):
                            raw = await socket.recv(decode=False)
                        message = _decode(raw)
                        delay = _BACKOFF_SECONDS[0]
                        if await self._is_next(socket, message):
                            yield message
            except (OSError, TimeoutError, ConnectionClosed, InvalidHandshake, ExchangeUnreachable):
                self._socket = None
                await asyncio.sleep(delay)
                delay = min(delay * 2, _BACKOFF_SECONDS[1])
            finally:
                self._socket = None

    async def _is_next(self, socket: ClientConnection, message: dict[str, Any]) -> bool:
        if "op" in message:
            _check(message)
        elif "channel" in message and message.get("type") in ("snapshot", "delta"):
            verdict = self._progress.take(message)
            if verdict == "gap":
                await _send(socket, {"op": "subscribe", "channel": message["channel"]})
            return verdict == "next"
        return False

    async def _subscribe(self, socket: ClientConnection) -> None:
        progress = self._progress
        progress.reconnected()
        if any(channel in PRIVATE_CHANNELS or channel.startswith("admin:") for channel in self._channels):
            key, timestamp, sign = await self._client.sign_request(LOGIN_REQUEST)
            await _send(socket, {"op": "login", "key": key, "timestamp": timestamp, "sign": sign})
        for channel in self._channels:
            request: dict[str, Any] = {"op": "subscribe", "channel": channel}
            if channel in progress.seen:
                request["from"] = progress.seen[channel]
            await _send(socket, request)


def _check(message: dict[str, Any]) -> None:
    if not message["ok"]:
        error = message["error"]
        if error["code"] in _WORTH_ANOTHER:
            raise OSError(error["message"])
        raise Refused(error["code"], error["message"], error["data"])


async def _send(socket: ClientConnection, request: dict[str, Any]) -> None:
    await socket.send(_encode(request).decode())
