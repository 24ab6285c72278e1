"""The registry file: whole at any time, of one chain, and in a fixed order."""

import json
import subprocess
from pathlib import Path

import pytest

from offchain.domain.errors import ConfigurationError
from offchain.domain.units import Address
from scripts._registry import Entry, RegistryFile, abi_hash, commit_of

HERE, THERE = Address("0x" + "11" * 20), Address("0x" + "22" * 20)


def entry(address: Address) -> Entry:
    return Entry(address, "0xaa", "0xbb", ["1"], 7, "0xcc", "unknown")


def test_written_after_every_contract_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "998.json"
    registry = RegistryFile(path, 998)
    registry.record("B", entry(THERE))
    assert json.loads(path.read_text())["contracts"]["B"]["address"] == THERE
    registry.record("A", entry(HERE))
    again = RegistryFile(path, 998)
    assert (again.address("A"), again.address("B"), again.address("C")) == (HERE, THERE, None)
    assert again.finish(["A", "B"], HERE, {"X": {"market": 1}}, {"feeAccount": HERE}, {}, THERE)
    assert list(json.loads(path.read_text())["contracts"]) == ["A", "B"]
    assert not RegistryFile(path, 998).finish(["A", "B"], HERE, {"X": {"market": 1}}, {"feeAccount": HERE}, {}, THERE)
    assert [*path.parent.iterdir()] == [path]


def test_what_was_sent_is_known_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "998.json"
    RegistryFile(path, 998).expect(HERE, "0xfeed")
    again = RegistryFile(path, 998)
    assert (again.pending(HERE), again.pending(THERE)) == ("0xfeed", None)
    again.forget()
    assert again.pending(HERE) is None


def test_another_chain_or_no_registry_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    RegistryFile(path, 998).record("A", entry(HERE))
    with pytest.raises(ConfigurationError, match="is of chain 998, not 999"):
        RegistryFile(path, 999)
    for text in ("{", "[]"):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match="registry"):
            RegistryFile(path, 998)


def test_one_deployment_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    with RegistryFile(path, 998).lock(), pytest.raises(ConfigurationError, match="another deployment"):
        RegistryFile(path, 998).lock().__enter__()
    with RegistryFile(path, 998).lock():
        pass


def test_the_hash_of_an_abi_does_not_depend_on_its_order() -> None:
    one, other = {"type": "function", "name": "a"}, {"name": "b", "type": "event"}
    assert abi_hash([one, other]) == abi_hash([other, dict(reversed(one.items()))])
    assert abi_hash([one]) != abi_hash([other])


def test_the_commit_says_when_the_sources_differ(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == "unknown"

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@t")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "--message", "x")
    clean = commit_of(tmp_path)
    assert len(clean) == 40
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "A.sol").write_text("")
    assert commit_of(tmp_path) == f"{clean}-dirty"
