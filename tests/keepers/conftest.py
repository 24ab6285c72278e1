"""Fixtures of the keepers' tests; the same as those of the chain."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from chain_fixtures import chain, ops, timed_chain, venue  # noqa: F401
