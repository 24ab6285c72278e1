"""The attestation key at work: receipts of sequenced orders, countersignatures of granted debits.

Invariant: it signs only what is journaled and durable (its callers' duty), never a transaction. Signatures are
deterministic (RFC 6979), so the same receipt can be given again at any time.
"""

from coincurve import PrivateKey

from offchain.domain.command import OpenVenue
from offchain.domain.eip712 import (
    PURPOSE_BURN,
    PURPOSE_LOCK,
    approval_digest,
    domain_separator,
    receipt_digest,
    receipts_digest,
    withdraw_hash,
    withdrawal_of,
)
from offchain.domain.event import ApprovalGranted
from offchain.domain.units import Digest, from_hex


class Attestor:
    """Holds the parsed key: 26 us a signature instead of 65 with `security.signatures.sign`, the same bytes."""

    def __init__(self, key: bytes, venue: OpenVenue) -> None:
        self._key = PrivateKey(key)
        self._receipts = domain_separator(venue.chain_id, venue.commitment)
        self._approvals = domain_separator(venue.chain_id, venue.vault)

    def receipt(self, sequence: int, at: int, digest: Digest) -> str:
        """0x-hex of 65 bytes over `Receipt(sequence, at, orderHash)`."""
        return self._sign(receipt_digest(self._receipts, sequence, at, from_hex(digest)))

    def receipts(self, first: int, last: int, orders: int, root: bytes) -> bytes:
        """65 bytes over `Receipts(first, last, orders, root)`."""
        return self._sign_raw(receipts_digest(self._receipts, first, last, orders, root))

    def approval(self, grant: ApprovalGranted) -> str:
        """0x-hex of 65 bytes over the Vault's `Approval`."""
        return self._sign(
            approval_digest(
                self._approvals,
                grant.account,
                grant.token,
                grant.amount,
                purpose_hash(grant),
                grant.nonce,
                grant.deadline,
            )
        )

    def _sign(self, digest: bytes) -> str:
        return "0x" + self._sign_raw(digest).hex()

    def _sign_raw(self, digest: bytes) -> bytes:
        raw: bytes = self._key.sign_recoverable(digest, hasher=None)
        return raw[:64] + bytes((raw[64] + 27,))


def purpose_hash(grant: ApprovalGranted) -> bytes:
    """The `purpose` word of the countersignature."""
    if grant.purpose == "withdraw":
        return withdraw_hash(withdrawal_of(grant))
    return {"lock": PURPOSE_LOCK, "burn": PURPOSE_BURN}[grant.purpose]
