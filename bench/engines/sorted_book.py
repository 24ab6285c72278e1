"""The interface that akhil4n-orderbook and its Cython offspring share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from bench.engines.adapter import ByCalls, Call
from bench.operations import Operation, Workload


class Sorted(ByCalls):
    """Of both books with this interface. They keep their trades in a list of their own; what it holds is counted, and
    dropped, between two chunks."""

    def __init__(self, workload: Workload, book: Callable[[], Any]) -> None:
        super().__init__(workload)
        self.books = [book() for _ in range(workload.markets)]
        self.numbers: dict[int, str] = {}

    @abstractmethod
    def order(self, side: int, price: int, size: int) -> Any:
        """An order object of the engine's."""

    def add(self, calls: list[Call], operation: Operation) -> None:
        _, number, market, side, price, size = operation
        order = self.order(side, price, size)
        self.numbers[number] = order.order_id
        calls.append((self.books[market].add_limit_order, (order,)))

    def cancel(self, calls: list[Call], operation: Operation) -> None:
        calls.append((self.books[operation.market].cancel_order, (self.numbers[operation.order],)))

    def take(self, answers: object) -> None:
        for book in self.books:
            for trade in book.trade_log:
                self.count(trade.quantity_filled, trade.price)
            book.trade_log.clear()

    def resting(self) -> int:
        return sum(len(book.orders) for book in self.books)
