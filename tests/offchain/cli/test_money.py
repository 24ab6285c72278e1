"""What `hooats balances` calls a row, and what `deposit` and `withdraw` refuse. On a real chain: tests/chainfork."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from offchain.chain.pools import Coin
from offchain.chain.registry import write_registry
from offchain.cli.daemons import NOWHERE
from offchain.cli.money import labels
from offchain.cli.program import hooats
from offchain.domain.errors import InvalidInput
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A key, and a registry of contracts that nobody can ask."""
    write_registry(tmp_path / "0.json", NOWHERE)
    (tmp_path / "trader.key").write_text("11" * 32)
    (tmp_path / "trader.key").chmod(0o600)
    return tmp_path


def refusal(folder: Path, *arguments: str) -> str:
    """What the command says before it asks anybody anything."""
    where = {"key": folder / "trader.key", "registry": folder, "chain-id": 0, "rpc": "http://127.0.0.1:1"}
    flags = [f"--{name}={value}" for name, value in where.items()]
    error = CliRunner().invoke(hooats, [*arguments, *flags]).exception
    assert isinstance(error, InvalidInput), error
    return str(error)


STRANGER = "0x" + "ab" * 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--mode request 5 --as-cxpt", "a request does not say in what it is paid. Leave --as-cxpt out; when"),
        ("--mode cancel --as-cxpt", "a cancel does not say in what it is paid"),
        (f"--mode complete --to {STRANGER}", "a request goes where it was asked to go. Leave --to out"),
        (f"--mode cancel --to {STRANGER}", "a request goes where it was asked to go"),
        (f"--mode complete 5 --as-cxpt --account {STRANGER}", "Leave --account out"),
        (f"5 --account {STRANGER}", "Leave --account out"),
        ("--mode complete 5", "--mode complete takes the whole request. Leave AMOUNT out"),
        ("--mode cancel 5", "--mode cancel takes the whole request"),
        (f"5 --token {STRANGER} --as-cxpt", f"{STRANGER} cannot be taken as CXPT. Only USDC can"),
    ],
)
def test_a_withdrawal_refuses_what_it_would_ignore(folder: Path, arguments: str, words: str) -> None:
    assert words in refusal(folder, "withdraw", *arguments.split())


NONE, ZERO = "no AMOUNT is given. Say how many tokens", "amount is zero. Above 0"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["deposit", "0"], ZERO),
        (["deposit", ""], NONE),
        (["withdraw", "0.0"], ZERO),
        (["withdraw"], NONE),
        (["withdraw", "--mode", "request"], NONE),
        (["withdraw", "--mode", "complete", "--as-cxpt"], NONE),
    ],
)
def test_an_amount_that_is_none(folder: Path, arguments: list[str], words: str) -> None:
    assert words in refusal(folder, *arguments)


@pytest.mark.parametrize("amount", ["+5", "1e5", "1,5"])
def test_an_amount_that_is_no_number_is_told_what_is_one(folder: Path, amount: str) -> None:
    assert refusal(folder, "deposit", amount).endswith('Like "1.5": no sign, no exponent')
