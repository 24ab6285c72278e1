"""Who listens to what: carries every update to the connections that subscribed to its channel.

Invariant: a connection's queue is bounded. When it is full, books and best prices give way to their present state, and
everything else ends the connection with 1013 and the sequence to resume from: nothing private is left out silently.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from offchain.gateway.channels import CONFLATED, Channel
from offchain.gateway.metrics import Metrics
from offchain.gateway.publications import Publications
from offchain.gateway.socket import EntryProtocol, text_frame

CLOSE_TRY_LATER = 1013
MISSED_MAX = 20_000
"""Messages that one connection may have to catch up with."""


class Message(NamedTuple):
    """`channel` is None for an answer to the connection itself."""

    channel: Channel | None
    sequence: int
    text: str


class Missed(NamedTuple):
    """What a resuming reader has to catch up with, in its place in the queue."""

    channel: Channel
    messages: deque[tuple[int, str]]
    """(seq, text)"""


class Outbox:
    """Messages that wait for one connection's reader."""

    def __init__(self, hub: "Hub", metrics: Metrics, size_max: int, peer: EntryProtocol | None = None) -> None:
        self._hub = hub
        self._metrics = metrics
        self._size_max = size_max
        self._peer = peer
        self._is_idle = False
        """Everything was given to the socket."""
        self._queue: deque[Message | Missed] = deque()
        self._missed = 0
        self._stale: dict[Channel, bool] = {}
        """Channels whose steps were given up; True: their present state is asked for."""
        self._wake = asyncio.Event()
        self.overflowed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Done when the reader was too slow: everything up to this sequence was handed to the socket."""

    def pass_on(self, message: Message, frame: bytes) -> None:
        """`push`, straight to the socket if nothing waits for it: that takes a tenth of the time."""
        is_free = self._is_idle and not (self._queue or self._stale or self.overflowed.done())
        if not is_free or self._peer is None or not self._peer.push(frame):
            self.push(message)

    def push(self, message: Message) -> None:
        channel = message.channel
        if self.overflowed.done() or channel in self._stale:
            return
        if len(self._queue) >= self._size_max:
            self._conflate()
            if channel is not None and channel.kind in CONFLATED:
                self._stale[channel] = False
                return
            if len(self._queue) >= self._size_max:
                self._overflow()
                return
        self._queue.append(message)
        self._wake.set()

    def renew(self, message: Message) -> None:
        """The present state, whatever was given up."""
        if message.channel is not None:
            self._stale.pop(message.channel, None)
        self.push(message)

    def resume(self, channel: Channel, missed: list[tuple[int, str]]) -> bool:
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
        """The next message; once the queue is empty, the present state of what was given up is asked for."""
        while True:
            if self._queue:
                first = self._queue[0]
                if isinstance(first, Missed) and first.messages:
                    self._missed -= 1
                    return Message(first.channel, *first.messages.popleft())
                self._queue.popleft()
                if isinstance(first, Message):
                    return first
                continue
            for channel, is_asked_for in list(self._stale.items()):
                if not is_asked_for:
                    self._stale[channel] = True
                    self._hub.refresh(self, channel)
            self._wake.clear()
            self._is_idle = True
            await self._wake.wait()
            self._is_idle = False

    def _conflate(self) -> None:
        kept: deque[Message | Missed] = deque()
        for message in self._queue:
            channel = message.channel if isinstance(message, Message) else None
            if channel is not None and channel.kind in CONFLATED:
                self._stale[channel] = False
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


class Wanted(NamedTuple):
    """What was asked of the publisher, for these readers. `is_refresh`: they are told the present state only."""

    channel: Channel
    outboxes: list[Outbox]
    start: int | None
    is_refresh: bool = False


class Hub:
    """All subscriptions of the gateway; the publisher is told of a channel's first reader and of its last."""

    def __init__(self, publications: Publications) -> None:
        self._publications = publications
        self._subscribers: dict[Channel, dict[Outbox, None]] = {}
        self._wanted: dict[int, Wanted] = {}
        self._last: dict[Channel, int] = {}
        """`seq` of the last message of the channels that somebody reads."""

    def subscribe(self, outbox: Outbox, channel: Channel, resume_from: int | None) -> None:
        """Pushes what was missed since `resume_from`, else a snapshot, and every later update, once the publisher
        says so."""
        self._want(Wanted(channel, [outbox], resume_from))

    def unsubscribe(self, outbox: Outbox, channel: Channel) -> None:
        for wanted in self._wanted.values():
            if wanted.channel == channel and outbox in wanted.outboxes:
                wanted.outboxes.remove(outbox)
        subscribers = self._subscribers.get(channel)
        if subscribers is not None:
            subscribers.pop(outbox, None)
        outbox.forget(channel)
        self._leave_if_empty(channel)

    def refresh(self, outbox: Outbox, channel: Channel) -> None:
        """Pushes the present state to a reader who gave up the channel's steps."""
        self._want(Wanted(channel, [outbox], None, is_refresh=True))

    def _want(self, wanted: Wanted) -> None:
        number = self._publications.next_number()
        self._wanted[number] = wanted
        self._publications.subscribe(number, wanted.channel, wanted.start)

    def _leave_if_empty(self, channel: Channel) -> None:
        if self._subscribers.get(channel) or any(wanted.channel == channel for wanted in self._wanted.values()):
            return
        self._subscribers.pop(channel, None)
        self._last.pop(channel, None)
        self._publications.unsubscribe(channel)

    # --- Readers ---

    def connected(self, *, is_same_journal: bool) -> None:
        """The publisher came back: everybody goes on from where he was."""
        waiting, self._wanted = self._wanted, {}
        for channel, subscribers in self._subscribers.items():
            start = self._last.get(channel) if is_same_journal else None
            self._want(Wanted(channel, list(subscribers), start))
        for wanted in waiting.values():
            if wanted.outboxes:
                start = wanted.start if is_same_journal else None
                self._want(wanted._replace(start=start))

    def begun(self, number: int, is_resumed: bool, messages: list[tuple[int, str]]) -> None:
        channel, outboxes, _, is_refresh = self._wanted.pop(number)
        subscribers = self._subscribers.setdefault(channel, {})
        for outbox in outboxes:
            if is_refresh and outbox not in subscribers:
                continue
            subscribers[outbox] = None
            if is_resumed and outbox.resume(channel, messages):
                continue
            if is_resumed:  # too much to be kept for one reader
                del subscribers[outbox]
                self.subscribe(outbox, channel, None)
            elif messages:
                outbox.renew(Message(channel, *messages[0]))
        if messages:
            self._last[channel] = max(messages[-1][0], self._last.get(channel, 0) if is_resumed else 0)
        self._leave_if_empty(channel)

    def updated(self, channel: Channel, sequence: int, text: str) -> None:
        self._last[channel] = sequence
        message, frame = Message(channel, sequence, text), text_frame(text)
        for outbox in list(self._subscribers.get(channel, ())):
            outbox.pass_on(message, frame)


def _first_sequence(waiting: Message | Missed) -> int | None:
    if isinstance(waiting, Missed):
        return waiting.messages[0][0] if waiting.messages else None
    return waiting.sequence if waiting.channel is not None else None
