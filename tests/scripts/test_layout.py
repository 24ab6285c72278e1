"""Storage of an upgrade: the kept layout fits the contract, and each way of spoiling it is refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from offchain.domain.errors import ConfigurationError
from scripts._layout import (
    FOLDER,
    Kept,
    _harness,
    _namespaces,
    additions,
    differences,
    layout_of,
    read_layout,
    write_layout,
)
from scripts._layout_history import present

ROOT = Path(__file__).resolve().parents[2]
VAULT = "erc7201:hooats.storage.Vault"

UINT = {"label": "uint128", "bytes": 16}
WORD = {
    "label": "struct Vault.Word",
    "bytes": 32,
    "members": [{"label": "units", "slot": 0, "offset": 0, "type": UINT}],
}
OLD = {
    "": [],
    VAULT: [
        {"label": "a", "slot": 0, "offset": 0, "type": UINT},
        {"label": "b", "slot": 0, "offset": 16, "type": UINT},
        {"label": "words", "slot": 1, "offset": 0, "type": {"label": "mapping(…)", "bytes": 32, "value": WORD}},
        {"label": "inside", "slot": 2, "offset": 0, "type": WORD},
    ],
}


def changed(change: Callable[[list[Any]], object]) -> dict[str, Any]:
    new: dict[str, Any] = json.loads(json.dumps(OLD))  # not deepcopy: nothing of it is shared
    change(new[VAULT])
    return new


def member(label: str, slot: int, offset: int = 0) -> dict[str, Any]:
    return {"label": label, "slot": slot, "offset": offset, "type": UINT}


def test_the_same_and_a_longer_one_fit() -> None:
    assert differences(OLD, OLD) == []
    longer = changed(lambda members: members.append(member("c", 3)))
    assert differences(OLD, longer) == []
    assert additions(OLD, longer) == [f"{VAULT}.c: uint128"]
    in_a_mapping = changed(lambda members: members[2]["type"]["value"]["members"].append(member("more", 0, 16)))
    assert differences(OLD, in_a_mapping) == []
    assert differences(OLD, OLD | {"erc7201:new": [member("x", 0)]}) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda members: members.pop(1), f"{VAULT}.b is gone, and words is in its place"),
        (lambda members: members.pop(), f"{VAULT}.inside is gone"),
        (lambda members: members[1].update(label="c"), f"{VAULT}.b is gone, and c is in its place"),
        (
            lambda members: (members[0].update(offset=16), members[1].update(offset=0)),
            f"{VAULT}.a moves from slot 0 byte 0 to slot 0 byte 16",
        ),
        (lambda members: members[2].update(slot=2), f"{VAULT}.words moves from slot 1 byte 0 to slot 2 byte 0"),
        (
            lambda members: members[0].update(type={"label": "int128", "bytes": 16}),
            f"{VAULT}.a changes its type from uint128 to int128",
        ),
        (
            lambda members: members[2]["type"]["value"]["members"][0].update(type={"label": "uint64", "bytes": 8}),
            f"{VAULT}.words[].units changes its type from uint128 to uint64",
        ),
        (
            lambda members: members[3]["type"]["members"].append(member("more", 0, 16)),
            f"{VAULT}.inside grows by more, over what is stored behind it",
        ),
    ],
)
def test_what_is_stored_stays_where_it_is(change: Callable[[list[Any]], object], line: str) -> None:
    assert differences(OLD, changed(change))[0] == line


def test_a_namespace_may_not_go() -> None:
    assert differences(OLD, {"": []}) == [f"{VAULT} is gone"]


def test_kept_and_read_again(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no kept layout.*--keep-layout"):
        read_layout(tmp_path / "layouts", "Vault")
    kept = Kept("0x12", [(1, 32), (40, 32)], OLD)
    write_layout(tmp_path / "layouts", "Vault", kept)
    assert read_layout(tmp_path / "layouts", "Vault") == kept
    (tmp_path / "layouts" / "Vault.json").write_text(json.dumps(OLD))
    with pytest.raises(ConfigurationError, match="does not say which code it is the layout of"):
        read_layout(tmp_path / "layouts", "Vault")


def test_namespaces_of_the_bases_are_found() -> None:
    struct = {
        "nodeType": "StructDefinition",
        "name": "Kept",
        "documentation": {"text": "@custom:storage-location erc7201:a.b"},
    }
    plain = struct | {"name": "Plain", "documentation": None}

    def contract(number: int, name: str, bases: list[int], nodes: list[Any]) -> dict[str, Any]:
        return {"nodeType": "ContractDefinition", "id": number, "name": name, "nodes": nodes} | {
            "linearizedBaseContracts": bases
        }

    syntax = {
        "contracts/A.sol": {"ast": {"nodes": [contract(1, "A", [1, 2], [plain])]}},
        "lib/B.sol": {"ast": {"nodes": [contract(2, "B", [2], [struct]), contract(3, "C", [3], [struct])]}},
    }
    file, (namespace,) = _namespaces(syntax, "A")
    assert (file, namespace) == ("contracts/A.sol", ("erc7201:a.b", "lib/B.sol", "B", "Kept"))
    assert 'import {B as C0} from "lib/B.sol";' in _harness([namespace])
    with pytest.raises(ConfigurationError, match="0 contracts of the name Nothing"):
        _namespaces(syntax, "Nothing")


@pytest.mark.timeout(300)
def test_the_vault_of_the_sources_fits_the_kept_layout() -> None:
    kept = read_layout(ROOT / FOLDER, "Vault").storage
    assert {"quoteToken", "index", "entries", "sums"} <= {item["label"] for item in kept[VAULT]}
    assert "erc7201:openzeppelin.storage.AccessControl" in kept
    sources = layout_of(ROOT, "Vault")
    assert differences(kept, sources) == []
    # The same until something is deployed, so that test_layout_history.py sees every member from its first commit on.
    assert kept == sources or present(ROOT).deployed, "run: ape run upgrade --keep-layout"
