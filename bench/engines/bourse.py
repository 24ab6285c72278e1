"""bourse: an order book in Rust, called from Python."""

from __future__ import annotations

from bourse.core import OrderBook  # type: ignore[import-not-found]

from bench.engines.adapter import ByCalls, Call
from bench.operations import Operation, Workload

ACTIVE = 1


class Engine(ByCalls):
    """It numbers orders itself, from 0 in every book, and has a modification of its own. Orders of one price and one
    instant displace each other, so its clock is set before each of them."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.books = [OrderBook(0, 1) for _ in range(workload.markets)]
        self.given = [0] * workload.markets
        self.numbers: dict[int, int] = {}
        self.at = 0

    def add(self, calls: list[Call], operation: Operation) -> None:
        _, order, market, side, price, size = operation
        self.numbers[order] = self.given[market]
        self.given[market] += 1
        self.tick(calls, market)
        calls.append((self.books[market].place_order, (side == 0, size, 0, price)))

    def tick(self, calls: list[Call], market: int) -> None:
        self.at += 1
        calls.append((self.books[market].set_time, (self.at,)))

    def cancel(self, calls: list[Call], operation: Operation) -> None:
        calls.append((self.books[operation.market].cancel_order, (self.numbers[operation.order],)))

    def move(self, calls: list[Call], operation: Operation) -> None:
        _, order, market, _, price, size = operation
        self.tick(calls, market)
        calls.append((self.books[market].modify_order, (self.numbers[order], price, size)))

    def resting(self) -> int:
        """Called last: the trades are read from its own record of all of them."""
        for book in self.books:
            for _, _, price, size, _, _ in book.get_trades():
                self.count(size, price)
        return sum(order[1] == ACTIVE for book in self.books for order in book.get_orders())
