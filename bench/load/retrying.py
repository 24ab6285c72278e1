"""A client that sends signed frames when they are due, and again until it has a result for every order in them.

It knows nothing of what happens to the venue: a connection that ends is opened anew, and what was not answered, or
answered with `unknown` or with a refusal to look at it, is sent again, byte by byte the same. Invariant: whatever it
was told of an order before, it is told again; another place in the sequence for the same order is a fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from offchain.domain.wire import (
    HEAD,
    REASONS,
    RESULT_BYTES,
    SIGNED_ORDER_BYTES,
    VERSION,
    MessageKind,
    unpack_result,
)

WINDOW = 32
"""Frames that may be unanswered."""
PAUSE_SECONDS = 0.05
AGAIN_SHARE = 0.02
"""Of the answered frames, sent once more later: a client that was not sure."""
PASSING = {REASONS["UNAVAILABLE"], REASONS["RATE_LIMITED"]}


class Batch(NamedTuple):
    """`positions` are those of its orders in the run; `due` on the monotonic clock."""

    number: int
    positions: Sequence[int]
    content: bytes
    due: float


class Told:
    """What became of every order of a run, by position: its sequence, 0 while it is not known."""

    def __init__(self, orders: int) -> None:
        self.sequences = array("Q", bytes(8 * orders))
        self.accepted = bytearray(orders)
        self.again = self.reconnected = self.resent = 0
        self.faults: list[str] = []

    def note(self, position: int, content: bytes) -> bool:
        """A packed result; False if it says that nothing is known."""
        result = unpack_result(content)
        if result.status == "unknown" or REASONS.get(result.reason) in PASSING:
            return False
        before = self.sequences[position]
        if before and before != result.sequence:
            self.faults.append(f"order {position} was at {before} and is at {result.sequence}")
        self.again += before > 0
        self.sequences[position] = result.sequence
        self.accepted[position] |= result.status != "rejected"
        return True


class RetryingClient:
    """Of some accounts, whose orders it keeps in order."""

    def __init__(self, url: str, batches: Iterable[Batch], told: Told, seed: int) -> None:
        self._url = url
        self._waiting = deque(batches)
        self._open: dict[int, Batch] = {}
        self._told = told
        self._chance = random.Random(seed)
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until everything is answered."""
        while self._waiting or self._open:
            try:
                async with connect(self._url, compression=None, max_size=None, open_timeout=5) as socket:
                    for batch in list(self._open.values()):
                        self._told.resent += 1
                        await socket.send(batch.content)
                    await self._talk(socket)
            except (OSError, TimeoutError, ConnectionClosed, InvalidHandshake):
                self._told.reconnected += 1
                await asyncio.sleep(PAUSE_SECONDS)

    async def _talk(self, socket: ClientConnection) -> None:
        sending = asyncio.create_task(self._send(socket))
        try:
            while self._waiting or self._open:
                async with asyncio.timeout(10):
                    message = await socket.recv()
                if isinstance(message, bytes):
                    await self._take(socket, message)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, socket: ClientConnection) -> None:
        while self._waiting:
            while len(self._open) >= WINDOW:
                self._changed.clear()
                await self._changed.wait()
            await asyncio.sleep(max(0.0, self._waiting[0].due - time.monotonic()))
            batch = self._waiting.popleft()
            self._open[batch.number] = batch
            await socket.send(batch.content)

    async def _take(self, socket: ClientConnection, message: bytes) -> None:
        _, kind, count, number = HEAD.unpack_from(message)
        batch = self._open.get(number)
        if batch is None:
            return
        if kind == MessageKind.RESULTS:
            starts = range(HEAD.size, HEAD.size + count * RESULT_BYTES, RESULT_BYTES)
            results = [message[start : start + RESULT_BYTES] for start in starts]
            known = [self._told.note(*one) for one in zip(batch.positions, results, strict=True)]
            if all(known) and self._chance.random() >= AGAIN_SHARE:
                del self._open[number]
                self._changed.set()
                return
        elif message[HEAD.size] not in PASSING:
            self._told.faults.append(f"frame {number}: {message[HEAD.size :]!r}")
            del self._open[number]
            return
        self._told.resent += 1
        asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._send_again, socket, batch)

    def _send_again(self, socket: ClientConnection, batch: Batch) -> None:
        async def send() -> None:
            with contextlib.suppress(ConnectionClosed):  # the next connection sends it
                await socket.send(batch.content)

        if batch.number in self._open:
            self._sending = asyncio.ensure_future(send())


def packed(number: int, positions: Sequence[int], orders: Sequence[bytes], due: float) -> Batch:
    assert all(len(order) == SIGNED_ORDER_BYTES for order in orders)
    return Batch(number, positions, HEAD.pack(VERSION, MessageKind.ORDERS, len(orders), number) + b"".join(orders), due)
