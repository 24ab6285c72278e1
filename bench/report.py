"""Results as the table that README and docs/benchmarks.md quote, and as JSON with every raw round."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import engines, machine
from bench.rounds import CALIBRATION, HOOATS_SMALL, Row

GATES = {
    "order-matching": 200.0,
    "pyorderbook": 3.0,
    "lightmatchingengine": 3.0,
    "akhil4n-orderbook": 1.6,
    "cython-orderbook": 1.5,
    "redis": 8.0,
    "bourse": 0.3,
}
"""How many times as fast as each HOOATS must be on the workload `mixed`."""


def table(rows: Sequence[Row], gated: bool = True) -> str:
    """Markdown."""
    lines = [
        "| engine | operations/s | HOOATS is as fast (min–max) | its orders made beforehand | gate |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        if row.note:
            lines.append(f"| {row.name} | {row.note} | | | |")
            continue
        gate = GATES.get(row.name) if gated else None
        is_ours = row.name in (engines.HOOATS, HOOATS_SMALL)
        ratio = "1" if is_ours else _spread(row.ratios)
        bare = "1" if is_ours else f"{statistics.median(row.bare_ratios):.2f} ×" if row.bare_ratios else "–"
        verdict = "" if gate is None or not row.ratios else _verdict(statistics.median(row.ratios), gate)
        lines.append(f"| {row.name} | {row.ops_per_second:,.0f} | {ratio} | {bare} | {verdict} |")
    return "\n".join(lines)


def _spread(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f} × ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else "–"


def _verdict(ratio: float, gate: float) -> str:
    return f"≥ {gate:g} {'holds' if ratio >= gate else 'is missed'}"


def headline(run: dict[str, Any]) -> str:
    """Where, how and with what it was measured: no figure is quoted without it."""
    place, rounds, kept = run["machine"], run["rounds"], run["kept"]
    recover = statistics.median(one["results"][CALIBRATION]["recover_seconds"] for one in rounds)
    loads = [one["before"]["loadavg"][0] for one in rounds]
    steal = rounds[-1]["after"]["steal"] - rounds[0]["before"]["steal"]
    return (
        f"{run['workload']['name']} (seed {run['workload']['seed']}, {run['workload']['operations']:,} operations, "
        f"sha256 {run['workload']['sha256'][:12]}); {place['cpu']}, {place['cores']} cores, Python {place['python']}, "
        f"commit {place['commit']}; {kept} of {len(rounds)} rounds kept; collector {run['gc']} for all; "
        f"a bare recover {recover * 1e6:.1f} µs; load {min(loads):.1f}–{max(loads):.1f}, steal {steal / 100:.1f} s"
    )


def save(kind: str, run: dict[str, Any], folder: Path | None = None) -> Path:
    """A file of its own for every run."""
    folder = folder or machine.RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{machine.commit().rstrip('+')}.json"
    path.write_text(json.dumps(run, indent=1) + "\n")
    return path
