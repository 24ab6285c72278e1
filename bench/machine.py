"""What a result must say about the machine, the versions and the code it was measured with."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build" / "bench"
RESULTS = BUILD / "results"
PEERS_PYTHON = BUILD / "peers" / "bin" / "python"
OURS = ("coincurve", "msgspec", "safe-pysha3", "tiny-keccak", "uvloop", "websockets")


def described() -> dict[str, Any]:
    """Taken once, at the start of a run."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in OURS},
        "commit": commit(),
    }


def _version(name: str) -> str:
    """tiny-keccak has a stand-in, so it may be absent."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def load() -> dict[str, Any]:
    """How busy the machine is, and how much of it others took (hundredths of a second since it started)."""
    steal = 0
    stat = Path("/proc/stat")
    if stat.exists():
        fields = stat.read_text().splitlines()[0].split()
        steal = int(fields[8]) if len(fields) > 8 else 0
    return {"loadavg": [round(value, 2) for value in os.getloadavg()], "steal": steal}


def commit() -> str:
    """With a plus if tracked files differ from it."""
    found = _git("rev-parse", "--short=12", "HEAD")
    return found + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "") if found else "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu() -> str:
    listed = Path("/proc/cpuinfo")
    if not listed.exists():
        return platform.processor() or platform.machine()
    first = listed.read_text().split("\n\n")[0].splitlines()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first)}
    name = fields.get("model name", platform.machine())
    return f"{name} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')})"
