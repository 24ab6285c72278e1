"""What all tests share: how hard the property tests try.

`HYPOTHESIS_PROFILE=fuzz` (which `make fuzz` sets) tries many more examples, with a seed that is printed; by default
every run tries the same ones, so that a red build is red again.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("default", derandomize=True, deadline=None, print_blob=True)
settings.register_profile(
    "fuzz", max_examples=5_000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
