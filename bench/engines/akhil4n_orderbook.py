"""akhil4n-orderbook: pure Python on sortedcontainers; orders are dataclasses that number themselves."""

from __future__ import annotations

from typing import Any

import orderbook as akhil4n  # type: ignore[import-not-found]

from bench.engines.sorted_book import Sorted
from bench.operations import Workload

SIDES = (akhil4n.OrderSide.BID, akhil4n.OrderSide.ASK)


class Engine(Sorted):
    """The book as it comes."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload, akhil4n.OrderBook)

    def order(self, side: int, price: int, size: int) -> Any:
        return akhil4n.Order(SIDES[side], price, size)
