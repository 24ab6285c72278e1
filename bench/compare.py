"""`python -m bench engines`: HOOATS's engine next to the others, in rounds."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import engines, machine, report, rounds
from bench.operations import Workload
from bench.recorded import recorded
from bench.workloads import SEEDS, WORKLOADS, stored

SMALL_COUNT, SMALL_PRELOAD = 5_000, 1_000
ROUNDS_MIN = 7


def files(name: str, seed: int, count: int | None, flow: Path | None) -> tuple[Path, Path]:
    """The workload, and the small one of its kind."""
    folder = machine.BUILD / "workloads"
    if flow is not None:
        paths = []
        for size in (count, SMALL_COUNT):
            path = folder / f"flow-{flow.name.split('.')[0]}-{size or 'whole'}.bin"
            recorded(flow, size).save(path)
            paths.append(path)
        return paths[0], paths[1]
    sizes = {} if count is None else {"count": count}
    small = {"count": SMALL_COUNT} if name == "adversarial" else {"count": SMALL_COUNT, "preload": SMALL_PRELOAD}
    return stored(folder, name, seed, **sizes), stored(folder, name, seed, **small)


def compare(
    file: Path,
    small: Path,
    peers: Sequence[str],
    *,
    count: int = ROUNDS_MIN,
    policy: str = "off",
    patience: float = 120.0,
    runner: Callable[..., Any] = rounds.run_one,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Plays `count` rounds, and up to as many more in place of those that were disturbed."""
    workload = Workload.load(file)
    entries = rounds.players(file, small, peers)
    played: list[dict[str, Any]] = []
    while len(played) < 2 * count and (not played or len(rounds.quiet(played)) < count):
        one = rounds.play_round(len(played), workload.seed, entries, policy, patience, runner)
        played.append(one)
        # An engine that is not here, or cannot do it, need not be asked again.
        entries = [entry for entry in entries if not rounds.void(one["results"][entry.name])]
        recover = one["results"][rounds.CALIBRATION]["recover_seconds"]
        say(f"round {len(played)}: a bare recover {recover * 1e6:.1f} µs, load {one['before']['loadavg'][0]}")
    kept = rounds.quiet(played)
    everyone = rounds.players(file, small, peers)
    first = played[0]["results"]
    for one in kept:
        for entry in everyone:
            one["results"].setdefault(entry.name, first[entry.name])
    return {
        "machine": machine.described(),
        "workload": {
            "name": workload.name,
            "seed": workload.seed,
            "operations": len(workload.operations),
            "preload": len(workload.preload),
            "sha256": workload.sha256,
            "digest": workload.digest,
        },
        "gc": policy,
        "kept": len(kept),
        "rounds": played,
        "rows": [row._asdict() for row in rounds.rows(kept, everyone)],
    }


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench engines", description=__doc__)
    parser.add_argument("--workload", action="append", choices=[*WORKLOADS, "all"], help="mixed, unless given")
    parser.add_argument("--seed", type=int, default=SEEDS[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS_MIN)
    parser.add_argument("--operations", type=int, help="fewer or more than the workload has of its own")
    parser.add_argument("--flow", type=Path, help="a recorded flow instead of a generated workload")
    parser.add_argument("--peers", nargs="*", default=list(engines.PEERS))
    parser.add_argument("--gc", default="off", choices=("off", "default"))
    parser.add_argument("--patience", type=float, default=120.0, help="seconds that an engine has for one round")
    options = parser.parse_args(arguments)
    names = options.workload or ["mixed"]
    wanted = list(WORKLOADS) if "all" in names else names
    for name in [""] if options.flow else wanted:
        file, small = files(name, options.seed, options.operations, options.flow)
        run = compare(file, small, options.peers, count=options.rounds, policy=options.gc, patience=options.patience)
        path = report.save("engines", run)
        print(f"\n{report.headline(run)}\n")
        print(report.table([rounds.Row(**row) for row in run["rows"]], gated=name == "mixed"))
        print(f"\nraw rounds: {path.relative_to(machine.ROOT)}\n")
    return 0
