"""No bytes crash, hang or confuse what reads bytes from outside: see `targets.py`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from effort import SECONDS, SEED

RUN = Path(__file__).parent / "run.py"
LEAST = {"eip712": 2_000, "frames": 100, "messages": 100, "journal": 200}
"""Inputs in ten seconds on a machine that is busy: fewer, and it was not tried."""

pytest.importorskip("atheris", reason="atheris has no wheel for this machine")


@pytest.mark.parametrize("target", LEAST)
@pytest.mark.timeout(SECONDS + 110)
def test_any_bytes(target: str) -> None:
    command = [sys.executable, str(RUN), target, "--seconds", str(SECONDS), "--seed", str(SEED)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    tried = re.search(r"^Done (\d+) runs", done.stdout, re.MULTILINE)
    assert done.returncode == 0 and tried, done.stdout[-6_000:]
    print(f"{target}: {int(tried.group(1)):,} inputs in {SECONDS} s, seed {SEED}")
    assert int(tried.group(1)) > LEAST[target]
