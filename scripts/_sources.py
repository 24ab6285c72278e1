"""The contracts compiled once more, with everything that a comparison with the chain needs.

Invariant: the compiler gets what `ape compile` gives it, so that the result is byte for byte what was deployed,
metadata included. Deliberately no memory: whoever verifies wants to see the compiler run.
"""

import json
import subprocess
from pathlib import Path
from typing import Any, Final, NamedTuple

from offchain.domain.errors import ConfigurationError
from scripts._artifacts import sources_of

OUTPUTS: Final = (
    "abi",
    "metadata",
    "evm.bytecode.object",
    "evm.deployedBytecode.object",
    "evm.deployedBytecode.immutableReferences",
)
COMPILER_SECONDS: Final = 600


class Compiled(NamedTuple):
    """`identifier` as explorers want it, "contracts/Vault.sol:Vault"; `immutables` are (start, length) in `runtime`."""

    name: str
    identifier: str
    abi: list[dict[str, Any]]
    creation: bytes
    runtime: bytes
    immutables: list[tuple[int, int]]
    metadata: dict[str, Any]
    standard_input: dict[str, Any]

    @property
    def compiler_version(self) -> str:
        return str(self.metadata["compiler"]["version"])


def standard_input(root: Path) -> dict[str, Any]:
    """solc's input for all contracts, as ape makes it."""
    from ape import compilers, project
    from ape.exceptions import ApeException

    if project.path.resolve() != root:
        raise ConfigurationError("not in the project's folder", remedy=f"Run it in {root}")
    try:
        inputs = compilers.registered_compilers[".sol"].get_standard_input_json(sources_of(root), project=project)
    except ApeException as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigurationError(f"the contracts do not compile: {reason}", remedy="Try: ape compile") from None
    (only,) = inputs.values()
    return dict(only)


def compile_input(asked: dict[str, Any], root: Path) -> dict[str, Any]:
    """solc's answer."""
    solc = root / "toolchain" / "solc" / "solc-v0.8.30"
    try:
        done = subprocess.run(
            [str(solc), "--standard-json"],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=COMPILER_SECONDS,
            cwd=root,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            f"the compiler does not run: {type(error).__name__}", remedy="Try: make setup"
        ) from None
    errors = [item["formattedMessage"] for item in answer.get("errors", []) if item["severity"] == "error"]
    if errors:
        raise ConfigurationError(f"the contracts do not compile: {' '.join(errors[0].split())[:300]}")
    return answer


def compile_all(root: Path) -> dict[str, Compiled]:
    """Every contract with code, by name; of what they import nothing is made that they do not hold themselves."""
    whole = standard_input(root)
    ours = {file: {"*": list(OUTPUTS)} for file in whole["sources"] if file.startswith("contracts/")}
    whole["settings"] = whole["settings"] | {"outputSelection": ours}
    answer = compile_input(whole, root)
    found = {}
    for file, contracts in answer["contracts"].items():
        for name, made in contracts.items():
            if made["evm"]["bytecode"]["object"]:
                found[name] = _compiled(file, name, made, whole)
    return found


def _compiled(file: str, name: str, made: dict[str, Any], whole: dict[str, Any]) -> Compiled:
    metadata = json.loads(made["metadata"])
    runtime = made["evm"]["deployedBytecode"]
    places = [
        (item["start"], item["length"]) for uses in runtime.get("immutableReferences", {}).values() for item in uses
    ]
    return Compiled(
        name,
        f"{file}:{name}",
        made["abi"],
        bytes.fromhex(made["evm"]["bytecode"]["object"]),
        bytes.fromhex(runtime["object"]),
        sorted(places),
        metadata,
        _input_of(metadata, whole),
    )


def _input_of(metadata: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """The least input that compiles to the same bytes: what explorers are given."""
    settings = {key: value for key, value in metadata["settings"].items() if key != "compilationTarget"}
    settings["outputSelection"] = {"*": {"*": list(OUTPUTS)}}
    sources = {file: {"content": whole["sources"][file]["content"]} for file in metadata["sources"]}
    return {"language": "Solidity", "sources": sources, "settings": settings}
