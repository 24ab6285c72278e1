"""The constant product of the AMM pairs, in integers.

Source: Uniswap v2's getAmountOut and getAmountIn at 30 bps. Twin: contracts/AmmPair.sol; tests compare them.
"""

from typing import Final

FEE_PPM: Final = 3_000
"""Of every input; it stays in the pool."""
RESERVE_MAX: Final = 2**112 - 1
"""What a pool can hold of a token."""
_KEPT, _WHOLE = 997, 1000


def amount_out(amount_in: int, reserve_in: int, reserve_out: int) -> int:
    """Most that comes out, rounded down; 0 for an empty pool, or for more than it can hold."""
    if amount_in <= 0 or reserve_in <= 0 or reserve_out <= 0 or reserve_in + amount_in > RESERVE_MAX:
        return 0
    kept = amount_in * _KEPT
    return kept * reserve_out // (reserve_in * _WHOLE + kept)


def amount_in(amount_out: int, reserve_in: int, reserve_out: int) -> int | None:
    """Least that must come in, rounded up; None if the pool cannot give that much, or hold what it costs."""
    if amount_out <= 0 or amount_out >= reserve_out or reserve_in <= 0:
        return None
    needed = reserve_in * amount_out * _WHOLE // ((reserve_out - amount_out) * _KEPT) + 1
    return needed if reserve_in + needed <= RESERVE_MAX else None
