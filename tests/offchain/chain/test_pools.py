"""The bounds of a trade never give more away than was said. The rest: tests/offchain/cli/test_amm.py."""

from hypothesis import given
from hypothesis import strategies as st

from offchain.chain.pools import PPM, at_least, at_most

AMOUNTS = st.integers(0, 2**112)
SLIPPAGES = st.integers(0, PPM - 1)


@given(AMOUNTS, SLIPPAGES)
def test_bounds_round_for_the_trader(quoted: int, ppm: int) -> None:
    assert (at_least(quoted, ppm) - 1) * PPM < quoted * (PPM - ppm) <= at_least(quoted, ppm) * PPM
    assert at_most(quoted, ppm) * PPM <= quoted * (PPM + ppm) < (at_most(quoted, ppm) + 1) * PPM


@given(AMOUNTS)
def test_no_slippage_is_the_quote(quoted: int) -> None:
    assert at_least(quoted, 0) == quoted == at_most(quoted, 0)
