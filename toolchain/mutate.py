"""Break the contracts on purpose, one place at a time, and see whether the forge tests notice.

The mutants are slither-mutate's own (toolchain/mutants.py). forge compiles the tests once, without the optimizer,
and linked so that they take the contract's code from its artifact. A mutant then costs the compilation of
that one contract, by a solc that stays loaded, and the tests of TARGETS in their order until the first that fails:
quick killers first, few fuzz inputs, invariants only about what all others let pass.

    .build/audit/bin/python toolchain/mutate.py Settlement --sample 150 --seed 1

The mutants are shuffled by the seed and taken from the front, until `--sample` of them compiled, or the minutes end:
whatever was run is a sample drawn by chance. Results are kept in `.build/mutate`, and a second run goes on with what is
new. What compiles to the bytecode of the original is no mutant. Red if fewer than 85 of 100 are caught, or if one
survives that docs/audit/survivors.toml does not explain.
"""

import argparse
import dataclasses
import json
import os
import queue
import random
import re
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
from mutants import Compiler, Mutant, closure_of, mutants_of, state_of

FOLDER = ROOT / ".build" / "mutate"
SURVIVORS = ROOT / "docs" / "audit" / "survivors.toml"
TESTS = "tests/forge"
MIN_SCORE_PERCENT = 85
TIMEOUT_SECONDS = 600
"""A mutant that keeps the tests busy for so long is caught: unchanged they end in seconds."""

BRIEF = {"FOUNDRY_FUZZ_RUNS": "32", "FOUNDRY_INVARIANT_RUNS": "4", "FOUNDRY_INVARIANT_DEPTH": "32"}
SHORTENED = {
    "SettlementTwin.t.sol": (
        ("BATCHES_EACH = 2_000;", "BATCHES_EACH = 40;"),
        ("vm.assertEq(TESTS * BATCHES_EACH, 10_000);", ""),
        ("checkSeen();", ""),
    )
}
"""The twin gets two hundred batches instead of ten thousand, which need not have seen everything."""
QUICK = {
    "FOUNDRY_OPTIMIZER": "false",
    "FOUNDRY_CODE_SIZE_LIMIT": str(2**20),
    "FOUNDRY_GAS_LIMIT": str(2**40),
    **building_in("forge"),
}


ARGUMENTS = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"


class Target(NamedTuple):
    contracts: tuple[str, ...]
    """The contracts and libraries to break; each is in the file of its name."""
    built: str
    """The contract that is deployed: what is made of them."""
    stages: tuple[str, ...]
    """Which test contracts are asked; those of a later stage only about what the earlier ones let pass."""


TARGETS = {
    "Settlement": Target(
        (
            *("Settlement", "SettlementFills", "SettlementBase", "BatchCodec", "PackedFills", "BatchSheet", "BulkTree"),
            *("Orders", "Tickets", "TermsOfOrders", "PlacesOfTickets", "SlotWords", "Trades", "Columns", "Cells"),
            *("AgentHash", "AgentRows", "AgentWords", "OrderHash", "VaultCalls", "Changes", "FeeMath", "Standings"),
            *("AmmLegs", "Domain", "Signatures", "PauseRules"),
        ),
        "Settlement",
        (
            "^Settlement(Settle|Fault|Refusal|Cancel|Agent)",
            "^Settlement(Amm|Bulk|FillOrKill|Market)|^FreeOption|^Pause|^Signatures",
            "^SettlementTwin|^Invariants",
        ),
    ),
    "Vault": Target(
        (
            *("Vault", "VaultBase", "TransientLock", "VaultMessages", "AccountWords", "Flows", "Outflows", "Transfers"),
            *("UnitIndex", "PauseRules", "Signatures", "Standings", "Changes"),
        ),
        "Vault",
        (
            "^Vault",
            "^Settlement(Settle|Refusal|Amm)|^FreeOption|^Pause|^Tokens|^Signatures|^Initialisers",
            "^Invariants",
        ),
    ),
    "PriceOracle": Target(("PriceOracle",), "PriceOracle", ("^PriceOracle", "SynthIssuerInvariants|PriceInvariants")),
    "AmmPair": Target(
        ("AmmPair",),
        "AmmPair",
        (
            "^Amm(Pair|Router|Factory|Attack|Hostile|Twap|Vectors)",
            "^Amm(Twin|SmallestPool|SkewedPool|OrdinaryPool|OddTokens)|^SettlementAmm",
        ),
    ),
}


