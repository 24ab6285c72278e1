"""What all tests share: how hard the property tests try, and logging that is for each as if it were the first.

`HYPOTHESIS_PROFILE=fuzz` (which `make fuzz` sets) tries many more examples, with a seed that is printed; by default
every run tries the same ones, so that a red build is red again.
"""

import logging
import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

settings.register_profile("default", derandomize=True, deadline=None, print_blob=True)
settings.register_profile(
    "fuzz", max_examples=5_000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    """A daemon sets up its process's logging; within a test that would outlive the stream it writes to."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = handlers, level
