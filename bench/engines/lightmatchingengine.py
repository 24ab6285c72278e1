"""lightmatchingengine: pure Python; finds the best price by a minimum over all levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightmatchingengine.lightmatchingengine import LightMatchingEngine  # type: ignore[import-not-found]

from bench.engines.adapter import ByCalls, Call
from bench.operations import Operation, Workload


class Engine(ByCalls):
    """It numbers orders itself, from 1, so a cancel's number is known before the order is in. Filled orders stay in its
    map of orders, which is why what rests is counted in the levels."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.engine = LightMatchingEngine()
        self.numbers: dict[int, int] = {}
        self.given = 0

    def add(self, calls: list[Call], operation: Operation) -> None:
        _, order, market, side, price, size = operation
        self.given += 1
        self.numbers[order] = self.given
        calls.append((self.engine.add_order, (market, price, size, side + 1)))

    def cancel(self, calls: list[Call], operation: Operation) -> None:
        calls.append((self.engine.cancel_order, (self.numbers[operation.order], operation.market)))

    def take(self, answers: Sequence[Any]) -> None:
        for answer in answers:
            if isinstance(answer, tuple):
                order, trades = answer
                for trade in trades:
                    if trade.order_id != order.order_id:
                        self.count(trade.trade_qty, trade.trade_price)

    def resting(self) -> int:
        books = self.engine.order_books.values()
        return sum(len(level) for book in books for levels in (book.bids, book.asks) for level in levels.values())
