"""Compiled contracts, from ape's compiler, and never older than the sources.

ape recompiles a file that changed, but not the files that import it: what it remembers may be older than the sources.
Hence a memory of our own, whose key covers everything that can change the result. Deliberately no linking: the
contracts use no external libraries.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError

from offchain.domain.errors import ConfigurationError
from offchain.domain.keccak import keccak
from scripts._create2 import type_of


class Artifact(NamedTuple):
    """A compiled contract. `abi` as in solc's output; `runtime_bytes` is the size of the deployed code."""

    name: str
    abi: list[dict[str, Any]]
    creation_code: bytes
    runtime_bytes: int

    def find(self, kind: str, name: str = "") -> dict[str, Any]:
        """The ABI entry of a function, or of the constructor (also of one that is not written)."""
        for entry in self.abi:
            if entry["type"] == kind and entry.get("name", "") == name:
                return entry
        if kind == "constructor":
            return {"type": "constructor", "inputs": []}
        raise ConfigurationError(f"{self.name} has no {kind} {name}", remedy="The plan and the contracts differ")

    def call_data(self, function: str, arguments: list[Any]) -> bytes:
        """Calldata with arguments in order."""
        kinds = [type_of(item) for item in self.find("function", function)["inputs"]]
        try:
            return keccak(f"{function}({','.join(kinds)})".encode())[:4] + encode(kinds, arguments)
        except EncodingError as error:
            raise ConfigurationError(f"{self.name}.{function}: {error}") from None


def sources_of(root: Path) -> list[Path]:
    """The Solidity files of the project, without ape's copies of what they import."""
    contracts = root / "contracts"
    files = (path for path in contracts.rglob("*.sol") if ".cache" not in path.relative_to(contracts).parts)
    return sorted(files)


def key_of(root: Path) -> str:
    """A hash of everything that can change what the compiler makes."""
    digest = hashlib.sha256()
    for path in (*sources_of(root), root / "ape-config.yaml", root / "package-lock.json"):
        if path.exists():
            digest.update(f"{path.relative_to(root)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def load_artifacts(root: Path, names: tuple[str, ...]) -> dict[str, Artifact]:
    """The contracts by name; compiles when the memory does not fit the sources."""
    memory = root / ".build" / "deploy" / "artifacts.json"
    key = key_of(root)
    try:
        known = json.loads(memory.read_text())
    except (OSError, ValueError):
        known = {}
    if known.get("key") != key or not set(names) <= set(known["contracts"]):
        known = {"key": key, "contracts": _compile(root)}
        memory.parent.mkdir(parents=True, exist_ok=True)
        staging = memory.with_name(f"{memory.name}.{os.getpid()}")
        staging.write_text(json.dumps(known))
        staging.replace(memory)
    contracts = known["contracts"]
    missing = [name for name in names if name not in contracts]
    if missing:
        raise ConfigurationError(f"contracts/ has no {', '.join(missing)}", remedy="The plan and the contracts differ")
    return {name: _artifact(name, contracts[name]) for name in names}


def _artifact(name: str, known: dict[str, Any]) -> Artifact:
    try:
        creation = bytes.fromhex(known["creation"])
    except ValueError:
        raise ConfigurationError(f"{name} needs an external library", remedy="Make its functions internal") from None
    return Artifact(name, known["abi"], creation, known["runtimeBytes"])


def _compile(root: Path) -> dict[str, Any]:
    from ape import compilers, project
    from ape.exceptions import ApeException

    if project.path.resolve() != root:
        raise ConfigurationError("not in the project's folder", remedy=f"Run it in {root}")
    contracts = {}
    try:
        for contract in compilers.compile(sources_of(root), project=project):
            creation, runtime = (
                code.bytecode or "0x" for code in (contract.deployment_bytecode, contract.runtime_bytecode)
            )
            if len(creation) > 2:
                abi = [json.loads(entry.model_dump_json(by_alias=True, exclude_none=True)) for entry in contract.abi]
                runtime_bytes = len(runtime.removeprefix("0x")) // 2
                contracts[contract.name] = {
                    "abi": abi,
                    "creation": creation.removeprefix("0x"),
                    "runtimeBytes": runtime_bytes,
                }
    except ApeException as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigurationError(f"the contracts do not compile: {reason}", remedy="Try: ape compile") from None
    return contracts
