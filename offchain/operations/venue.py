"""Looks at what a node keeps: the journal's tail, schema versions, leases, heartbeats. Only reads; a node may run."""

import json
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from offchain.operations import machine
from offchain.operations.findings import Finding, fail, ok, warn
from offchain.storage import history_schema, ops_schema, scan
from offchain.storage.databases import schema_version
from offchain.storage.journal import durable_sequence
from offchain.storage.ops import Ops
from offchain.storage.reader import JournalReader

HEARTBEAT_SECONDS_MAX = 60
HALTED = 5


def look_at_journal(data: Path, chain_id: int) -> Iterable[Finding]:
    """The last segment, every byte; the ones before it are checked by `hooats journal verify` and at every start."""
    folder = data / "journal"
    found = scan.segments(folder) if folder.is_dir() else []
    if not found:
        yield warn("journal", f"there is none in {data} yet", "The node starts one; if it had one, restore a backup")
        return
    reader, last = JournalReader(folder), found[-1][0] - 1
    if reader.chain_id() not in (None, chain_id):
        yield fail("journal", f"it belongs to chain {reader.chain_id()}, not {chain_id}", "Check --data and --chain-id")
    durable = durable_sequence(folder)
    for record in reader.read(found[-1][0]):
        last = record.sequence
    if durable is not None and durable > last:
        yield fail("journal", f"command {durable} was durable, and {last} is the last", scan.RESTORE)
    else:
        yield ok("journal", f"{len(found)} segments, sequences to {last}; the last segment is whole")


def look_at_databases(ops_url: str, history_url: str) -> Iterable[Finding]:
    for name, url, wanted in (("ops", ops_url, ops_schema.VERSION), ("history", history_url, history_schema.VERSION)):
        found = schema_version(url, name)
        if found is None:
            yield warn(f"{name} database", "there is none yet", "The node makes it")
        elif found != wanted:
            remedy = "Run the hooats version that wrote it, or migrate it as CHANGELOG says"
            yield fail(f"{name} database", f"schema version {found}, this program needs {wanted}", remedy)
        else:
            yield ok(f"{name} database", f"schema version {found}")


def look_at_leases(ops_url: str, names: Sequence[str]) -> Iterable[Finding]:
    """Who holds each lease; nothing is wrong with a free one."""
    if schema_version(ops_url, "ops") != ops_schema.VERSION:
        return
    ops, now = Ops(ops_url), int(time.time() * 1000)
    try:
        for name in names:
            lease = ops.lease(name)
            if lease is None or lease.until <= now:
                yield ok("lease", f"{name} is free")
            else:
                yield ok("lease", f"{name} is held by {lease.owner} for {(lease.until - now) / 1000:.0f} s more")
    finally:
        ops.close()


def look_at_keepers(data: Path) -> Iterable[Finding]:
    """The heartbeat files, and whether who wrote them still runs. A keeper that is not wanted has no file."""
    now, is_up = time.time(), machine.running_node(data) is not None
    for path in sorted((data / "keepers").glob("*.json")):
        try:
            beat = json.loads(path.read_text())
            state, age = str(beat["state"]), now - int(beat["at"]) / 1000
        except (ValueError, KeyError, TypeError):
            yield warn("keeper", f"{path} is no heartbeat", "Delete it; the keeper writes a new one")
            continue
        yield (
            _stopped(path.stem, beat.get("exitCode"), is_up)
            if state == "stopped"
            else _going(path.stem, state, age, beat, is_up)
        )


def _stopped(name: str, code: object, is_up: bool) -> Finding:
    """It said so itself at its end."""
    if code == HALTED:
        return fail("keeper", f"{name} halted", "Read its log: only an operator can help")
    if code:
        return fail(
            "keeper", f"{name} stopped with {code}", f"Read its log, mend the cause, then: hooats keeper {name}"
        )
    if is_up:
        return warn("keeper", f"{name} is stopped, and the node runs", f"Start it: hooats keeper {name}")
    return ok("keeper", f"{name} is stopped")


def _going(name: str, state: str, age: float, beat: Mapping[str, Any], is_up: bool) -> Finding:
    """It did not say that it ended, which a killed one does not. Only the machine that it ran on knows its process."""
    pid, is_here = beat.get("pid"), beat.get("host") == socket.gethostname()
    if is_here and isinstance(pid, int) and not machine.is_running(pid):
        words = f"{name} ended without a word {age:.0f} s ago: process {pid} is gone"
        return (fail if is_up else warn)("keeper", words, f"Read its log, then start it: hooats keeper {name}")
    if age > HEARTBEAT_SECONDS_MAX:
        remedy = f"Read its log; if it hangs, end it, then: hooats keeper {name}"
        return warn("keeper", f"{name} was last heard of {age:.0f} s ago", remedy)
    if state == "waiting":
        return warn("keeper", f"{name} waits: {beat.get('reason', '')}", "It goes on by itself; mend the cause")
    return ok("keeper", f"{name} is {state}, heard of {max(age, 0):.0f} s ago")
