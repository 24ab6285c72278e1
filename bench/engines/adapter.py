"""What the rounds ask of an engine.

`arriving` is what a trader's machine sends, and not timed. `make` turns it into what the engine's interface takes (its
own order objects, or rows), `play` gives that to the engine; both are timed, apart. `take` looks at the answers, and is
not timed: a benchmark counts, a venue would hand them on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from bench.operations import ADD, CANCEL, MOVE, Digest, Operation, Workload

Call = tuple[Callable[..., Any], tuple[Any, ...]]


class Absent(Exception):
    """What the adapter needs is not on this machine; the message says what."""


class Adapter(ABC):
    """Base of all engines. Prices and sizes reach them as integers where they take them."""

    checked = "trades, quantity, notional, resting"
    """Which fields of the digest the engine can tell."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.trades = self.quantity = self.notional = 0

    @property
    def chunk(self) -> int:
        """How many operations are given to `make` and `play` at once."""
        return 500

    def arriving(self, operations: Sequence[Operation]) -> Any:
        """What `make` takes for these operations, in order: themselves, unless the engine has a form for the wire."""
        return operations

    @abstractmethod
    def make(self, arrived: Any) -> Any:
        """What `play` takes."""

    @abstractmethod
    def play(self, calls: Any) -> Sequence[Any]:
        """The engine's answers."""

    @abstractmethod
    def resting(self) -> int:
        """How many orders rest."""

    def take(self, answers: Sequence[Any]) -> None:  # noqa: B027 - bourse is counted at the end
        """Counts what the answers say; may also do what must be done between two chunks."""

    def digest(self) -> Digest:
        resting = self.resting()
        return Digest(self.trades, self.quantity, self.notional, resting)

    def count(self, quantity: int, price: int) -> None:
        """One trade."""
        self.trades += 1
        self.quantity += quantity
        self.notional += quantity * price

    def elsewhere(self) -> float:
        """Seconds on the processor that another process has spent for this engine so far."""
        return 0.0

    def close(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Lets go of what outlives the process."""


class ByCalls(Adapter):
    """Base of those that answer one call at a time."""

    def make(self, arrived: Sequence[Operation]) -> list[Call]:
        calls: list[Call] = []
        for operation in arrived:
            if operation.kind == CANCEL:
                self.cancel(calls, operation)
            elif operation.kind == MOVE:
                self.move(calls, operation)
            elif operation.kind == ADD:
                self.add(calls, operation)
            else:
                self.take_now(calls, operation)
        return calls

    def play(self, calls: Sequence[Call]) -> Sequence[Any]:
        return [function(*arguments) for function, arguments in calls]

    @abstractmethod
    def add(self, calls: list[Call], operation: Operation) -> None:
        """Appends the calls of an ADD."""

    @abstractmethod
    def cancel(self, calls: list[Call], operation: Operation) -> None:
        """Appends the calls of a CANCEL."""

    def move(self, calls: list[Call], operation: Operation) -> None:
        """Where nothing else is offered: a cancel and a new order."""
        self.cancel(calls, operation)
        self.add(calls, operation)

    def take_now(self, calls: list[Call], operation: Operation) -> None:
        """Where nothing else is offered: an order, and a cancel of what rests of it."""
        self.add(calls, operation)
        self.cancel(calls, operation)
