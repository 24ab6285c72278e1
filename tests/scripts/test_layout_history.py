"""What one commit stores is read by the next: the kept layouts of the branch, one after the other."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts._layout_history import KEPT, Version, breaks, complaints, present, versions

ROOT = Path(__file__).resolve().parents[2]
VAULT = "erc7201:hooats.storage.Vault"


def storage(*labels: str) -> dict[str, Any]:
    members = [
        {"label": label, "slot": slot, "offset": 0, "type": {"label": "uint256", "bytes": 32}}
        for slot, label in enumerate(labels)
    ]
    return {"": [], VAULT: members}


def version(*labels: str, deployed: bool = False) -> Version:
    return Version("abc", storage(*labels), deployed)


def test_what_is_appended_fits() -> None:
    assert complaints([version("a"), version("a", "b"), version("a", "b")], {}) == []


def test_a_break_is_declared_with_a_reason_or_refused() -> None:
    old, new = version("a", "b"), version("b", "a")
    (line,) = complaints([old, new], {})
    assert f"{VAULT}.a moves from slot 0 byte 0 to slot 1 byte 0" in line
    assert f'from = "{old.name}", to = "{new.name}"' in line
    assert complaints([old, new], {(old.name, new.name): ""}) != []
    assert complaints([old, new], {(old.name, new.name): "nothing runs it"}) == []
    assert complaints([new, old], {(old.name, new.name): "nothing runs it"}) != []


def test_nothing_breaks_once_it_is_deployed() -> None:
    old, new = version("a", "b", deployed=True), version("b", "a", deployed=True)
    (line,) = complaints([old, new], {(old.name, new.name): "because"})
    assert "it is deployed" in line


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, content: dict[str, Any], registry: bool = False) -> None:
    (folder / KEPT).parent.mkdir(parents=True, exist_ok=True)
    (folder / KEPT).write_text(json.dumps(content))
    if registry:
        (folder / "deployments").mkdir(exist_ok=True)
        (folder / "deployments" / "998.json").write_text("{}")
    git(folder, "add", ".")
    git(folder, "commit", "--allow-empty", "-m", "a commit")


def test_the_versions_are_those_of_the_commits(tmp_path: Path) -> None:
    assert versions(tmp_path) == []
    git(tmp_path, "init", "-b", "main")
    commit(tmp_path, storage("a"))
    assert versions(tmp_path) == []  # there is no commit before
    commit(tmp_path, {"bytecodeHash": "0x", "immutables": [], "storage": storage("a", "b")}, registry=True)
    found = versions(tmp_path)
    assert [item.storage for item in found] == [storage("a"), storage("a", "b")]
    assert [item.deployed for item in found] == [False, True]
    (tmp_path / KEPT).write_text(json.dumps(storage("b")))
    assert present(tmp_path) == Version("working tree", storage("b"), True)
    assert len(complaints([*found, present(tmp_path)], {})) == 1


def test_every_layout_fits_the_previous_commits() -> None:
    past = versions(ROOT)
    if not past:
        pytest.skip("no git history here: test_layout.py compares the sources with the kept file alone")
    assert complaints([*past, present(ROOT)], breaks(ROOT)) == []


def test_each_declared_break_has_a_reason_and_happened() -> None:
    past = versions(ROOT)
    names = {(old.name, new.name) for old, new in zip(past, [*past[1:], present(ROOT)], strict=True)}
    for pair, reason in breaks(ROOT).items():
        assert len(reason) >= 20
        assert not past or pair in names
