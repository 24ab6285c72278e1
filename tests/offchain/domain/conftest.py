"""Lets the tests of this folder import the scene in tests/model."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "model"))
