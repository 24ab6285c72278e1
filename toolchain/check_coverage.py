"""Measure what the forge tests cover of contracts/, and name each line and branch that they do not reach.

All lines must be covered and 95 of 100 branches, over all contracts that are deployed. The Gas tests stay out: coverage
is measured on instrumented code without the optimizer, which costs more than they allow. So do the tests that repeat
one thing ten thousand times: what they reach, the others reach, and they would take most of the time.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from audit import ROOT, building_in, run

REPORT = ROOT / ".build" / "coverage" / "lcov.info"
MIN_BRANCHES_PERCENT = 95
NOT_DEPLOYED = ("contracts/mocks/",)
LEFT_OUT = ("--no-match-contract", "Gas|^SettlementTwin|^Hostile", "--no-match-test", "_writes_one_word_")

# Few inputs reach what many reach: this measures which lines run, not what holds. Blocks have room for the instruments.
BRIEF = {
    "FOUNDRY_FUZZ_RUNS": "64",
    "FOUNDRY_INVARIANT_RUNS": "16",
    "FOUNDRY_GAS_LIMIT": str(2**40),
}


class Covered(NamedTuple):
    file: str
    lines: int
    missed_lines: tuple[int, ...]
    branches: int
    missed_branches: tuple[int, ...]
    """The line of each branch not taken."""


def parse(report: str) -> list[Covered]:
    """The records of an lcov report, one for each file."""
    files = []
    for record in report.split("end_of_record\n")[:-1]:
        entries = [line.split(":", 1) for line in record.splitlines() if ":" in line]
        values = {key: [value.split(",") for name, value in entries if name == key] for key in ("SF", "DA", "BRDA")}
        # A line belongs to several functions where one is inherited or a library's: any hit counts.
        hits: dict[int, int] = {}
        for number, count in (value[:2] for value in values["DA"]):
            hits[int(number)] = hits.get(int(number), 0) + int(count)
        missed = tuple(sorted(int(line) for line, _, _, count in values["BRDA"] if count in ("-", "0")))
        lines = tuple(sorted(number for number, count in hits.items() if count == 0))
        files.append(Covered(values["SF"][0][0], len(hits), lines, len(values["BRDA"]), missed))
    return files


def complaints(files: Iterable[Covered]) -> list[str]:
    """What is missing, one line each; empty if it is enough."""
    files = list(files)
    missing = [f"{file.file}:{line}: never runs" for file in files for line in file.missed_lines]
    branches, missed = sum(file.branches for file in files), sum(len(file.missed_branches) for file in files)
    if not files or sum(file.lines for file in files) == 0:
        return ["nothing was measured"]
    if 100 * (branches - missed) < MIN_BRANCHES_PERCENT * branches:
        missing.append(f"{branches - missed} of {branches} branches are fewer than {MIN_BRANCHES_PERCENT} of 100")
    return missing


def summary(files: Sequence[Covered]) -> str:
    lines, missed = sum(file.lines for file in files), sum(len(file.missed_lines) for file in files)
    branches, untaken = sum(file.branches for file in files), sum(len(file.missed_branches) for file in files)
    return (
        f"coverage: {lines - missed} of {lines} lines, {branches - untaken} of {branches} branches, {len(files)} files"
    )


def deployed(files: Iterable[Covered]) -> list[Covered]:
    return [file for file in files if file.file.startswith("contracts/") and not file.file.startswith(NOT_DEPLOYED)]


def measure() -> str:
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.unlink(missing_ok=True)
    relative = str(REPORT.relative_to(ROOT))
    command = ("toolchain/forge", "coverage", "--report", "lcov", "--report-file", relative)
    ran = run((*command, *LEFT_OUT), {**building_in("coverage"), **BRIEF})
    if ran.returncode != 0 or not REPORT.is_file():
        raise SystemExit(f"{ran.stdout}\nforge coverage failed (exit {ran.returncode})")
    return REPORT.read_text()


def main(arguments: Sequence[str]) -> int:
    """With an argument: check that report, and measure nothing."""
    files = deployed(parse(Path(arguments[0]).read_text() if arguments else measure()))
    problems = complaints(files)
    for line in problems:
        print(line)
    for file in files:
        for line in file.missed_branches:
            print(f"{file.file}:{line}: a branch is never taken")
    print(summary(files))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
