"""The preflight on a live chain, which no test can have: everything that is refused before anything is sent."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from offchain.domain.errors import ConfigurationError
from offchain.domain.units import Address
from scripts._create2 import FACTORY
from scripts._deployment import Plan, make_plan
from scripts._parameters import Parameters, load
from scripts._registry import RegistryFile
from scripts._run import Deployment, Options, check_live, ends_with_command, parameters_path, pause_for, registry_path
from tests.scripts.test_deployment import DEPLOYER, LOCAL, artifacts

ROOT = LOCAL.parents[1]
OPTIONS = Options(None, None, None, None, None, None, False, False, False, False, False, {})


class LiveChain:
    """What the preflight asks. Sending is not possible."""

    def __init__(self, chain_id: int = 998, is_development: bool = False) -> None:
        self.id = chain_id
        self.is_development = is_development
        self.codes: dict[Address, bytes] = {FACTORY: b"\x01"}
        self.wei = 10**20
        self.big_blocks: bool | None = None
        self.gas_limit = 3_000_000

    def code(self, address: Address, block: int | None = None) -> bytes:
        return self.codes.get(address, b"")

    def nonce(self, address: Address) -> int:
        return 0

    def balance(self, address: Address) -> int:
        return self.wei

    def block(self, number: int | None = None, full: bool = False) -> dict[str, int]:
        return {"gasLimit": self.gas_limit, "baseFeePerGas": 10**8, "number": 1}

    def uses_big_blocks(self, address: Address) -> bool | None:
        return self.big_blocks

    def big_block_base_fee(self) -> int:
        return 10**9

    def set_block_gas(self, limit: int) -> bool:
        return False

    def estimate(self, fields: dict[str, Any]) -> int:
        raise ConfigurationError("the preflight has passed")


class NoSigner:
    address = DEPLOYER

    def sign(self, fields: dict[str, Any]) -> bytes:
        raise AssertionError("nothing is signed")


@pytest.fixture
def parameters() -> Parameters:
    return load(LOCAL, {})


@pytest.fixture
def plan(parameters: Parameters) -> Plan:
    return make_plan(parameters, artifacts(), DEPLOYER)


def start(chain: Any, plan: Plan, parameters: Parameters, folder: Path, **options: Any) -> None:
    registry = RegistryFile(folder / "r.json", chain.id)
    Deployment(chain, NoSigner(), plan, registry, OPTIONS._replace(**options), "unknown").run(parameters)


def enlarged(plan: Plan, name: str, size: int) -> Plan:
    first = [
        creation._replace(artifact=creation.artifact._replace(runtime_bytes=size))
        if creation.name == name
        else creation
        for creation in plan.creations[0]
    ]
    return plan._replace(creations=[first, *plan.creations[1:]])


def test_what_is_in_order_passes(plan: Plan, parameters: Parameters, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the preflight has passed"):
        start(LiveChain(), plan, parameters, tmp_path)


def test_a_large_contract_needs_big_blocks(plan: Plan, parameters: Parameters, tmp_path: Path) -> None:
    chain, large = LiveChain(), enlarged(plan, "VaultImplementation", 20_000)
    for chain.big_blocks in (None, False):
        message = rf"too large for blocks of 3,000,000 gas: VaultImplementation \(over 4,0.*Switch {DEPLOYER} to big"
        with pytest.raises(ConfigurationError, match=message):
            start(chain, large, parameters, tmp_path)
    with pytest.raises(ConfigurationError, match="the preflight has passed"):
        start(chain, large, parameters, tmp_path, big_blocks=True)
    chain.big_blocks = True
    with pytest.raises(ConfigurationError, match="the preflight has passed"):
        start(chain, large, parameters, tmp_path)


def test_no_contract_may_be_larger_than_the_chain_takes(plan: Plan, parameters: Parameters, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="VaultImplementation has 24,577 bytes"):
        start(LiveChain(), enlarged(plan, "VaultImplementation", 24_577), parameters, tmp_path)


def test_no_factory(plan: Plan, parameters: Parameters, tmp_path: Path) -> None:
    chain = LiveChain()
    chain.codes.clear()
    with pytest.raises(ConfigurationError, match=f"no CREATE2 factory at {FACTORY}.*--install-factory"):
        start(chain, plan, parameters, tmp_path)


def test_not_enough_money(plan: Plan, parameters: Parameters, tmp_path: Path) -> None:
    chain = LiveChain()
    chain.wei = 10**14
    with pytest.raises(ConfigurationError, match=f"{DEPLOYER} has 0.0001, needs at most"):
        start(chain, plan, parameters, tmp_path)


def test_a_quote_token_that_is_not_there(parameters: Parameters, tmp_path: Path) -> None:
    named = msgspec.structs.replace(parameters, quote_token="0x" + "aa" * 20)
    with pytest.raises(ConfigurationError, match="no contract at quote token"):
        start(LiveChain(), make_plan(named, artifacts(), DEPLOYER), named, tmp_path)


def test_a_registry_of_another_chain_or_deployment(plan: Plan, parameters: Parameters, tmp_path: Path) -> None:
    chain, elsewhere = LiveChain(), Address("0x" + "ee" * 20)
    content = {"chainId": 998, "quoteToken": "", "contracts": {"Vault": {"address": elsewhere}}, "markets": {}}
    (tmp_path / "r.json").write_bytes(msgspec.json.encode(content))
    with pytest.raises(ConfigurationError, match="names Vault where no code is"):
        start(chain, plan, parameters, tmp_path)
    chain.codes[elsewhere] = b"\x01"
    with pytest.raises(ConfigurationError, match=f"names Vault at {elsewhere}, and this would be"):
        start(chain, plan, parameters, tmp_path)
    with pytest.raises(ConfigurationError, match="the preflight has passed"):
        start(chain, plan, parameters, tmp_path, replace=True)


def test_play_money_and_shared_keys_stay_off_live_chains(parameters: Parameters) -> None:
    check_live(LiveChain(is_development=True), parameters, NoSigner())  # type: ignore[arg-type]
    check_live(LiveChain(), parameters, NoSigner())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="a test USDC is not for chain 999"):
        check_live(LiveChain(999), parameters, NoSigner())  # type: ignore[arg-type]
    shared = msgspec.structs.replace(parameters, roles=parameters.roles | {"settler": DEPLOYER})
    with pytest.raises(ConfigurationError, match="the deployer is also settler"):
        check_live(LiveChain(), shared, NoSigner())  # type: ignore[arg-type]


def test_files_by_kind_of_chain() -> None:
    local, live, other = LiveChain(998, True), LiveChain(998), LiveChain(31_337, True)
    names = [registry_path(None, chain, ROOT).name for chain in (local, live, other)]  # type: ignore[arg-type]
    assert names == ["local-998.json", "998.json", "31337.json"]
    names = [parameters_path(OPTIONS, chain, ROOT).name for chain in (local, live, other)]  # type: ignore[arg-type]
    assert names == ["local.yaml", "998.yaml", "local.yaml"]
    with pytest.raises(ConfigurationError, match=r"there is no deployment/999\.yaml"):
        parameters_path(OPTIONS, LiveChain(999), ROOT)  # type: ignore[arg-type]


def test_only_a_public_endpoint_is_spared() -> None:
    assert [pause_for(uri) for uri in ("http://127.0.0.1:8545", "http://localhost:1", "", None)] == [0, 0, 0, 0]
    assert pause_for("https://rpc.example.org/evm") > 0.6


def test_a_chain_inside_ape_ends_with_the_command() -> None:
    from ape_test.provider import LocalProvider

    class Started:
        process = object()

    class Found:
        process = None

    assert ends_with_command(LocalProvider.__new__(LocalProvider))
    assert ends_with_command(Started())
    assert not ends_with_command(Found())
