"""Fixtures of the keepers' tests: those of the chain, and a server of prices."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))

from chain_fixtures import chain, ops, timed_chain, venue  # noqa: F401
from mids_server import MidsServer


@pytest.fixture
def mids() -> Iterator[MidsServer]:
    server = MidsServer().start()
    yield server
    server.stop()
