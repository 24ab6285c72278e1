"""Lets the tests of this folder import the modules beside them, and the models."""

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parents[2] / "model"):
    sys.path.insert(0, str(folder))
