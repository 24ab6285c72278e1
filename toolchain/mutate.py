"""Break the contracts on purpose, one place at a time, and see whether the forge tests notice.

The mutants are slither-mutate's own (Trail of Bits; its mutators are asked for their patches). What runs them is this
file, because slither-mutate's driver compiles every mutant twice with all of the tests, cannot take a sample, and
cannot go on where it stopped. Here forge links the tests dynamically and leaves the optimizer out: a mutant costs one
quick compilation of what uses it, and the tests of TARGETS with few fuzz inputs, the slow ones only if the others
passed.

    .build/audit/bin/python toolchain/mutate.py Settlement --minutes 30 --seed 1

The mutants are shuffled by the seed and taken from the front, until they or the minutes end: whatever was run is a
sample drawn by chance. Results are kept in `.build/mutate`, and a second run goes on with what is new. What compiles to
the bytecode of the original is no mutant. Red if fewer than 85 of 100 are caught, or if one survives that
docs/audit/survivors.toml does not explain.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import queue
import random
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from audit import NOT_OF_GAS, ROOT, building_in, run

FOLDER = ROOT / ".build" / "mutate"
SURVIVORS = ROOT / "docs" / "audit" / "survivors.toml"
MIN_SCORE_PERCENT = 85
TIMEOUT_SECONDS = 300
"""A mutant that keeps the tests busy for so long is caught: unchanged they end in seconds."""

BRIEF = {"FOUNDRY_FUZZ_RUNS": "32", "FOUNDRY_INVARIANT_RUNS": "4", "FOUNDRY_INVARIANT_DEPTH": "32"}
QUICK = {
    "FOUNDRY_DYNAMIC_TEST_LINKING": "true",
    "FOUNDRY_OPTIMIZER": "false",
    "FOUNDRY_CODE_SIZE_LIMIT": str(2**20),
    "FOUNDRY_GAS_LIMIT": str(2**40),
}
COMPARABLE = {**building_in("optimized"), "FOUNDRY_CBOR_METADATA": "false", "FOUNDRY_BYTECODE_HASH": "none"}


class Target(NamedTuple):
    contracts: tuple[str, ...]
    """The contracts and libraries to break; each is in the file of its name."""
    tests: str
    """Which test contracts are asked."""
    slow: str = "^Invariants"
    """Which are asked only about what the others let pass."""


TARGETS = {
    "Settlement": Target(
        (
            *("Settlement", "SettlementBase", "SettlementFills", "BatchCodec", "BatchSheet", "BulkTree", "AgentHash"),
            *("OrderHash", "Orders", "Tickets", "Trades", "Columns", "AgentRows"),
            *("ChangeLog", "Changes", "FeeMath", "Standings", "AmmLegs", "Signature65"),
        ),
        "Settlement|FreeOption|Pause",
    ),
    "Vault": Target(("Vault", "VaultMessages", "UnitIndex", "PauseRules", "Domain"), "Vault|FreeOption|Pause|Tokens"),
    "PriceOracle": Target(("PriceOracle",), "PriceOracle", "SynthIssuerInvariants"),
    "AmmPair": Target(("AmmPair",), "^Amm(Pair|Router|Factory|Attack|Hostile|Twap|Vectors)", "^Amm(Twin|.*Pool)"),
}


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


def mutants_of(target: Target) -> list[Mutant]:
    """All mutants of slither-mutate's mutators, each once, in the order of the source."""
    from slither import Slither
    from slither.tools.mutator.__main__ import _get_mutators

    os.environ.update(
        {**building_in("mutate/slither"), "PATH": f"{ROOT / 'toolchain'}{os.pathsep}{os.environ['PATH']}"}
    )
    slither = Slither(str(ROOT), compile_force_framework="foundry", skip_clean=True, disable_color=True)
    found: dict[tuple[str, int, int, str], Mutant] = {}
    for unit in slither.compilation_units:
        for contract in (contract for name in target.contracts for contract in unit.get_contract_from_name(name)):
            for mutator in _get_mutators(None):
                made = mutator(unit, 0, "", "", contract, None, False, FOLDER, [])
                for path, patches in made._mutate().get("patches", {}).items():
                    file = str(Path(path).relative_to(ROOT))
                    source = (ROOT / file).read_bytes()
                    for patch in patches:
                        start, end, new = patch["start"], patch["end"], str(patch["new_string"])
                        old = source[start:end].decode()
                        if old != new:
                            mutant = Mutant(contract.name, file, mutator.NAME, start, end, old, new)
                            found.setdefault((file, start, end, new), mutant)
    return sorted(
        found.values(), key=lambda mutant: (mutant.file, mutant.start, mutant.end, mutant.mutator, mutant.new)
    )


