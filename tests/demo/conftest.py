"""Fixtures of the demo's tests: those of the chain."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from chain_fixtures import chain, timed_chain, venue  # noqa: F401
