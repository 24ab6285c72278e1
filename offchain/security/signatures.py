"""secp256k1 signatures as the contracts take them: 65 bytes r || s || v.

Invariant: `recover` accepts exactly what OpenZeppelin's `ECDSA.recover` accepts (65 bytes, v 27 or 28, 0 < r < n,
0 < s <= n / 2), so nothing is matched here that settlement would refuse. It never raises for any bytes. It does not
know what was signed: digests come from `domain.eip712`.
"""

from coincurve import PrivateKey, PublicKey

from offchain.domain.eip712 import LOW_S_MAX
from offchain.domain.keccak import keccak
from offchain.domain.units import Address, to_address

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SIGNATURE_BYTES = 65


def recover(digest: bytes, signature: bytes) -> Address | None:
    """The address whose key signed `digest` (32 bytes), or None if the signature is not in the accepted set."""
    if len(digest) != 32 or len(signature) != SIGNATURE_BYTES:
        return None
    v = signature[64]
    if v not in (27, 28):
        return None
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:64], "big")
    if not (0 < r < CURVE_ORDER and 0 < s <= LOW_S_MAX):
        return None
    try:
        point = PublicKey.from_signature_and_message(signature[:64] + bytes((v - 27,)), digest, hasher=None)
    except ValueError:  # r is no abscissa of the curve, or the point is at infinity
        return None
    return _address(point)


def sign(digest: bytes, key: bytes) -> bytes:
    """r || s || v over `digest` (32 bytes) with a private key of 32 bytes; deterministic (RFC 6979), low s."""
    assert len(digest) == 32
    raw = PrivateKey(key).sign_recoverable(digest, hasher=None)
    return raw[:64] + bytes((raw[64] + 27,))


def address_of(key: bytes) -> Address:
    """The account of a private key of 32 bytes; ValueError if the key is 0 or not below the curve's order."""
    return _address(PrivateKey(key).public_key)


def _address(point: PublicKey) -> Address:
    return to_address(keccak(point.format(compressed=False)[1:])[12:])
