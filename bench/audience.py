"""`python -m bench audience`: 2,000 WebSocket clients, and what becomes of the others when 500 of them stop reading.

A round is quiet for a while, with everybody reading, and then some do not: how long a message takes to the others may
move by a fifth in its p99. One in ten of the stalled listens to an account's own orders: it must be cut off and told
where to resume, as it finds when it reads again. What gateways gain is bounded by the queues of the stalled.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench import machine, report
from bench.load.drive import Frame, drive
from bench.load.presign import Plan, addresses, key, planned, presigned
from bench.load.venue import LoadedVenue
from bench.load.wire import Packed
from bench.overload import resident_bytes
from offchain.client import HooatsClient
from offchain.client.orders import Signer
from offchain.gateway.stream import LOGIN_REQUEST

ACCOUNTS = 64
"""Who trade; one more has orders that do not, and is listened to."""
BURSTS_A_SECOND, ALONE_A_SECOND = 4, 45
"""Messages: of the market's trades, to everybody; of the one account's orders, to those who may see them."""
ORDERS_A_BURST, ORDERS_ALONE = 32, 8
MOVED_MAX = 0.2
STALLED_BYTES_MAX = 1 << 20
"""For each of them: its queue of 512 messages, of 1 kB, and what the allocator makes of it."""
START_SECONDS = 120.0
AGAIN_SECONDS = 5.0


class Hall:
    """A venue with an audience."""

    def __init__(self, venue: LoadedVenue, seed: int) -> None:
        self.venue, self.seed = venue, seed
        self._sequence = 0

    def perform(self, count: int, stalled: int, seconds: float) -> dict[str, Any]:
        """One audience: everybody reads for `seconds`, then `stalled` of them do not for as long."""
        folder = self.venue.folder / f"audience-{time.monotonic_ns()}"
        folder.mkdir()
        logins = asyncio.run(self._logins(stalled // 10)) if stalled else []
        venue = self.venue
        arguments = [venue.host, str(venue.port), venue.market.symbol, str(count), str(stalled), str(folder), *logins]
        with (folder / "log").open("wb") as log:
            command = [sys.executable, "-m", "bench.load.audience", *arguments]
            process = subprocess.Popen(command, cwd=machine.ROOT, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not (folder / "audience.ready").exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"nobody listens: {(folder / 'log').read_text()[-1500:]}")
                time.sleep(0.05)
            cpu, memory = self._cpu(), [self._memory()]
            self._trade(seconds)
            cpu = self._cpu() - cpu
            (folder / "stall").touch()
            if stalled:
                self._trade(seconds)
                memory.append(self._memory())
            (folder / "again").touch()
            time.sleep(AGAIN_SECONDS if stalled else 0.5)
            (folder / "end").touch()
            if process.wait(START_SECONDS):
                raise RuntimeError(f"the listeners ended: {(folder / 'log').read_text()[-1500:]}")
        finally:
            process.kill()
            process.wait()
        found: dict[str, Any] = json.loads((folder / "audience.json").read_text())
        found |= {"clients": count, "stalled": stalled, "private": len(logins), "memory": memory}
        return found | {"cpu_micros": cpu / max(1, found["until stall"]["messages"]) * 1e6}

    def _gateways(self) -> list[str]:
        return [name for name in self.venue.processes if name.startswith("gateway")]

    def _cpu(self) -> float:
        spent = self.venue.cpu_seconds()
        return sum(spent[name] for name in self._gateways())

    def _memory(self) -> int:
        return sum(resident_bytes(self.venue.processes[name].pid) for name in self._gateways())

    async def _logins(self, count: int) -> list[str]:
        """Messages that log in as the account whose orders do not trade; a mark is good once."""
        async with HooatsClient(f"http://{self.venue.host}:{self.venue.port}", key(ACCOUNTS)) as client:
            name, secret = await client.login()
        now, found = time.time_ns() // 1_000_000, []
        for mark in range(now - count, now):
            signed = hmac.new(secret.encode(), b"%d" % mark + LOGIN_REQUEST, hashlib.sha256).hexdigest()
            found.append(json.dumps({"op": "login", "key": name, "timestamp": mark, "sign": signed}))
        return found

    def _trade(self, seconds: float) -> None:
        venue, bursts, alone = self.venue, int(BURSTS_A_SECOND * seconds), int(ALONE_A_SECOND * seconds)
        used = bursts * ORDERS_A_BURST + alone * ORDERS_ALONE
        self._sequence = max(self._sequence + used, time.time_ns() // 1_000_000)
        plan = Plan(venue.market, venue.separator, ACCOUNTS, crossing=0.5, seed=self.seed, is_packed=True)
        plan = plan._replace(first_sequence=self._sequence)
        orders = [body for _, body in presigned(plan, bursts * ORDERS_A_BURST, 1)]
        due = [(at / BURSTS_A_SECOND, orders[at * ORDERS_A_BURST :][:ORDERS_A_BURST]) for at in range(bursts)]
        signer, chance, quiet = Signer(key(ACCOUNTS)), random.Random(self.seed), plan._replace(crossing=0.0)
        for turn in range(alone):
            own = [planned(quiet, ACCOUNTS, turn * ORDERS_ALONE + at, chance, signer) for at in range(ORDERS_ALONE)]
            bodies = [one.order.to_frame() + bytes.fromhex(one.body["signature"][2:]) for one in own]
            due.append((turn / ALONE_A_SECOND, bodies))
        due.sort(key=lambda one: one[0])
        connection = Packed(venue.host, venue.port, len(due))
        frames = [
            Frame(number, 0, connection.frame(number, bodies), tuple(bodies), at + 0.1)
            for number, (at, bodies) in enumerate(due)
        ]
        try:
            outcome = drive([connection], frames)
        finally:
            connection.socket.close()
        assert not outcome.refused and not outcome.unanswered, outcome.summary()


def verdicts(rounds: Sequence[dict[str, Any]]) -> list[tuple[str, str, bool]]:
    """(what, how it was, whether it holds)."""
    pairs = [(one["until stall"]["delay_ms"]["p99"], one["until again"]["delay_ms"]["p99"]) for one in rounds]
    moved = statistics.median(after / before - 1 for before, after in pairs)
    words = ", ".join(f"{before:.0f} → {after:.0f} ms" for before, after in pairs) + f": {moved:+.0%}"
    found = [(f"p99 of the others moves by {MOVED_MAX:.0%} at most", words, moved <= MOVED_MAX)]
    cut = [one["ends"].get("private told where to resume", 0) for one in rounds]
    is_told = all(count == one["private"] for count, one in zip(cut, rounds, strict=True))
    words = f"{cut} of {rounds[0]['private']}; all that ended: {[one['ends'] for one in rounds]}"
    found.append(("private streams of the stalled end, and say where to resume", words, is_told))
    lost = [one["clients"] - one["open"] - sum(one["ends"].values()) for one in rounds]
    most = max(one["memory"][1] - one["memory"][0] for one in rounds)
    allowed = rounds[0]["stalled"] * STALLED_BYTES_MAX
    found.append((f"gateways gain {allowed / 1e6:,.0f} MB at most", f"{most / 1e6:,.0f} MB", most <= allowed))
    return found if not any(lost) else [*found, ("every client is accounted for", str(lost), False)]


def opened(gateways: int) -> LoadedVenue:
    """With room for descriptors of as many as may come."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return LoadedVenue(addresses(ACCOUNTS + 1), False, gateways)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench audience", description=__doc__)
    parser.add_argument("--clients", type=int, default=2_000)
    parser.add_argument("--stalled", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=25.0, help="of each part; a stall is cut by the kernel at 30")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gateways", type=int, default=min(2, len(os.sched_getaffinity(0))))
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    with opened(options.gateways) as venue:
        hall = Hall(venue, options.seed)
        hall.perform(10, 0, 2.0)
        rounds = [hall.perform(options.clients, options.stalled, options.seconds) for _ in range(options.rounds)]
    found = verdicts(rounds)
    run = {"machine": machine.described(), "load": machine.load(), "options": vars(options)}
    path = report.save("audience", {**run, "rounds": rounds, "verdicts": found})
    place = run["machine"]
    print(f"\naudience of {options.clients:,}, {options.stalled:,} of them stall; {place['cpu']}, {place['commit']}\n")
    print("| bound | measured | |\n|---|---|---|")
    for what, words, holds in found:
        print(f"| {what} | {words} | {'holds' if holds else 'MISSED'} |")
    print(f"\nall of it: {path.relative_to(machine.ROOT)}\n")
    return 0 if all(holds for *_, holds in found) else 1
