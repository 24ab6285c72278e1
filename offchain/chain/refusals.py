"""What a node means when it does not take a transaction. Nodes differ in words, so every known wording is listed."""

from enum import StrEnum

from offchain.chain.rpc import RpcRefused


class Refusal(StrEnum):
    KNOWN = "already known"
    NONCE_TOO_LOW = "nonce too low"
    NONCE_TOO_HIGH = "nonce too high"
    """Outside the node's window of pending nonces: later."""
    REPLACEMENT_UNDERPRICED = "replacement underpriced"
    UNDERPRICED = "underpriced"
    NO_FUNDS = "insufficient funds"
    IMPOSSIBLE = "impossible"
    """No node will ever take these bytes."""
    UNKNOWN = "unknown"


_WORDS: tuple[tuple[Refusal, tuple[str, ...]], ...] = (
    (Refusal.KNOWN, ("already known", "already imported", "known transaction", "already in mempool", "alreadyknown")),
    (Refusal.NONCE_TOO_LOW, ("nonce too low", "nonce is too low", "invalid nonce; got", "nonce has already been used")),
    (Refusal.NONCE_TOO_HIGH, ("nonce too high", "nonce gap", "exceeds pending limit", "too far in the future",
                              "too many pending", "max pending", "txpool is full", "queued sub-pool is full")),
    (Refusal.REPLACEMENT_UNDERPRICED, ("replacement transaction underpriced", "replacement fee too low",
                                       "could not replace existing", "replacement underpriced")),
    (Refusal.NO_FUNDS, ("insufficient funds", "insufficient balance", "overshot")),
    (Refusal.IMPOSSIBLE, ("exceeds block gas limit", "intrinsic gas too low", "intrinsic gas too high",
                          "gas limit too low", "oversized data", "invalid sender", "invalid chain id",
                          "exceeds the configured cap", "exceeds allowance", "gas limit is too high",
                          "exceeds transaction gas limit", "max initcode size")),
    (Refusal.UNDERPRICED, ("underpriced", "less than block base fee", "fee too low", "below minimum", "fee cap less",
                           "max fee per gas less", "gas price too low")),
)  # fmt: skip


def classify(refused: RpcRefused) -> Refusal:
    """The class of an eth_sendRawTransaction error."""
    text = refused.reason.lower()
    for refusal, wordings in _WORDS:
        if any(wording in text for wording in wordings):
            return refusal
    return Refusal.UNKNOWN
