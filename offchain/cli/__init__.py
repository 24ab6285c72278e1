"""The command line `hooats`: wiring and words, no logic.

Every flag has a `HOOATS_…` twin, `--json` prints for programs, exit codes are in `failures.py`. Invariant: no traceback
and no secret reaches a user.
"""

from offchain.cli.program import main

__all__ = ["main"]
