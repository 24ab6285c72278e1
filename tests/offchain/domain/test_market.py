"""Decimal strings: converted exactly, or refused with the nearest valid value."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain.domain.errors import InvalidInput
from offchain.domain.limits import PRICE_TICKS_MAX, SIZE_LOTS_MAX
from offchain.domain.market import Market, format_atoms, format_fraction, parse_atoms
from offchain.domain.units import Address, Lots, Ticks

MARKET = Market(
    market=1,
    symbol="BTC-USDC",
    base_token=Address("0x" + "11" * 20),
    base_atoms_per_lot=10**14,
    quote_atoms_per_tick_lot=10,
    base_decimals=18,
    quote_decimals=6,
)
"""One lot is 0.0001 base; one tick is 10 / 10^6 quote per lot: 0.1 quote per base."""


def test_sizes_of_ticks_and_lots() -> None:
    assert (MARKET.tick_size, MARKET.lot_size) == ("0.1", "0.0001")
    assert MARKET.notional(Ticks(615_001), Lots(10_000)) == 61_500_100_000
    assert MARKET.base_atoms(Lots(10_000)) == 10**18


@given(st.integers(1, PRICE_TICKS_MAX), st.integers(1, SIZE_LOTS_MAX))
def test_there_and_back(ticks: int, lots: int) -> None:
    price, size = MARKET.format_price(Ticks(ticks)), MARKET.format_size(Lots(lots))
    assert (MARKET.parse_price(price), MARKET.parse_size(size)) == (ticks, lots)
    assert Decimal(price) * 10 == ticks
    for text in (price, size):
        assert "e" not in text and not ("." in text and text.endswith("0"))


@pytest.mark.parametrize(
    ("text", "nearest"),
    [("61500.15", "61500.2"), ("61500.14", "61500.1"), ("0.01", "0.1"), ("0.06", "0.1"), ("1.05", "1.1")],
)
def test_the_nearest_valid_price_is_named(text: str, nearest: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        MARKET.parse_price(text)
    assert caught.value.remedy == f"The nearest valid price is {nearest}" and caught.value.field == "price"
    assert MARKET.parse_price(nearest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".5",
        "5.",
        "01",
        "1e3",
        "+1",
        "-1",
        " 1",
        "1 ",
        "1_0",
        "1,5",
        "NaN",
        "\u0661",
        "1" * 40,
        1,
        1.5,
        None,
        True,
        b"1",
    ],
)
def test_what_is_no_plain_decimal(text: object) -> None:
    for parse in (MARKET.parse_price, MARKET.parse_size):
        with pytest.raises(InvalidInput):
            parse(text)
    with pytest.raises(InvalidInput):
        parse_atoms(text, 6, "amount")


def test_bounds() -> None:
    top = MARKET.format_price(Ticks(PRICE_TICKS_MAX))
    assert MARKET.parse_price(top) == PRICE_TICKS_MAX
    for text in ("0", "0.0", MARKET.format_price(Ticks(PRICE_TICKS_MAX + 1))):
        with pytest.raises(InvalidInput, match="out of range"):
            MARKET.parse_price(text)


@given(st.integers(0, 10**30), st.integers(0, 18))
def test_atoms(atoms: int, decimals: int) -> None:
    text = format_atoms(atoms, decimals)
    assert parse_atoms(text, decimals, "amount") == atoms
    assert Decimal(text).scaleb(decimals) == Decimal(atoms) or atoms >= 10**28


def test_atoms_of_too_many_decimals() -> None:
    with pytest.raises(InvalidInput, match="6 decimals"):
        parse_atoms("0.0000001", 6, "amount")
    assert parse_atoms("0.1000000000", 6, "amount") == 100_000
    assert format_fraction(-5, 10) == "-0.5"
