"""`ape run deploy` as a user runs it, on anvil with HyperEVM's chain id, block time and block size."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))

from chaos_rpc import ChaosRpc, Faults

from offchain.chain.registry import load_registry
from offchain.domain.keccak import keccak

ROOT = Path(__file__).resolve().parents[2]
DEPLOYER = "0x2ec17a774a9e768c2ce07d8e0ba3da259a3e24c3"
KEY = keccak(b"HOOATS test deployer").hex()
CHAIN_ID = 998
BLOCK_GAS = 3_000_000
SYNTHS = ("SynthERC20:hBTC", "SynthERC20:hETH")
PAIRS = ("AmmPair:hBTC", "AmmPair:hETH")
CONTRACTS = {
    *("Timelock", "TestUSDC", "CXPT", "VaultImplementation", "Vault", "Settlement", "OrderbookCommitment"),
    *("SynthImplementation", "SynthFactory", "PriceOracle", "SynthIssuer"),
    *("AmmPairImplementation", "AmmFactory", "AmmRouter", "TwapSource", *SYNTHS, *PAIRS),
}

pytestmark = pytest.mark.timeout(300)


class Chain:
    """An anvil of our own, and deployments to it."""

    def __init__(self, folder: Path, block_time: float) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [
                ROOT / "toolchain" / "anvil",
                *(f"--port={port}", f"--chain-id={CHAIN_ID}", f"--block-time={block_time}"),
                *(f"--gas-limit={BLOCK_GAS}", "--block-base-fee-per-gas=100000000", "--hardfork=cancun"),
                *("--order=fifo", "--slots-in-an-epoch=1", "--silent"),
            ]
        )
        self.proxy: ChaosRpc | None = None
        self.registry_path = folder / "registry.json"
        self.key_path = folder / "deployer.key"
        self.key_path.write_text(f"0x{KEY}\n")

    def rpc(self, method: str, *params: object) -> Any:
        answer = httpx.post(self.url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).json()
        assert "error" not in answer, answer
        return answer["result"]

    def start(self) -> None:
        for _ in range(200):
            try:
                if self.rpc("eth_chainId") == hex(CHAIN_ID):
                    break
            except httpx.HTTPError:
                time.sleep(0.05)
        self.rpc("anvil_setBalance", DEPLOYER, hex(10**20))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        if self.proxy is not None:
            self.proxy.stop()

    def behind_hyperevms_rules(self) -> ChaosRpc:
        """From now on the chain is no development chain: it has small blocks, and big ones for the deployer."""
        rules = Faults(small_block_gas=BLOCK_GAS, client_version="HyperEVM/v1", nonce_window=8)
        self.proxy = ChaosRpc(self.url, rules).start()
        self.url = self.proxy.url
        return self.proxy

    def command(self, *flags: str) -> list[str]:
        ape = str(Path(sys.executable).parent / "ape")
        return [ape, "run", "deploy", "--network", f"hyperliquid:testnet:{self.url}", *flags]

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HOOATS_")}
        return kept | {
            "HOOATS_DEPLOYER_KEY_FILE": str(self.key_path),
            "HOOATS_REGISTRY": str(self.registry_path),
            "HOOATS_PARAMETERS": str(ROOT / "deployment" / "local.yaml"),
        }

    def deploy(self, *flags: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*flags),
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert KEY not in done.stdout + done.stderr
        return done

    def deploy_well(self, *flags: str) -> str:
        done = self.deploy(*flags)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def deploy_until(self, transactions: int) -> None:
        """A deployment that is killed when it has sent so many transactions."""
        process = subprocess.Popen(
            self.command(), cwd=ROOT, env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while int(self.rpc("eth_getTransactionCount", DEPLOYER, "pending"), 16) < transactions:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL

    def registry(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.registry_path.read_text())
        return content

    def word(self, contract: str, signature: str, *arguments: str) -> int:
        """First word that a view answers; arguments are addresses or hex words."""
        data = keccak(signature.encode())[:4].hex() + "".join(
            item.removeprefix("0x").rjust(64, "0") for item in arguments
        )
        to = self.registry()["contracts"][contract]["address"]
        return int(self.rpc("eth_call", {"to": to, "data": f"0x{data}"}, "latest")[:66], 16)

    def has_role(self, contract: str, role: str, holder: str) -> bool:
        role_id = keccak(role.encode()).hex() if role else "00"
        return bool(self.word(contract, "hasRole(bytes32,address)", role_id, holder))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[float], Chain]]:
    chains: list[Chain] = []

    def start(block_time: float) -> Chain:
        chain = Chain(tmp_path_factory.mktemp("chain"), block_time)
        chains.append(chain)
        chain.start()
        return chain

    yield start
    for chain in chains:
        chain.stop()


@pytest.fixture(scope="module")
def deployed(start: Callable[[float], Chain]) -> Chain:
    chain = start(0.5)
    output = chain.deploy_well()
    assert "66 transactions" in output
    return chain


def test_the_registry_says_who_is_where(deployed: Chain) -> None:
    registry = deployed.registry()
    contracts = registry["contracts"]
    assert registry["chainId"] == CHAIN_ID
    assert set(contracts) == CONTRACTS
    assert registry["quoteToken"] == contracts["TestUSDC"]["address"]
    assert registry["markets"] == {
        "BTC-USDC": {"market": 1, "baseToken": contracts["SynthERC20:hBTC"]["address"]},
        "ETH-USDC": {"market": 2, "baseToken": contracts["SynthERC20:hETH"]["address"]},
    }
    for name, entry in contracts.items():
        fields = ["address", "abiHash", "bytecodeHash", "constructorArguments", "block", "transaction", "commit"]
        assert list(entry) == fields + ([] if name in (*SYNTHS, *PAIRS) else ["salt"]), name
        code = bytes.fromhex(deployed.rpc("eth_getCode", entry["address"], "latest")[2:])
        assert entry["bytecodeHash"] == "0x" + keccak(code).hex(), name
        receipt = deployed.rpc("eth_getTransactionReceipt", entry["transaction"])
        assert (int(receipt["blockNumber"], 16), receipt["status"]) == (entry["block"], "0x1"), name
        assert re.fullmatch("0x[0-9a-f]{64}", entry["abiHash"]), name


def test_the_programs_of_the_venue_can_read_it(deployed: Chain) -> None:
    registry = load_registry(deployed.registry_path, CHAIN_ID)
    assert registry.synths == ("hBTC", "hETH")
    assert registry.synth("hETH") == registry.markets["ETH-USDC"].base_token
    assert registry.first_block == registry.contract("Vault").block > 0


def test_roles_are_wired_and_the_deployer_keeps_none(deployed: Chain) -> None:
    contracts = {name: entry["address"] for name, entry in deployed.registry()["contracts"].items()}
    timelock = contracts["Timelock"]
    assert deployed.has_role("Vault", "SETTLEMENT_ROLE", contracts["Settlement"])
    assert deployed.has_role("Vault", "CORE_ROLE", contracts["SynthIssuer"])
    assert deployed.has_role("CXPT", "MINTER_ROLE", contracts["Vault"])
    assert deployed.has_role("Settlement", "SETTLER_ROLE", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
    assert deployed.has_role("Vault", "UPGRADER_ROLE", timelock)
    assert deployed.has_role("Vault", "REGISTRAR_ROLE", contracts["SynthFactory"])
    assert not deployed.has_role("Vault", "REGISTRAR_ROLE", DEPLOYER)
    for name, role in (("SynthFactory", "CREATOR_ROLE"), ("Settlement", "LISTER_ROLE")):
        assert deployed.has_role(name, role, "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"), role
        assert not deployed.has_role(name, role, DEPLOYER), role
    for name in ("Vault", "Settlement", "OrderbookCommitment", "SynthIssuer"):
        assert deployed.has_role(name, "", timelock), name
        assert not deployed.has_role(name, "", DEPLOYER), name
    assert not deployed.has_role("CXPT", "", DEPLOYER)
    assert deployed.word("Timelock", "getMinDelay()") == 24 * 60 * 60


def test_markets_and_first_prices_are_there(deployed: Chain) -> None:
    contracts = deployed.registry()["contracts"]
    prices = {name: deployed.word("PriceOracle", "priceOf(address)", contracts[name]["address"]) for name in SYNTHS}
    assert prices == {"SynthERC20:hBTC": 61_500_000_000, "SynthERC20:hETH": 2_500_000_000}
    for number, name in enumerate(SYNTHS, start=1):
        assert deployed.word("Settlement", "marketOf(uint32)", hex(number)) == int(contracts[name]["address"], 16)


def test_the_chain_is_left_with_its_small_blocks(deployed: Chain) -> None:
    assert int(deployed.rpc("eth_getBlockByNumber", "latest", False)["gasLimit"], 16) == BLOCK_GAS


def test_a_second_run_changes_nothing(deployed: Chain) -> None:
    before = (deployed.registry_path.read_bytes(), deployed.rpc("eth_getTransactionCount", DEPLOYER, "latest"))
    assert deployed.deploy_well().endswith("nothing to do\n")
    assert (deployed.registry_path.read_bytes(), deployed.rpc("eth_getTransactionCount", DEPLOYER, "latest")) == before


def test_a_lost_registry_is_made_again_from_the_chain(deployed: Chain) -> None:
    before = deployed.registry_path.read_bytes()
    deployed.registry_path.unlink()
    deployed.deploy_well()
    assert deployed.registry_path.read_bytes() == before


def test_killed_three_times_it_ends_as_if_never_killed(deployed: Chain, start: Callable[[float], Chain]) -> None:
    """With SIGKILL, and with transactions in flight; test_kills.py does it after each transaction."""
    chain = start(0.25)
    proxy = chain.behind_hyperevms_rules()
    assert "to big blocks" in chain.deploy().stderr
    assert proxy.record.raw_transactions == []
    proxy.big_block_users.add(DEPLOYER)
    for transactions in (3, 13, 43):
        chain.deploy_until(transactions)
    chain.deploy_well()
    assert [*chain.folder.glob(".*.pending")] == []
    assert same(chain.registry()) == same(deployed.registry())
    assert chain.deploy_well().endswith("nothing to do\n")


def same(registry: dict[str, Any]) -> dict[str, Any]:
    """What a registry has in common with one of the same deployment on another chain."""
    contracts = {
        name: {key: value for key, value in entry.items() if key not in ("block", "transaction")}
        for name, entry in registry["contracts"].items()
    }
    return registry | {"contracts": contracts}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--settler", "0x12"], "settler is not an address"),
        (["--cosigner", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"], "cosigner and settler are the same address"),
        (["--fee-account", "0x" + "ab" * 20], "differ: name another --registry"),
        (["--key-file", "no-such-file"], "cannot read key file no-such-file"),
    ],
)
def test_a_mistake_is_one_line(deployed: Chain, flags: list[str], message: str) -> None:
    done = deployed.deploy(*flags)
    assert done.returncode == 2
    assert message in done.stderr
    assert len([line for line in done.stderr.splitlines() if not line.startswith("INFO")]) == 1


def test_no_money_and_no_node_are_one_line(start: Callable[[float], Chain]) -> None:
    chain = start(1)
    chain.rpc("anvil_setBalance", DEPLOYER, "0x1")
    assert "hooats: not enough to pay with: deployer 0x" in chain.deploy().stderr
    chain.stop()
    lines = chain.deploy().stderr.splitlines()
    assert len(lines) == 1
    assert "No (supported) node found" in lines[0]
