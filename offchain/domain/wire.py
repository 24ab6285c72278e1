"""Order entry in fixed frames: what a client sends over the stream in binary messages, and what it gets back.

Big-endian throughout; docs/frames.md has the same tables for readers, a test compares the two. Numbers are for ever:
they are only added. Nothing is said here of who may send what; see `gateway.entry`.

    message  = version[1] kind[1] count[2] id[8] item*
    ORDERS     order[74] signature[65]
    BULK       signature[65] once, then order[74] each: the leaves of the tree that an agent signed, in order
    CANCELS    nonce[8], of the account that is logged in
    CANCEL_ALL market[4], 0 for all, of the account that is logged in
    RESULTS    result[32] each, in the order of the request; then an attestation[117] if something was sequenced
    FAULT      code[1] and words: the message with this id was not understood, and nothing in it was done
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from offchain.domain.event import CloseReason, RejectReason
from offchain.domain.order import OrderStatus

VERSION: Final = 1
HEAD = struct.Struct(">BBHQ")
SIGNED_ORDER_BYTES: Final = 74 + 65
CANCEL = struct.Struct(">Q")
CANCEL_ALL = struct.Struct(">I")
RESULT = struct.Struct(">QQBBBxQI")
"""Sequence and time of the command, status, reason, whether it is the first result again, lots filled, fills."""
RESULT_BYTES: Final = RESULT.size
ATTESTATION = struct.Struct(">QQI32s65s")
"""First and last sequence of the group, how many orders it has, their root, and the signature over all of it."""


class MessageKind(IntEnum):
    ORDERS = 1
    BULK = 2
    CANCELS = 3
    CANCEL_ALL = 4
    RESULTS = 129
    FAULT = 143


STATUSES: Final[dict[str, int]] = {
    "unknown": 0,
    OrderStatus.OPEN: 1,
    OrderStatus.CLOSED: 2,
    OrderStatus.CANCELED: 3,
    OrderStatus.EXPIRED: 4,
    OrderStatus.REJECTED: 5,
}
"""`unknown`: whether it was done is not known; the same request again tells."""

REASONS: Final[dict[str, int]] = {
    "": 0,
    RejectReason.WRONG_SIGNER: 1,
    RejectReason.AGENT_NOT_ENTITLED: 2,
    RejectReason.AGENT_LIMIT: 3,
    RejectReason.UNKNOWN_MARKET: 4,
    RejectReason.MARKET_NOT_OPEN: 5,
    RejectReason.UNSUPPORTED: 6,
    RejectReason.INVALID_PRICE: 7,
    RejectReason.INVALID_SIZE: 8,
    RejectReason.INVALID_SLOT: 9,
    RejectReason.DEAD_NONCE: 10,
    RejectReason.NONCE_TOO_FAR_AHEAD: 11,
    RejectReason.EXPIRED: 12,
    RejectReason.FEE_CAP_TOO_LOW: 13,
    RejectReason.INSUFFICIENT_BALANCE: 14,
    RejectReason.TOO_MANY_OPEN_ORDERS: 15,
    RejectReason.DUPLICATE_CLIENT_ORDER_ID: 16,
    RejectReason.POST_ONLY_WOULD_CROSS: 17,
    RejectReason.POST_ONLY_VENUE: 18,
    RejectReason.CANCEL_ONLY_VENUE: 19,
    RejectReason.CANCEL_ONLY_ACCOUNT: 20,
    RejectReason.ORDER_NOT_OPEN: 21,
    RejectReason.NOTHING_TO_CLOSE: 22,
    RejectReason.UNKNOWN_TOKEN: 23,
    RejectReason.UNKNOWN_FILL: 24,
    RejectReason.TOO_MANY_APPROVALS: 25,
    RejectReason.INVALID_PARAMETER: 26,
    RejectReason.NOT_AN_OPERATOR: 27,
    RejectReason.MARKET_EXISTS: 28,
    RejectReason.MARKET_DELISTED: 29,
    RejectReason.NO_POOL: 30,
    RejectReason.POOL_BUSY: 31,
    RejectReason.REDUCE_ONLY_EXCEEDED: 32,
    RejectReason.PRICE_OUT_OF_BAND: 33,
    RejectReason.TOO_MANY_WAITING_ORDERS: 34,
    RejectReason.BATCH_REFUSED: 35,
    RejectReason.NO_PROTECTION: 36,
    RejectReason.PROTECTION_FROZEN: 37,
    RejectReason.ALREADY_REQUESTED: 38,
    RejectReason.TOO_MANY_REQUESTS_RELAYED: 39,
    RejectReason.DUPLICATE_CLIENT_TRANSFER_ID: 40,
    CloseReason.FILLED: 128,
    CloseReason.CANCELED: 129,
    CloseReason.REPLACED: 130,
    "ORDER_EXPIRED": 131,
    CloseReason.IMMEDIATE_REMAINDER: 132,
    CloseReason.SELF_TRADE: 133,
    CloseReason.UNCOVERED: 134,
    CloseReason.FILL_REFUSED: 135,
    CloseReason.CANCELED_ON_CHAIN: 136,
    CloseReason.DELISTED: 137,
    CloseReason.DISCONNECTED: 138,
    CloseReason.LINKED: 139,
    CloseReason.TRIGGER_REFUSED: 140,
    CloseReason.TIMED_OUT: 141,
    CloseReason.PROTECTED: 142,
    "INVALID_SIGNATURE": 192,
    "RATE_LIMITED": 193,
    "UNAVAILABLE": 194,
    "UNAUTHENTICATED": 195,
    "SESSION_EXPIRED": 196,
    "INVALID_FIELD": 197,
    "MALFORMED": 198,
    "BODY_TOO_LARGE": 199,
    "TOO_MANY_ORDERS": 200,
}
"""Why an order was rejected (below 128), or left (ORDER_EXPIRED is CloseReason.EXPIRED), or what the gateway said."""


class Result(NamedTuple):
    """What one order or cancel came to. `sequence` 0: it was not sequenced, or so long ago that nobody knows where."""

    sequence: int
    at: int
    status: str
    reason: str
    replayed: bool
    filled_lots: int
    fills: int


_STATUS_WORDS = {number: str(word) for word, number in STATUSES.items()}
_REASON_WORDS = {number: str(word) for word, number in REASONS.items()}


def unpack_result(content: bytes) -> Result:
    sequence, at, status, reason, replayed, filled, fills = RESULT.unpack(content)
    words = _STATUS_WORDS.get(status, "unknown"), _REASON_WORDS.get(reason, str(reason))
    return Result(sequence, at, *words, bool(replayed), filled, fills)


UNKNOWN: Final = RESULT.pack(0, 0, STATUSES["unknown"], REASONS["UNAVAILABLE"], 0, 0, 0)
"""The result of what was sent to the sequencer and not answered."""


def refused(reason: str) -> bytes:
    """The result of what was not sequenced."""
    return RESULT.pack(0, 0, STATUSES[OrderStatus.REJECTED], REASONS[reason], 0, 0, 0)
