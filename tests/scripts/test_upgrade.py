"""An upgrade step by step: what does not fit is refused, what is scheduled can be cancelled, nothing happens early."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))

from local_chain import ROOT

from offchain.domain.errors import ConfigurationError
from offchain.domain.limits import UPGRADE_DELAY_SECONDS_MIN
from scripts import _upgrade
from scripts._layout import FOLDER, read_layout
from scripts._registry import RegistryFile
from scripts._status import IMPLEMENTATION_SLOT
from scripts._upgrade import Upgrade
from tests.scripts.deployed import PROPOSER, Stage

pytestmark = pytest.mark.timeout(300)
VAULT = "erc7201:hooats.storage.Vault"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("upgrade"))
    stage.hand_over()
    yield stage
    stage.anvil.stop()


@pytest.fixture
def stage(deployed: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Set back after every test; the compiler is spared (test_layout.py runs it)."""
    snapshot, registry = deployed.anvil.rpc("evm_snapshot"), deployed.path.read_bytes()
    monkeypatch.setattr(_upgrade, "layout_of", lambda root, name: kept())
    yield deployed
    deployed.anvil.rpc("evm_revert", snapshot)
    deployed.path.write_bytes(registry)


def kept() -> dict[str, Any]:
    return read_layout(ROOT / FOLDER, "Vault").storage


def upgrade_of(stage: Stage) -> Upgrade:
    venue = stage.venue()
    return Upgrade(venue, RegistryFile(stage.path, venue.chain.id), ROOT)


def propose(stage: Stage) -> None:
    upgrade, proposer = upgrade_of(stage), stage.signer_of(PROPOSER)
    upgrade.propose(upgrade.plan("VaultTwo"), proposer, stage.signer)


