"""`.ci/run` is red when a step is red, runs the others all the same, and installs what it needs."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STEPS = ["setup", "lint", "test", "bench-instructions"]


def write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def run_ci(folder: Path, failing: str, *, has_valgrind: bool = True) -> subprocess.CompletedProcess[str]:
    """Run it with a `make` that only says its target and what is required, and fails for one of them.

    The search path has nothing of the machine's but `sh` and `dirname`: whatever else it calls is one of these here.
    """
    for name in ("sh", "dirname"):
        (folder / name).symlink_to(str(shutil.which(name)))
    write_program(folder / "make", f'echo "target $1 requires $HOOATS_REQUIRE"\ntest "$1" != "{failing}"')
    write_program(folder / "apt-get", f'echo "$@" >> "{folder}/installed"')
    if has_valgrind:
        write_program(folder / "valgrind", "exit 1")
    bash = [str(shutil.which("bash")), ROOT / ".ci" / "run"]
    return subprocess.run(bash, env={"PATH": str(folder)}, capture_output=True, text=True, timeout=60)


def test_green_when_every_step_is(tmp_path: Path) -> None:
    ran = run_ci(tmp_path, "nothing")
    assert (ran.returncode, ran.stderr) == (0, "")
    said = [line for line in ran.stdout.splitlines() if line.startswith("target")]
    assert said == [f"target {step} requires valgrind" for step in STEPS]
    assert [line.split()[0] for line in ran.stdout.splitlines()[-4:]] == STEPS


@pytest.mark.parametrize(("failing", "ran_steps"), [("setup", 1), *((step, 4) for step in STEPS[1:])])
def test_red_when_a_step_is(tmp_path: Path, failing: str, ran_steps: int) -> None:
    ran = run_ci(tmp_path, failing)
    assert ran.returncode == 1
    assert ran.stdout.count("target ") == ran_steps
    assert ran.stdout.count("FAILED") == 1


@pytest.mark.parametrize("has_valgrind", [True, False])
def test_valgrind_is_installed_where_it_is_missing(tmp_path: Path, has_valgrind: bool) -> None:
    assert run_ci(tmp_path, "nothing", has_valgrind=has_valgrind).returncode == 0
    installed = tmp_path / "installed"
    assert installed.exists() is not has_valgrind
    if not has_valgrind:
        assert installed.read_text().splitlines()[-1] == "install -y -qq valgrind"
