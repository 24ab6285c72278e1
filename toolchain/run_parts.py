"""Run the parts of `make test`, `make lint` or `make fuzz`, all of them also when one fails, and print what each took.

The parts of `make test` run in four lanes at once, on the two cores that CI has: what forge does, the tests in Python,
those in ape, and the journeys. What a part prints comes whole, when it ends. forge takes all cores that it finds, and
has no timeouts: it is nice to the others, whose timeouts are of a machine that is theirs, and so takes what they leave.
While the contracts are compiled, the tests run that need none. The report has seconds of a clock and of a
processor: a lane that ends long after the others should be given less to do.

The exit code is 0 only if every part ended well and, where a part counts tests, executed at least one: a part that
finds nothing to run is a failure, since nothing would tell otherwise that the tests went missing.
"""

import contextlib
import dataclasses
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Counts(NamedTuple):
    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclasses.dataclass(frozen=True)
class Part:
    name: str
    command: Sequence[str]
    counts_tests: bool = True
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    lane: int = 0
    """Parts of one lane run one after the other, beside those of the other lanes."""
    after: Sequence[str] = ()
    """Parts that must have ended before, those of them that are to run at all."""


class Result(NamedTuple):
    part: Part
    seconds: float
    cpu_seconds: float
    """Of all its processes that were waited for."""
    ok: bool
    verdict: str
    counts: Counts


GAS = ("--match-contract", "Gas", "--snap", "tests/forge/gas.snapshot")
"""What `make gas-update` writes; a growth, or a fall that is not written down, is red."""


JOURNEYS = ("tests/chainfork", "tests/docs", "tests/system")
"""Tests that run a whole venue: long, and mostly waiting."""

PURE = (
    "tests/model",
    *(
        f"tests/offchain/{package}"
        for package in (
            "client",
            "domain",
            "engine",
            "gateway",
            "projector",
            "router",
            "security",
            "sequencer",
            "storage",
            "telemetry",
        )
    ),
)
"""Tests that need no compiled contract."""

COMPILED = ("compile", "artifacts")
"""What ape and the scripts work with is compiled once, and not by each part that finds it missing."""
ARTIFACTS = "from pathlib import Path; from scripts._artifacts import load_artifacts; load_artifacts(Path.cwd(), ())"

PROGRAMS = ("tests/bench", "tests/fuzz", "tests/offchain/cli")
"""Tests of what is run from a command line, and of any bytes."""


def python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)


