"""Looks at what a node keeps: the journal's tail, schema versions, leases, heartbeats. Only reads; a node may run."""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

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
    """The heartbeat files."""
    now = time.time()
    for path in sorted((data / "keepers").glob("*.json")):
        try:
            beat = json.loads(path.read_text())
            state, age = str(beat["state"]), now - int(beat["at"]) / 1000
        except (ValueError, KeyError, TypeError):
            yield warn("keeper", f"{path} is no heartbeat", "Delete it; the keeper writes a new one")
            continue
        name = path.stem
        if state == "stopped" and beat.get("exitCode") == HALTED:
            yield fail("keeper", f"{name} halted", "Read its log: only an operator can help")
        elif state == "stopped":
            yield ok("keeper", f"{name} is stopped")
        elif age > HEARTBEAT_SECONDS_MAX:
            yield warn("keeper", f"{name} was last heard of {age:.0f} s ago", "Start it again")
        elif state == "waiting":
            yield warn("keeper", f"{name} waits: {beat.get('reason', '')}", "It goes on by itself; mend the cause")
        else:
            yield ok("keeper", f"{name} is {state}")
