"""`hooats amm` against a real chain: what is quoted is what moves, to the atom, and every bound is kept."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from local_chain import LocalChain, Venue, address_of, key_of

from offchain.chain.contracts import Token
from offchain.chain.registry import write_registry
from offchain.cli.program import hooats
from offchain.domain import amm
from offchain.domain.errors import InvalidInput, TransactionFailed
from offchain.domain.market import format_atoms, parse_atoms

TRADER = "pool trader"
SYNTH_ATOMS, USDC_ATOMS = 100 * 10**18, 10**13

Command = Callable[..., Any]


@pytest.fixture
def wallet_chain(chain: LocalChain, venue: Venue) -> LocalChain:
    """Every transaction is mined at once; the trader's wallet holds 100 hBTC and 10,000,000 USDC."""
    chain.rpc("evm_setAutomine", True)
    trader = address_of(TRADER)
    chain.fund(trader, venue.vault)
    chain.do(venue.vault, venue.synth, Token.mint.encode(trader, SYNTH_ATOMS))
    chain.do(trader, venue.usdc, Token.mint.encode(trader, USDC_ATOMS))
    return chain


@pytest.fixture
def command(wallet_chain: LocalChain, venue: Venue, tmp_path: Path) -> Command:
    """`command("swap", …)`: the JSON that it prints; a failure is raised."""
    key = tmp_path / "trader.key"
    key.write_text("0x" + key_of(TRADER).hex())
    key.chmod(0o600)
    write_registry(tmp_path / "998.json", venue.registry)

    def run(name: str, *arguments: str, is_plain: bool = False) -> Any:
        access = ["--rpc", wallet_chain.url, "--registry", str(tmp_path / "998.json")]
        access += [] if name in ("pools", "quote") else ["--key", str(key)]
        access += [] if is_plain else ["--json"]
        result = CliRunner().invoke(hooats, ["amm", name, *arguments, *access], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output if is_plain else json.loads(result.output)

    return run


def held(chain: LocalChain, token: str, owner: str = TRADER) -> int:
    call = {"to": token, "data": "0x" + Token.balance_of.encode(address_of(owner)).hex()}
    return int(chain.rpc("eth_call", call, "latest"), 16)


def test_a_pool_from_its_opening_to_its_end(wallet_chain: LocalChain, venue: Venue, command: Command) -> None:
    with pytest.raises(InvalidInput, match="hBTC has no pool"):
        command("quote", "USDC", "hBTC", "--in", "1")
    assert command("pools") == []
    assert "no pools" in command("pools", is_plain=True)
    pool = command("create", "hBTC")["pool"]
    assert command("pools")[0] == {
        "synth": "hBTC", "pool": pool, "base": "0", "quote": "0", "price": "", "shares": "0"
    }  # fmt: skip

    added = command("add", "hBTC", "--base", "10", "--quote", "650000")
    assert (added["base"], added["quote"]) == ("10", "650000")
    assert command("pools")[0]["price"] == "65000"

    out = amm.amount_out(10**9, 650_000 * 10**6, 10 * 10**18)
    quoted = command("quote", "USDC", "hBTC", "--in", "1000")
    assert quoted["amountOut"] == format_atoms(out, 18)
    bought = command("swap", "USDC", "hBTC", "--in", "1000")
    assert {name: bought[name] for name in quoted} == quoted
    assert held(wallet_chain, venue.synth) == SYNTH_ATOMS - 10**19 + out

    taken = command("quote", "hBTC", "USDC", "--out", "5000")["amountIn"]
    sold = command("swap", "hBTC", "USDC", "--out", "5000", "--max", taken)
    assert (sold["amountIn"], sold["amountOut"]) == (taken, "5000")

    half = command("add", "hBTC", "--base", "1", "--quote", "1000000")
    assert half["base"] == "1"
    left = command("remove", "hBTC", "--shares", "all")
    assert parse_atoms(left["base"], 18, "base") > 109 * 10**17
    assert command("pools")[0]["shares"] == "0.000000000000001"
    assert "hBTC" in command("pools", is_plain=True)


@pytest.fixture
def filled(command: Command) -> Command:
    command("create", "hBTC")
    command("add", "hBTC", "--base", "10", "--quote", "650000")
    return command


def test_bounds_are_kept(wallet_chain: LocalChain, venue: Venue, filled: Command) -> None:
    out = filled("quote", "USDC", "hBTC", "--in", "1000")["amountOut"]
    with pytest.raises(TransactionFailed, match="TooLittleOut"):
        filled("swap", "USDC", "hBTC", "--in", "1000", "--min", format_atoms(parse_atoms(out, 18, "out") + 1, 18))
    with pytest.raises(TransactionFailed, match="TooMuchIn"):
        filled("swap", "USDC", "hBTC", "--out", "1", "--max", "65000")
    before = held(wallet_chain, venue.usdc)
    assert filled("swap", "USDC", "hBTC", "--in", "1000", "--min", out)["amountOut"] == out
    assert held(wallet_chain, venue.usdc) == before - 10**9


def test_no_allowance_is_left_behind(wallet_chain: LocalChain, venue: Venue, filled: Command) -> None:
    filled("swap", "USDC", "hBTC", "--in", "1000", "--slippage", "0")
    filled("swap", "hBTC", "USDC", "--in", "0.1")
    owner, router = address_of(TRADER), venue.registry.address("AmmRouter")
    for token in (venue.usdc, venue.synth):
        call = {"to": token, "data": "0x" + Token.allowance.encode(owner, router).hex()}
        assert int(wallet_chain.rpc("eth_call", call, "latest"), 16) == 0


def test_another_may_receive(wallet_chain: LocalChain, venue: Venue, filled: Command) -> None:
    done = filled("swap", "hBTC", "USDC", "--in", "1", "--to", address_of("friend"))
    assert held(wallet_chain, venue.usdc, "friend") == parse_atoms(done["amountOut"], 6, "out")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("quote", "USDC", "hBTC"), "one amount"),
        (("quote", "USDC", "hBTC", "--in", "1", "--out", "1"), "one amount"),
        (("quote", "USDC", "USDC", "--in", "1"), "no trade"),
        (("quote", "USDC", "hETH", "--in", "1"), "hETH"),
        (("quote", "USDC", "hBTC", "--in", "0"), "zero"),
        (("quote", "USDC", "hBTC", "--in", "0.0000001"), "6 decimals"),
        (("swap", "USDC", "hBTC", "--in", "1", "--slippage", "100"), "percentage"),
        (("swap", "USDC", "hBTC", "--in", "1", "--max", "1"), "--max with --out"),
        (("swap", "USDC", "hBTC", "--in", "99999999"), "your wallet holds 9350000 USDC"),
        (("remove", "hBTC", "--shares", "0"), "no shares"),
        (("remove", "hBTC", "--shares", "1000"), "your wallet holds"),
        (("create", "USDC"), "other side"),
    ],
)
def test_what_is_wrong_is_said(filled: Command, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        filled(*arguments)


def test_a_second_pool_and_more_than_there_is_are_refused_by_the_chain(filled: Command) -> None:
    with pytest.raises(TransactionFailed, match="PairExists"):
        filled("create", "hBTC")
    with pytest.raises(TransactionFailed, match="InsufficientOutput"):
        filled("quote", "USDC", "hBTC", "--out", "10")
