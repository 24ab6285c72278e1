"""What is due when: a heap of (deadline, id), each id at most once.

Invariant: due ids come in (deadline, id) order. Cancelled entries stay in the heap until they surface or outnumber the
live ones; they are never returned. It knows no clock: `now` is an argument.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush


class Timers:
    """Deadlines in whatever unit the caller uses throughout."""

    __slots__ = ("_deadlines", "_heap")

    def __init__(self) -> None:
        self._deadlines: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._deadlines)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(deadline, id) of every timer, in no order of theirs."""
        return ((deadline, identity) for identity, deadline in self._deadlines.items())

    def set(self, identity: int, deadline: int) -> None:
        assert identity not in self._deadlines
        self._deadlines[identity] = deadline
        heappush(self._heap, (deadline, identity))

    def cancel(self, identity: int) -> None:
        """Forgets a timer; one that is not set is none of its business."""
        if self._deadlines.pop(identity, None) is not None and len(self._heap) > 2 * len(self._deadlines) + 64:
            self._heap = [(deadline, live) for live, deadline in self._deadlines.items()]
            heapify(self._heap)

    def earliest(self) -> tuple[int, int] | None:
        """(deadline, id) of the next timer."""
        heap = self._heap
        while heap:
            deadline, identity = heap[0]
            if self._deadlines.get(identity) == deadline:
                return heap[0]
            heappop(heap)
        return None

    def pop(self) -> tuple[int, int]:
        """Removes and returns the next timer."""
        earliest = self.earliest()
        assert earliest is not None
        heappop(self._heap)
        del self._deadlines[earliest[1]]
        return earliest
