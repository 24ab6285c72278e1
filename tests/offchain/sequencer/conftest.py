"""Lets the tests of this folder import the modules beside them and the storage tests' disk."""

import sys
from pathlib import Path

for folder in ("sequencer", "storage"):
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))
