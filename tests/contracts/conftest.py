"""Fixtures of the contract tests: one venue for the whole session, put back to how it was after every test."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parent))

from venue import Venue


@pytest.fixture(scope="session")
def venue(accounts: Any, chain: Any) -> Venue:
    return Venue(accounts, chain)
