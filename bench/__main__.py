"""`python -m bench PART …`: what `make bench` runs. Each part has its own `--help`; `all` runs several in turn."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

PARTS = {
    "engines": "bench.compare",
    "stages": "bench.stages",
    "instructions": "bench.instructions",
    "growth": "bench.growth",
    "recovery": "bench.recovery",
    "load": "bench.load.main",
    "soak": "bench.soak",
    "overload": "bench.overload",
    "audience": "bench.audience",
}
USUAL = ("engines", "stages")
"""The others take a quarter of an hour and more, or want tools that are not everywhere."""


def run(part: str, arguments: Sequence[str]) -> int:
    """The exit code of one part."""
    code: int = importlib.import_module(PARTS[part]).main(arguments)
    return code


def run_all(arguments: Sequence[str]) -> int:
    """Each part with those of the options that are its own; the exit code of the worst."""
    parser = argparse.ArgumentParser(prog="python -m bench all")
    parser.add_argument("--parts", nargs="*", default=list(USUAL), choices=list(PARTS))
    parser.add_argument("--workloads", nargs="*", default=[])
    parser.add_argument("--flow")
    parser.add_argument("--seed")
    parser.add_argument("--rounds")
    options = parser.parse_args(arguments)
    rounds = ["--rounds", options.rounds] if options.rounds else []
    seed = ["--seed", options.seed] if options.seed else []
    flow = ["--flow", options.flow] if options.flow else []
    of_part = {
        "engines": [*rounds, *seed, *flow, *(part for name in options.workloads for part in ("--workload", name))],
        "stages": rounds,
        "growth": rounds,
        "recovery": rounds,
        "load": [*rounds, *seed],
    }
    return max(run(part, of_part.get(part, [])) for part in options.parts)


def main() -> int:
    part, *arguments = sys.argv[1:] or ["--help"]
    if part == "all":
        return run_all(arguments)
    if part in PARTS:
        return run(part, arguments)
    print(f"usage: python -m bench {'|'.join(PARTS)}|all [--help]", file=sys.stderr)
    return 0 if part in ("-h", "--help") else 2


if __name__ == "__main__":
    sys.exit(main())
