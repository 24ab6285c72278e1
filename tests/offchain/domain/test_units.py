"""Fees: exact, never below zero together, and the venue never loses the dust."""

from fractions import Fraction
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from offchain.domain.units import PPM, ceil_div, fee_up, from_hex, to_address

NOTIONAL, RATE = st.integers(0, 2**112), st.integers(-10_000, 10_000)


@given(NOTIONAL, RATE)
def test_fee_is_the_ceiling(notional: int, ppm: int) -> None:
    assert fee_up(notional, ppm) == ceil(Fraction(notional * ppm, PPM))
    assert abs(fee_up(notional, ppm)) <= ceil(Fraction(notional, 100))


@given(NOTIONAL, RATE, RATE)
def test_rates_that_sum_to_nothing_make_no_loss(notional: int, maker: int, taker: int) -> None:
    if maker + taker >= 0:
        assert fee_up(notional, maker) + fee_up(notional, taker) >= 0


@given(st.integers(1, 1_000), st.integers(1, 10**6), st.integers(0, 10_000), st.lists(st.integers(1, 50), max_size=20))
def test_a_hold_per_lot_covers_every_way_to_fill(price: int, unit: int, ppm: int, parts: list[int]) -> None:
    per_lot = price * unit + ceil_div(price * unit * ppm, PPM)
    paid = sum(price * lots * unit + fee_up(price * lots * unit, ppm) for lots in parts)
    assert paid <= per_lot * sum(parts)


@given(st.integers(-(10**40), 10**40), st.integers(1, 10**20))
def test_ceil_div(numerator: int, denominator: int) -> None:
    assert ceil_div(numerator, denominator) == ceil(Fraction(numerator, denominator))


@given(st.binary(min_size=20, max_size=20))
def test_addresses(raw: bytes) -> None:
    assert from_hex(to_address(raw)) == raw and to_address(raw) == to_address(raw).lower()
