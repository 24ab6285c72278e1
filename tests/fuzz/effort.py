"""How hard to try: seconds in CI, as long as `make fuzz` says there. The seed is CI's own unless one is given."""

import os

SEED = int(os.environ.get("HOOATS_FUZZ_SEED", "1"))
SECONDS = int(os.environ.get("HOOATS_FUZZ_SECONDS", "10"))
"""For each target of bytes."""
CASES = int(os.environ.get("HOOATS_FUZZ_CASES", "2000"))
"""Of the API, in all."""
