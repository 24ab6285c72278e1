"""`python -m bench instructions`: machine instructions of the engine per operation, counted under callgrind.

A count does not depend on who else uses the machine, so CI can hold it: more than 5 % above the snapshot fails, and a
fall by as much asks for a new snapshot. Counted is what the engine does for N operations of the workload `mixed` after
its preload: not the making of rows (of others: of their order objects), nor the settlement between two chunks. The
collector is off, hashes of strings are not salted. Another interpreter counts differently: a snapshot is of one version
of Python and of its compiler, and is not compared with others.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from bench import machine
from bench.engines import HOOATS
from bench.workloads import stored

SNAPSHOT = machine.ROOT / "bench" / "instructions.json"
TOLERANCE_PERCENT = 5
BUDGET = 18_000
"""Of an order with accounts, fees and all, whatever the snapshot says."""
OPERATIONS, PRELOAD = 10_000, 1_000
MISSING = "skipped: valgrind is not installed (on Debian and Ubuntu: apt install valgrind)"
REQUIRE = "HOOATS_REQUIRE"
"""Names, separated by commas, what must be there: then a skip is a failure."""


def interpreter() -> str:
    """What a count depends on besides the code."""
    return f"{platform.python_version()} {platform.machine()} {platform.python_compiler()}"


def per_operation(operations: int = OPERATIONS, engine: str = HOOATS, python: str = sys.executable) -> int:
    """Rounded to a whole instruction."""
    file = stored(machine.BUILD / "workloads", "mixed", 7, count=operations, preload=PRELOAD)
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(machine.ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        callgrind = ("--tool=callgrind", f"--callgrind-out-file={folder}/out", "--toggle-collect=ffi_call")
        played = (python, "-m", "bench.play", engine, str(file), "--counted")
        done = subprocess.run(
            ["valgrind", *callgrind, *played],
            cwd=machine.ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=3_000,
        )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or '"agrees": true' not in done.stdout or found is None or found[1] == "0":
        raise RuntimeError(f"{' '.join(played)}: {done.stdout[-300:]}{done.stderr[-600:]}")
    return round(int(found[1]) / operations)


def verdict(count: int, snapshot: dict[str, int], key: str) -> tuple[bool, str]:
    """(whether it may stay so, what to tell)."""
    known = snapshot.get(key)
    if known is None:
        return True, f"{count:,} instructions per operation; no snapshot for {key}: write one with --update"
    change = count / known - 1
    told = f"{count:,} instructions per operation, {change:+.2%} on the snapshot's {known:,}"
    if 100 * count > (100 + TOLERANCE_PERCENT) * known:
        return False, f"{told}: more than {TOLERANCE_PERCENT} % above the snapshot"
    if 100 * count < (100 - TOLERANCE_PERCENT) * known:
        return True, f"{told}: keep the gain with --update"
    return True, told


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench instructions", description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the snapshot")
    parser.add_argument("--operations", type=int, default=OPERATIONS)
    parser.add_argument("--peers", nargs="*", default=[], help="count these too; nothing is compared")
    options = parser.parse_args(arguments)
    if shutil.which("valgrind") is None:
        print(MISSING)
        return 1 if "valgrind" in os.environ.get(REQUIRE, "").split(",") else 0
    snapshot: dict[str, int] = json.loads(SNAPSHOT.read_text()) if SNAPSHOT.exists() else {}
    count, key = per_operation(options.operations), interpreter()
    if options.update:
        SNAPSHOT.write_text(json.dumps({**snapshot, key: count}, indent=1, sort_keys=True) + "\n")
        snapshot = {key: count}
    fits, told = verdict(count, snapshot, key)
    print(told)
    print(f"the budget of {BUDGET:,} {'holds' if count <= BUDGET else 'is missed'}")
    for peer in options.peers:
        theirs = per_operation(options.operations, peer, str(machine.PEERS_PYTHON))
        print(f"{peer}: {theirs:,} instructions per operation, {theirs / count:.2f} × of ours")
    return 0 if fits else 1
