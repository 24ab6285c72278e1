"""`python -m bench overload`: three times what the venue can carry, for a minute, and what becomes of everybody.

Capacity comes from a closed loop; then orders are offered at a multiple of it, whatever is answered, while others
cancel (`bench.load.cancelling`) and listen. Rate limits are open, so that every order reaches the venue's own bounds:
what must hold there holds behind limits, too. Told are the verdicts of

answers     every order is answered: taken, or refused as RATE_LIMITED; nobody is disconnected; what was taken is in the
            journal once, after SIGKILL
cancels     p99 of those who cancel meanwhile, from the scheduled time
memory      of each process: beyond what orders that were taken must leave behind, it does not grow with what is offered
recovery    how soon after it the closed loop is as fast as before
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine, report
from bench.load.drive import Outcome, drive, framed
from bench.load.main import WARM_UP, Bench, durable
from bench.load.presign import addresses, key
from bench.load.schedule import poisson
from bench.load.venue import LoadedVenue
from bench.load.wire import Connection, Packed, Replied, packed_answer
from offchain.domain.wire import HEAD, REASONS, RESULT_BYTES, MessageKind, unpack_result

CANCELLERS = 2
ANSWER_SECONDS = 60.0
SAMPLE_SECONDS = 0.5
CANCEL_MILLIS_MAX = 100.0
RECOVERED_SHARE = 0.9
"""Of the capacity before; single seconds of a closed loop differ by that."""
RECOVERY_SECONDS_MAX = 5.0
AFTER_SECONDS = 10
FIXED_BYTES_MAX = 96 << 20
"""What a process may gain: the gateway's queues (4,096 messages of at most 14 kB in the worst case, 2 MB of orders that
wait, 16,384 rows under way), 1 MB of unread answers for each connection, and what the allocator keeps of all that."""
TAKEN_BYTES_MAX = 3_000
"""For an order that was taken: its record, and the result that it is answered with again."""
_WORDS = {number: str(word) for word, number in REASONS.items()}


class Heard(Packed):
    """A connection that counts why orders were refused."""

    def __init__(self, host: str, port: int, window: int, per_frame: int) -> None:
        super().__init__(host, port, window)
        self.reasons: Counter[str] = Counter()
        self._per_frame = per_frame

    def receive(self) -> list[tuple[int, bytes]]:
        found = []
        for opcode, payload in self._messages():
            if opcode != 2:
                continue
            number, accepted = packed_answer(payload)
            if 0 in accepted:
                self._note(payload)
            found.append((number, accepted))
        return found

    def _note(self, payload: bytes) -> None:
        _, kind, count, _ = HEAD.unpack_from(payload)
        if kind != MessageKind.RESULTS:
            self.reasons[_WORDS[payload[HEAD.size]]] += self._per_frame
            return
        for start in range(HEAD.size, HEAD.size + count * RESULT_BYTES, RESULT_BYTES):
            result = unpack_result(payload[start : start + RESULT_BYTES])
            if result.status in ("rejected", "unknown"):
                self.reasons[result.reason if result.status == "rejected" else "UNKNOWN"] += 1


class Memory(threading.Thread):
    """Samples what each process has resident."""

    def __init__(self, venue: LoadedVenue) -> None:
        super().__init__(daemon=True)
        self.pids = {name: process.pid for name, process in venue.processes.items() if name != "listeners"}
        self.samples: list[tuple[float, dict[str, int]]] = []
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self.look()

    def look(self) -> dict[str, int]:
        found = {name: resident_bytes(pid) for name, pid in self.pids.items()}
        self.samples.append((time.monotonic(), found))
        return found

    def stop(self) -> None:
        self._over.set()
        self.join()


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Overload:
    def __init__(self, venue: LoadedVenue, bench: Bench, options: argparse.Namespace) -> None:
        self.venue, self.bench, self.options = venue, bench, options
        self.reasons: Counter[str] = Counter()
        self.disconnected: list[str] = []
        self.cancels: dict[str, Any] = {}
        self.after: list[tuple[float, float]] = []
        """(seconds since it ended, orders a second from then on)."""

    def run(self) -> None:
        options = self.options
        self.bench.run("packed", options.per_frame, self.bench.orders(WARM_UP, "packed"))
        self.speeds = [self._closed(options.orders // 4) for _ in range(5)][1:]
        self.capacity = statistics.median(self.speeds)
        offered = int(self.capacity * options.times * options.seconds)
        orders = self.bench.orders(offered, "packed")
        rests = [self.bench.orders(int(self.capacity), "packed") for _ in range(AFTER_SECONDS)]
        cancelling = self._start_cancelling()
        self.memory = Memory(self.venue)
        self.before = self.memory.look()
        self.memory.start()
        self.outcome = self._offer(orders)
        ended = time.monotonic()
        for rest in rests:
            begun = time.monotonic() - ended
            speed = self.bench.run("packed", options.per_frame, rest).summary()["achieved"]
            self.after.append((begun, speed))
        self.memory.stop()
        self.cancels = self._finish_cancelling(cancelling)
        listeners = self.venue.processes.get("listeners")
        if listeners is not None and listeners.poll() is not None:
            self.disconnected.append(f"a listener: {self.venue.log('listeners')[-300:]}")

    def _closed(self, count: int) -> float:
        speed: float = self.bench.run("packed", self.options.per_frame, self.bench.orders(count, "packed")).summary()[
            "achieved"
        ]
        return speed

    def _offer(self, orders: Sequence[tuple[int, bytes]]) -> Outcome:
        options, venue = self.options, self.venue
        heard = [Heard(venue.host, venue.port, len(orders), options.per_frame) for _ in range(options.connections)]
        connections: list[Connection] = [*heard]
        rate = self.capacity * options.times / options.per_frame
        frames = framed(connections, orders, options.per_frame, poisson(rate, len(orders), options.seed))
        self.offered = sum(len(frame.orders) for frame in frames)
        try:
            outcome = drive(connections, frames)
        except (Replied, OSError) as error:
            self.disconnected.append(f"who offers too much: {error}")
            outcome = Outcome()
        for one in heard:
            self.reasons += one.reasons
            one.socket.close()
        self.bench.remember(outcome)
        return outcome

    def _start_cancelling(self) -> subprocess.Popen[bytes]:
        options, venue = self.options, self.venue
        self._ready, self._result = venue.folder / "cancelling.ready", venue.folder / "cancelling.json"
        keys = [key(options.accounts + number).hex() for number in range(CANCELLERS)]
        url = f"http://{venue.host}:{venue.port}"
        arguments = [url, str(options.seconds), str(options.seed), str(self._ready), str(self._result), *keys]
        with (venue.folder / "cancelling.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.load.cancelling", *arguments], cwd=machine.ROOT, stdout=log, stderr=log
            )
        while not self._ready.exists():
            if process.poll() is not None:
                raise RuntimeError(f"nobody cancels: {venue.log('cancelling')[-1500:]}")
            time.sleep(0.05)
        self._ready.unlink()
        return process

    def _finish_cancelling(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        try:
            code = process.wait(ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code:
            self.disconnected.append(f"who cancels: {self.venue.log('cancelling')[-500:]}")
            return {}
        found: dict[str, Any] = json.loads(self._result.read_text())
        return found

    # --- verdicts ---

    def verdicts(self, durability: str) -> list[tuple[str, str, bool]]:
        """(what, how it was, whether it holds)."""
        outcome, reasons = self.outcome, dict(self.reasons)
        answered = outcome.accepted + outcome.refused
        others = {name: count for name, count in reasons.items() if name != "RATE_LIMITED"}
        words = f"{answered:,} of {self.offered:,} answered, {outcome.accepted:,} taken, refused: {reasons}"
        found = [
            ("every order is taken, or refused as RATE_LIMITED", words, answered == self.offered and not others),
            ("what was taken is there", durability, not durability.startswith("NOT")),
            ("nobody is disconnected", "; ".join(self.disconnected) or "nobody was", not self.disconnected),
        ]
        for way, latency in self.cancels.get("latency_ms", {}).items():
            counted = self.cancels["outcomes"][way]
            is_fine = latency["p99"] <= CANCEL_MILLIS_MAX and set(counted) <= {"OK"} and latency["count"] > 0
            times = " / ".join(f"{latency[name]:.1f}" for name in ("p50", "p99", "max"))
            words = f"p50 / p99 / max {times} ms of {latency['count']:,}, {counted}"
            found.append((f"cancels, {way}: p99 ≤ {CANCEL_MILLIS_MAX:g} ms, all done", words, is_fine))
        placed = self.cancels.get("outcomes", {}).get("placed", {})
        found.append(("orders over REST: taken or 429", str(placed), set(placed) <= {"OK", "RATE_LIMITED"}))
        found += self._memory_verdicts()
        back = [begun for begun, speed in self.after if speed >= self.capacity * RECOVERED_SHARE]
        words = ", ".join(f"{begun:.1f} s: {speed:,.0f}" for begun, speed in self.after)
        is_back = bool(back) and back[0] <= RECOVERY_SECONDS_MAX
        what = f"{RECOVERED_SHARE:.0%} of {self.capacity:,.0f} orders/s within {RECOVERY_SECONDS_MAX:g} s"
        found.append((what, words, is_back))
        return found

    def _memory_verdicts(self) -> list[tuple[str, str, bool]]:
        """Gateways keep nothing of an order but its first result, which is bounded as well."""
        found = []
        taken = len(self.bench.accepted)
        for name, before in self.before.items():
            most = max(sample[name] for _, sample in self.memory.samples)
            allowed = FIXED_BYTES_MAX + (0 if name.startswith("gateway") else taken * TAKEN_BYTES_MAX)
            words = f"{before / 1e6:,.0f} MB before, at most {most / 1e6:,.0f} MB"
            found.append((f"memory of {name}: + {allowed / 1e6:,.0f} MB", words, most - before <= allowed))
        return found


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--times", type=float, default=3.0, help="the capacity")
    parser.add_argument("--per-frame", type=int, default=16)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--gateways", type=int, default=min(2, len(os.sched_getaffinity(0))))
    parser.add_argument("--listeners", type=int, default=100)
    parser.add_argument("--orders", type=int, default=20_000, help="that find out the capacity")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    load = argparse.Namespace(**vars(options), crossing=0.1, spoil_every=0, window=16)
    accounts = addresses(options.accounts + CANCELLERS)
    with LoadedVenue(accounts, True, options.gateways, options.listeners) as venue:
        bench = Bench(venue, load)
        overload = Overload(venue, bench, options)
        overload.run()
        venue.kill()
        journaled, _ = venue.journaled()
    verdicts = overload.verdicts(durable(bench.accepted, journaled))
    latency = overload.outcome.summary()["latency_ms"]
    run = {
        "machine": machine.described(),
        "load": machine.load(),
        "options": vars(options),
        "capacity": overload.capacity,
        "speeds": overload.speeds,
        "latency_ms": latency,
        "cancels": overload.cancels,
        "after": overload.after,
        "memory": overload.memory.samples,
        "verdicts": verdicts,
    }
    path = report.save("overload", run)
    place = run["machine"]
    rate = overload.capacity * options.times
    print(f"\noverload; {place['cpu']}, {place['cores']} cores, commit {place['commit']}, seed {options.seed}")
    print(f"{options.seconds:g} s at {rate:,.0f} of {overload.capacity:,.0f} orders/s, {options.per_frame} a frame")
    print(f"answers, refusals included: p50 {latency['p50']:.0f}, p99 {latency['p99']:.0f} ms\n")
    print("| bound | measured | |\n|---|---|---|")
    for what, words, holds in verdicts:
        print(f"| {what} | {words} | {'holds' if holds else 'MISSED'} |")
    print(f"\nall of it: {path.relative_to(machine.ROOT)}\n")
    return 0 if all(holds for _, _, holds in verdicts) else 1
