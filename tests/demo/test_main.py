"""How the demo ends when it is told to: with a sentence, once everything that it had started is stopped."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, sys, time
from demo import __main__ as program

async def run(job, flow):
    job._report.verdict = {verdict}
    try:
        print("runs", flush=True)
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0)
        time.sleep(0.5)
        print("stopped", flush=True)

program.Job.run = run
sys.exit(program.main())
"""
"""The demo with an act in place of all others."""


def ended(folder: Path, verdict: bool | None, signals: list[signal.Signals]) -> tuple[int, str]:
    """(exit status, what it prints) of a demo that gets these signals, one shortly after the other."""
    words = [sys.executable, "-c", PROGRAM.format(verdict=verdict), "--orders", "10", "--folder", str(folder)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "runs\n"
        for number in signals:
            process.send_signal(number)
            time.sleep(0.1)
        text, _ = process.communicate(timeout=30)
        return process.returncode, text
    finally:
        process.kill()


@pytest.mark.parametrize("signals", [["SIGINT"], ["SIGTERM", "SIGTERM"], ["SIGINT", "SIGTERM"], ["SIGHUP"]], ids=str)
def test_it_ends_with_a_sentence(tmp_path: Path, signals: list[str]) -> None:
    """However often it is told: make passes on what the terminal has sent already."""
    numbers = [signal.Signals[name] for name in signals]
    status, text = ended(tmp_path, None, numbers)
    told = f"demo: ended by {signals[0]} before it was done; all that it had started is stopped, logs and state are in"
    assert (status, text) == (128 + numbers[0], f"stopped\n\n{told} {tmp_path}\n")


@pytest.mark.parametrize(("verdict", "expected"), [(True, 0), (False, 1)])
def test_after_its_report_it_is_as_good_as_that(tmp_path: Path, verdict: bool, expected: int) -> None:
    """With STAY=1 there is no other end."""
    status, text = ended(tmp_path, verdict, [signal.SIGINT])
    assert status == expected and "ended by SIGINT while it stayed" in text and "Traceback" not in text
