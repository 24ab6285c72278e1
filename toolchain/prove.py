"""Prove what tests/halmos claims: halmos runs each `check_` function on symbolic inputs, and a solver looks for any
input that breaks it.

A proof counts only if it is whole: halmos must say nothing of loops or calls that it cut short, and at least
MIN_PROOFS must have been made, so that properties which went missing are noticed.
"""

import re
import shutil
import sys
from typing import NamedTuple

from audit import ENVIRONMENT, ROOT, building_in, run

TESTS = "tests/halmos"
MIN_PROOFS = 5
SOLVER_SECONDS = 120
"""For one query. What takes longer is no proof."""

RESULT = re.compile(r"\[(PASS|FAIL|TIMEOUT|ERROR)\] (check_\w+)\(")
CUT_SHORT = re.compile(r"^.*(?:WARNING|ERROR|loop-bound|incomplete).*$", re.MULTILINE | re.IGNORECASE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Verdict(NamedTuple):
    proved: list[str]
    problems: list[str]


def verdict(output: str, code: int, claimed: set[str]) -> Verdict:
    """What a run of halmos amounts to; `claimed` are the properties in the sources."""
    output = COLOUR.sub("", output)
    results = [(name, word) for word, name in RESULT.findall(output)]
    proved = [name for name, word in results if word == "PASS"]
    problems = [f"{name}: {word}" for name, word in results if word != "PASS"]
    problems += [f"{name}: not run" for name in sorted(claimed - {name for name, _ in results})]
    problems += [line.strip() for line in CUT_SHORT.findall(output) if not RESULT.search(line)]
    if len(proved) < MIN_PROOFS:
        problems.append(f"{len(proved)} proofs are fewer than {MIN_PROOFS}")
    if code != 0 and not problems:
        problems.append(f"halmos failed (exit {code})")
    return Verdict(proved, problems)


def claimed_in_sources() -> set[str]:
    sources = (ROOT / TESTS).glob("*.t.sol")
    return {name for path in sources for name in re.findall(r"function (check_\w+)\(", path.read_text())}


def main() -> int:
    environment = {**building_in("halmos"), "FOUNDRY_TEST": TESTS}
    # halmos runs whatever it finds there, also what is no longer in the sources.
    shutil.rmtree(ROOT / ".build" / "halmos", ignore_errors=True)
    command = [str(ENVIRONMENT / "bin" / "halmos"), "--root", str(ROOT), "--forge-build-out", ".build/halmos/out"]
    options = ["--solver-timeout-assertion", f"{SOLVER_SECONDS}s", "--no-status", *sys.argv[1:]]
    ran = run([*command, *options], environment)
    print(ran.stdout)
    made = verdict(ran.stdout, ran.returncode, claimed_in_sources())
    for problem in made.problems:
        print(problem)
    print(f"halmos: {len(made.proved)} properties proved, {len(made.problems)} problems")
    return 1 if made.problems else 0


if __name__ == "__main__":
    sys.exit(main())