def free_port() -> int:
    """Below those that the system gives to whoever connects, so that it is free later as well: ape draws one of those,
    and waits for a chain that could not begin."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free between 20000 and 32000")


def test_parts() -> list[Part]:
    # ape's pytest plugin takes seconds to load, and nothing outside tests/contracts needs it.
    plain = python("pytest", "-p", "no:ape_test", "--durations=8", "--durations-min=5")
    others = [f"--ignore={folder}" for folder in ("tests/contracts", *JOURNEYS, *PROGRAMS, *PURE)]
    # From the folder above them: each conftest must be read when its turn comes, and not all of them at the beginning.
    offchain = ROOT / "tests" / "offchain"
    impure = [f"--ignore={path}" for path in sorted(offchain.iterdir()) if str(path.relative_to(ROOT)) not in PURE]
    ape = (str(ROOT / ".venv" / "bin" / "ape"), "test", "tests/contracts", "--network")
    anvil = {"APE_FOUNDRY_HOST": f"http://127.0.0.1:{free_port()}"}
    forge = ("nice", "-n", "10", "toolchain/forge", "test")
    return [
        Part("compile", ("toolchain/forge", "build"), counts_tests=False),
        Part("invariants", (*forge, "--match-test", "^invariant")),
        Part("forge", (*forge, "--no-match-test", "^invariant")),
        Part("gas", ("toolchain/forge", "snapshot", *GAS, "--check"), counts_tests=False),
        Part("pure", (*plain, "tests/model", "tests/offchain", *impure), lane=1),
        Part("python", (*plain, "tests", *others), lane=1, after=COMPILED),
        Part("journeys", (*plain, *JOURNEYS), lane=2, after=COMPILED),
        Part("programs", (*plain, *PROGRAMS), lane=2, after=COMPILED),
        Part("artifacts", (sys.executable, "-c", ARTIFACTS), counts_tests=False, lane=3),
        Part("ape-embedded", (*ape, "ethereum:local:test"), lane=3, after=COMPILED),
        Part("ape-foundry", (*ape, "ethereum:local:foundry"), environment=anvil, lane=3, after=COMPILED),
    ]


def lint_parts() -> list[Part]:
    solhint = ("node_modules/.bin/solhint", "--disc", "--noPoster", "--max-warnings", "0", "contracts/**/*.sol")
    tidy = python("pytest", "-q", "-p", "no:ape_test", "tests/test_tidy.py")
    checks = {
        "ruff": python("ruff", "check", "."),
        "format": python("ruff", "format", "--check", "."),
        "mypy": python("mypy", "--strict", "offchain", "keepers"),
        "imports": (str(Path(sys.executable).parent / "lint-imports"),),
        "solhint": solhint,
        "forge-fmt": ("toolchain/forge", "fmt", "--check"),
        "tidy": tidy,
    }
    # mypy takes as long as all the others.
    return [Part(name, command, counts_tests=False, lane=int(name != "mypy")) for name, command in checks.items()]


def fuzz_parts() -> list[Part]:
    seed = os.environ.get("SEED") or str(random.SystemRandom().randrange(2**32))
    print(f"SEED={seed}", flush=True)
    pytest = python("pytest", "-p", "no:ape_test", "tests", "--ignore=tests/contracts", "-m", "hypothesis")
    forge = ("toolchain/forge", "test", "--fuzz-seed", hex(int(seed)))
    seeded = (*pytest, "--timeout=0", f"--hypothesis-seed={seed}")
    effort = {"HOOATS_FUZZ_SEED": seed, "HOOATS_FUZZ_SECONDS": "600", "HOOATS_FUZZ_CASES": "100000"}
    engine = {"HOOATS_FUZZ_SEED": seed, "HOOATS_FUZZ_HISTORIES": "100", "HOOATS_FUZZ_OPERATIONS": "1000000"}
    long = ("tests/model/test_twin.py", "tests/offchain/engine/test_rows.py", "-k", "other_histories or collect")
    hostile = python("pytest", "-p", "no:ape_test", "-s")
    return [
        Part("forge", forge, environment={"FOUNDRY_PROFILE": "fuzz"}),
        Part("python", seeded, environment={"HYPOTHESIS_PROFILE": "fuzz"}),
        Part("engine", (*hostile, *long, "--timeout=0"), environment=engine),
        Part("bytes", (*hostile, "tests/fuzz/test_bytes.py"), environment=effort),
        Part("api", (*hostile, "tests/fuzz/test_api.py"), environment=effort),
    ]


FORGE_TOTAL = re.compile(r"^Ran \d+ test suites? in .*: (\d+) tests passed, (\d+) failed, (\d+) skipped")
PYTEST_TOTAL = re.compile(r"^=+ (?:.*[ ,])?\d+ \w+.* in [\d.]+s.*=+$|^\d+ \w+.* in [\d.]+s")


def counts_in(line: str) -> Counts | None:
    """What the closing line of forge or pytest says; None for any other line."""
    if forge := FORGE_TOTAL.match(line):
        return Counts(*map(int, forge.groups()))
    if not PYTEST_TOTAL.match(line):
        return None
    words = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", line)}
    failed = words.get("failed", 0) + words.get("error", 0) + words.get("errors", 0)
    skipped = words.get("skipped", 0) + words.get("xfailed", 0)
    return Counts(words.get("passed", 0), failed, skipped)


def run(part: Part, say: Callable[[str], None] = lambda text: print(text, end="", flush=True)) -> Result:
    say(f"\n--- {part.name}: {' '.join(part.command)}\n")
    start = time.monotonic()
    counts, cpu_seconds = Counts(), 0.0
    try:
        with subprocess.Popen(
            part.command,
            cwd=ROOT,
            env={**os.environ, **part.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                say(line)
                counts = counts_in(line.strip()) or counts
            _, status, used = os.wait4(process.pid, 0)
            code = process.returncode = os.waitstatus_to_exitcode(status)
            cpu_seconds = used.ru_utime + used.ru_stime
    except FileNotFoundError as missing:
        say(f"{missing}\n")
        code = 127
    verdict = "ok" if code == 0 else f"FAILED (exit {code})"
    if part.counts_tests and code == 0 and counts.passed + counts.failed == 0:
        verdict = "FAILED (no test was executed)"
    return Result(part, time.monotonic() - start, cpu_seconds, verdict == "ok", verdict, counts)


def report(results: Sequence[Result]) -> str:
    width = max(len(result.part.name) for result in results)
    lines = [""]
    for result in results:
        passed, failed, skipped = result.counts
        tests = f"  {passed} passed, {failed} failed, {skipped} skipped" if result.part.counts_tests else ""
        took = f"{result.seconds:6.1f} s {result.cpu_seconds:6.1f} s of cpu"
        lines.append(f"{result.part.name:<{width}}  {took}  {result.verdict}{tests}")
    wall, cpu = sum(result.seconds for result in results), sum(result.cpu_seconds for result in results)
    lines.append(f"{'total':<{width}}  {wall:6.1f} s {cpu:6.1f} s of cpu")
    if any(result.part.counts_tests for result in results):
        # A part that failed without a failing test (it did not compile, say) counts as one failure.
        passed = sum(result.counts.passed for result in results)
        failed = sum(max(result.counts.failed, 0 if result.ok else 1) for result in results)
        skipped = sum(result.counts.skipped for result in results)
        lines.append(f"{passed} passed, {failed} failed, {skipped} skipped")
    else:
        lines.append(f"{sum(result.ok for result in results)} of {len(results)} checks are clean")
    return "\n".join(lines)


def run_all(parts: Sequence[Part]) -> int:
    """Run `parts`, each lane one after the other; return the exit code."""
    lanes = [[part for part in parts if part.lane == lane] for lane in sorted({part.lane for part in parts})]
    results = [run(part) for part in parts] if len(lanes) <= 1 else _run_lanes(lanes)
    print(report(results), flush=True)
    return 0 if results and all(result.ok for result in results) else 1


def _run_lanes(lanes: Sequence[Sequence[Part]]) -> list[Result]:
    """Lanes side by side; results in the order of the parts."""
    found: dict[str, Result] = {}
    ended = {part.name: threading.Event() for lane in lanes for part in lane}
    printing = threading.Lock()

    def run_lane(lane: Sequence[Part]) -> None:
        for part in lane:
            for name in part.after:
                if name in ended:
                    ended[name].wait()
            lines: list[str] = []
            try:
                result = run(part, lines.append)
            finally:
                ended[part.name].set()
            with printing:
                found[part.name] = result
                print("".join(lines), end="", flush=True)

    names = ", ".join(lane[0].name for lane in lanes)
    print(f"--- side by side, beginning with {names}; each part is printed when it ends", flush=True)
    threads = [threading.Thread(target=run_lane, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[part.name] for lane in lanes for part in lane]


SUITES = {"test": test_parts, "lint": lint_parts, "fuzz": fuzz_parts}


def main(arguments: Sequence[str]) -> int:
    suite, *names = arguments
    parts = SUITES[suite]()
    known = [part.name for part in parts]
    if unknown := [name for name in names if name not in known]:
        print(f"hooats: no part {', '.join(unknown)} in '{suite}': there are {', '.join(known)}", file=sys.stderr)
        return 2
    return run_all([part for part in parts if not names or part.name in names])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