class Project:
    """A copy of what the forge tests need, to break."""

    def __init__(self, folder: Path, target: Target) -> None:
        self.folder = folder
        self.stages = (target.tests, target.slow)
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("contracts", "toolchain", "tests/forge"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(".cache", "__pycache__"))
        shutil.copy(ROOT / "foundry.toml", folder)
        (folder / "node_modules").symlink_to((ROOT / "node_modules").resolve())
        self.original = ""

    def prepare(self) -> float:
        """Compile everything, and see that the tests pass on what is not broken; seconds that the tests take."""
        self._ask(self.stages[0])
        start = time.monotonic()
        for tests in self.stages:
            ran = self._ask(tests)
            if ran.returncode != 0 or "Suite result: ok" not in ran.stdout:
                raise SystemExit(f"{ran.stdout}\nthe tests fail on the contracts as they are")
        seconds = time.monotonic() - start
        self.original = self._bytecode()
        return seconds

    def _ask(self, tests: str) -> "subprocess.CompletedProcess[str]":
        command = ["timeout", str(TIMEOUT_SECONDS), "toolchain/forge", "test", "--fail-fast"]
        command += ["--match-contract", tests, *NOT_OF_GAS]
        return run(command, {**BRIEF, **QUICK}, self.folder)

    def _bytecode(self) -> str:
        """What the optimizing compiler makes of all contracts."""
        ran = run(["toolchain/forge", "build", "contracts"], COMPARABLE, self.folder)
        if ran.returncode != 0:
            return f"not compiled: {ran.stdout}"
        digest = hashlib.sha256()
        for path in sorted((self.folder / ".build" / "optimized" / "out").rglob("*.json")):
            built = json.loads(path.read_text())
            if "deployedBytecode" in built:
                digest.update(
                    f"{path.name} {built['deployedBytecode']['object']} {built['bytecode']['object']}".encode()
                )
        return digest.hexdigest()

    def verdict(self, mutant: Mutant) -> str:
        """caught, timeout, survived, equivalent (the compiler makes the same of it) or invalid (it makes nothing)."""
        path = self.folder / mutant.file
        source = path.read_bytes()
        path.write_bytes(source[: mutant.start] + mutant.new.encode() + source[mutant.end :])
        try:
            for tests in self.stages:
                ran = self._ask(tests)
                if "Compiler run failed" in ran.stdout:
                    return "invalid"
                if ran.returncode == 124:
                    return "timeout"
                if "Suite result:" not in ran.stdout:
                    raise SystemExit(f"{ran.stdout}\nno test was run on {mutant}")
                if ran.returncode != 0:
                    return "caught"
            return "equivalent" if self._bytecode() == self.original else "survived"
        finally:
            path.write_bytes(source)


