"""`python -m bench load`: how many signed and durable orders a second the venue takes, and how soon it answers.

First closed loop, which finds the capacity; then open loop at shares of it. Capacity is told as a share of what the
machine's cores could recover if they did nothing else. The generator runs on the same cores, and its part is told.

Beside it stands what an order costs on the processors, by process, and what share of that is one bare recover: the same
ratio if nobody else were on the machine and no core ever idle.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from bench import machine, report
from bench.calibration import seconds_per_recovery
from bench.load.drive import Outcome, drive, framed
from bench.load.presign import Plan, addresses, is_spoilt, presigned, spoil
from bench.load.schedule import poisson
from bench.load.settling import settleable
from bench.load.venue import AGENT_KEY, LoadedVenue
from bench.load.wire import Bulk, Connection, Packed, Rest, WebSocket
from offchain.domain.order import ORDER_FRAME_BYTES, Order

WAYS = ["packed", "bulk", "ws", "rest"]
"""In fixed frames, signed one by one or in bulk, and in JSON over the two ways in."""
PACKED = ("packed", "bulk")
FILLS = "hooats_sequencer_fills_total"
RECOVERIES = 500
"""Bare ones, before and after a point."""
STALL = "hooats_sequencer_longest_stall_seconds"
WARM_UP = 500
"""Orders that are sent before anything is measured."""


class Bench:
    """A venue, and where the next orders' nonces begin."""

    def __init__(self, venue: LoadedVenue, options: argparse.Namespace) -> None:
        self.venue = venue
        self.options = options
        self._sequence = 0
        self.spoilt = 0
        """Orders of the last run that must be refused."""
        self.accepted: list[tuple[str, str]] = []
        """(account, nonce) of every order that was acknowledged."""

    def orders(self, count: int, via: str) -> list[tuple[int, bytes]]:
        """Never signed before; some of them spoilt, unless they are signed in bulk."""
        accounts = self.options.accounts
        self._sequence = max(self._sequence, time.time_ns() // 1_000_000)
        plan = Plan(
            self.venue.market,
            self.venue.separator,
            accounts,
            crossing=self.options.crossing,
            seed=self.options.seed,
            first_sequence=self._sequence,
            is_packed=via in PACKED,
        )
        self._sequence += -(-count // accounts) + 1
        return spoil(presigned(plan, count), 0 if via == "bulk" else self.options.spoil_every)

    def run(
        self, via: str, per_frame: int, orders: Sequence[tuple[int, bytes]], rate: float = 0.0, alone: bool = False
    ) -> Outcome:
        """Closed loop without a rate (orders a second). `alone`: one frame at a time, on one connection."""
        connections = self._connections(via, 1, 1) if alone else self._connections(via)
        try:
            due = poisson(rate / per_frame, len(orders) // per_frame + 1, self.options.seed) if rate else []
            frames = framed(connections, orders, per_frame, due)
            self.spoilt = sum(is_spoilt(order) for frame in frames for order in frame.orders)
            gc.collect()
            gc.disable()
            before, fills = self.venue.cpu_seconds(), self.venue.metric(FILLS)
            outcome = drive(connections, frames)
            outcome.fills = int(self.venue.metric(FILLS) - fills)
            spent = {name: after - before[name] for name, after in self.venue.cpu_seconds().items()}
            outcome.cpu = by_role(spent) | {"load": outcome.cpu_seconds}
            self.remember(outcome)
            return outcome
        finally:
            gc.enable()
            for connection in connections:
                connection.socket.close()

    def remember(self, outcome: Outcome) -> None:
        """Which orders were acknowledged."""
        for frame, results in outcome.answers:
            for body, is_accepted in zip(frame.orders, results, strict=True):
                if is_accepted and body[:1] == b"{":
                    order = json.loads(body)
                    self.accepted.append((order["account"], order["nonce"]))
                elif is_accepted:
                    found = Order.from_frame(body[:ORDER_FRAME_BYTES])
                    self.accepted.append((found.account, str(found.nonce)))

    def _connections(self, via: str, count: int = 0, window: int = 0) -> list[Connection]:
        host, port = self.venue.host, self.venue.port
        count, window = count or self.options.connections, window or self.options.window
        if via == "rest":
            return [Rest(host, port) for _ in range(count * window)]
        if via == "packed":
            return [Packed(host, port, window) for _ in range(count)]
        if via == "bulk":
            return [Bulk(host, port, window, AGENT_KEY, self.venue.separator) for _ in range(count)]
        return [WebSocket(host, port, window) for _ in range(count)]


def by_role(spent: dict[str, float]) -> dict[str, float]:
    """Seconds by what a process is, however many there are of it: `gateway-2` is a gateway."""
    found: Counter[str] = Counter()
    for name, seconds in spent.items():
        found[name.partition("-")[0]] += seconds  # type: ignore[assignment]
    return dict(found)


def points(bench: Bench, options: argparse.Namespace) -> list[dict[str, Any]]:
    """For every round, way in and size of frame, closed loop first; in each round in another order."""
    found: list[dict[str, Any]] = []
    bench.run("ws", 1, bench.orders(WARM_UP, "ws"))
    draw = random.Random(options.seed)
    for number in range(options.rounds):
        ways = [(via, per_frame) for via in options.via for per_frame in options.per_frame]
        draw.shuffle(ways)
        for via, per_frame in ways:
            found += [{"round": number, **point} for point in points_of(bench, options, via, per_frame)]
    return found


def points_of(bench: Bench, options: argparse.Namespace, via: str, per_frame: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    before = seconds_per_recovery(RECOVERIES)

    def note(loop: str, outcome: Outcome, rate: float = 0.0) -> float:
        summary = outcome.summary(rate or None)
        achieved: float = summary["achieved"]
        again = seconds_per_recovery(RECOVERIES)
        recover = (before + again) / 2
        micros = sum(summary["cpu_micros"].values())
        head = {"via": via, "per_frame": per_frame, "loop": loop, "recover_micros": recover * 1e6}
        ratios = {
            "of_ceiling": achieved * recover / len(os.sched_getaffinity(0)),
            "of_cpu": recover * 1e6 / micros if micros else 0.0,
        }
        found.append({**head, **ratios, "spoilt": bench.spoilt, **summary})
        return achieved

    if per_frame == 1:
        note("one at a time", bench.run(via, 1, bench.orders(options.alone, via), alone=True))
    capacity = note("closed", bench.run(via, per_frame, bench.orders(options.orders, via)))
    for share in options.shares:
        rate = capacity * share
        orders = bench.orders(max(per_frame * 20, int(rate * options.seconds)), via)
        note(f"open, {share:.0%} of capacity", bench.run(via, per_frame, orders, rate), rate)
    return found


def medians(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the rounds of each point; what is counted is summed up, and a point is valid if it was in every round."""
    by_point: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for one in found:
        by_point.setdefault((WAYS.index(one["via"]), one["per_frame"], one["loop"]), []).append(one)
    return [_median(by_point[key]) for key in sorted(by_point, key=lambda key: key[:2])]


def _median(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    first = rounds[0]
    middle: dict[str, Any] = {}
    for name in ("offered", "achieved", "of_ceiling", "of_cpu", "fills_per_second"):
        middle[name] = statistics.median(one[name] or 0.0 for one in rounds)
    for name in ("cpu_micros", "latency_ms", "lateness_ms"):
        middle[name] = {key: statistics.median(one[name].get(key, 0) for one in rounds) for key in first[name]}
    shares = [one["of_ceiling"] for one in rounds]
    counts = {name: sum(one[name] for one in rounds) for name in ("unanswered", "refused", "spoilt")}
    return first | middle | counts | {"between": (min(shares), max(shares)), "valid": all(o["valid"] for o in rounds)}


def table(found: Sequence[dict[str, Any]]) -> str:
    """Markdown, a line for each point: the medians of its rounds, and the least and the largest share."""
    lines = [
        "| way in | orders a frame | loop | orders/s | of the cores' bare recovers | CPU µs an order "
        "| a recover is of it | p50 / p99 / p99.9 / max ms | generator late p50 / p99 ms | fills/s | refused | |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in medians(found):
        latency, lateness = one["latency_ms"], one["lateness_ms"]
        times = " / ".join(f"{latency[key]:.2f}" for key in ("p50", "p99", "p99.9", "max"))
        late = f"{lateness['p50']:.3f} / {lateness['p99']:.3f}" if lateness["count"] else ""
        note = "" if one["valid"] else f"not valid: {one['offered']:,.0f}/s offered"
        if one["unanswered"]:
            note = f"void: {one['unanswered']} unanswered"
        elif one["refused"] != one["spoilt"]:
            note = f"void: {one['refused']} refused, {one['spoilt']} were spoilt"
        lines.append(
            f"| {one['via']} | {one['per_frame']} | {one['loop']} | {one['achieved']:,.0f} | {_share(one)} "
            f"| {_cost(one['cpu_micros'])} | {one['of_cpu']:.3f} | {times} | {late} | {one['fills_per_second']:,.0f} "
            f"| {one['refused']} | {note} |"
        )
    return "\n".join(lines)


def _share(one: dict[str, Any]) -> str:
    least, most = one["between"]
    between = f" ({least:.3f}–{most:.3f})" if most > least else ""
    return f"{one['of_ceiling']:.3f}{between}"


def _cost(micros: dict[str, float]) -> str:
    parts = ", ".join(f"{name} {spent:.1f}" for name, spent in sorted(micros.items(), key=lambda part: -part[1]))
    return f"{sum(micros.values()):.1f}: {parts}"


def durable(accepted: Sequence[tuple[str, str]], journaled: Sequence[tuple[str, str]]) -> str:
    """Whether every order that was acknowledged is in the journal of the killed venue, once."""
    counts = Counter(journaled)
    lost = [order for order in accepted if counts[order] != 1]
    if lost:
        return (
            f"NOT DURABLE: {len(lost):,} of {len(accepted):,} acknowledged orders are not in the journal exactly once"
        )
    return f"all {len(accepted):,} acknowledged orders are in the journal once, after SIGKILL"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench load", description=__doc__)
    parser.add_argument("--via", nargs="*", default=["packed", "ws", "rest"], choices=WAYS)
    parser.add_argument("--per-frame", type=int, nargs="*", default=[1, 16])
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--window", type=int, default=16, help="frames under way on a connection")
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--orders", type=int, default=20_000, help="of a closed loop")
    parser.add_argument("--alone", type=int, default=1_000, help="orders that are sent one at a time")
    parser.add_argument("--seconds", type=float, default=20.0, help="of an open loop")
    parser.add_argument("--rounds", type=int, default=1, help="of all points, each in another order; medians are told")
    parser.add_argument("--shares", type=float, nargs="*", default=[0.1, 0.5], help="of capacity, open loop")
    parser.add_argument("--crossing", type=float, default=0.1, help="share of orders that trade")
    parser.add_argument("--spoil-every", type=int, default=1_000, help="every so many-th signature is none; 0: all are")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--gateways", type=int, default=min(2, cores), help="processes that share the port")
    parser.add_argument("--listeners", type=int, default=100, help="connections that listen to market data")
    parser.add_argument("--projector", action="store_true", help="let the projector run as well")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    with LoadedVenue(addresses(options.accounts), options.projector, options.gateways, options.listeners) as venue:
        bench = Bench(venue, options)
        found = points(bench, options)
        stall = venue.metric(STALL)
        venue.kill()
        journaled, groups = venue.journaled()
    verdict = durable(bench.accepted, journaled)
    print(f"\nno group kept the sequencer's loop longer than {stall * 1e3:.1f} ms")
    print(f"{verdict}; {groups:,} fdatasyncs, {len(journaled) / groups:.1f} orders each")
    run: dict[str, Any] = {
        "machine": machine.described(),
        "durable": verdict,
        "longest_stall_ms": stall * 1e3,
        "load": machine.load(),
        "options": vars(options),
        "points": found,
    }
    path = report.save("load", run)
    place = run["machine"]
    where = f"{place['cpu']}, commit {place['commit']}"
    print(f"\nload, fdatasync on, generator on the same {place['cores']} cores; {where}\n")
    print(table(found))
    least, most = settleable()
    print(f"\nsettlement could carry {least:,.0f} (strangers, 2M gas a second) to {most:,.0f} fills/s (ladder, 3M)")
    print(f"\nall of it: {path.relative_to(machine.ROOT)}\n")
    return 1 if verdict.startswith("NOT") else 0