class Project:
    """A copy of the contract and of the tests that are asked about it, to break."""

    def __init__(self, folder: Path, target: Target) -> None:
        self.folder = folder
        self.stages = target.stages
        self.built = f"contracts/{target.built}.sol"
        self._lay_out([file for file in closure_of(tests_of(target)) if not file.startswith("node_modules/")])
        self.compiler = Compiler([self.built])
        self.optimized: Any = None

    def _lay_out(self, files: Sequence[str]) -> None:
        """What an earlier run compiled stays, as far as it is the same."""
        for folder in ("contracts", TESTS, "toolchain"):
            shutil.rmtree(self.folder / folder, ignore_errors=True)
        for file in (*files, "foundry.toml"):
            (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, self.folder / file)
        unneeded = shutil.ignore_patterns(".cache", "__pycache__")
        shutil.copytree(ROOT / "toolchain", self.folder / "toolchain", ignore=unneeded)
        if not (self.folder / "node_modules").exists():
            (self.folder / "node_modules").symlink_to((ROOT / "node_modules").resolve())
        self._link()
        self._name_the_compiler()

    def _link(self) -> None:
        """Let the tests take the contract's code from its artifact. forge's own linking leaves fixtures out."""
        folder = self.folder / TESTS
        declared = "    function deployCode(string calldata, bytes calldata) external returns (address);\n"
        test = folder / "Test.sol"
        test.write_text(test.read_text().replace("interface Vm {\n", f"interface Vm {{\n{declared}", 1))
        for path in folder.glob("*.sol"):
            source = path.read_text()
            for old, new in SHORTENED.get(path.name, ()):
                if old not in source:
                    raise SystemExit(f"{path.name} has no {old} to shorten")
                source = source.replace(old, new)
            path.write_text(linked(source, self.built))

    def _name_the_compiler(self) -> None:
        """forge asks solc for its version every time, and loading it takes longer than the tests."""
        solc = self.folder / "toolchain" / "solc" / "solc-v0.8.30"
        version = subprocess.run([solc, "--version"], capture_output=True, text=True, check=True).stdout
        shell, rest = solc.read_text().split("\n", 1)
        answer = f'case " $* " in *" --version "*) cat <<\'VERSION\'\n{version}VERSION\nexit;; esac'
        solc.write_text(f"{shell}\n{answer}\n{rest}")

    def prepare(self) -> float:
        """Compile everything, and see that the tests pass on what is not broken; seconds that the tests take."""
        unchanged = self.compiler.compile({}, optimizer=False)
        self.optimized = code_of(self.compiler.compile({}, optimizer=True))
        if unchanged is None:
            raise SystemExit(f"{self.built} does not compile without the optimizer")
        self._put(unchanged)
        self._pass("|".join(self.stages))
        self._put(unchanged)
        start = time.monotonic()
        for tests in self.stages:
            self._pass(tests)
        seconds = time.monotonic() - start
        self._require_broken_is_noticed(unchanged)
        return seconds

    def _pass(self, tests: str) -> None:
        ran = self._ask(tests)
        if ran.returncode != 0 or "Suite result: ok" not in ran.stdout:
            raise SystemExit(f"{ran.stdout}\nthe tests fail on the contracts as they are (exit {ran.returncode})")

    def _require_broken_is_noticed(self, unchanged: Mapping[str, Any]) -> None:
        """The tests must take the code that is put before them, or every mutant would survive, or be caught unseen."""
        code = {"bytecode": {"object": "fe"}, "deployedBytecode": {"object": "fe", "immutableReferences": {}}}
        self._put(dict.fromkeys(unchanged, code))
        if self._ask(self.stages[0]).returncode == 0:
            raise SystemExit("the tests pass on a contract that only reverts: they do not take its artifact")

    def _put(self, made: Mapping[str, Any]) -> None:
        """Where the tests find the code of what they create."""
        for file, evm in made.items():
            path = self.folder / ".build" / "forge" / "out" / Path(file).name / f"{Path(file).stem}.json"
            if not path.is_file():
                continue  # nothing is compiled yet
            artifact = json.loads(path.read_text())
            for part in ("bytecode", "deployedBytecode"):
                artifact[part]["object"] = "0x" + evm[part]["object"]
            artifact["deployedBytecode"]["immutableReferences"] = evm["deployedBytecode"]["immutableReferences"]
            path.write_text(json.dumps(artifact))

    def _ask(self, tests: str) -> "subprocess.CompletedProcess[str]":
        command = ["timeout", str(TIMEOUT_SECONDS), "toolchain/forge", "test", "--fail-fast"]
        command += ["--match-contract", tests, *NOT_OF_GAS]
        return run(command, {**BRIEF, **QUICK}, self.folder)

    def verdict(self, mutant: Mutant) -> tuple[str, str]:
        """caught, timeout, survived, equivalent (the compiler makes the same of it) or invalid (it makes nothing);
        and the test that caught it."""
        changed = {mutant.file: mutant.applied((ROOT / mutant.file).read_bytes())}
        made = self.compiler.compile(changed, optimizer=False)
        if made is None:
            return "invalid", ""
        self._put(made)
        for tests in self.stages:
            ran = self._ask(tests)
            if ran.returncode == 124:
                return "timeout", ""
            if "Suite result:" not in ran.stdout:
                raise SystemExit(f"{ran.stdout}\nno test was run on {mutant}")
            if ran.returncode != 0:
                return "caught", killer_in(ran.stdout)
        same = code_of(self.compiler.compile(changed, optimizer=True)) == self.optimized
        return ("equivalent" if same else "survived"), ""


