"""A market's AMM pair as it was last observed, and what is promised of it.

Invariant: pure arithmetic over the reserves of one block; the chain has the last word, when the batch settles. It moves
no money and knows no orders.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from offchain.domain.event import PoolChanged

RESERVE_MAX: Final = 2**112 - 1
"""A pair keeps its reserves in 112 bits each."""


class Pool(NamedTuple):
    """Reserves in base atoms and quote units; `block_time` in unix seconds."""

    base_reserve: int
    quote_reserve: int
    block_number: int
    block_time: int

    @property
    def block(self) -> tuple[int, int]:
        """Number and time: neither runs back."""
        return self.block_number, self.block_time

    @property
    def is_sane(self) -> bool:
        return 0 <= self.base_reserve <= RESERVE_MAX and 0 <= self.quote_reserve <= RESERVE_MAX

    def as_event(self, market: int) -> PoolChanged:
        return PoolChanged(
            market=market,
            base_reserve=self.base_reserve,
            quote_reserve=self.quote_reserve,
            block_number=self.block_number,
        )

    def as_row(self, market: int) -> tuple[int, str, str, int, int]:
        """For a snapshot, whose integers have 64 bits."""
        return market, str(self.base_reserve), str(self.quote_reserve), self.block_number, self.block_time

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> "Pool":
        """Inverse of `as_row`, without the market."""
        base_reserve, quote_reserve, block_number, block_time = row
        return cls(int(base_reserve), int(quote_reserve), block_number, block_time)
