"""`.ci/run` is red when a step is red, runs the others all the same, and tells what each took."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_ci(folder: Path, failing: str) -> subprocess.CompletedProcess[str]:
    """Run it with a `make` that only says its target, and fails for one of them."""
    make = folder / "make"
    make.write_text(f'#!/bin/sh\necho "target $1"\ntest "$1" != "{failing}"\n')
    make.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(["bash", ROOT / ".ci" / "run"], env=environment, capture_output=True, text=True, timeout=60)


def test_green_when_every_step_is(tmp_path: Path) -> None:
    ran = run_ci(tmp_path, "nothing")
    assert ran.returncode == 0
    assert [line for line in ran.stdout.splitlines() if line.startswith("target")] == [
        "target setup",
        "target lint",
        "target test",
    ]
    assert [line.split()[0] for line in ran.stdout.splitlines()[-3:]] == ["setup", "lint", "test"]


@pytest.mark.parametrize(("failing", "ran_steps"), [("setup", 1), ("lint", 3), ("test", 3)])
def test_red_when_a_step_is(tmp_path: Path, failing: str, ran_steps: int) -> None:
    ran = run_ci(tmp_path, failing)
    assert ran.returncode == 1
    assert ran.stdout.count("target ") == ran_steps
    assert ran.stdout.count("FAILED") == 1
