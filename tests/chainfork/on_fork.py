"""What `ape test` runs on a fork of a chain with HyperEVM's id; test_fork_smoke.py starts it and says what to expect.

Not collected by name: it needs ape, and a chain to fork.
"""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from eth_utils import to_checksum_address

sys.path.append(str(Path(__file__).resolve().parents[1] / "contracts"))

from test_smoke import test_smoke  # noqa: F401
from venue import Venue

BIG_BLOCK = 30_000_000


@pytest.fixture(scope="session")
def venue(accounts: Any, chain: Any) -> Venue:
    """Deployed to the fork, in what HyperEVM calls big blocks."""
    chain.provider.set_block_gas_limit(BIG_BLOCK)
    return Venue(accounts, chain)


def test_the_fork_is_of_hyperevm(chain: Any) -> None:
    assert chain.chain_id == 998
    assert chain.provider.network.is_fork


def test_the_fork_sees_what_is_upstream(chain: Any) -> None:
    holder, token = (to_checksum_address(os.environ[f"HOOATS_FORK_{name}"]) for name in ("HOLDER", "TOKEN"))
    assert chain.provider.get_balance(holder) == int(os.environ["HOOATS_FORK_BALANCE"])
    assert len(chain.provider.get_code(token)) > 0
    assert chain.blocks.height >= int(os.environ["HOOATS_FORK_HEIGHT"])


def test_signatures_are_for_this_chain(venue: Venue) -> None:
    assert bytes(venue.settlement.domainSeparator()) == venue.separator(venue.settlement)
    assert venue.commitment.address not in (venue.settlement.address, venue.vault.address)
