"""secp256k1 signatures as the contracts take them: 65 bytes r || s || v, or 64 bytes r || vs (ERC-2098).

Invariant: `recover` accepts exactly what `libraries/Signatures.sol` accepts (v 27 or 28, or the parity in the highest
bit of vs; 0 < r < n, 0 < s <= n / 2), so nothing is matched here that settlement would refuse. It never raises for any
bytes. It does not know what was signed: digests come from `domain.eip712`. What is made and stored here has 65 bytes.
"""

from coincurve import PrivateKey, PublicKey
from coincurve._libsecp256k1 import ffi, lib  # type: ignore[import-not-found,import-untyped,unused-ignore]
from coincurve.context import GLOBAL_CONTEXT

from offchain.domain.eip712 import LOW_S_MAX
from offchain.domain.keccak import keccak
from offchain.domain.units import Address, to_address

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SIGNATURE_BYTES = 65
KEYS_KEPT_MAX = 100_000
"""200 bytes each."""
ROOTS_KEPT_MAX = 4_096
"""Bulk signatures whose signer is kept."""
COMPACT_BYTES = 64
_LOW_S_MAX, _ZERO = LOW_S_MAX.to_bytes(32), bytes(32)
_CONTEXT = GLOBAL_CONTEXT.ctx
_parse, _recover = lib.secp256k1_ecdsa_recoverable_signature_parse_compact, lib.secp256k1_ecdsa_recover


def recover(digest: bytes, signature: bytes) -> Address | None:
    """The address whose key signed `digest` (32 bytes), or None if the signature is not in the accepted set."""
    if len(digest) != 32 or len(signature) not in (SIGNATURE_BYTES, COMPACT_BYTES):
        return None
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:64], "big")
    if len(signature) == SIGNATURE_BYTES:
        parity = signature[64] - 27
    else:
        parity, s = s >> 255, s & (1 << 255) - 1
    if parity not in (0, 1) or not (0 < r < CURVE_ORDER and 0 < s <= LOW_S_MAX):
        return None
    try:
        point = PublicKey.from_signature_and_message(
            signature[:32] + s.to_bytes(32) + bytes((parity,)), digest, hasher=None
        )
    except ValueError:  # r is no abscissa of the curve, or the point is at infinity
        return None
    return _address(point)


class Signers:
    """Recovery that remembers the addresses of keys, which takes a tenth of its time away. One thread owns it.

    Checking against a known key instead (`ecdsa_verify`) takes an eighth less, but compares r with an abscissa only and
    says nothing of v: the contract takes a signature with one v. No call of the library tells the parity of R for less
    than a recovery.
    """

    def __init__(self, keys_max: int = KEYS_KEPT_MAX) -> None:
        self.looked_at = 0
        """How many recoveries there were."""
        self._addresses: dict[bytes, bytes] = {}
        self._roots: dict[bytes, bytes] = {}
        self._keys_max = keys_max
        self._signature = ffi.new("secp256k1_ecdsa_recoverable_signature *")
        self._point = ffi.new("secp256k1_pubkey *")
        self._raw = ffi.buffer(self._point)

    def recover(self, digest: bytes, signature: bytes) -> bytes | None:
        """The 20 bytes of the address that `recover` finds for a signature of 65 bytes, or None where it does."""
        if len(signature) != SIGNATURE_BYTES or len(digest) != 32:
            return None
        parity = signature[64] - 27
        if parity not in (0, 1) or (signature[32] >= _LOW_S_MAX[0] and signature[32:64] > _LOW_S_MAX):
            return None
        if (not signature[0] and signature[:32] == _ZERO) or (not signature[32] and signature[32:64] == _ZERO):
            return None
        if not _parse(_CONTEXT, self._signature, signature, parity):
            return None  # r is not below the curve's order
        self.looked_at += 1
        if not _recover(_CONTEXT, self._point, self._signature, digest):
            return None
        raw = self._raw[:]
        return self._addresses.get(raw) or self._learn(raw)

    def recover_root(self, digest: bytes, signature: bytes) -> bytes | None:
        """The same of a signature that may well come again, as that over many orders does with each of them."""
        signer = self._roots.get(digest + signature)
        if signer is None:
            signer = self.recover(digest, signature)
            if signer is not None:
                if len(self._roots) >= ROOTS_KEPT_MAX:
                    self._roots.clear()
                self._roots[digest + signature] = signer
        return signer

    def _learn(self, raw: bytes) -> bytes:
        if len(self._addresses) >= self._keys_max:
            self._addresses.clear()
        point = PublicKey(self._point)
        address = self._addresses[raw] = keccak(point.format(compressed=False)[1:])[12:]
        return address


def canonical(signature: bytes) -> bytes:
    """The form of 65 bytes of what came in 64: one signature has one form wherever it is kept. Bytes that are no
    signature stay what they are."""
    if len(signature) != COMPACT_BYTES:
        return signature
    vs = int.from_bytes(signature[32:], "big")
    return signature[:32] + (vs & (1 << 255) - 1).to_bytes(32, "big") + bytes((27 + (vs >> 255),))


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