def code_of(made: Mapping[str, Any] | None) -> list[str]:
    """Without the names of immutables, which are numbers of syntax nodes: they change with every edit."""
    return [evm[part]["object"] for evm in (made or {}).values() for part in ("bytecode", "deployedBytecode")]


def linked(source: str, file: str) -> str:
    """A test source that takes the code of the contract in `file` from its artifact, wherever it uses a new one."""
    name = Path(file).stem
    # Not where it stands alone: that is a creation which is expected to revert.
    created = re.compile(rf"(?:(?<== )|(?<=\())new {name}{ARGUMENTS}")
    return created.sub(
        lambda found: f'{name}(vm.deployCode("{file}:{name}", abi.encode({found[0].split("(", 1)[1][:-1]})))', source
    )


def tests_of(target: Target) -> list[str]:
    """The test files that have a contract of one of the stages."""
    names = re.compile("|".join(target.stages))
    found = []
    for path in sorted((ROOT / TESTS).glob("*.t.sol")):
        contracts = re.findall(r"^contract (\w+)", path.read_text(), re.MULTILINE)
        if any(names.search(name) and "Gas" not in name for name in contracts):
            found.append(str(path.relative_to(ROOT)))
    return found


def killer_in(output: str) -> str:
    failing = re.search(r"^\[FAIL.*\] (\w+)\(", output, re.MULTILINE)
    return failing[1] if failing else ""


class Sample:
    """Mutants in the order of a seed, what became of those that were run, and when it is enough."""

    def __init__(self, mutants: Sequence[Mutant], record: Path, compiled: int, minutes: float) -> None:
        self._record = record
        self._compiled = compiled
        self._end = time.monotonic() + 60 * minutes
        self._lock = threading.Lock()
        record.parent.mkdir(parents=True, exist_ok=True)
        record.touch()
        kept = [json.loads(line) for line in record.read_text().splitlines()]
        keys = {mutant.key for mutant in mutants}
        self.results: list[dict[str, Any]] = [result for result in kept if result["key"] in keys]
        done = {result["key"] for result in self.results}
        self._waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
        for mutant in mutants:
            if mutant.key not in done:
                self._waiting.put(mutant)

    def next(self) -> Mutant | None:
        with self._lock:
            compiled = sum(result["verdict"] != "invalid" for result in self.results)
            if compiled >= self._compiled or time.monotonic() > self._end or self._waiting.empty():
                return None
            return self._waiting.get()

    def keep(self, mutant: Mutant, verdict: str, killer: str, seconds: float) -> None:
        entry = {"key": mutant.key, "verdict": verdict, "by": killer, "seconds": round(seconds, 1)}
        entry |= dataclasses.asdict(mutant)
        with self._lock, self._record.open("a") as lines:
            self.results.append(entry)
            lines.write(json.dumps(entry) + "\n")


def run_all(sample: Sample, projects: Sequence[Project]) -> None:
    """Run them side by side, one project a thread."""
    failures: list[BaseException] = []

    def work(project: Project) -> None:
        try:
            while not failures and (mutant := sample.next()) is not None:
                start = time.monotonic()
                verdict, killer = project.verdict(mutant)
                sample.keep(mutant, verdict, killer, time.monotonic() - start)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(project,)) for project in projects]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for project in projects:
        project.compiler.close()
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


def report(name: str, results: Sequence[Mapping[str, Any]], total: int, seed: int = 1) -> int:
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
        f"mutation of {name}, seed {seed}: {caught} of {counted} caught ({score:.1f} %), "
        f"{counted - caught} survived, {open_ones} of them unexplained; "
        f"{verdicts.count('equivalent')} compile to the same, {verdicts.count('invalid')} do not compile; "
        f"{len(results)} of {total} mutants were run"
    )
    return 0 if score >= MIN_SCORE_PERCENT and not open_ones else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--sample", type=int, default=150, help="how many that compile; the rest is not run")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    target = TARGETS[options.target]
    mutants = mutants_of(target.contracts, f"contracts/{target.built}.sol", FOLDER)
    random.Random(options.seed).shuffle(mutants)
    state = state_of([f"contracts/{target.built}.sol", *tests_of(target)], [target, BRIEF])
    record = FOLDER / f"{options.target}-{options.seed}-{state}.jsonl"
    sample = Sample(mutants, record, options.sample, options.minutes)
    print(f"{len(mutants)} mutants of {', '.join(target.contracts)}; {len(sample.results)} have been run", flush=True)
    projects = [Project(FOLDER / f"{options.target}-{number}", target) for number in range(options.workers)]
    seconds = max(project.prepare() for project in projects)
    print(f"the tests pass on the contracts as they are, in {seconds:.1f} s", flush=True)
    run_all(sample, projects)
    return report(options.target, sample.results, len(mutants), options.seed)


if __name__ == "__main__":
    sys.exit(main())
