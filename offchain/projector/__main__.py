"""`python -m offchain.projector SETTINGS.json`: one projector until SIGTERM."""

import os
import sys
from pathlib import Path

import msgspec

from offchain.domain.errors import HooatsError
from offchain.projector.projector import ProjectorSettings
from offchain.projector.serve import run_projector
from offchain.storage.handed import decode_settings
from offchain.telemetry.logs import configure_logs

NICENESS = 10
"""The history may be late; whoever takes orders, acknowledges or tells of them goes first."""


def main() -> int:
    configure_logs("projector")
    os.nice(NICENESS)
    try:
        raw = Path(sys.argv[1]).read_bytes()
        return run_projector(decode_settings(raw, ProjectorSettings))
    except (HooatsError, OSError, IndexError, msgspec.MsgspecError) as error:
        print(f"projector: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
