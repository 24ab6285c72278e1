"""Looks at the machine: Python, the data folder and its disk, ports. Writes one temporary file, and removes it."""

import json
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from offchain.operations.findings import Finding, fail, ok, warn

PYTHONS = ((3, 11), (3, 12))
FREE_BYTES_FAIL = 1 << 30
FREE_BYTES_WARN = 5 << 30
"""A busy venue writes some 100 MB of journal and history an hour."""
FSYNCS = 20
FSYNC_SECONDS_WARN = 0.020
"""Every acknowledgement waits for one."""
OTHERS = 0o077


def look_at_python() -> Iterable[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] in PYTHONS:
        yield ok("python", version)
    else:
        yield fail("python", f"{version} is not supported", "Install Python 3.11 or 3.12, then run make setup again")


def look_at_folder(data: Path) -> Iterable[Finding]:
    """Permissions, free space, speed of the disk. Only the first of them if there is no folder."""
    if not data.is_dir():
        yield warn("data folder", f"there is no {data}", "The node makes it; or name another --data")
        return
    if not os.access(data, os.W_OK | os.X_OK):
        yield fail("data folder", f"{data} cannot be written", f"Run as its owner, or: chown -R $USER {data}")
        return
    open_to_others = [path for path in (data, *_private_files(data)) if path.stat().st_mode & OTHERS]
    if open_to_others:
        names = ", ".join(str(path) for path in open_to_others[:3])
        yield warn("data folder", f"others may read {names}", f"chmod -R go= {data}")
    else:
        yield ok("data folder", f"{data} is its owner's alone")
    yield _free_space(data)
    yield _fsync_speed(data)


def look_at_port(data: Path, host: str, port: int) -> Iterable[Finding]:
    """Free, or the running node's own."""
    if port <= 0:
        yield ok("port", "the system chooses")
        return
    running = running_node(data)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if running is None:
                words = f"{host}:{port}: {error.strerror}"
                yield fail("port", words, "Stop what listens there, or choose another --port")
            else:
                yield ok("port", f"{host}:{port} is taken while node {running} runs")
            return
    yield ok("port", f"{host}:{port} is free")


def running_node(data: Path) -> int | None:
    """Process id of the node on this folder, if one runs here."""
    try:
        pid = int(json.loads((data / "pids.json").read_text())["node"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if is_running(pid) else None


def is_running(pid: int) -> bool:
    """Whether this machine has such a process, whosever it is."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _private_files(data: Path) -> list[Path]:
    """What must not be read by others; not every file of the folder, which may be large."""
    named = [*data.glob("*.sqlite*"), *data.glob("*.secret"), *data.glob("*.sock")]
    return [*named, *(path for path in (data / "journal", data / "epochs", data / "snapshots") if path.exists())]


def _free_space(data: Path) -> Finding:
    free = shutil.disk_usage(data).free
    words = f"{free >> 20:,} MiB free"
    if free < FREE_BYTES_FAIL:
        return fail("disk space", words, "Free some: a full disk stops the node")
    return warn("disk space", words, "Free some soon") if free < FREE_BYTES_WARN else ok("disk space", words)


def _fsync_speed(data: Path) -> Finding:
    seconds = []
    with tempfile.TemporaryFile(dir=data) as file:
        for _ in range(FSYNCS):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            seconds.append(time.perf_counter() - began)
    median = statistics.median(seconds)
    words = f"median fsync {median * 1000:.2f} ms, longest {max(seconds) * 1000:.2f} ms"
    if median > FSYNC_SECONDS_WARN:
        return warn("disk speed", words, "Use a local SSD: every acknowledgement waits for an fsync")
    return ok("disk speed", words)
