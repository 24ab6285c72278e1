"""The storage of an upgradeable contract, member by member, and whether another may take its place.

Invariant: what is stored keeps its slot, offset and type; only the end of a namespace, or of a struct behind a mapping,
may grow. ERC-7201 namespaces are found by their `@custom:storage-location`, those of the bases included; solc lays them
out in a contract made for it, so that no rule of the layout is repeated here.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from offchain.domain.errors import ConfigurationError
from scripts._sources import compile_input, standard_input

FOLDER: Final = "deployment/layouts"
HARNESS: Final = "contracts/Layout.sol"
_LOCATION: Final = re.compile(r"@custom:storage-location\s+(erc7201:[\w.]+)")


class Kept(NamedTuple):
    """The storage of the contract whose code has this `_verify.fingerprint`, with these places blanked."""

    bytecode_hash: str
    immutables: list[tuple[int, int]]
    storage: dict[str, Any]


class Namespace(NamedTuple):
    """A struct that is the root of storage; `file` and `contract` say where it is declared."""

    location: str
    file: str
    contract: str
    struct: str


def layout_of(root: Path, contract: str) -> dict[str, Any]:
    """{location: members}; the members of the plain layout are under "". A member is {label, slot, offset, type}."""
    whole = standard_input(root)
    whole["settings"] = whole["settings"] | {"outputSelection": {"*": {"": ["ast"]}}}
    syntax = compile_input(whole, root)["sources"]
    file, namespaces = _namespaces(syntax, contract)
    whole["sources"][HARNESS] = {"content": _harness(namespaces)}
    whole["settings"]["outputSelection"] = {
        HARNESS: {"*": ["storageLayout"]},
        file: {contract: ["storageLayout"]},
    }
    made = compile_input(whole, root)["contracts"]
    found = {"": _members(made[file][contract]["storageLayout"])}
    for number, namespace in enumerate(namespaces):
        (member,) = _members(made[HARNESS][f"Layout{number}"]["storageLayout"])
        found[namespace.location] = member["type"]["members"]
    return dict(sorted(found.items()))


def read_layout(folder: Path, contract: str) -> Kept:
    """The kept layout. `ConfigurationError` if there is none."""
    path = folder / f"{contract}.json"
    try:
        content = json.loads(path.read_text())
        places = [(int(start), int(length)) for start, length in content["immutables"]]
        return Kept(str(content["bytecodeHash"]), places, content["storage"])
    except FileNotFoundError:
        remedy = "Check out the deployed commit and run: ape run upgrade --keep-layout"
        raise ConfigurationError(f"there is no kept layout {path}", remedy=remedy) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from None
    except (KeyError, TypeError):
        remedy = "Check out the deployed commit and run: ape run upgrade --keep-layout"
        raise ConfigurationError(f"{path} does not say which code it is the layout of", remedy=remedy) from None


def write_layout(folder: Path, contract: str, kept: Kept) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{contract}.json"
    content = {"bytecodeHash": kept.bytecode_hash, "immutables": kept.immutables, "storage": kept.storage}
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Why `new` may not take the place of `old`, a line each; empty if it may."""
    found = []
    for location, members in old.items():
        if location not in new:
            found.append(f"{location or 'plain storage'} is gone")
        else:
            found += _compare(members, new[location], location or "storage", may_grow=True)
    return found


def additions(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What `new` has at the end of a namespace, or as a namespace of its own."""
    return [
        f"{location or 'storage'}.{member['label']}: {member['type']['label']}"
        for location, members in new.items()
        for member in members[len(old.get(location, [])) :]
    ]


def _compare(old: list[Any], new: list[Any], where: str, may_grow: bool) -> Iterator[str]:
    places = {member["label"]: member for member in new}
    for index, member in enumerate(old):
        name = f"{where}.{member['label']}"
        if member["label"] not in places:
            instead = f", and {new[index]['label']} is in its place" if index < len(new) else ""
            yield f"{name} is gone{instead}"
            continue
        other = places[member["label"]]
        if (member["slot"], member["offset"]) != (other["slot"], other["offset"]):
            was, now = (f"slot {item['slot']} byte {item['offset']}" for item in (member, other))
            yield f"{name} moves from {was} to {now}"
        else:
            yield from _compare_types(member["type"], other["type"], name, may_grow=False)
    if not may_grow and len(new) > len(old):
        yield f"{where} grows by {new[len(old)]['label']}, over what is stored behind it"


def _compare_types(old: Any, new: Any, name: str, may_grow: bool) -> Iterator[str]:
    is_struct = "members" in old and "members" in new
    if old["label"] != new["label"] or (old["bytes"] != new["bytes"] and not is_struct):
        yield f"{name} changes its type from {old['label']} to {new['label']}"
        return
    if is_struct:
        yield from _compare(old["members"], new["members"], name, may_grow)
    for part, grows in (("key", False), ("value", True), ("base", False)):
        if part in old:
            yield from _compare_types(old[part], new[part], f"{name}[]", grows)


def _namespaces(syntax: Mapping[str, Any], contract: str) -> tuple[str, list[Namespace]]:
    """The contract's file, and the namespaces that it and its bases declare."""
    declared = {
        node["id"]: (file, node)
        for file, source in syntax.items()
        for node in source["ast"]["nodes"]
        if node["nodeType"] == "ContractDefinition"
    }
    own = [
        (file, node) for file, node in declared.values() if node["name"] == contract and file.startswith("contracts/")
    ]
    if len(own) != 1:
        raise ConfigurationError(f"contracts/ has {len(own)} contracts of the name {contract}", remedy="Name one")
    file, node = own[0]
    found = [
        Namespace(match.group(1), declared[base][0], declared[base][1]["name"], struct["name"])
        for base in node["linearizedBaseContracts"]
        for struct in declared[base][1]["nodes"]
        if struct["nodeType"] == "StructDefinition" and (match := _LOCATION.search(_documentation(struct)))
    ]
    return file, found


def _documentation(node: Mapping[str, Any]) -> str:
    text = node.get("documentation") or ""
    return str(text.get("text", "")) if isinstance(text, dict) else str(text)


def _harness(namespaces: list[Namespace]) -> str:
    lines = ["// SPDX-License-Identifier: MIT", "pragma solidity 0.8.30;"]
    for number, item in enumerate(namespaces):
        lines.append(f'import {{{item.contract} as C{number}}} from "{item.file}";')
        lines.append(f"contract Layout{number} {{ C{number}.{item.struct} internal root; }}")
    return "\n".join(lines) + "\n"


def _members(layout: Mapping[str, Any]) -> list[Any]:
    types = layout["types"] or {}
    return [_member(member, types, ()) for member in layout["storage"]]


def _member(member: Mapping[str, Any], types: Mapping[str, Any], above: tuple[str, ...]) -> dict[str, Any]:
    return {
        "label": member["label"],
        "slot": int(member["slot"]),
        "offset": member["offset"],
        "type": _type(member["type"], types, above),
    }


def _type(name: str, types: Mapping[str, Any], above: tuple[str, ...]) -> dict[str, Any]:
    """A type as a tree, without solc's numbers of syntax nodes, which change with every edit."""
    known = types[name]
    tree: dict[str, Any] = {"label": known["label"], "bytes": int(known["numberOfBytes"])}
    if name in above:  # a struct that holds a mapping to itself
        return tree
    inner = (*above, name)
    for part in ("key", "value", "base"):
        if part in known:
            tree[part] = _type(known[part], types, inner)
    if "members" in known:
        tree["members"] = [_member(member, types, inner) for member in known["members"]]
    return tree
