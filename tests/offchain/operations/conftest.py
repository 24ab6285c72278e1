"""The same fixtures as the chain's tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
sys.path.append(str(Path(__file__).resolve().parents[1] / "sequencer"))

from chain_fixtures import chain, ops, timed_chain, venue  # noqa: F401
