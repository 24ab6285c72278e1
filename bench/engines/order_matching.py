"""order-matching: pure Python on dataclasses; every placement looks through all orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from loguru import logger  # type: ignore[import-not-found]
from order_matching.enums import Side  # type: ignore[import-not-found]
from order_matching.executed_trades import ExecutedTrades  # type: ignore[import-not-found]
from order_matching.matching_engine import MatchingEngine  # type: ignore[import-not-found]
from order_matching.order import LimitOrder  # type: ignore[import-not-found]
from order_matching.orders import Orders  # type: ignore[import-not-found]

from bench.engines.adapter import Absent, ByCalls, Call
from bench.operations import Operation, Workload

SIDES = (Side.BUY, Side.SELL)
START = datetime(2026, 1, 1, tzinfo=UTC)
NEVER = datetime(9999, 1, 1, tzinfo=UTC)


class Engine(ByCalls):
    """Every order gets a microsecond of its own. Its log of every step, which goes to the screen as it comes, is off.
    It rounds prices to one decimal, and knows one market only."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        if workload.markets != 1:
            raise Absent("it knows one market only")
        logger.disable("order_matching")
        self.engine = MatchingEngine(seed=1)
        self.at = START

    def add(self, calls: list[Call], operation: Operation) -> None:
        _, number, _, side, price, size = operation
        self.at += timedelta(microseconds=1)
        order = LimitOrder(
            side=SIDES[side],
            price=price,
            size=size,
            timestamp=self.at,
            order_id=str(number),
            trader_id="1",
            expiration=NEVER,
        )
        calls.append((self._place, (order, self.at)))

    def _place(self, order: Any, at: datetime) -> Any:
        self.engine.place(Orders([order]))
        return self.engine.match(at)

    def cancel(self, calls: list[Call], operation: Operation) -> None:
        calls.append((self.engine.cancel_order, (str(operation.order),)))

    def take_now(self, calls: list[Call], operation: Operation) -> None:
        self.add(calls, operation)
        order = calls[-1][1][0]
        calls.append((self._cancel_rest, (order,)))

    def _cancel_rest(self, order: Any) -> None:
        if order.size:
            self.engine.cancel_order(order.order_id)

    def take(self, answers: Sequence[Any]) -> None:
        for answer in answers:
            if isinstance(answer, ExecutedTrades):
                for trade in answer.trades:
                    self.count(int(trade.size), int(trade.price))

    def resting(self) -> int:
        book = self.engine.unprocessed_orders
        return sum(len(orders) for levels in (book.bids, book.offers) for orders in levels.values())
