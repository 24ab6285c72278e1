"""keccak256, behind one function: the library can be exchanged in one place.

tiny-keccak takes half the time for short inputs, which nearly all are; pysha3 stands in where it has no wheel.
"""

from collections.abc import Callable
from typing import Final

import sha3  # type: ignore[import-not-found,import-untyped,unused-ignore]

try:
    from tiny_keccak import keccak256 as by_tiny_keccak  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    by_tiny_keccak = None  # type: ignore[assignment,unused-ignore]


def by_pysha3(payload: bytes) -> bytes:
    digest: bytes = sha3.keccak_256(payload).digest()
    return digest


keccak: Final[Callable[[bytes], bytes]] = by_pysha3 if by_tiny_keccak is None else by_tiny_keccak
"""32 bytes, of bytes and nothing else."""
