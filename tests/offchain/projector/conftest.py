"""Lets the tests of this folder import the modules beside them, and those of the sequencer's and storage's tests."""

import sys
from pathlib import Path

for folder in ("projector", "sequencer", "storage"):
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))