def state_of(target: Target) -> str:
    """Names the sources and tests that results are of."""
    digest = hashlib.sha256(json.dumps([target, BRIEF]).encode())
    for path in sorted([*(ROOT / "contracts").rglob("*.sol"), *(ROOT / "tests" / "forge").glob("*.sol")]):
        if ".cache" not in path.parts:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def run_all(mutants: Sequence[Mutant], projects: Sequence[Project], record: Path, minutes: float) -> None:
    """Run them side by side, one project a thread, and append what becomes of each to `record`."""
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        waiting.put(mutant)
    end = time.monotonic() + 60 * minutes
    writing = threading.Lock()
    failures: list[BaseException] = []

    def work(project: Project) -> None:
        try:
            while time.monotonic() < end and not failures and not waiting.empty():
                mutant = waiting.get()
                start = time.monotonic()
                verdict = project.verdict(mutant)
                with writing, record.open("a") as lines:
                    entry = {"key": mutant.key, "verdict": verdict, "seconds": round(time.monotonic() - start, 1)}
                    lines.write(json.dumps({**entry, **dataclasses.asdict(mutant)}) + "\n")
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(project,)) for project in projects]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def explained(path: Path = SURVIVORS) -> dict[tuple[str, str, str, str], str]:
    entries: Sequence[Mapping[str, Any]] = tomllib.loads(path.read_text()).get("survivor", [])
    return {(entry["contract"], entry["mutator"], entry["old"], entry["new"]): entry["reason"] for entry in entries}


def score_of(results: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """(caught, caught and survived): what does not compile, or compiles to the same, is no mutant."""
    verdicts = [result["verdict"] for result in results]
    caught = sum(verdict in ("caught", "timeout") for verdict in verdicts)
    return caught, caught + verdicts.count("survived")


def report(name: str, results: Sequence[Mapping[str, Any]], total: int) -> int:
    """Print the score, by mutator and in all, and every survivor; the exit code."""
    for mutator in sorted({result["mutator"] for result in results}):
        caught, counted = score_of(result for result in results if result["mutator"] == mutator)
        print(f"  {mutator:<5} {caught:4} of {counted:4} caught")
    reasons = explained()
    open_ones = 0
    for result in results:
        if result["verdict"] == "survived":
            mutant = Mutant(**{field.name: result[field.name] for field in dataclasses.fields(Mutant)})
            line = (ROOT / mutant.file).read_bytes()[: mutant.start].count(b"\n") + 1
            open_ones += mutant.name not in reasons
            word = "explained" if mutant.name in reasons else "SURVIVED"
            print(f"{word}: {mutant.file}:{line} {mutant.mutator}: {mutant.name[2]} => {mutant.name[3]}")
    caught, counted = score_of(results)
    verdicts = [result["verdict"] for result in results]
    score = 100 * caught / counted if counted else 0.0
    print(
        f"mutation of {name}: {caught} of {counted} caught ({score:.1f} %), {open_ones} survivors unexplained; "
        f"{verdicts.count('equivalent')} compile to the same, {verdicts.count('invalid')} do not compile; "
        f"{len(results)} of {total} mutants were run"
    )
    return 0 if score >= MIN_SCORE_PERCENT and not open_ones else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    target = TARGETS[options.target]
    mutants = mutants_of(target)
    random.Random(options.seed).shuffle(mutants)
    record = FOLDER / f"{options.target}-{state_of(target)}.jsonl"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.touch()
    done = {json.loads(line)["key"] for line in record.read_text().splitlines()}
    todo = [mutant for mutant in mutants if mutant.key not in done]
    print(f"{len(mutants)} mutants of {', '.join(target.contracts)}; {len(done)} have been run", flush=True)
    if todo:
        projects = [Project(FOLDER / f"{options.target}-{number}", target) for number in range(options.workers)]
        seconds = max(project.prepare() for project in projects)
        print(f"the tests pass on the contracts as they are, in {seconds:.1f} s", flush=True)
        run_all(todo, projects, record, options.minutes)
    results = [json.loads(line) for line in record.read_text().splitlines()]
    return report(options.target, results, len(mutants))


if __name__ == "__main__":
    sys.exit(main())
