"""The mutants of a contract, by slither-mutate's mutators, and a compiler for one contract at a time.

slither-mutate (Trail of Bits) says what to change; its driver is not used. `Compiler` keeps one solc running: a mutant
that is not Solidity is known after the analysis, and the others cost the code of the contract that they are part of,
not that of the tests.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from audit import ROOT, building_in

MODULES = "node_modules/"
REMAPPINGS = {
    "@openzeppelin/contracts/": MODULES + "@openzeppelin/contracts/",
    "@openzeppelin/contracts-upgradeable/": MODULES + "@openzeppelin/contracts-upgradeable/",
}
IMPORT = re.compile(r"""^\s*import\b[^;"']*["']([^"']+)["']""", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Mutant:
    contract: str
    file: str
    mutator: str
    start: int
    end: int
    old: str
    new: str

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(dataclasses.astuple(self)).encode()).hexdigest()[:16]

    @property
    def name(self) -> tuple[str, str, str, str]:
        """What a survivor is listed by: it stays the same when lines move."""
        return (self.contract, self.mutator, " ".join(self.old.split()), " ".join(self.new.split()))

    def applied(self, source: bytes) -> str:
        return (source[: self.start] + self.new.encode() + source[self.end :]).decode()


def mutants_of(contracts: Sequence[str], built: str, folder: Path) -> list[Mutant]:
    """All mutants of these contracts, each once, in the order of the source. They are kept in `folder`, as long as
    `built`, the file of the contract that is made of them, stays the same: slither is slow."""
    kept = folder / f"mutants-{state_of([built], list(contracts))}.json"
    if not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps([dataclasses.asdict(mutant) for mutant in _make(contracts, folder)]))
    return [Mutant(**fields) for fields in json.loads(kept.read_text())]


def state_of(files: Sequence[str], also: Any) -> str:
    """Names these sources with all that they import, and what else a result depends on."""
    digest = hashlib.sha256(json.dumps(also).encode())
    for file in closure_of(files):
        digest.update((ROOT / file).read_bytes())
    return digest.hexdigest()[:16]


def _make(contracts: Sequence[str], folder: Path) -> list[Mutant]:
    from slither import Slither
    from slither.tools.mutator.__main__ import _get_mutators

    before = dict(os.environ)
    os.environ.update(
        {**building_in("mutate/slither"), "PATH": f"{ROOT / 'toolchain'}{os.pathsep}{os.environ['PATH']}"}
    )
    slither = Slither(str(ROOT), compile_force_framework="foundry", skip_clean=True, disable_color=True)
    os.environ.clear()
    os.environ.update(before)
    found: dict[tuple[str, int, int, str], Mutant] = {}
    named: set[str] = set()
    for unit in slither.compilation_units:
        for contract in (contract for name in contracts for contract in unit.get_contract_from_name(name)):
            named.add(contract.name)
            for mutator in _get_mutators(None):
                made = functools.partial(_instance, mutator, unit, folder)
                for path, patch in _patches_of(made, contract):
                    mutant = _read(contract.name, str(Path(path).relative_to(ROOT)), mutator.NAME, patch)
                    if mutant.old != mutant.new:
                        found.setdefault((mutant.file, mutant.start, mutant.end, mutant.new), mutant)
    if missing := set(contracts) - named:
        raise SystemExit(f"no contracts of these names: {', '.join(sorted(missing))}")
    return sorted(found.values(), key=lambda item: (item.file, item.start, item.end, item.mutator, item.new))


def _instance(mutator: Any, unit: Any, folder: Path, contract: Any) -> Any:
    return mutator(unit, 0, "", "", contract, None, False, folder, [])


class _Only:
    """Something of slither's, with some of its attributes replaced."""

    def __init__(self, whole: Any, **replaced: Any) -> None:
        self.__dict__.update(replaced)
        self._whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)


def _patches_of(mutator_of: Callable[[Any], Any], contract: Any) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """(path, patch) of one mutator in a contract. Where it fails in an expression, it is asked about the others alone:
    slither-mutate itself drops the whole contract then."""
    yield from _asked(mutator_of(_Only(contract, functions_and_modifiers_declared=[])))
    for function in contract.functions_and_modifiers_declared:
        part = _Only(contract, functions_and_modifiers_declared=[function], state_variables_declared=[])
        try:
            yield from list(_asked(mutator_of(part)))
        except (IndexError, AttributeError, TypeError):
            for node in function.nodes:
                part.functions_and_modifiers_declared = [_Only(function, nodes=[node])]
                with contextlib.suppress(IndexError, AttributeError, TypeError):
                    yield from list(_asked(mutator_of(part)))


def _asked(mutator: Any) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for path, patches in mutator._mutate().get("patches", {}).items():
        for patch in patches:
            yield path, patch


def _read(contract: str, file: str, mutator: str, patch: Mapping[str, Any]) -> Mutant:
    start, end = patch["start"], patch["end"]
    old = (ROOT / file).read_bytes()[start:end].decode()
    return Mutant(contract, file, mutator, start, end, old, str(patch["new_string"]))


def imports_of(file: str, root: Path = ROOT) -> list[str]:
    """What a source imports, as paths below `root`."""
    found = []
    for name in IMPORT.findall((root / file).read_text()):
        for prefix, target in REMAPPINGS.items():
            if name.startswith(prefix):
                found.append(target + name.removeprefix(prefix))
                break
        else:
            found.append(os.path.normpath(os.path.join(os.path.dirname(file), name)))
    return found


def closure_of(files: Iterable[str], root: Path = ROOT) -> list[str]:
    """These sources and all that they import, whatever is between."""
    waiting, found = list(files), set[str]()
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += imports_of(file, root)
    return sorted(found)


class Compiler:
    """solc for some contracts, with one source changed at a time."""

    def __init__(self, files: Iterable[str]) -> None:
        """`files`: one contract of the same name is in each."""
        self._files = sorted(files)
        self._sources = {file: (ROOT / file).read_text() for file in closure_of(self._files)}
        self._process = subprocess.Popen(
            ["node", str(ROOT / "toolchain" / "solc_service.js")],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def compile(self, changed: Mapping[str, str], optimizer: bool) -> dict[str, Any] | None:
        """{file: evm output} of what a change of these sources concerns; None if that is not Solidity.

        Metadata stays out, so that equal code is equal bytes.
        """
        wanted = [file for file in self._files if not changed or set(changed) & set(closure_of([file]))]
        outputs = ["evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"]
        answer = self._ask(
            {
                "language": "Solidity",
                "sources": {file: {"content": text} for file, text in {**self._sources, **changed}.items()},
                "settings": {
                    "evmVersion": "cancun",
                    "optimizer": {"enabled": optimizer, "runs": 200},
                    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
                    "remappings": [f"{name}={target}" for name, target in REMAPPINGS.items()],
                    "outputSelection": {file: {Path(file).stem: outputs} for file in wanted},
                },
            }
        )
        if any(error["severity"] == "error" for error in answer.get("errors", [])):
            return None
        return {file: answer["contracts"][file][Path(file).stem]["evm"] for file in wanted}

    def _ask(self, asked: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the compiler ended")
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
