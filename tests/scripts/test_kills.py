"""A deployment that is killed after each of its transactions, and run again, ends as if it had never been killed.

The chain is an anvil behind HyperEVM's rules: blocks of 3M gas, big ones for the deployer only, eight nonces ahead. A
kill is an exception that nothing catches, right after the node took a transaction: chain and disk are what a killed
process leaves. test_deploy.py kills real processes, with transactions in flight.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from web3 import Web3
from web3.providers import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

sys.path.append(str(Path(__file__).resolve().parents[1]))

from chaos_rpc import ChaosRpc, Faults
from local_chain import BLOCK_GAS, CHAIN_ID, ROOT, LocalChain, key_of

from offchain.domain.errors import ConfigurationError
from scripts._accounts import FileSigner
from scripts._artifacts import load_artifacts
from scripts._chain import Chain
from scripts._deployment import ARTIFACTS, Plan, make_plan
from scripts._parameters import Parameters, load
from scripts._registry import RegistryFile
from scripts._run import Deployment, Options

OPTIONS = Options(None, None, None, None, None, None, False, False, False, False, False, {})

pytestmark = pytest.mark.timeout(400)


class Killed(BaseException):
    """No process lives on after this."""


class InProcess(JSONBaseProvider):
    """The rules without a socket of their own."""

    def __init__(self, proxy: ChaosRpc) -> None:
        super().__init__()
        self._proxy = proxy

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        return self._proxy.answer(json.loads(self.encode_rpc_request(method, params)))  # type: ignore[return-value]


class HyperEvm:
    """An anvil that mines at once, the rules, and deployments to it from this process."""

    def __init__(self, folder: Path) -> None:
        self.anvil = LocalChain().start()
        self.anvil.rpc("evm_setAutomine", True)
        rules = Faults(small_block_gas=BLOCK_GAS, client_version="HyperEVM/v1", nonce_window=8)
        self.proxy = ChaosRpc(self.anvil.url, rules)
        key = folder / "deployer.key"
        key.write_text(key_of("deployer").hex())
        self.signer = FileSigner(key, None)
        self.anvil.fund(self.signer.address)
        self.proxy.big_block_users.add(self.signer.address)
        self.parameters: Parameters = load(ROOT / "deployment" / "local.yaml", {})
        self.plan: Plan = make_plan(self.parameters, load_artifacts(ROOT, ARTIFACTS), self.signer.address)

    def stop(self) -> None:
        self.anvil.stop()

    def nonce(self) -> int:
        """Of the deployer, with what is mined in a moment."""
        return int(self.anvil.rpc("eth_getTransactionCount", self.signer.address, "pending"), 16)

    def deploy(self, folder: Path) -> dict[str, Any]:
        """A whole run; what the registry says then."""
        chain = Chain(Web3(InProcess(self.proxy)))
        assert not chain.is_development
        registry = RegistryFile(folder / f"{CHAIN_ID}.json", chain.id)
        with registry.lock():
            Deployment(chain, self.signer, self.plan, registry, OPTIONS, "unknown").run(self.parameters)
        return same(json.loads((folder / f"{CHAIN_ID}.json").read_text()))


@pytest.fixture
def hyperevm(tmp_path: Path) -> Iterator[Callable[[], HyperEvm]]:
    started: list[HyperEvm] = []

    def start() -> HyperEvm:
        started.append(HyperEvm(tmp_path))
        return started[-1]

    yield start
    for chain in started:
        chain.stop()


def same(registry: dict[str, Any]) -> dict[str, Any]:
    """What two runs have in common: everything but when something was mined."""
    contracts = {
        name: {key: value for key, value in entry.items() if key not in ("block", "transaction")}
        for name, entry in registry["contracts"].items()
    }
    return registry | {"contracts": contracts}


def test_killed_after_each_transaction_it_ends_the_same(
    hyperevm: Callable[[], HyperEvm], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unharmed, killed = hyperevm(), hyperevm()
    whole = unharmed.deploy(tmp_path / "whole")
    transactions = unharmed.nonce()
    assert {name: entry["address"] for name, entry in whole["contracts"].items()} == unharmed.plan.addresses

    def kill(taken: int) -> None:
        raise Killed

    killed.proxy.after_send = kill
    for number in range(1, transactions + 1):
        with pytest.raises(Killed):
            killed.deploy(tmp_path / "killed")
        assert killed.nonce() == number  # and none was sent twice
    killed.proxy.after_send = None
    assert killed.deploy(tmp_path / "killed") == whole
    assert killed.nonce() == transactions
    assert [*(tmp_path / "killed").glob(".*.pending")] == []
    capsys.readouterr()


def test_without_big_blocks_nothing_is_sent(hyperevm: Callable[[], HyperEvm], tmp_path: Path) -> None:
    chain = hyperevm()
    chain.proxy.big_block_users.clear()
    with pytest.raises(ConfigurationError, match=r"too large for blocks of 3,000,000 gas.*to big blocks"):
        chain.deploy(tmp_path)
    assert chain.nonce() == 0
