"""pytest fixtures for everything that needs a chain: import them into a conftest.py."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_chain import LocalChain, Venue, deploy

from offchain.storage.ops import Ops

_deployed: list[Venue] = []


@pytest.fixture(scope="session")
def venue() -> Venue:
    """Deployed once, whichever folder's tests ask first; a chain is made of its state with `chain`."""
    if not _deployed:
        chain = LocalChain().start()
        try:
            _deployed.append(deploy(chain))
        finally:
            chain.stop()
    return _deployed[0]


@pytest.fixture
def timed_chain(venue: Venue) -> Iterator[Callable[..., LocalChain]]:
    """Chains with the venue on them; settings as for `LocalChain`."""
    started: list[LocalChain] = []

    def make(**settings: float) -> LocalChain:
        chain = LocalChain(**settings).start()  # type: ignore[arg-type]
        started.append(chain)
        chain.rpc("anvil_loadState", venue.state)
        return chain

    yield make
    for chain in started:
        chain.stop()


@pytest.fixture
def chain(timed_chain: Callable[..., LocalChain]) -> LocalChain:
    """Blocks only when the test mines."""
    return timed_chain()


@pytest.fixture
def ops(tmp_path: Path) -> Iterator[Ops]:
    database = Ops(f"sqlite:///{tmp_path / 'ops.sqlite'}")
    yield database
    database.close()
