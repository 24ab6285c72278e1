"""status, verify and handover on one deployment: what is right is said to be right, and each wrong thing by name."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))

from local_chain import ROOT, address_of, key_of

from offchain.domain.errors import ChainError, ConfigurationError
from scripts._accounts import FileSigner
from scripts._handover import perform, powers, waves_of
from scripts._sources import Compiled, compile_all, compile_input
from scripts._status import Status, look
from scripts._status_page import print_status
from scripts._steps import GRANT_ROLE, role_id
from scripts._venue import Venue
from scripts._verify import verify_all
from tests.scripts.deployed import Stage

STRANGER = address_of("stranger")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("venue"))
    yield stage
    stage.anvil.stop()


@pytest.fixture
def stage(deployed: Stage) -> Iterator[Stage]:
    snapshot, registry = deployed.anvil.rpc("evm_snapshot"), deployed.path.read_bytes()
    yield deployed
    deployed.anvil.rpc("evm_revert", snapshot)
    deployed.path.write_bytes(registry)


@pytest.fixture(scope="module")
def compiled() -> dict[str, Compiled]:
    return compile_all(ROOT)


def problems(venue: Venue) -> list[str]:
    return look(venue, history=False).problems


# --- handover ---


def test_before_the_handover_the_deployer_holds_what_is_listed(stage: Stage) -> None:
    venue = stage.venue()
    held = {f"{power.contract}.{power.role}" for power in powers(venue, stage.signer.address)}
    assert {"Vault.DEFAULT_ADMIN_ROLE", "CXPT.DEFAULT_ADMIN_ROLE", "PriceOracle.POSTER_ROLE"} <= held
    first, second = waves_of(venue, stage.signer.address)
    assert first[0].label == "Vault: DEFAULT_ADMIN_ROLE to Timelock"
    assert {step.label for step in second} == {
        "CXPT: DEFAULT_ADMIN_ROLE given up by deployer",
        "Vault: DEFAULT_ADMIN_ROLE given up by deployer",
        "Settlement: DEFAULT_ADMIN_ROLE given up by deployer",
        "OrderbookCommitment: DEFAULT_ADMIN_ROLE accepted by Timelock",
        "SynthFactory: DEFAULT_ADMIN_ROLE accepted by Timelock",
        "PriceOracle: DEFAULT_ADMIN_ROLE accepted by Timelock",
        "SynthIssuer: DEFAULT_ADMIN_ROLE accepted by Timelock",
    }
    assert f"deployer ({stage.signer.address}) holds DEFAULT_ADMIN_ROLE of Vault" in problems(venue)


def test_after_the_handover_it_holds_nothing(stage: Stage) -> None:
    venue = stage.hand_over()
    assert powers(venue, stage.signer.address) == []
    assert waves_of(venue, stage.signer.address) == [[], []]
    assert problems(venue) == []


@pytest.mark.parametrize("answer", [None, b"", b"\x00" * 31])
def test_a_question_without_an_answer_is_no_no(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, answer: bytes | None
) -> None:
    """A node that refuses must not make the deployer look powerless."""
    venue = stage.venue()
    monkeypatch.setattr(venue.chain, "call_many", lambda calls: [answer for _ in calls])
    with pytest.raises(ChainError, match="did not say whether"):
        powers(venue, stage.signer.address)


def test_only_the_deployer_hands_over(stage: Stage, tmp_path: Path) -> None:
    key = tmp_path / "stranger.key"
    key.write_text(key_of("stranger").hex())
    venue = stage.venue()
    with pytest.raises(ConfigurationError, match="is not the deployer"):
        perform(venue, FileSigner(key, None), waves_of(venue, stage.signer.address))


# --- status ---


def test_whoever_was_granted_a_role_is_found(stage: Stage) -> None:
    stage.hand_over()
    stage.as_contract("Timelock", "Vault", GRANT_ROLE.encode(role_id("REGISTRAR_ROLE"), STRANGER))
    assert problems(stage.venue()) == [f"{STRANGER} ({STRANGER}) holds REGISTRAR_ROLE of Vault"]


def test_a_role_that_is_missing(stage: Stage) -> None:
    venue = stage.hand_over()
    settler = venue.roles["settler"]
    stage.anvil.fund(settler)
    renounce = bytes.fromhex("36568abe") + role_id("SETTLER_ROLE") + bytes.fromhex(settler[2:]).rjust(32, b"\0")
    stage.anvil.do(settler, venue.contracts["Settlement"], renounce)
    assert problems(stage.venue()) == [f"settler ({settler}) lacks SETTLER_ROLE of Settlement"]


def test_code_and_wiring_that_differ(stage: Stage) -> None:
    venue = stage.hand_over()
    content: dict[str, Any] = json.loads(stage.path.read_text())
    stage.anvil.rpc("anvil_setCode", venue.contracts["AmmRouter"], "0x00")
    stage.anvil.rpc("anvil_setCode", venue.contracts["TwapSource"], "0x")
    content["accounts"]["feeAccount"] = STRANGER
    content["markets"]["BTC-USDC"]["baseToken"] = STRANGER
    content["markets"]["NEW-USDC"] = {"market": 9, "baseToken": STRANGER}
    stage.path.write_text(json.dumps(content))
    found = problems(stage.venue())
    for words in (
        "AmmRouter: other code",
        "TwapSource: no code",
        "the Vault's feeAccount is",
        "market BTC-USDC: trades",
        "market NEW-USDC: not listed",
    ):
        assert any(words in problem for problem in found), words


def test_a_pause_and_everything_else_is_shown(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    venue = stage.hand_over()
    guardian = venue.roles["guardian"]
    stage.anvil.fund(guardian)
    stage.anvil.do(guardian, venue.contracts["Vault"], bytes.fromhex("8456cb59"))
    status: Status = look(stage.venue(), history=False)
    assert status.pauses["Vault"] > 0
    assert status.pauses["Settlement"] == 0
    assert json.loads(json.dumps(status.to_json()))["timelockDelaySeconds"] == 86_400
    print_status(status)
    shown = capsys.readouterr().out
    for words in ("timelock: 24 h", "paused: Vault until", "BTC-USDC", "VaultImplementation", "all as the registry"):
        assert words in shown, words


# --- verify ---


def test_every_contract_is_of_these_sources(stage: Stage, compiled: dict[str, Compiled]) -> None:
    verdicts = verify_all(stage.venue(), compiled)
    assert len(verdicts) == 19
    assert [verdict.name for verdict in verdicts if not verdict.is_verified] == []


def test_each_difference_is_named(stage: Stage, compiled: dict[str, Compiled]) -> None:
    venue = stage.venue()
    content: dict[str, Any] = json.loads(stage.path.read_text())
    content["contracts"]["Timelock"]["constructorArguments"][0] = "86401"
    content["contracts"]["CXPT"]["salt"] = ""
    stage.path.write_text(json.dumps(content))
    router = venue.chain.code(venue.contracts["AmmRouter"])
    # The last bytes before the length are solc's version: as if a comment had changed.
    stage.anvil.rpc("anvil_setCode", venue.contracts["AmmRouter"], "0x" + router[:-4].hex() + "ff" + router[-3:].hex())
    stage.anvil.rpc("anvil_setCode", venue.contracts["SynthERC20:hBTC"], "0x" + router.hex())
    found = {
        verdict.name: verdict.finding for verdict in verify_all(stage.venue(), compiled) if not verdict.is_verified
    }
    assert found == {
        "Timelock": "constructor or arguments lead to another address",
        "CXPT": "the registry has no salt, so that its constructor's arguments cannot be proven",
        "AmmRouter": "differs in comments or names only",
        "SynthERC20:hBTC": "is no clone of SynthImplementation",
    }


def test_what_explorers_are_given_compiles_to_the_same(compiled: dict[str, Compiled]) -> None:
    router = compiled["AmmRouter"]
    file, name = router.identifier.split(":")
    again = compile_input(router.standard_input, ROOT)["contracts"][file][name]
    assert bytes.fromhex(again["evm"]["bytecode"]["object"]) == router.creation
    assert all(not source.startswith(("/", "..")) for source in router.standard_input["sources"])
