"""Fixtures of a chain, for commands that talk to one."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from chain_fixtures import chain, timed_chain, venue  # noqa: F401
