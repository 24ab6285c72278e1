"""The key of one sender of transactions, and EIP-1559 transactions signed with it.

Invariant: the secret is in no repr, message or pickle; the same fields give the same bytes (RFC 6979). Nothing here
knows nonces or fees of its own: they are given.
"""

from typing import NamedTuple

from eth_account import Account

from offchain.domain.errors import ConfigurationError
from offchain.domain.keccak import keccak
from offchain.domain.units import Address, from_hex


class Fees(NamedTuple):
    """Wei per gas."""

    max_fee: int
    priority_fee: int


class Signed(NamedTuple):
    """`raw` is what a node takes, `hash` what it will be known by."""

    raw: bytes
    hash: str


class SigningKey:
    """Signs for one address on one chain."""

    __slots__ = ("_account", "_chain_id", "address")

    def __init__(self, secret: bytes, chain_id: int) -> None:
        try:
            self._account = Account.from_key(secret)
        except Exception:  # the library's message would hold the secret
            raise ConfigurationError("not a private key of secp256k1", remedy="32 bytes above 0") from None
        self._chain_id = chain_id
        self.address = Address(self._account.address.lower())

    def __repr__(self) -> str:
        return f"SigningKey({self.address})"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a key is never pickled")

    def sign_digest(self, digest: bytes) -> tuple[int, bytes, bytes]:
        """(v, r, s) of an EIP-712 digest."""
        signed = self._account.unsafe_sign_hash(digest)
        return int(signed.v), signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")

    def sign(self, nonce: int, to: Address, calldata: bytes, gas: int, fees: Fees) -> Signed:
        transaction = {
            "type": 2,
            "chainId": self._chain_id,
            "nonce": nonce,
            "to": from_hex(to),
            "value": 0,
            "data": calldata,
            "gas": gas,
            "maxFeePerGas": fees.max_fee,
            "maxPriorityFeePerGas": fees.priority_fee,
        }
        raw = bytes(self._account.sign_transaction(transaction).raw_transaction)
        return Signed(raw, "0x" + keccak(raw).hex())
