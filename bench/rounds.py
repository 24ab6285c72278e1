"""Rounds of {calibration, HOOATS, every peer}, each in an order of its own drawn from a seed, each in a new process.

A figure is the median over rounds of the ratio inside one round, since a shared machine is never the same twice. A
round whose calibration was more than 10 % slower than the best of the run is dropped, and counted. A row is void in
which an engine did not reach the digest of the plain book.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench import engines, machine

SLOWER_MAX = 1.10
CALIBRATION = "calibration"
HOOATS_SMALL = "hooats (small)"
HOURS = 3600.0


class Player(NamedTuple):
    """One of a round: which engine plays which file."""

    name: str
    engine: str
    file: Path


class Row(NamedTuple):
    """`ratios`: how many times as fast as it HOOATS is, from integers to the answer; `bare_ratios`: without the making
    of its order objects, or, of a server, by nothing but the server's own time on a processor. `note` says why a row is
    void."""

    name: str
    ops_per_second: float
    ratios: tuple[float, ...]
    bare_ratios: tuple[float, ...]
    note: str = ""


def players(file: Path, small: Path, peers: Sequence[str]) -> list[Player]:
    """HOOATS on both workloads, if any peer needs the small one."""
    found = [Player(engines.HOOATS, engines.HOOATS, file)]
    if any(peer in engines.SMALL for peer in peers):
        found.append(Player(HOOATS_SMALL, engines.HOOATS, small))
    return found + [Player(peer, peer, small if peer in engines.SMALL else file) for peer in peers]


def run_one(player: Player | None, policy: str, patience: float) -> dict[str, Any]:
    """The JSON line of a process; None calibrates."""
    if player is None:
        command = [sys.executable, "-m", "bench.calibration"]
    else:
        python = sys.executable if player.engine == engines.HOOATS else str(machine.PEERS_PYTHON)
        options = ("--gc", policy, "--patience", str(patience))
        command = [python, "-m", "bench.play", player.engine, str(player.file), *options]
        if not Path(python).exists():
            return {"engine": player.engine, "missing": "its environment is not set up: toolchain/setup bench"}
    # A seed of its own for the order of sets would be noise; the same one for all is none.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(machine.ROOT)}
    done = subprocess.run(
        command, cwd=machine.ROOT, env=environment, capture_output=True, text=True, timeout=HOURS, check=False
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no word"]
        return {"engine": player.engine if player else CALIBRATION, "failed": last[0]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def play_round(
    number: int, seed: int, entries: Sequence[Player], policy: str, patience: float, runner: Callable[..., Any]
) -> dict[str, Any]:
    """Name → result, and how busy the machine was."""
    order: list[Player | None] = [None, *entries]
    random.Random(seed * 1_000 + number).shuffle(order)
    before = machine.load()
    results = {entry.name if entry else CALIBRATION: runner(entry, policy, patience) for entry in order}
    return {"round": number, "before": before, "after": machine.load(), "results": results}


def quiet(rounds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those whose calibration was not disturbed."""
    took = [one["results"][CALIBRATION]["recover_seconds"] for one in rounds]
    best = min(took)
    return [one for one, seconds in zip(rounds, took, strict=True) if seconds <= best * SLOWER_MAX]


def rows(rounds: Sequence[dict[str, Any]], entries: Sequence[Player]) -> list[Row]:
    """One for every player, HOOATS first."""
    return [_row(rounds, entry) for entry in entries]


def _row(rounds: Sequence[dict[str, Any]], entry: Player) -> Row:
    results = [one["results"][entry.name] for one in rounds]
    note = next((reason for result in results if (reason := void(result))), "")
    if note:
        return Row(entry.name, 0.0, (), (), note)
    by_wall = entry.engine in engines.BY_WALL
    ours_name = HOOATS_SMALL if entry.engine in engines.SMALL else engines.HOOATS
    if entry.name == HOOATS_SMALL:
        ours_name = HOOATS_SMALL
    ratios, bare = [], []
    for one, result in zip(rounds, results, strict=True):
        ours = one["results"][ours_name]
        if void(ours):
            continue
        clock = "wall_seconds" if by_wall else "play_seconds"
        made = 0.0 if by_wall else result["make_seconds"]
        ratios.append((result[clock] + made) / (ours[clock] + ours["make_seconds"]))
        alone = result["elsewhere_seconds"] / ours["play_seconds"] if by_wall else result[clock] / ours[clock]
        bare.append(alone)
    return Row(entry.name, statistics.median(speed(result, by_wall) for result in results), tuple(ratios), tuple(bare))


def speed(result: dict[str, Any], by_wall: bool) -> float:
    """Operations a second, from integers to the answer; of HOOATS from frames."""
    made = 0.0 if by_wall else result["make_seconds"]
    seconds: float = result["wall_seconds" if by_wall else "play_seconds"] + made
    return float(result["operations"]) / seconds


def void(result: dict[str, Any]) -> str:
    """Why a result counts for nothing; empty if it counts."""
    if "missing" in result:
        return f"skipped: {result['missing']}"
    if "failed" in result:
        return f"failed: {result['failed']}"
    if result["stopped"]:
        return f"stopped after {result['operations']:,} operations, {result['wall_seconds']:.0f} s"
    return "" if result["agrees"] else f"void: reached {result['digest']}"
