"""A client that sends signed frames when they are due, and again until it has a result for every order in them.

It knows nothing of what happens to the venue: a connection that ends is opened anew, and what was not answered, or
answered with `unknown` or with a refusal to look at it, is sent again, byte by byte the same, later and later while
that goes on; meanwhile nothing new is sent. Invariants: whatever it was told of an order before, it is told again, and
another place in the sequence for the same order is a fault; no order overtakes an older one of its slot, which would be
dead then.
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

PAUSE_SECONDS = 0.05
PAUSE_SECONDS_MAX = 1.0
"""Before something is sent again: twice as long each time, while nothing is answered."""
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
        self.reasons = bytearray(orders)
        """By the numbers of `domain.wire`."""
        self.again = self.reconnected = self.resent = self.repeated = 0
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
        self.reasons[position] = REASONS[result.reason]
        return True


class RetryingClient:
    """Of some accounts, whose orders it keeps in order. `window`: a frame is sent only when the one so many before it
    was answered."""

    def __init__(self, url: str, batches: Iterable[Batch], told: Told, seed: int, window: int) -> None:
        self._url = url
        self._window = window
        self._waiting = deque(batches)
        self._open: dict[int, Batch] = {}
        """Sent and not answered for good, oldest first."""
        self._refused: set[int] = set()
        """Of those, to be sent again."""
        self._told = told
        self._chance = random.Random(seed)
        self._changed = asyncio.Event()
        self._pause = PAUSE_SECONDS

    async def run(self) -> None:
        """Until everything is answered."""
        while self._waiting or self._open:
            try:
                async with connect(self._url, compression=None, max_size=None, open_timeout=5) as socket:
                    self._refused = set(self._open)
                    await self._talk(socket)
            except (OSError, TimeoutError, ConnectionClosed, InvalidHandshake):
                self._told.reconnected += 1
                await self._wait()

    async def _wait(self) -> None:
        """Somewhere in the second half of the pause, so that not all come at once."""
        await asyncio.sleep(self._pause * (1 + self._chance.random()) / 2)
        self._pause = min(self._pause * 2, PAUSE_SECONDS_MAX)

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
        while self._waiting or self._open:
            self._changed.clear()
            if self._refused:
                await self._send_again(socket)
            elif self._has_room():
                await self._send_next(socket)
            else:
                await self._changed.wait()

    def _has_room(self) -> bool:
        if not self._waiting:
            return False
        upcoming = self._waiting[0].number
        return upcoming - next(iter(self._open), upcoming) < self._window

    async def _send_again(self, socket: ClientConnection) -> None:
        """What was refused, oldest first."""
        await self._wait()
        again, self._refused = sorted(self._refused), set()
        for number in again:
            if number in self._open:
                self._told.resent += 1
                await socket.send(self._open[number].content)

    async def _send_next(self, socket: ClientConnection) -> None:
        """When it is due, unless something is refused until then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._waiting[0].due - time.monotonic())):
                await self._changed.wait()
            return
        batch = self._waiting.popleft()
        self._open[batch.number] = batch
        await socket.send(batch.content)

    async def _take(self, socket: ClientConnection, message: bytes) -> None:
        _, kind, count, number = HEAD.unpack_from(message)
        batch = self._open.get(number)
        if batch is None:
            return
        self._changed.set()
        if kind == MessageKind.RESULTS:
            starts = range(HEAD.size, HEAD.size + count * RESULT_BYTES, RESULT_BYTES)
            results = [message[start : start + RESULT_BYTES] for start in starts]
            known = [self._told.note(*one) for one in zip(batch.positions, results, strict=True)]
            if not all(known):
                self._refused.add(number)
            elif self._chance.random() < AGAIN_SHARE:
                self._told.repeated += 1
                await socket.send(batch.content)
            else:
                del self._open[number]
                self._pause = PAUSE_SECONDS
        elif message[HEAD.size] in PASSING:
            self._refused.add(number)
        else:
            self._told.faults.append(f"frame {number}: {message[HEAD.size :]!r}")
            del self._open[number]


def packed(number: int, positions: Sequence[int], orders: Sequence[bytes], due: float) -> Batch:
    assert all(len(order) == SIGNED_ORDER_BYTES for order in orders)
    return Batch(number, positions, HEAD.pack(VERSION, MessageKind.ORDERS, len(orders), number) + b"".join(orders), due)
