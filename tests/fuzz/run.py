"""`python tests/fuzz/run.py TARGET --seconds 600 --seed 1`: atheris feeds a target of `targets.py`, guided by coverage.

What breaks a promise ends the run, and is kept in `.build/fuzz/TARGET` with a line that says how to see it again.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
INPUT_BYTES_MAX = 4_096
INPUT_SECONDS_MAX = 20
MEMORY_MB_MAX = 4_096


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", type=Path, help="feed this one file, once")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> int:
    """In a session of its own: libFuzzer leaves without goodbye, and what the target started must end, too."""
    memory = Path("/dev/shm")  # where there is one: nothing here is about disks
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory if memory.is_dir() else None) as folder:
        command, environment = [sys.executable, __file__, *sys.argv[1:], "--inside"], os.environ | {"TMPDIR": folder}
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            return process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def fuzz(options: argparse.Namespace) -> None:
    import atheris

    with atheris.instrument_imports(include=["offchain"]):
        from targets import TARGETS

    target = TARGETS[options.target]()
    if options.again is not None:
        target(options.again.read_bytes())
        return
    kept = ROOT / ".build" / "fuzz" / options.target
    corpus = kept / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(target.seeds()):
        target(content)
        (corpus / f"seed-{number}").write_bytes(content)
    limits = f"-max_len={INPUT_BYTES_MAX}", f"-timeout={INPUT_SECONDS_MAX}", f"-rss_limit_mb={MEMORY_MB_MAX}"
    flags = (*limits, f"-max_total_time={options.seconds}", f"-seed={options.seed}", f"-artifact_prefix={kept}/")
    atheris.Setup([sys.argv[0], *flags, "-print_final_stats=1", str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    found = options_of(sys.argv[1:])
    sys.exit(fuzz(found) if found.inside else main())
