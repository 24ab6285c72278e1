"""A running venue for the pages: `make demo STAY=1`, started once, as the pages tell their reader to."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 420


@pytest.fixture(scope="session")
def session_file() -> Iterator[Path]:
    """The file that the pages source."""
    with tempfile.TemporaryDirectory(prefix="hooats-docs-") as name:
        folder = Path(name)
        command = ["make", "demo", "STAY=1", "ORDERS=200", f"FOLDER={folder}"]
        with (folder / "demo.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        try:
            yield wait_for(folder / "env", process, folder / "demo.log")
        finally:
            end_group(process.pid)
            process.wait(5)


@pytest.fixture(scope="session")
def shells() -> Iterator[list[int]]:
    """Process groups of the pages' shells. What an operator starts outlives his shell, and ends here."""
    groups: list[int] = []
    yield groups
    for group in groups:
        end_group(group)


def end_group(group: int) -> None:
    """Returns when none of its processes runs: the venue's folder goes next, and nobody may write into it then."""
    for number, seconds in ((signal.SIGTERM, 60), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
        deadline = time.monotonic() + seconds
        while has_running(group) and time.monotonic() < deadline:
            time.sleep(0.05)


def has_running(group: int) -> bool:
    """By proc(5). Without those that have ended and that nobody has asked for their status."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, _, of = path.read_text().rpartition(")")[2].split()[:3]
            if int(of) == group and state != "Z":
                return True
    return False


def wait_for(file: Path, process: subprocess.Popen[bytes], log: Path) -> Path:
    deadline = time.monotonic() + READY_SECONDS
    while not file.exists():
        assert process.poll() is None, f"the demo ended with {process.returncode}\n{log.read_text()[-4000:]}"
        assert time.monotonic() < deadline, f"the demo was not ready\n{log.read_text()[-4000:]}"
        time.sleep(0.2)
    return file