def test_storage_that_does_not_fit_is_refused_by_name(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red after a change of Vault.sol? The kept layout is of other code: `ape run upgrade --keep-layout`."""
    spoiled = kept()
    spoiled[VAULT].pop(1)
    monkeypatch.setattr(_upgrade, "layout_of", lambda root, name: spoiled)
    with pytest.raises(ConfigurationError, match=rf"VaultTwo does not fit the deployed one: {VAULT}\.index is gone"):
        upgrade_of(stage).plan("VaultTwo")


def test_what_runs_already_is_no_upgrade(stage: Stage) -> None:
    with pytest.raises(ConfigurationError, match="Vault is what Vault runs already"):
        upgrade_of(stage).plan("Vault")


def test_the_preview_says_everything(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    upgrade = upgrade_of(stage)
    proposal = upgrade.plan("VaultTwo")
    upgrade.preview(proposal)
    shown = capsys.readouterr().out
    for words in (
        f"target            Vault {stage.venue().contracts['Vault']}",
        "upgradeToAndCall(address,bytes)",
        f"VaultTwo {proposal.creation.address}",
        "storage           fits; new: nothing",
        "delay             24 h",
        "predecessor       none",
        proposal.operation.id,
        proposal.operation.calldata,
    ):
        assert words in shown, words
    assert upgrade_of(stage).plan("VaultTwo").operation.id == proposal.operation.id


def test_a_second_upgrade_waits_for_the_first(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    propose(stage)
    monkeypatch.setattr(_upgrade, "NAMESPACE", "other")  # another salt makes another implementation
    first = upgrade_of(stage).find(None)
    with pytest.raises(ConfigurationError, match=f"another upgrade is scheduled: .*VaultTwo.*--operation {first.id}"):
        upgrade_of(stage).plan("VaultTwo")
    upgrade_of(stage).cancel(first, stage.signer_of(PROPOSER))
    upgrade_of(stage).plan("VaultTwo")


def test_it_is_executed_over_what_it_was_compared_with_only(stage: Stage) -> None:
    propose(stage)
    operation = upgrade_of(stage).find(None)
    assert operation.replaces == stage.venue().contracts["VaultImplementation"]
    stage.anvil.rpc("evm_increaseTime", UPGRADE_DELAY_SECONDS_MIN)
    stage.anvil.mine()
    other = set_slot(stage, "CXPT")
    with pytest.raises(ConfigurationError, match=rf"runs {other}.*compared with {operation.replaces}\. --cancel it"):
        upgrade_of(stage).execute(operation, stage.signer_of(PROPOSER))


def test_the_kept_layout_is_of_the_code_in_the_slot(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_upgrade, "compile_all", lambda root: {})
    other = set_slot(stage, "CXPT")
    with pytest.raises(ConfigurationError, match=f"is not the layout of what Vault runs, {other}"):
        upgrade_of(stage).plan("VaultTwo")


def test_the_preview_tells_a_registry_that_lags_behind(
    stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, other = stage.venue().contracts["VaultImplementation"], set_slot(stage, "CXPT")
    monkeypatch.setattr(Upgrade, "_stored", lambda self, implementation: kept())
    upgrade = upgrade_of(stage)
    upgrade.preview(upgrade.plan("VaultTwo"))
    assert f"replaces          {other} (the registry has {recorded})" in capsys.readouterr().out


def set_slot(stage: Stage, name: str) -> str:
    """Makes the proxy run another contract, past every rule."""
    contracts = stage.venue().contracts
    word = "0x" + contracts[name][2:].rjust(64, "0")
    stage.anvil.rpc("anvil_setStorageAt", contracts["Vault"], hex(IMPLEMENTATION_SLOT), word)
    return contracts[name]


def test_scheduled_waited_for_executed(stage: Stage) -> None:
    propose(stage)
    before = stage.path.read_bytes()
    propose(stage)  # again: nothing is sent, nothing changes
    assert stage.path.read_bytes() == before
    proposer = stage.signer_of(PROPOSER)
    with pytest.raises(ConfigurationError, match=r"not executable for another 2[34] h"):
        upgrade_of(stage).execute(upgrade_of(stage).find(None), proposer)
    stage.anvil.rpc("evm_increaseTime", UPGRADE_DELAY_SECONDS_MIN)
    stage.anvil.mine()
    operation = upgrade_of(stage).find(None)
    upgrade_of(stage).execute(operation, proposer)
    registry = stage.venue().registry
    assert registry.contract("VaultImplementation") == operation.implementation
    assert [item.state for item in registry.operations] == ["executed"]
    # A run that was killed between the transaction and the registry comes to the same end.
    stage.path.write_bytes(before)
    upgrade_of(stage).execute(operation, proposer)
    assert stage.venue().registry == registry


def test_cancelled_it_can_be_proposed_again(stage: Stage) -> None:
    propose(stage)
    operation = upgrade_of(stage).find(None)
    upgrade_of(stage).cancel(operation, stage.signer_of(PROPOSER))
    assert [item.state for item in stage.venue().registry.operations] == ["cancelled"]
    with pytest.raises(ConfigurationError, match=r"has nothing scheduled\. Schedule one with --propose"):
        upgrade_of(stage).find(None)
    with pytest.raises(ConfigurationError, match="the timelock does not know"):
        upgrade_of(stage).execute(operation, stage.signer_of(PROPOSER))
    propose(stage)
    assert [item.state for item in stage.venue().registry.operations] == ["scheduled"]
    with pytest.raises(ConfigurationError, match="Name one with --operation"):
        upgrade_of(stage).find("0x12")


def test_only_the_proposer_schedules(stage: Stage) -> None:
    upgrade = upgrade_of(stage)
    with pytest.raises(ConfigurationError, match=r"has no PROPOSER_ROLE of the timelock\. Sign with the key of 0x2361"):
        upgrade.propose(upgrade.plan("VaultTwo"), stage.signer, stage.signer)
    assert "operations" not in json.loads(stage.path.read_text())
