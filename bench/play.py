"""Plays one workload on one engine, in a process of its own: `python -m bench.play ENGINE FILE`, a line of JSON.

The collector runs once before the clock starts, is frozen, and stays off (`--gc default` leaves it as it comes), the
same for every engine. The clock is this process's own time on the processor, and beside it the wall's.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench import engines
from bench.engines.adapter import Absent, Adapter
from bench.operations import Operation, Workload


class Clock:
    """Adds up what is done between `start` and `stop`, in seconds."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0
        self._cpu = self._wall = 0.0

    def start(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        self.cpu += time.process_time() - self._cpu
        self.wall += time.perf_counter() - self._wall


Through = Callable[[Callable[[], Any]], Any]
"""Calls what it is given."""


def plainly(function: Callable[[], Any]) -> Any:
    return function()


def through_ffi(function: Callable[[], Any]) -> Any:
    """From inside libffi's `ffi_call`, a symbol that every build exports: callgrind counts between its entry and its
    return only (see `bench.instructions`)."""
    found: list[Any] = []
    ctypes.PYFUNCTYPE(None)(lambda: found.append(function()))()
    return found[0]


def run(
    adapter: Adapter, operations: list[Operation], patience: float = 0.0, through: Through = plainly
) -> tuple[Clock, Clock, int]:
    """(making, playing, operations played): fewer than all if playing took longer than `patience` seconds."""
    making, playing = Clock(), Clock()
    at, chunk = 0, adapter.chunk
    while at < len(operations):
        part = operations[at : at + chunk]
        arrived = adapter.arriving(part)
        making.start()
        calls = adapter.make(arrived)
        making.stop()
        playing.start()
        answers = through(partial(adapter.play, calls))
        playing.stop()
        adapter.take(answers)
        del calls, answers  # not while the clock runs
        at += len(part)
        if patience and playing.wall > patience:
            break
    return making, playing, at


def play(
    name: str, workload: Workload, policy: str = "off", patience: float = 0.0, through: Through = plainly
) -> dict[str, Any]:
    """The result of one engine: seconds of making its orders and of playing, and the digest it reached."""
    adapter = engines.load(name, workload)
    try:
        run(adapter, workload.preload)
        if policy == "off":
            gc.collect()
            gc.freeze()
            gc.disable()
        elsewhere = adapter.elsewhere()
        making, playing, played = run(adapter, workload.operations, patience, through)
        elsewhere = adapter.elsewhere() - elsewhere
        digest = adapter.digest()
    finally:
        adapter.close()
    is_whole = played == len(workload.operations)
    fields = adapter.checked.split(", ")
    agrees = is_whole and all(getattr(digest, field) == getattr(workload.digest, field) for field in fields)
    return {
        "engine": name,
        "operations": played,
        "make_seconds": making.cpu,
        "play_seconds": playing.cpu,
        "wall_seconds": playing.wall,
        "elsewhere_seconds": elsewhere,
        "gc": policy,
        "digest": digest,
        "checked": adapter.checked,
        "agrees": agrees,
        "stopped": not is_whole,
        "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "python": sys.version.split()[0],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.play", description=__doc__)
    parser.add_argument("engine")
    parser.add_argument("file", type=Path)
    parser.add_argument("--gc", default="off", choices=("off", "default"))
    parser.add_argument("--patience", type=float, default=0.0, help="give up after so many seconds; 0: never")
    parser.add_argument("--counted", action="store_true", help="play inside ffi_call, for callgrind")
    options = parser.parse_args()
    through = through_ffi if options.counted else plainly
    try:
        result = play(options.engine, Workload.load(options.file), options.gc, options.patience, through)
    except (ImportError, Absent) as missing:
        result = {"engine": options.engine, "missing": str(missing)}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
