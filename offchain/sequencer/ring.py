"""The most recent feed frames, encoded once and shared by all feeds.

Invariant: only durable commands are in it, without gap, and its size is bounded; a feed that falls behind its start has
to be cut off, so no consumer ever costs memory.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import NamedTuple


class RingFrame(NamedTuple):
    """An EVENTS frame of the commands first..last."""

    first: int
    last: int
    content: bytes


class Ring:
    """Frames are addressed by a number that counts from the start of the process."""

    def __init__(self, commands_max: int, bytes_max: int, last_sequence: int = 0) -> None:
        self._frames: deque[RingFrame] = deque()
        self._commands_max = commands_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._evicted = 0
        self._last_sequence = last_sequence
        self.listeners: list[Callable[[], None]] = []
        """Called after every `append`."""

    @property
    def start(self) -> int:
        """Number of the oldest frame."""
        return self._evicted

    @property
    def stop(self) -> int:
        """One above the number of the newest frame."""
        return self._evicted + len(self._frames)

    def append(self, frame: RingFrame) -> None:
        assert frame.first == self._last_sequence + 1 <= frame.last, frame
        self._frames.append(frame)
        self._bytes += len(frame.content)
        self._last_sequence = frame.last
        while len(self._frames) > 1 and (
            self._bytes > self._bytes_max or self._last_sequence - self._frames[0].last >= self._commands_max
        ):
            self._bytes -= len(self._frames.popleft().content)
            self._evicted += 1
        for listener in self.listeners:
            listener()

    def find(self, sequence: int) -> int | None:
        """Number of the frame that holds `sequence`, or will (the next one); None if it is gone, or far ahead."""
        if sequence == self._last_sequence + 1:
            return self.stop
        if not self._frames or not self._frames[0].first <= sequence <= self._last_sequence:
            return None
        return self._evicted + bisect_right(self._frames, sequence, key=lambda frame: frame.first) - 1

    def read(self, number: int, bytes_max: int) -> tuple[bytes, int]:
        """(frames from `number` on, number after them): nothing if there are none yet. It must not be below `start`."""
        assert number >= self._evicted
        parts, size = [], 0
        while number < self.stop and size < bytes_max:
            content = self._frames[number - self._evicted].content
            parts.append(content)
            size += len(content)
            number += 1
        return b"".join(parts), number
