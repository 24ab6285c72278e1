"""`create_market` with the lister's key: killed after each transaction it goes on, and it never lists twice."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from web3 import HTTPProvider, Web3

sys.path.append(str(Path(__file__).resolve().parents[1]))

from local_chain import ROOT

from offchain.chain.registry import load_registry
from offchain.domain.errors import ConfigurationError
from offchain.domain.event import MarketRequested
from offchain.domain.units import Address
from scripts._chain import Chain
from scripts._market import create_market
from scripts._status import look
from scripts._venue import Venue
from tests.scripts.deployed import LISTER, Stage

pytestmark = pytest.mark.timeout(300)


class Killed(BaseException):
    """No process lives on after this."""


class MortalChain(Chain):
    """A process that is killed when the node has taken its transaction."""

    def send(self, raw: bytes) -> None:
        super().send(raw)
        raise Killed


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("market"))
    stage.hand_over()
    yield stage
    stage.anvil.stop()


def request(**changes: Any) -> MarketRequested:
    fields: dict[str, Any] = {
        "market": 3,
        "symbol": "SOL-USDC",
        "synth_symbol": "hSOL",
        "synth_name": "HOOATS Solana",
        "base_atoms_per_lot": 10**16,
        "quote_atoms_per_tick_lot": 10,
        "ceiling": 10**23,
        "initial_percent": 150,
        "maintenance_percent": 130,
        "bonus_percent": 8,
        "quorum": 1,
        "max_age_seconds": 3_600,
        "max_move_ppm_per_minute": 20_000,
        "by": Address("0x" + "00" * 20),
    }
    return MarketRequested(**fields | changes)


SILVER = request(market=9, symbol="XAG-USDC", synth_symbol="hXAG", synth_name="HOOATS Silver")


def nonce(stage: Stage, address: Address) -> int:
    return int(stage.anvil.rpc("eth_getTransactionCount", address, "pending"), 16)


def test_killed_after_each_transaction_it_ends_with_the_market(stage: Stage) -> None:
    lister = stage.signer_of(LISTER)
    for sent in range(1, 7):
        mortal = Venue(MortalChain(Web3(HTTPProvider(stage.anvil.url))), stage.venue().registry, stage.path)
        with pytest.raises(Killed):
            create_market(mortal, lister, request(), [], ROOT)
        assert nonce(stage, lister.address) == sent
        assert "SOL-USDC" not in stage.venue().registry.markets
    create_market(stage.venue(), lister, request(), [], ROOT)
    assert nonce(stage, lister.address) == 6
    registry = load_registry(stage.path, 998)
    assert registry.markets["SOL-USDC"].market == 3
    assert registry.markets["SOL-USDC"].base_token == registry.synth("hSOL")
    assert registry.contract("AmmPair:hSOL").transaction.startswith("0x")
    before = stage.path.read_bytes()
    create_market(stage.venue(), lister, request(), [], ROOT)
    assert (nonce(stage, lister.address), stage.path.read_bytes()) == (6, before)
    assert [*stage.path.parent.glob(".*.pending")] == []


def test_status_sees_a_market_of_which_the_registry_was_not_told(stage: Stage) -> None:
    """As the list keeper opens it: the registry stays as it was deployed."""
    before = stage.path.read_bytes()
    create_market(stage.venue(), stage.signer_of(LISTER), SILVER, [], ROOT)
    stage.path.write_bytes(before)
    found = look(stage.venue(), history=False)
    assert found.problems == [] and found.unregistered == ("hXAG",) and found.feeds["hXAG"] == 1
    (row,) = [row for name, row in found.markets.items() if name == "number 9"]
    assert row.startswith("over hXAG, lot ") and row.endswith("not in the registry")
    assert "hXAG: the quorum is 1, so that one posting key makes the price" in found.warnings
    assert any(warning.startswith("hXAG: on chain and not in the registry") for warning in found.warnings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"market": 1}, "market 1 is listed with other terms"),
        ({"synth_name": "HOOATS Something"}, "hBTC is another synth"),
        ({"market": 0}, "market number, lot or tick of SOL-USDC"),
        ({"bonus_percent": 30}, "percentages of SOL-USDC: out of bounds. 110 <= maintenance"),
        ({"max_age_seconds": 4_000}, "price feed of SOL-USDC: out of bounds"),
    ],
)
def test_what_cannot_be_listed(stage: Stage, changes: dict[str, Any], message: str) -> None:
    if "synth_name" in changes:
        changes = changes | {"synth_symbol": "hBTC", "market": 7}
    lister = stage.signer_of(LISTER)
    before = nonce(stage, lister.address)
    with pytest.raises(ConfigurationError, match=message):
        create_market(stage.venue(), lister, request(**changes), [], ROOT)
    assert nonce(stage, lister.address) == before


def test_sources_that_would_be_half_of_a_quorum(stage: Stage) -> None:
    new = request(market=8, synth_symbol="hNEW", symbol="NEW-USDC", quorum=2)
    with pytest.raises(ConfigurationError, match="half of a quorum"):
        create_market(stage.venue(), stage.signer_of(LISTER), new, ["TwapSource"], ROOT)


def test_a_source_that_is_none_and_a_stranger(stage: Stage) -> None:
    new = request(market=8, synth_symbol="hNEW", symbol="NEW-USDC", quorum=3)
    with pytest.raises(ConfigurationError, match="names no Nothing"):
        create_market(stage.venue(), stage.signer_of(LISTER), new, ["Nothing"], ROOT)
    with pytest.raises(ConfigurationError, match=r"has no CREATOR_ROLE of SynthFactory\. Sign with the key of 0xa0ee"):
        create_market(stage.venue(), stage.signer, new, ["TwapSource"], ROOT)
    assert "NEW-USDC" not in json.loads(stage.path.read_text())["markets"]
