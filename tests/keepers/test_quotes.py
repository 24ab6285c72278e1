"""Price sources: exact decimals or a reason, and how old they are."""

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mids_server import MidsServer

from keepers.quotes import (
    FILE_SYNTHS_MAX,
    PRICE_MAX,
    FileQuotes,
    HyperliquidQuotes,
    QuotesUnavailable,
    is_symbol,
    make_source,
    parse_names,
    to_price_down,
)
from offchain.domain.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("61500.1", 61_500_100_000),
        ("61500", 61_500_000_000),
        ("0.000001", 1),
        ("0.0000019", 1),
        ("007.5", 7_500_000),
        (str(PRICE_MAX // 10**6), PRICE_MAX // 10**6 * 10**6),
    ],
)
def test_exact_decimals(text: str, price: int) -> None:
    assert to_price_down(text) == price


@pytest.mark.parametrize(
    "text",
    [
        *("0", "0.0", "0.0000009", "-1", "+1", "1e5", "1,5", "1_000", " 1", "1 ", "", ".5", "5.", "NaN", "inf"),
        *("0x10", "\u0661", "9" * 34, "9" * 50, 61500.1, 61500, None, ["1"], True),
    ],
)
def test_nonsense(text: object) -> None:
    with pytest.raises(ValueError, match=r"decimal|zero|large"):
        to_price_down(text)


@given(st.integers(1, 10**30), st.integers(0, 12))
def test_every_decimal_is_cut_off_at_a_unit(number: int, places: int) -> None:
    digits = str(number).rjust(places + 1, "0")
    text = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    expected = number * 10**6 // 10**places
    if expected == 0:
        with pytest.raises(ValueError, match="zero"):
            to_price_down(text)
    else:
        assert to_price_down(text) == expected


@pytest.mark.parametrize("name", ["", "h BTC", "h" * 32, "h" * 900_000, "hBTC\n", "\ud800", "h\u00e9", "\x1b[2J"])
def test_what_no_synth_is_called(name: str) -> None:
    assert not is_symbol(name)


@pytest.mark.parametrize("name", ["h", "hBTC", "h" * 31, "1e5", "h.b_2"])
def test_what_a_synth_may_be_called(name: str) -> None:
    assert is_symbol(name)


async def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    source = FileQuotes(path, {"hXYZ": "xyz"})
    with pytest.raises(QuotesUnavailable, match="cannot read"):
        await source.read()
    path.write_text('{"hBTC": "61500.1", "hETH": 5, "xyz": "1"}')
    os.utime(path, (1_000, 1_000))
    quotes = await source.read()
    assert quotes.at == 1_000
    assert dict(quotes.texts) == {"hBTC": "61500.1", "hETH": 5, "xyz": "1"}
    assert source.name_of("hBTC") == "hBTC"
    assert source.name_of("hXYZ") == "xyz"
    assert source.symbols_of(quotes) == ["hBTC", "hETH"]
    await source.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000, b" " * (1024 * 1024 + 1)])
async def test_a_file_that_is_not_understood(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "prices.json"
    path.write_bytes(content)
    with pytest.raises(QuotesUnavailable):
        await FileQuotes(path, {}).read()


async def test_a_file_of_too_many_synths(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({f"h{number}": "1" for number in range(FILE_SYNTHS_MAX + 1)}))
    with pytest.raises(QuotesUnavailable, match="more than"):
        await FileQuotes(path, {}).read()


async def test_mid_prices(mids: MidsServer) -> None:
    mids.reply = b'{"BTC": "61500.5", "ETH": "2500", "@1": "7"}'
    source = HyperliquidQuotes(mids.url, {"hWEIRD": "@1"}, now=lambda: 1_000.0)
    quotes = await source.read()
    assert quotes.texts[source.name_of("hBTC")] == "61500.5"
    assert quotes.texts[source.name_of("hWEIRD")] == "7"
    assert source.name_of("BTC") == "BTC"
    assert source.symbols_of(quotes) == []
    assert quotes.at == 1_000
    assert json.loads(mids.asked[0]) == {"type": "allMids"}
    await source.close()


@pytest.mark.parametrize(("status", "reply"), [(500, b"{}"), (429, b"{}"), (200, b"oops"), (200, b"[]")])
async def test_mid_prices_that_are_not_to_be_had(mids: MidsServer, status: int, reply: bytes) -> None:
    mids.status, mids.reply = status, reply
    source = HyperliquidQuotes(mids.url, {})
    with pytest.raises(QuotesUnavailable):
        await source.read()
    await source.close()


async def test_a_huge_answer_and_none_at_all(mids: MidsServer) -> None:
    mids.reply = b" " * (5 * 1024 * 1024)
    source = HyperliquidQuotes(mids.url, {})
    with pytest.raises(QuotesUnavailable, match="more than"):
        await source.read()
    await source.close()
    source = HyperliquidQuotes("http://127.0.0.1:1/info", {})
    with pytest.raises(QuotesUnavailable, match="ConnectError"):
        await source.read()
    await source.close()


async def test_which_source() -> None:
    assert isinstance(make_source("file:/x", {}), FileQuotes)
    source = make_source("hyperliquid:http://127.0.0.1:1/info", {})
    assert isinstance(source, HyperliquidQuotes)
    await source.close()
    for wrong in ("", "file", "file:", "hyperliquid:", "hyperliquid:ftp://x", "https://x"):
        with pytest.raises(ConfigurationError, match="file:PATH or hyperliquid:URL"):
            make_source(wrong, {})


def test_names() -> None:
    assert parse_names(["hBTC=BTC", " hX = @107 "]) == {"hBTC": "BTC", "hX": "@107"}
    for wrong in ("hBTC", "=BTC", "hBTC="):
        with pytest.raises(ConfigurationError, match="hBTC=BTC"):
            parse_names([wrong])


async def test_a_file_of_the_future_never_counts(tmp_path: Path) -> None:
    """It would be fresh for ever."""
    file = tmp_path / "prices.json"
    file.write_text('{"hBTC": "61500"}')
    os.utime(file, (time.time() + 3600,) * 2)
    with pytest.raises(QuotesUnavailable, match="future"):
        await make_source(f"file:{file}", {}).read()
