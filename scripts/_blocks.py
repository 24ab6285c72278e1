"""Small and big blocks: which ones an account's transactions go to, and room for a large contract.

Invariant: a large contract is sent only where it can be mined. On HyperEVM that is an account's own setting, which is
asked for and never changed here; a development chain is told to make one big block.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from offchain.domain.errors import ConfigurationError
from offchain.domain.units import Address
from scripts._chain import BIG_BLOCK_GAS, Chain


def choose_blocks(chain: Chain, sender: Address, large: str, limit: int) -> bool:
    """True if the sender's transactions go to big blocks. `large` names what does not fit `limit` gas, "" if all
    does; where no big block can be had for it, `ConfigurationError`."""
    if chain.uses_big_blocks(sender):
        return True
    if large and not chain.is_development:
        raise ConfigurationError(
            f"too large for blocks of {limit:,} gas: {large}",
            remedy=f"Switch {sender} to big blocks (evmUserModify, usingBigBlocks) and run again",
        )
    return False


@contextmanager
def room_for(chain: Chain, is_large: bool, limit: int) -> Iterator[None]:
    """On a development chain, big blocks while a large contract is created. (After a kill they stay big.)"""
    is_raised = is_large and chain.set_block_gas(BIG_BLOCK_GAS)
    try:
        yield
    finally:
        if is_raised:
            chain.set_block_gas(limit)
