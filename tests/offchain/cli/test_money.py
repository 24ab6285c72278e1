"""`hooats balances`: what a row is called. On a real chain: tests/chainfork."""

from offchain.chain.pools import Coin
from offchain.cli.money import labels
from offchain.domain.units import Address

USDC, HBTC = Coin("USDC", Address("0x" + "01" * 20), 6), Coin("hBTC", Address("0x" + "02" * 20), 18)


def test_rows_are_named_by_their_symbols() -> None:
    assert labels((USDC, HBTC)) == {"USDC": USDC, "hBTC": HBTC}


def test_no_row_overwrites_another() -> None:
    """Anybody's token may be called USDC; the settlement token comes first and keeps its name."""
    names = ("USDC", "usdc", "HBTC", "account", "USDC")
    false = [Coin(name, Address(f"0x{number:040x}"), 18) for number, name in enumerate(names)]
    found = labels((USDC, HBTC, *false))
    assert list(found.values()) == [USDC, HBTC, *false]
    assert found["USDC"] == USDC and found[f"USDC {false[0].address}"] == false[0]
    assert "usdc" not in found and "account" not in found
