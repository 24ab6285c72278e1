"""pyorderbook: pure Python, prices as Decimal, orders by UUID."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyorderbook import Book, Order, Side, TradeBlotter  # type: ignore[import-not-found]

from bench.engines.adapter import ByCalls, Call
from bench.operations import Operation, Workload

SIDES = (Side.BID, Side.ASK)


class Engine(ByCalls):
    """A level that is emptied by cancels stays in its heap, once for every time; it heals when matching comes there."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.engine = Book()
        self.orders: dict[int, Any] = {}

    def add(self, calls: list[Call], operation: Operation) -> None:
        _, number, market, side, price, size = operation
        order = self.orders[number] = Order(SIDES[side], str(market), price, size)
        calls.append((self.engine.match, (order,)))

    def cancel(self, calls: list[Call], operation: Operation) -> None:
        calls.append((self.engine.cancel, (self.orders[operation.order],)))

    def take_now(self, calls: list[Call], operation: Operation) -> None:
        self.add(calls, operation)
        calls.append((self._cancel_rest, (self.orders[operation.order],)))

    def _cancel_rest(self, order: Any) -> None:
        """It writes to its log when an order is cancelled that does not rest."""
        if order.quantity:
            self.engine.cancel(order)

    def take(self, answers: Sequence[Any]) -> None:
        for answer in answers:
            if isinstance(answer, TradeBlotter):
                for trade in answer.trades:
                    self.count(trade.fill_quantity, int(trade.fill_price))

    def resting(self) -> int:
        return len(self.engine.order_map)
