"""What the audit tools share: where their environment is, and how a program of it is run.

`make slither`, `make mutate` and `make prove` run what `toolchain/setup audit` installed. The programs find forge and
the compiler of this repository on their path, and build into folders of their own, so that none of them spoils what
`forge test` keeps.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".build" / "audit"
NOT_OF_GAS = ("--no-match-contract", "Gas", "--no-match-test", "_writes_one_word_")
"""Leaves out the tests that count gas or writes: those hold for what the optimizer makes, and for nothing else."""


def building_in(name: str) -> dict[str, str]:
    """Environment of a forge that keeps what it builds in `.build/NAME`."""
    folder = f".build/{name}"
    return {
        "FOUNDRY_OUT": f"{folder}/out",
        "FOUNDRY_CACHE_PATH": f"{folder}/cache",
        "FOUNDRY_TEST_FAILURES_FILE": f"{folder}/test-failures",
    }


def run(
    command: Sequence[str], environment: Mapping[str, str], folder: Path = ROOT
) -> "subprocess.CompletedProcess[str]":
    """Run a program of the audit environment in `folder`, and return what it said, both streams as one."""
    path = os.pathsep.join([str(folder / "toolchain"), str(ENVIRONMENT / "bin"), os.environ.get("PATH", os.defpath)])
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
