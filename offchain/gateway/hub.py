"""Who listens to what: carries every update to the connections that subscribed to its channel.

Invariant: a connection's queue is bounded. When it is full, books and best prices give way to their present state, and
everything else ends the connection with 1013 and the sequence to resume from: nothing private is left out silently.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from offchain.gateway.channels import CONFLATED, Channel, ChannelLog, Update
from offchain.gateway.metrics import Metrics
from offchain.gateway.readmodel import Changes

CLOSE_TRY_LATER = 1013
MISSED_MAX = 20_000
"""Messages that one connection may have to catch up with: references to what the ring keeps anyway."""


class Message(NamedTuple):
    """`channel` is None for an answer to the connection itself."""

    channel: Channel | None
    sequence: int
    text: str


class Missed(NamedTuple):
    """What a resuming reader has to catch up with, in its place in the queue."""

    channel: Channel
    updates: deque[Update]


class Outbox:
    """Messages that wait for one connection's reader."""

    def __init__(self, log: ChannelLog, metrics: Metrics, size_max: int) -> None:
        self._log = log
        self._metrics = metrics
        self._size_max = size_max
        self._queue: deque[Message | Missed] = deque()
        self._missed = 0
        self._stale: dict[Channel, None] = {}
        self._wake = asyncio.Event()
        self.overflowed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Done when the reader was too slow: everything up to this sequence was handed to the socket."""

    def push(self, message: Message) -> None:
        channel = message.channel
        if self.overflowed.done() or channel in self._stale:
            return
        if len(self._queue) >= self._size_max:
            self._conflate()
            if channel is not None and channel.kind in CONFLATED:
                self._stale[channel] = None
                return
            if len(self._queue) >= self._size_max:
                self._overflow()
                return
        self._queue.append(message)
        self._wake.set()

    def resume(self, channel: Channel, missed: list[Update]) -> bool:
        """What a resuming reader missed, before anything newer. False if it is too much to be kept for one reader."""
        if self._missed + len(missed) > MISSED_MAX:
            return False
        self._missed += len(missed)
        self._queue.append(Missed(channel, deque(missed)))
        self._wake.set()
        return True

    def forget(self, channel: Channel) -> None:
        """After an unsubscription."""
        self._stale.pop(channel, None)

    async def next(self) -> Message:
        """The next message; the present state of a conflated channel once the queue is empty."""
        while True:
            if self._queue:
                first = self._queue[0]
                if isinstance(first, Missed) and first.updates:
                    self._missed -= 1
                    return _message(first.channel, first.updates.popleft())
                self._queue.popleft()
                if isinstance(first, Message):
                    return first
                continue
            if self._stale:
                channel = next(iter(self._stale))
                del self._stale[channel]
                return Message(channel, *self._log.snapshot(channel))
            self._wake.clear()
            await self._wake.wait()

    def _conflate(self) -> None:
        kept: deque[Message | Missed] = deque()
        for message in self._queue:
            channel = message.channel if isinstance(message, Message) else None
            if channel is not None and channel.kind in CONFLATED:
                self._stale[channel] = None
                self._metrics.conflated.inc()
            else:
                kept.append(message)
        self._queue = kept

    def _overflow(self) -> None:
        unsent = [first for waiting in self._queue if (first := _first_sequence(waiting)) is not None]
        self.overflowed.set_result(min(unsent) - 1 if unsent else 0)
        self._queue.clear()
        self._missed = 0
        self._stale.clear()
        self._metrics.dropped.inc()


class Hub:
    """All subscriptions of the gateway."""

    def __init__(self, log: ChannelLog) -> None:
        self.log = log
        self._subscribers: dict[Channel, dict[Outbox, None]] = {}

    def subscribe(self, outbox: Outbox, channel: Channel, resume_from: int | None) -> bool:
        """Pushes what was missed since `resume_from`, else a snapshot, and every later update. True if resumed."""
        missed = None if resume_from is None else self.log.since(channel, resume_from)
        self._subscribers.setdefault(channel, {})[outbox] = None
        if missed is not None and outbox.resume(channel, missed):
            return True
        outbox.push(Message(channel, *self.log.snapshot(channel)))
        return False

    def unsubscribe(self, outbox: Outbox, channel: Channel) -> None:
        subscribers = self._subscribers.get(channel)
        if subscribers is not None:
            subscribers.pop(outbox, None)
            if not subscribers:
                del self._subscribers[channel]
        outbox.forget(channel)

    def publish(self, changes: Changes | None) -> None:
        """Called after every change of the model; None: a snapshot replaced it."""
        if changes is None:
            self.log.restart()
            for channel, subscribers in list(self._subscribers.items()):
                snapshot = Message(channel, *self.log.snapshot(channel))
                for outbox in list(subscribers):
                    outbox.push(snapshot)
            return
        for channel, update in self.log.record(changes).items():
            listening = self._subscribers.get(channel)
            if listening:
                message = _message(channel, update)
                for outbox in list(listening):
                    outbox.push(message)


def _message(channel: Channel, update: Update) -> Message:
    return Message(channel, update.sequence, update.text(channel))


def _first_sequence(waiting: Message | Missed) -> int | None:
    if isinstance(waiting, Missed):
        return waiting.updates[0].sequence if waiting.updates else None
    return waiting.sequence if waiting.channel is not None else None
