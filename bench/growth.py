"""`python -m bench growth`: what an operation costs as the venue grows, as tables and as a picture.

Markets, resting orders, orders on one level, levels swept: each grows tenfold from point to point, and an operation may
cost more by no more than a logarithm does. Every point runs in a process of its own, several rounds of it interleaved,
and the median counts; memory is what the process gained with its resting orders, divided by their number.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench import machine, plot, report
from bench.audience import Hall, opened
from bench.calibration import seconds_per_recovery
from bench.engines.hooats import Engine
from bench.operations import MAKERS_MAX, Operation, Workload
from bench.play import run
from bench.rounds import SLOWER_MAX
from bench.workloads import FAR, Stream, add_passive, cancel_from_the_middle, code_hash, mix, users_for

ROUNDS = 3
PROBES = 10_000
"""Operations that are timed once the venue has its size."""
SEED = 7
CLIENTS = "clients"
LISTENING = (10, 100, 1_000, 2_000)
LISTEN_SECONDS = 10.0
SLACK = 1.5
"""A point may cost this many times what a logarithm explains: caches end somewhere."""


class Curve(NamedTuple):
    """`grow(size)` is the workload whose operations are timed; what it preloads makes the size."""

    name: str
    unit: str
    sizes: tuple[int, ...]
    grow: Callable[[int], Workload]


def many_markets(count: int) -> Workload:
    """The mix of W1 over so many markets, each with a hundred orders before."""
    stream = Stream("markets", SEED, count, users=users_for(100 * count))
    for at in range(100 * count):
        add_passive(stream, at % count)
    stream.start()
    for _ in range(PROBES):
        mix(stream, stream.chance.randrange(count), 0.6, 0.3)
    return stream.done()


def many_resting(count: int) -> Workload:
    """The mix of W1 with so many orders in the book, on some ten times more levels than a market has near its best."""
    stream = Stream("resting", SEED, users=users_for(count))
    chance = stream.chance
    for at in range(count):
        side = at % 2
        offset = 1 + min(int(chance.expovariate(1 / 500)), 9_000)
        stream.add(side, FAR + (offset if side else -offset), chance.randint(1, 100))
    stream.start()
    for _ in range(PROBES):
        mix(stream, 0, 0.6, 0.3)
    return stream.done()


def one_level(count: int) -> Workload:
    """So many orders on one level, all cancelled, from the middle outwards."""
    stream = Stream("level", SEED, users=users_for(count))
    cancel_from_the_middle(stream, count)
    workload = stream.done()
    half = len(workload.operations) // 2
    assert half == count
    return workload._replace(preload=workload.operations[:half], operations=workload.operations[half:])


def sweep(levels: int) -> Workload:
    """So many levels of one order, swept by orders that each take a hundred of them: what HOOATS lets one meet."""
    stream = Stream("sweep", SEED, users=users_for(levels))
    for at in range(levels):
        stream.add(1, FAR + at, 1)
    stream.start()
    for at in range(0, levels, MAKERS_MAX):
        last = min(at + MAKERS_MAX, levels)
        stream.add(0, FAR + last - 1, last - at)
    return stream.done()


CURVES = {
    "markets": Curve("markets", "operation", (1, 10, 100, 1_000), many_markets),
    "resting": Curve("resting orders", "operation", (1_000, 10_000, 100_000, 1_000_000), many_resting),
    "level": Curve("orders on one level", "cancel", (100, 1_000, 10_000, 100_000), one_level),
    "sweep": Curve("levels swept", "level", (100, 1_000, 10_000), sweep),
}


def file_of(name: str, size: int) -> Path:
    """The workload of a point, made here if it is not there: what making it leaves free would hide what an engine
    takes."""
    path = machine.BUILD / "workloads" / f"{code_hash(Path(__file__))}" / f"{name}-{size}.bin"
    if not path.exists():
        CURVES[name].grow(size).save(path)
    return path


def point(name: str, size: int) -> dict[str, Any]:
    """Measures one point in this very process, which should be a fresh one."""
    workload = Workload.load(file_of(name, size))
    adapter = Engine(workload)
    gc.collect()
    gc.disable()
    before = resident_bytes()
    filling, peak = _fill(adapter, workload.preload)
    gained = resident_bytes() - before
    gc.collect()
    gc.freeze()
    recover = seconds_per_recovery(500)
    _, playing, played = run(adapter, workload.operations)
    assert adapter.digest() == workload.digest, f"{name} of {size}: {adapter.digest()} is not {workload.digest}"
    items = size if name == "sweep" else played
    return {
        "size": size,
        "micros": playing.cpu / items * 1e6,
        "ratio": playing.cpu / items / recover,
        "recover_micros": recover * 1e6,
        "fill_micros": filling / max(1, len(workload.preload)) * 1e6,
        "resting": peak,
        "bytes_per_order": gained / peak if peak >= 10_000 else None,
    }


def _fill(adapter: Engine, preload: list[Operation]) -> tuple[float, int]:
    """(seconds, orders that rest in the end)."""
    _, playing, _ = run(adapter, preload)
    return playing.cpu, adapter.resting()


def resident_bytes() -> int:
    """Of this process, now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fresh(name: str, size: int) -> dict[str, Any]:
    """`point` in a process of its own."""
    file_of(name, size)
    command = [sys.executable, "-m", "bench.growth", name, str(size)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(machine.ROOT)}
    done = subprocess.run(command, cwd=machine.ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name} of {size}: {done.stderr[-800:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def grow(
    names: Sequence[str], most: int, rounds: int, measure: Callable[[str, int], dict[str, Any]] = fresh
) -> dict[str, Any]:
    """Every point up to size `most`, in every round, in an order of its own."""
    wanted = [(name, size) for name in names for size in CURVES[name].sizes if size <= most]
    played = []
    for number in range(rounds):
        order = wanted.copy()
        random.Random(SEED * 1_000 + number).shuffle(order)
        played.append([{"curve": name, **measure(name, size)} for name, size in order])
    best = min(one["recover_micros"] for points in played for one in points)
    rows = []
    for name, size in wanted:
        found = [one for points in played for one in points if (one["curve"], one["size"]) == (name, size)]
        # Where nothing was quiet, the least disturbed is better than nothing, and the table says so.
        quiet = [one for one in found if one["recover_micros"] <= best * SLOWER_MAX]
        kept = quiet or sorted(found, key=lambda one: one["recover_micros"])[:1]
        known = [one["bytes_per_order"] for one in kept if one["bytes_per_order"] is not None]
        rows.append(
            {
                "curve": name,
                "size": size,
                "ratio": statistics.median(one["ratio"] for one in kept),
                "micros": statistics.median(one["micros"] for one in kept),
                "bytes_per_order": statistics.median(known) if known else None,
                "quiet": len(quiet),
            }
        )
    return {"machine": machine.described(), "load": machine.load(), "rounds": played, "rows": rows}


def verdict(rows: Sequence[dict[str, Any]]) -> tuple[float, bool]:
    """(how many times as much the largest costs as the smallest, whether a logarithm explains it).

    log2 of the size is what a tree or a sorted list may add; the smallest point counts as one comparison at least.
    """
    first, last = rows[0], rows[-1]
    factor = last["ratio"] / first["ratio"]
    allowed = max(1.0, math.log2(max(2, last["size"])) / math.log2(max(2, first["size"])))
    return factor, factor <= allowed * SLACK


def listening(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Rows as of a curve, of so many WebSocket clients of a whole venue."""
    with opened(2) as venue:
        hall = Hall(venue, SEED)
        hall.perform(10, 0, 2.0)
        found = [hall.perform(size, 0, LISTEN_SECONDS) for size in sizes]
    return [
        {
            "curve": CLIENTS,
            "size": one["clients"],
            "ratio": one["cpu_micros"],
            "delay_ms": one["until stall"]["delay_ms"],
        }
        for one in found
    ]


def listening_table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| WebSocket clients | CPU µs of the gateways a message | delay p50 / p99 ms | messages |",
        "|---|---|---|---|",
    ]
    for row in rows:
        delay = row["delay_ms"]
        times = f"{delay['p50']:.0f} / {delay['p99']:.0f}"
        lines.append(f"| {row['size']:,} | {row['ratio']:.1f} | {times} | {delay['count']:,} |")
    return "\n".join(lines)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown."""
    lines = ["| | size | µs each | of a bare recover | bytes per resting order |", "|---|---|---|---|---|"]
    for row in rows:
        curve = CURVES[row["curve"]]
        memory = "" if row["bytes_per_order"] is None else f"{row['bytes_per_order']:,.0f}"
        note = "" if row["quiet"] else " (not quiet)"
        name = f"{curve.name}, per {curve.unit}"
        lines.append(f"| {name} | {row['size']:,} | {row['micros']:.2f} | {row['ratio']:.3f}{note} | {memory} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench growth", description=__doc__)
    parser.add_argument("--curves", nargs="*", default=list(CURVES), choices=list(CURVES))
    parser.add_argument("--clients", type=int, nargs="*", default=list(LISTENING), help="of a venue's WebSocket")
    parser.add_argument("--most", type=int, default=1_000_000, help="no point larger than this")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args(arguments)
    run_ = grow(options.curves, options.most, options.rounds)
    heard = listening(sizes) if (sizes := [size for size in options.clients if size <= options.most]) else []
    run_["clients"] = heard
    path = report.save("growth", run_)
    place = run_["machine"]
    print(f"\ngrowth; {place['cpu']}, commit {place['commit']}; load {run_['load']['loadavg'][0]}\n")
    print(table(run_["rows"]))
    lines = {}
    for name in options.curves:
        rows = [row for row in run_["rows"] if row["curve"] == name]
        lines[CURVES[name].name] = [(row["size"], row["ratio"]) for row in rows]
        factor, fits = verdict(rows)
        print(f"\n{CURVES[name].name}: {factor:.2f} × from {rows[0]['size']:,} to {rows[-1]['size']:,}:", end=" ")
        print("no worse than logarithmic" if fits else "worse than logarithmic")
    if heard:
        factor, fits = verdict(heard)
        print(f"\n{listening_table(heard)}\n\nclients: {factor:.2f} × from {heard[0]['size']:,} to", end=" ")
        print(f"{heard[-1]['size']:,}: {'no worse' if fits else 'worse'} than logarithmic")
    picture = path.with_suffix(".svg")
    picture.write_text(plot.svg(lines, "size", "of a bare recover"))
    print(f"\nraw rounds: {path.relative_to(machine.ROOT)}, picture: {picture.relative_to(machine.ROOT)}\n")
    return 0


if __name__ == "__main__":
    print(json.dumps(point(sys.argv[1], int(sys.argv[2]))))
