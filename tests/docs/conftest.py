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
END_SECONDS = 60


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
            end_group(process)


@pytest.fixture(scope="session")
def shells() -> Iterator[list[int]]:
    """Process groups of the pages' shells. What an operator starts outlives his shell, and ends here."""
    groups: list[int] = []
    yield groups
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """`make` ends at once; what it started ends the venue first, which writes to the folder until then."""
    deadline = time.monotonic() + END_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(file: Path, process: subprocess.Popen[bytes], log: Path) -> Path:
    deadline = time.monotonic() + READY_SECONDS
    while not file.exists():
        assert process.poll() is None, f"the demo ended with {process.returncode}\n{log.read_text()[-4000:]}"
        assert time.monotonic() < deadline, f"the demo was not ready\n{log.read_text()[-4000:]}"
        time.sleep(0.2)
    return file
