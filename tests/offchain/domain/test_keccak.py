"""keccak256 is the one of Ethereum, not SHA-3, whichever library makes it."""

import random
from collections.abc import Callable

import pytest

from offchain.domain.keccak import by_pysha3, by_tiny_keccak, keccak


@pytest.mark.parametrize("function", [keccak, by_pysha3])
def test_known_digests(function: Callable[[bytes], bytes]) -> None:
    assert function(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert function(b"Transfer(address,address,uint256)").hex().startswith("ddf252ad1be2c89b69c2b068fc378daa")


@pytest.mark.skipif(by_tiny_keccak is None, reason="tiny-keccak has no wheel for this platform")
def test_both_libraries_hash_alike() -> None:
    """Every length around the blocks of the sponge (136 bytes), where padding has its edges."""
    chance = random.Random(7)
    for size in (*range(300), *(136 * blocks + more for blocks in (3, 10, 500) for more in (-1, 0, 1))):
        payload = chance.randbytes(size)
        assert by_tiny_keccak(payload) == by_pysha3(payload) == keccak(payload), size
