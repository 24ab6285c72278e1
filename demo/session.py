"""What another terminal needs to use the demo that stays: one file to source, with every address and path.

Invariant: it names nothing secret but the demo's own keys, which are derived from its seed and worthless.
"""

import os
import shlex
from pathlib import Path

from demo.stage import ROOT, Stage


def write_session(stage: Stage, folder: Path) -> Path:
    """Writes `env` into the folder, whole or not at all; returns its path."""
    values = stage.environment() | {
        "HOOATS_KEYS": str(stage.keys),
        "HOOATS_NETWORK": f"hyperliquid:testnet:{stage.rpc_url}",
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    lines.append(f"export PATH={shlex.quote(str(ROOT / '.venv' / 'bin'))}:$PATH")
    file, staging = folder / "env", folder / ".env.new"
    staging.write_text("\n".join(lines) + "\n")
    os.replace(staging, file)
    return file
