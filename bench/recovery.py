"""`python -m bench recovery`: how long a start takes, from the journal alone and from a snapshot with a tail.

The journal is that of a venue on the mixed workload: groups of 64, fills settled as they come. A start is timed in a
process of its own, from opening the journal (every byte is checked) to a sequencer's memory that may take orders.
Invariant: a start whose state hash is not the writer's is void.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine, report
from bench.calibration import seconds_per_recovery
from bench.engines.hooats import Engine as Traders
from bench.operations import Workload
from bench.venue import OPENING, Venue
from bench.workloads import mixed
from offchain.domain.command import Codec, Command, encode, pack_cancel
from offchain.domain.event import AnyEvent
from offchain.domain.order import CANCEL_TERMS, SIGNED_FRAME
from offchain.domain.units import Address
from offchain.sequencer.recovery import recover
from offchain.storage.disk import Disk
from offchain.storage.journal import Journal, Record
from offchain.storage.reader import JournalReader
from offchain.storage.replica import Replica
from offchain.storage.snapshots import write_snapshot

SEED = 7
ROUNDS = 3
ORDERS = 1_000_000
TAIL = 50_000
GROUP = 64
FILLS_BEFORE_SETTLING = 200
ORDERS_PART = 0.7
"""Of the operations; the others cancel."""
GATES = {"cold": 20.0, "snapshot": 3.0}
"""Seconds; issue 5."""


class Unsynced(Disk):
    """The journal is written to be read, here."""

    def sync(self, descriptor: int) -> None:
        pass


class RecordingVenue(Venue):
    """What it does is kept until somebody journals it."""

    def __init__(self, buyers: list[Address], sellers: list[Address], markets: int = 1) -> None:
        self.records: list[Record] = []
        super().__init__(buyers, sellers, markets)

    def do(self, command: Command) -> tuple[AnyEvent, ...]:
        events = super().do(command)
        kind, version, payload = encode(command)
        self.records.append(Record(kind, version, self.engine.sequence, self.at, payload))
        return events


class Writer(Traders):
    """The traders of the other benchmarks, with a journal."""

    venue_type = RecordingVenue

    def __init__(self, workload: Workload, journal: Journal) -> None:
        super().__init__(workload)
        self.journal = journal

    def write(self, frames: bytes) -> None:
        """One group of rows, and one of what settles them when there are enough."""
        venue = self.venue
        assert isinstance(venue, RecordingVenue)
        first = venue.engine.sequence + 1
        self.play(self.make(frames))
        venue.engine.skip_events()
        self.flush([record_of(row, sequence, venue.at) for sequence, row in enumerate(rows_of(frames), first)])
        if venue.engine.batches.last_fill - venue.engine.batches.decided_fill > FILLS_BEFORE_SETTLING:
            venue.settle()
            self.flush([])

    def flush(self, rows: list[Record]) -> None:
        """What the venue did, before these rows."""
        venue = self.venue
        assert isinstance(venue, RecordingVenue)
        for records in (venue.records, rows):
            if records:
                self.journal.append(records)
        venue.records = []


def rows_of(frames: bytes) -> list[bytes]:
    size = SIGNED_FRAME.size
    return [frames[start : start + size] for start in range(0, len(frames), size)]


def record_of(frame: bytes, sequence: int, at: int) -> Record:
    row = SIGNED_FRAME.unpack(frame)
    if row[1] == CANCEL_TERMS:
        return Record(Codec.KIND_CANCEL, 1, sequence, at, pack_cancel(row[0], row[6], row[9], row[8]))
    return Record(Codec.KIND_PLACE, 1, sequence, at, frame[:-32])


def write_journal(folder: Path, orders: int) -> int:
    """Commands."""
    workload = mixed(SEED, int(orders / ORDERS_PART), preload=4_000)
    steps = [*workload.preload, *workload.operations]
    with Journal.open(folder, chain_id=OPENING.chain_id, disk=Unsynced()) as journal:
        writer = Writer(workload, journal)
        for start in range(0, len(steps), GROUP):
            writer.write(writer.arriving(steps[start : start + GROUP]))
        return journal.last_sequence


def take_snapshot(journal: Path, folder: Path, tail: int) -> None:
    """The last one that leaves so many commands; by the same reader that takes them in a venue."""
    reader, replica = JournalReader(journal), Replica()
    for group in reader.groups():
        if group.last > reader.durable_sequence() - tail:
            break
        replica.advance(group)
    write_snapshot(folder, replica.engine, replica.group_hash)


def start(data: Path, with_snapshot: bool) -> dict[str, Any]:
    """One start in this very process, which should be a fresh one."""
    gc.collect()
    gc.disable()
    began = time.perf_counter(), time.process_time()
    with Journal.open(data / "journal", chain_id=OPENING.chain_id) as journal:
        opened = time.perf_counter()
        memory = recover(journal, OPENING, lambda: 0, data / ("snapshots" if with_snapshot else "none"))
    ended = time.perf_counter(), time.process_time()
    return {
        "seconds": ended[0] - began[0],
        "cpu": ended[1] - began[1],
        "opening": opened - began[0],
        "commands": memory.engine.sequence,
        "state": memory.engine.state_hash().hex(),
        "recover_micros": seconds_per_recovery(500) * 1e6,
    }


def fresh(data: Path, with_snapshot: bool) -> dict[str, Any]:
    """`start` in a process of its own."""
    command = [sys.executable, "-m", "bench.recovery", str(data), str(int(with_snapshot))]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(machine.ROOT)}
    done = subprocess.run(command, cwd=machine.ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"a start failed: {done.stderr[-800:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(data: Path, orders: int, tail: int, rounds: int) -> dict[str, Any]:
    """Interleaved rounds of both starts on one journal, which is made in `data`."""
    run: dict[str, Any] = {"machine": machine.described(), "load": machine.load(), "orders": orders, "tail": tail}
    run["commands"] = write_journal(data / "journal", orders)
    run["journal_bytes"] = sum(path.stat().st_size for path in (data / "journal").iterdir())
    take_snapshot(data / "journal", data / "snapshots", tail)
    run["snapshot_bytes"] = sum(path.stat().st_size for path in (data / "snapshots").iterdir())
    run["rounds"] = [{name: fresh(data, name == "snapshot") for name in GATES} for _ in range(rounds)]
    states = {found["state"] for round_ in run["rounds"] for found in round_.values()}
    assert len(states) == 1, f"starts led to {len(states)} states"
    return run


def table(run: dict[str, Any]) -> str:
    lines = ["| start | seconds | of it opening | processor | gate |", "|---|---|---|---|---|"]
    words = {"cold": f"{run['orders']:,} orders, cold", "snapshot": f"snapshot and {run['tail']:,} commands"}
    for name, gate in GATES.items():
        found = [round_[name] for round_ in run["rounds"]]
        seconds, opening, cpu = (
            statistics.median(one[field] for one in found) for field in ("seconds", "opening", "cpu")
        )
        verdict = "holds" if seconds <= gate else "**does not hold**"
        lines.append(f"| {words[name]} | {seconds:.2f} | {opening:.2f} | {cpu:.2f} | {gate:.0f}, {verdict} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench recovery", description=__doc__)
    parser.add_argument("--orders", type=int, default=ORDERS)
    parser.add_argument("--tail", type=int, default=TAIL)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="hooats-recovery-") as folder:
        run = measure(Path(folder), options.orders, options.tail, options.rounds)
    path = report.save("recovery", run)
    place = run["machine"]
    recover_micros = statistics.median(one["recover_micros"] for round_ in run["rounds"] for one in round_.values())
    print(f"\nrecovery; {place['cpu']}, commit {place['commit']}; load {run['load']['loadavg'][0]}", end="; ")
    print(f"{run['commands']:,} commands, a bare recover {recover_micros:.1f} µs, {options.rounds} rounds\n")
    print(table(run))
    print(f"\nraw rounds: {path.relative_to(machine.ROOT)}\n")
    return 0


if __name__ == "__main__":
    print(json.dumps(start(Path(sys.argv[1]), sys.argv[2] == "1")))
