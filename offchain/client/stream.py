"""The stream with reconnection: every channel goes on where it stopped, or starts again with a snapshot.

Invariant: between two snapshots of a channel no message is missing and none comes twice; a gap (`prevSeq` above what
was seen) is answered by asking for a snapshot. A reader that is too slow is told so by the venue (1013) and resumes.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from offchain.client.failures import Refused

if TYPE_CHECKING:
    from offchain.client.http import HooatsClient

PRIVATE_CHANNELS = ("orders", "fills", "balances")
LOGIN_REQUEST = b"GET/v1/ws"
SILENCE_SECONDS = 45.0
"""Three missed heartbeats: the connection is dead."""
_BACKOFF_SECONDS = (0.05, 2.0)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


async def follow(client: "HooatsClient", channels: Sequence[str]) -> AsyncGenerator[dict[str, Any], None]:
    """Snapshots and deltas of `channels`, for ever. `Refused` if the venue refuses a channel or the login."""
    progress = Progress()
    delay = _BACKOFF_SECONDS[0]
    url = "ws" + client.url.removeprefix("http") + "/v1/ws"
    while True:
        try:
            async with connect(url, compression=None, max_size=None) as socket:
                await _subscribe(client, socket, channels, progress)
                while True:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        raw = await socket.recv(decode=False)
                    message = _decode(raw)
                    delay = _BACKOFF_SECONDS[0]
                    if "op" in message:
                        _check(message)
                    elif "channel" in message:
                        verdict = progress.take(message)
                        if verdict == "next":
                            yield message
                        elif verdict == "gap":
                            await _send(socket, {"op": "subscribe", "channel": message["channel"]})
        except (OSError, TimeoutError, ConnectionClosed, InvalidHandshake):
            await asyncio.sleep(delay)
            delay = min(delay * 2, _BACKOFF_SECONDS[1])


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
            self._awaiting.add(channel)
            self.seen.pop(channel, None)
            return "gap"
        self.seen[channel] = message["seq"]
        return "next"

    def reconnected(self) -> None:
        """What was asked for on the old connection will not come."""
        self._awaiting.clear()


async def _subscribe(
    client: "HooatsClient", socket: ClientConnection, channels: Sequence[str], progress: Progress
) -> None:
    progress.reconnected()
    if any(channel in PRIVATE_CHANNELS or channel.startswith("admin:") for channel in channels):
        key, timestamp, sign = await client.sign_request(LOGIN_REQUEST)
        await _send(socket, {"op": "login", "key": key, "timestamp": timestamp, "sign": sign})
    for channel in channels:
        request: dict[str, Any] = {"op": "subscribe", "channel": channel}
        if channel in progress.seen:
            request["from"] = progress.seen[channel]
        await _send(socket, request)


def _check(message: dict[str, Any]) -> None:
    if not message["ok"]:
        error = message["error"]
        if error["code"] in ("UNAVAILABLE", "RATE_LIMITED", "SESSION_EXPIRED"):
            raise OSError(error["message"])  # worth another connection
        raise Refused(error["code"], error["message"], error["data"])


async def _send(socket: ClientConnection, request: dict[str, Any]) -> None:
    await socket.send(_encode(request).decode())
