"""cython-orderbook: akhil4n-orderbook with orders and levels compiled by Cython; quantities are C ints."""

from __future__ import annotations

from typing import Any

import cython_orderbook as compiled  # type: ignore[import-not-found]

from bench.engines.sorted_book import Sorted
from bench.operations import Workload

SIDES = (compiled.OrderSide.BID, compiled.OrderSide.ASK)


class Engine(Sorted):
    """The book as it comes."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload, compiled.OrderBook)

    def order(self, side: int, price: int, size: int) -> Any:
        return compiled.Order(SIDES[side], size, price)
