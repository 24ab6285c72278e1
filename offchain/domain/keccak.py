"""keccak256, behind one function: the library can be exchanged in one place."""

import sha3  # type: ignore[import-not-found,import-untyped,unused-ignore]


def keccak(payload: bytes) -> bytes:
    """32 bytes."""
    digest: bytes = sha3.keccak_256(payload).digest()
    return digest
