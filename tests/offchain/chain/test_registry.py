"""The deployment registry: whole, typed, and clear about what is wrong."""

import json
from pathlib import Path

import msgspec
import pytest

from offchain.chain.registry import Contract, MarketEntry, Registry, load_registry, write_registry
from offchain.domain.errors import ConfigurationError
from offchain.domain.units import Address


def address(digit: str) -> Address:
    return Address("0x" + digit * 40)


REGISTRY = Registry(
    chain_id=998,
    quote_token=address("1"),
    contracts={
        "Vault": Contract(address=address("a"), bytecode_hash="0x12", block=7, constructor_arguments=["0x1", "5"]),
        "Settlement": Contract(address=address("b"), block=9),
        "SynthERC20:hBTC": Contract(address=address("c")),
        "SynthERC20:hETH": Contract(address=address("d")),
    },
    markets={"hBTC-USDC": MarketEntry(market=1, base_token=address("c"))},
)


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "deployments" / "998.json"
    write_registry(path, REGISTRY)
    assert load_registry(path, 998) == REGISTRY
    assert load_registry(path.parent, 998) == REGISTRY
    assert list(path.parent.iterdir()) == [path], "nothing else is left behind"
    assert json.loads(path.read_text())["contracts"]["Vault"]["bytecodeHash"] == "0x12"


def test_what_it_knows() -> None:
    assert REGISTRY.synths == ("hBTC", "hETH")
    assert REGISTRY.synth("hETH") == address("d")
    assert REGISTRY.first_block == 7
    with pytest.raises(ConfigurationError, match="names no CXPT"):
        REGISTRY.address("CXPT")


def test_checksummed_addresses_become_keys(tmp_path: Path) -> None:
    mixed = Contract(address=Address("0x" + "aB" * 20))
    contracts = REGISTRY.contracts | {"Vault": mixed}
    write_registry(tmp_path / "998.json", msgspec.structs.replace(REGISTRY, contracts=contracts))
    assert load_registry(tmp_path, 998).address("Vault") == "0x" + "ab" * 20


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no deployment registry"),
        ("{", "malformed"),
        ('{"chainId": 998}', "malformed"),
        ('{"chainId": 999, "quoteToken": "0x", "contracts": {}}', "is of chain 999, not 998"),
        ('{"chainId": 998, "quoteToken": "0x12", "contracts": {}}', "quoteToken"),
        ('{"chainId": 998, "quoteToken": "0x12", "contracts": {"Vault": {"address": "x"}}}', "Vault"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "998.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=words):
        load_registry(path, 998)
