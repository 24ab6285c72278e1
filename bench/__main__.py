"""`python -m bench PART …`: what `make bench` runs. Each part has its own `--help`."""

from __future__ import annotations

import importlib
import sys

PARTS = {
    "engines": "bench.compare",
    "stages": "bench.stages",
    "instructions": "bench.instructions",
    "growth": "bench.growth",
    "load": "bench.load.main",
}


def main() -> int:
    part, *arguments = sys.argv[1:] or ["--help"]
    if part not in PARTS:
        print(f"usage: python -m bench {'|'.join(PARTS)} [--help]", file=sys.stderr)
        return 0 if part in ("-h", "--help") else 2
    code: int = importlib.import_module(PARTS[part]).main(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
