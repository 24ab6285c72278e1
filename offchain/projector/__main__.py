"""`python -m offchain.projector SETTINGS.json`: one projector until SIGTERM."""

import sys
from pathlib import Path

import msgspec

from offchain.domain.errors import HooatsError
from offchain.projector.projector import ProjectorSettings
from offchain.projector.serve import run_projector
from offchain.telemetry.logs import configure_logs


def main() -> int:
    configure_logs("projector")
    try:
        raw = Path(sys.argv[1]).read_bytes()
        return run_projector(msgspec.json.decode(raw, type=ProjectorSettings, dec_hook=_decode_path))
    except (HooatsError, OSError, IndexError, msgspec.MsgspecError) as error:
        print(f"projector: {error}", file=sys.stderr)
        return 2


def _decode_path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)  # msgspec's protocol for a type that the hook does not know


if __name__ == "__main__":
    raise SystemExit(main())
