"""Sends what is due, reads what comes: one thread, blocking sockets, `select` until the next frame is due.

Open loop: a frame is due when its schedule says, whatever became of those before. Its latency counts from then, also if
it had to wait because every connection had its window full: nothing is omitted because the venue was slow. Closed loop:
a frame is due as soon as its connection has room, which finds out the capacity, and its latency counts from when it was
sent. What a connection may send at one moment leaves in one piece.

`lateness` is the generator's own: how long after its time a frame left although its connection had room.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from bench.load.histogram import Histogram
from bench.load.wire import Connection

PATIENCE_SECONDS = 30.0
"""Without any answer; then the venue is taken to be gone."""
SPIN_SECONDS = 0.0002
"""Shorter waits are not slept: the kernel rounds them up."""


class Frame(NamedTuple):
    """`content` as it travels, `orders` as they were signed; `due` in seconds from the start."""

    number: int
    connection: int
    content: bytes
    orders: tuple[bytes, ...]
    due: float


class Outcome:
    """What became of a run."""

    def __init__(self) -> None:
        self.latency = Histogram()
        self.lateness = Histogram()
        self.accepted = self.refused = 0
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        """The generator's own."""
        self.cpu: dict[str, float] = {}
        """Seconds by process, if somebody looked."""
        self.fills = 0
        self.unanswered = 0
        self.answers: list[tuple[Frame, bytes]] = []
        """Which orders of a frame were accepted: a byte each."""

    def summary(self, offered: float | None = None) -> dict[str, Any]:
        """`achieved` counts answered orders a second; an open loop's point is valid from 0.99 of what was offered."""
        answered = self.accepted + self.refused
        achieved = answered / self.seconds if self.seconds else 0.0
        return {
            "offered": offered,
            "achieved": achieved,
            "valid": offered is None or achieved >= 0.99 * offered,
            "accepted": self.accepted,
            "refused": self.refused,
            "unanswered": self.unanswered,
            "latency_ms": self.latency.summary(),
            "lateness_ms": self.lateness.summary(),
            "generator_cpu_share": self.cpu_seconds / self.seconds if self.seconds else 0.0,
            "cpu_micros": {name: spent / answered * 1e6 for name, spent in self.cpu.items()} if answered else {},
            "fills_per_second": self.fills / self.seconds if self.seconds else 0.0,
        }


def framed(
    connections: Sequence[Connection], orders: Sequence[tuple[int, bytes]], per_frame: int, due: Sequence[float] = ()
) -> list[Frame]:
    """Frames of `per_frame` orders. An account's orders all go over one connection, in order; frame `n` is due at
    `due[n]`, or at once."""
    waiting: list[list[bytes]] = [[] for _ in connections]
    found: list[Frame] = []
    for account, order in orders:
        at = account % len(connections)
        waiting[at].append(order)
        if len(waiting[at]) == per_frame:
            number = len(found)
            content = connections[at].frame(number, waiting[at])
            found.append(Frame(number, at, content, tuple(waiting[at]), due[number] if due else 0.0))
            waiting[at] = []
    return found


def drive(connections: Sequence[Connection], frames: Sequence[Frame]) -> Outcome:
    """Until every frame is answered, or nothing is heard for PATIENCE_SECONDS."""
    outcome = Outcome()
    by_socket = {connection.socket: connection for connection in connections}
    sockets = list(by_socket)
    rooms = [connection.window for connection in connections]
    queues: list[deque[Frame]] = [deque() for _ in connections]
    under_way: dict[int, tuple[Frame, float]] = {}
    """With the time from which it counts."""
    leaving: list[list[Frame]] = [[] for _ in connections]
    clock = time.perf_counter
    cpu, start = time.process_time(), clock()
    heard, upcoming = start, 0

    def send(frame: Frame, is_prompt: bool) -> None:
        at = frame.connection
        rooms[at] -= 1
        now = clock() - start
        under_way[frame.number] = frame, frame.due or now
        if is_prompt and frame.due:
            outcome.lateness.add(int((now - frame.due) * 1e6))
        leaving[at].append(frame)

    def flush() -> None:
        for connection, ready in zip(connections, leaving, strict=True):
            if ready:
                connection.send(ready[-1].number, b"".join([frame.content for frame in ready]))
                ready.clear()

    while upcoming < len(frames) or under_way:
        now = clock() - start
        while upcoming < len(frames) and frames[upcoming].due <= now:
            frame = frames[upcoming]
            upcoming += 1
            if rooms[frame.connection] and not queues[frame.connection]:
                send(frame, is_prompt=True)
            else:
                queues[frame.connection].append(frame)
        flush()
        if upcoming < len(frames):
            left = frames[upcoming].due - (clock() - start)
            pause = max(0.0, left - SPIN_SECONDS)
        else:
            pause = 0.5
        readable, _, _ = select.select(sockets, [], [], pause)
        for socket in readable:
            connection = by_socket[socket]
            for number, answer in connection.receive():
                frame, since = under_way.pop(number)
                heard = clock()
                # A frame that is refused as a whole is answered once.
                results = answer if len(answer) == len(frame.orders) else answer * len(frame.orders)
                micros = int((heard - start - since) * 1e6)
                outcome.answers.append((frame, results))
                outcome.latency.add(micros, len(results))
                accepted = results.count(1)
                outcome.accepted += accepted
                outcome.refused += len(results) - accepted
                rooms[frame.connection] += 1
                if queues[frame.connection]:
                    send(queues[frame.connection].popleft(), is_prompt=False)
        flush()
        if clock() - heard > PATIENCE_SECONDS and under_way:
            break
    outcome.seconds, outcome.cpu_seconds = clock() - start, time.process_time() - cpu
    outcome.unanswered = sum(len(frame.orders) for frame, _ in under_way.values())
    outcome.unanswered += sum(len(frame.orders) for queue in queues for frame in queue)
    return outcome
