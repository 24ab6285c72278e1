"""Who may call what: every function that changes state, of every deployed contract, tried by everybody.

The functions come from the compiled ABI and the people from a finished deployment, so that neither can be forgotten.
What counts is whether the caller is turned away for who it is; arguments are the least and the greatest, since a check
of one may come before that of the caller. The result is compared with docs/audit/roles.md; a function without a row
there is red, and so is a row that is not true any more.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from eth_abi.abi import encode

sys.path.append(str(Path(__file__).resolve().parent))

from local_chain import ROOT, address_of

from offchain.domain.keccak import keccak
from scripts._artifacts import Artifact, load_artifacts
from scripts._create2 import type_of
from scripts._deployment import ARTIFACTS
from scripts._layout import FOLDER, read_layout
from scripts._venue import SYNTH, artifact_of
from tests.scripts.deployed import Stage

pytestmark = pytest.mark.timeout(300)

TABLE = ROOT / "docs" / "audit" / "roles.md"
ANYONE, NOBODY = "anyone", "nobody"

TURNED_AWAY = {
    keccak(error.encode())[:4]: error
    for error in (
        "AccessControlUnauthorizedAccount(address,bytes32)",
        "NotMinter(address)",
        "NotOffered(address)",
        "TimelockUnauthorizedCaller(address)",
    )
}
LOCKED = {keccak(error.encode())[:4] for error in ("InvalidInitialization()", "UUPSUnauthorizedCallContext()")}
SIMPLE = {
    "bool": (False, True),
    "string": ("", ""),
    "bytes": (b"", b""),
    "address": ("0x" + "00" * 20, "0x" + "ff" * 20),
}


class Row(NamedTuple):
    function: str
    who: str


def extreme(kind: str, greatest: bool) -> Any:
    """The least or the greatest value of an ABI type; what has no fixed length stays empty."""
    if kind.endswith("]"):
        inner, _, length = kind[:-1].rpartition("[")
        return [extreme(inner, greatest)] * int(length or 0)
    if kind.startswith("("):
        return tuple(extreme(part, greatest) for part in parts(kind[1:-1]))
    if kind in SIMPLE:
        return SIMPLE[kind][greatest]
    bits = int(re.sub(r"\D", "", kind)) * (8 if kind.startswith("bytes") else 1)
    value = 2 ** (bits - kind.startswith("int")) - 1 if greatest else 0
    return value.to_bytes(bits // 8, "big") if kind.startswith("bytes") else value


def parts(text: str) -> Iterator[str]:
    """Splits `a,(b,c)[],d` at its outer commas."""
    depth, start = 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    if text:
        yield text[start:]


def changing(artifact: Artifact) -> Iterator[tuple[str, list[bytes]]]:
    """Each function that can change state, as (signature, calldata to try)."""
    for entry in artifact.abi:
        if entry["type"] == "function" and entry["stateMutability"] in ("nonpayable", "payable"):
            kinds = [type_of(item) for item in entry["inputs"]]
            signature = f"{entry['name']}({','.join(kinds)})"
            arguments = ([extreme(kind, greatest) for kind in kinds] for greatest in (False, True))
            yield signature, [keccak(signature.encode())[:4] + encode(kinds, values) for values in arguments]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("roles"))
    stage.hand_over()
    yield stage
    stage.anvil.stop()


@pytest.fixture(scope="module")
def people(stage: Stage) -> dict[str, str]:
    """Every key and contract of the venue by name, and a stranger."""
    venue = stage.venue()
    names = {name: str(address) for name, address in venue.contracts.items() if "Implementation" not in name}
    named = {address.lower(): name for name, address in (names | dict(venue.roles)).items()}
    return {name: address for address, name in named.items()} | {"stranger": address_of("stranger")}


def answer(stage: Stage, sender: str, target: str, calldata: bytes) -> bytes:
    """The first four bytes of what a call reverts with; empty if it does not, or without a reason."""
    call = {"from": sender, "to": target, "data": "0x" + calldata.hex(), "gas": hex(10_000_000)}
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [call, "latest"]}
    error = stage.anvil._client.post(stage.anvil.url, json=request).json().get("error", {})
    assert not error or "revert" in error["message"], error
    return bytes.fromhex(str(error.get("data") or "0x")[2:10])


def who_may(stage: Stage, people: dict[str, str], target: str, attempts: list[bytes]) -> str:
    welcome = []
    for name, address in people.items():
        answers = {answer(stage, address, target, calldata) for calldata in attempts}
        if not answers & (TURNED_AWAY.keys() | LOCKED):
            welcome.append(name)
    if len(welcome) == len(people):
        return ANYONE
    assert "stranger" not in welcome, f"a stranger is let in, and not everybody: {welcome}"
    return ", ".join(sorted(welcome)) or NOBODY


def interface_of(name: str) -> str:
    """The artifact whose functions are at an address of the registry."""
    return "Vault" if name == "Vault" else artifact_of(name)


def kind_of(name: str) -> str:
    """Clones of one kind are one."""
    return f"{interface_of(name)} (each clone)" if ":" in name else name


@pytest.fixture(scope="module")
def found(stage: Stage, people: dict[str, str]) -> dict[str, list[Row]]:
    """Address by address; that clones are alike is a test of its own."""
    artifacts = load_artifacts(ROOT, ARTIFACTS)
    return {
        name: [
            Row(function, who_may(stage, people, address, attempts))
            for function, attempts in changing(artifacts[interface_of(name)])
        ]
        for name, address in sorted(stage.venue().contracts.items())
    }


def committed() -> dict[str, dict[str, tuple[str, str]]]:
    """contract → function → (who, on what condition), as the table has it."""
    sections: dict[str, dict[str, tuple[str, str]]] = {}
    for line in TABLE.read_text().splitlines():
        if line.startswith("## "):
            rows = sections.setdefault(line[3:], {})
        elif line.startswith("| `"):
            function, who, condition = (cell.strip() for cell in line.strip("|").split("|"))
            rows[function.strip("`")] = (who, condition)
    return sections


def test_the_table_says_who_may_call_what(found: dict[str, list[Row]]) -> None:
    table = {contract: {function: who for function, (who, _) in rows.items()} for contract, rows in committed().items()}
    seen = {kind_of(name): dict(rows) for name, rows in found.items() if rows and not name.endswith("Implementation")}
    assert table == seen


def test_what_is_configured_only_the_admin_changes(stage: Stage, people: dict[str, str]) -> None:
    """The lister's row for `configure` is about synths that have no feed or terms yet."""
    contracts, artifacts = stage.venue().contracts, load_artifacts(ROOT, ARTIFACTS)
    synth = next(address for name, address in contracts.items() if name.startswith(SYNTH))
    for name in ("PriceOracle", "SynthIssuer"):
        signature, attempts = next(item for item in changing(artifacts[name]) if item[0].startswith("configure("))
        of_synth = [call[:4] + encode(["address"], [synth]) + call[36:] for call in attempts]
        assert who_may(stage, people, contracts[name], of_synth) == "Timelock", signature


