"""A market's AMM pair as it was last observed, and what is promised of it.

Invariant: pure arithmetic over the reserves of one block; the chain has the last word, when the batch settles. It moves
no money and knows no orders.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from offchain.domain.amm import amount_in, amount_out
from offchain.domain.event import PoolChanged
from offchain.domain.limits import AMM_MARGIN_PPM
from offchain.domain.units import PPM, ceil_div

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
        """What a pair can hold, at a block that a snapshot can keep."""
        are_reserves = 0 <= self.base_reserve <= RESERVE_MAX and 0 <= self.quote_reserve <= RESERVE_MAX
        return are_reserves and 0 <= self.block_number < 2**63 and 0 <= self.block_time < 2**63

    @property
    def is_empty(self) -> bool:
        return not (self.base_reserve and self.quote_reserve)

    def promise_buy(self, base_atoms: int, limit: int) -> int | None:
        """Quote units to give for exactly `base_atoms`: what the pair asks now and a margin, up to `limit`.

        None if it asks for more than `limit`, or has not so much. Whatever it gives beyond is the taker's.
        """
        asked = amount_in(base_atoms, self.quote_reserve, self.base_reserve)
        if asked is None or asked > limit:
            return None
        return min(ceil_div(asked * (PPM + AMM_MARGIN_PPM), PPM), limit)

    def promise_sale(self, base_atoms: int, limit: int) -> int | None:
        """Quote units that come at least for `base_atoms`: what the pair gives now less a margin, down to `limit`.

        None if it gives less than `limit`, or cannot hold so much.
        """
        given = amount_out(base_atoms, self.base_reserve, self.quote_reserve)
        if given < limit or self.base_reserve + base_atoms > RESERVE_MAX:
            return None
        return max(given * (PPM - AMM_MARGIN_PPM) // PPM, limit)

    def after(self, base_change: int, quote_change: int, block: tuple[int, int]) -> "Pool":
        """The pair after a trade of which a log tells; it is empty to us if the two do not fit together."""
        changed = Pool(self.base_reserve + base_change, self.quote_reserve + quote_change, *block)
        return changed if changed.is_sane else Pool(0, 0, *block)

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
