"""The most recent groups as frames, shared by all feeds.

Invariant: only durable commands are in it, without gap, and its size is bounded; a feed that falls behind its start
goes on from the journal, so no consumer ever costs memory.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import NamedTuple


class RingFrame(NamedTuple):
    """A RECORDS frame of the commands first..last."""

    first: int
    last: int
    content: bytes


class Ring:
    """Goes on from the command `last_sequence`."""

    def __init__(self, commands_max: int, bytes_max: int, last_sequence: int = 0) -> None:
        self._frames: deque[RingFrame] = deque()
        self._commands_max = commands_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self.last_sequence = last_sequence
        self.listeners: list[Callable[[RingFrame], None]] = []
        """Called after every `append`, with what was appended."""

    def append(self, frame: RingFrame) -> None:
        assert frame.first == self.last_sequence + 1 <= frame.last, frame
        self._frames.append(frame)
        self._bytes += len(frame.content)
        self.last_sequence = frame.last
        while len(self._frames) > 1 and (
            self._bytes > self._bytes_max or self.last_sequence - self._frames[0].last >= self._commands_max
        ):
            self._bytes -= len(self._frames.popleft().content)
        for listener in self.listeners:
            listener(frame)

    def reaches(self, sequence: int) -> bool:
        """Whether `read` can go on there: it is here, or will be the next one."""
        first = self._frames[0].first if self._frames else self.last_sequence + 1
        return first <= sequence <= self.last_sequence + 1

    def read(self, sequence: int, bytes_max: int) -> tuple[bytes, int]:
        """(frames from the one that holds `sequence` on, sequence after them): nothing if there are none yet."""
        assert self.reaches(sequence)
        number = bisect_right(self._frames, sequence, key=_first) - 1 if sequence <= self.last_sequence else None
        parts, size = [], 0
        while number is not None and number < len(self._frames) and size < bytes_max:
            found = self._frames[number]
            parts.append(found.content)
            size += len(found.content)
            sequence = found.last + 1
            number += 1
        return b"".join(parts), sequence


def _first(frame: RingFrame) -> int:
    return frame.first