def test_clones_are_alike(found: dict[str, list[Row]]) -> None:
    kinds: dict[str, list[list[Row]]] = {}
    for name, rows in found.items():
        kinds.setdefault(kind_of(name), []).append(rows)
    assert max(map(len, kinds.values())) > 1
    assert all(rows == alike[0] for alike in kinds.values() for rows in alike)


def test_nobody_holds_a_role_of_an_implementation(found: dict[str, list[Row]]) -> None:
    let_in = {
        f"{name}.{row.function}": row.who
        for name, rows in found.items()
        for row in rows
        if name.endswith("Implementation") and row.who not in (ANYONE, NOBODY)
    }
    # The one minter of all synths is in the code that their clones share.
    assert let_in == {f"SynthImplementation.{name}": "Vault" for name in ("burn(uint256)", "mint(address,uint256)")}


def test_what_anyone_may_call_is_open_on_purpose() -> None:
    """Each open function says what protects those whom it concerns."""
    bare = [
        f"{contract}.{function}"
        for contract, rows in committed().items()
        for function, (who, condition) in rows.items()
        if who == ANYONE and len(condition) < 10
    ]
    assert bare == []


def test_every_initializer_is_locked(found: dict[str, list[Row]]) -> None:
    """On every implementation, on the proxy and on every clone."""
    locks = {
        name: row.who for name, rows in found.items() for row in rows if row.function.split("(")[0] == "initialize"
    }
    assert {"Vault", "VaultImplementation", "SynthImplementation", "AmmPairImplementation"} <= locks.keys()
    assert {interface_of(name) for name in locks if ":" in name} == {"SynthERC20", "AmmPair"}
    assert set(locks.values()) == {NOBODY}


def test_every_upgradeable_contract_has_a_kept_layout() -> None:
    """tests/scripts/test_layout.py holds the sources against it."""
    artifacts = load_artifacts(ROOT, ARTIFACTS)
    upgradeable = [
        name for name, artifact in artifacts.items() if any(x.get("name") == "proxiableUUID" for x in artifact.abi)
    ]
    assert upgradeable == ["Vault"]
    assert all(read_layout(ROOT / FOLDER, name).storage for name in upgradeable)


@pytest.mark.parametrize(
    ("kind", "least", "greatest"),
    [
        ("uint256[]", [], []),
        ("(address,bytes)", ("0x" + "00" * 20, b""), ("0x" + "ff" * 20, b"")),
        ("bytes4", b"\0" * 4, b"\xff" * 4),
        ("uint8[2]", [0, 0], [255, 255]),
        ("int16", 0, 2**15 - 1),
    ],
)
def test_extreme_arguments(kind: str, least: Any, greatest: Any) -> None:
    assert (extreme(kind, False), extreme(kind, True)) == (least, greatest)
