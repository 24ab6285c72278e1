"""Why: a command was refused, an order left the book, the chain refused a fill; and what a venue takes.

Values of events, for ever: names stand in journals' states, histories and answers.
"""

from enum import IntEnum, StrEnum


class RejectReason(StrEnum):
    """Why a command changed nothing. A refusal is a value, never an exception."""

    WRONG_SIGNER = "WRONG_SIGNER"
    AGENT_NOT_ENTITLED = "AGENT_NOT_ENTITLED"
    """The agent's registration is over, or not for this market."""
    AGENT_LIMIT = "AGENT_LIMIT"
    """The agent's notional does not cover the order."""
    UNKNOWN_MARKET = "UNKNOWN_MARKET"
    MARKET_NOT_OPEN = "MARKET_NOT_OPEN"
    UNSUPPORTED = "UNSUPPORTED"
    INVALID_PRICE = "INVALID_PRICE"
    INVALID_SIZE = "INVALID_SIZE"
    INVALID_SLOT = "INVALID_SLOT"
    DEAD_NONCE = "DEAD_NONCE"
    NONCE_TOO_FAR_AHEAD = "NONCE_TOO_FAR_AHEAD"
    EXPIRED = "EXPIRED"
    FEE_CAP_TOO_LOW = "FEE_CAP_TOO_LOW"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    TOO_MANY_OPEN_ORDERS = "TOO_MANY_OPEN_ORDERS"
    DUPLICATE_CLIENT_ORDER_ID = "DUPLICATE_CLIENT_ORDER_ID"
    POST_ONLY_WOULD_CROSS = "POST_ONLY_WOULD_CROSS"
    POST_ONLY_VENUE = "POST_ONLY_VENUE"
    CANCEL_ONLY_VENUE = "CANCEL_ONLY_VENUE"
    CANCEL_ONLY_ACCOUNT = "CANCEL_ONLY_ACCOUNT"
    ORDER_NOT_OPEN = "ORDER_NOT_OPEN"
    NOTHING_TO_CLOSE = "NOTHING_TO_CLOSE"
    UNKNOWN_TOKEN = "UNKNOWN_TOKEN"
    UNKNOWN_FILL = "UNKNOWN_FILL"
    TOO_MANY_APPROVALS = "TOO_MANY_APPROVALS"
    INVALID_PARAMETER = "INVALID_PARAMETER"
    NOT_AN_OPERATOR = "NOT_AN_OPERATOR"
    MARKET_EXISTS = "MARKET_EXISTS"
    MARKET_DELISTED = "MARKET_DELISTED"
    NO_POOL = "NO_POOL"
    """The market has no AMM pair, or its reserves are not known well enough now."""
    POOL_BUSY = "POOL_BUSY"
    """An AMM fill of this market's pair is not decided yet."""
    REDUCE_ONLY_EXCEEDED = "REDUCE_ONLY_EXCEEDED"
    """A reduce-only sale of more than what is settled and free."""
    PRICE_OUT_OF_BAND = "PRICE_OUT_OF_BAND"
    TOO_MANY_WAITING_ORDERS = "TOO_MANY_WAITING_ORDERS"
    BATCH_REFUSED = "BATCH_REFUSED"
    """Another part of what was to happen together could not, or another order of it was the first that could."""
    NO_PROTECTION = "NO_PROTECTION"
    """A protected order where its account has set no protection, or a word about one that is not there."""
    PROTECTION_FROZEN = "PROTECTION_FROZEN"
    """The account's protection tripped, and was not reset."""
    ALREADY_REQUESTED = "ALREADY_REQUESTED"
    """The relay was asked for the very same a short while ago."""
    TOO_MANY_REQUESTS_RELAYED = "TOO_MANY_REQUESTS_RELAYED"
    """By the account, by strangers, or in all, within the hour."""
    DUPLICATE_CLIENT_TRANSFER_ID = "DUPLICATE_CLIENT_TRANSFER_ID"
    """Another transfer of the account has it."""


class CloseReason(StrEnum):
    """Why an order left the book, or never rested."""

    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REPLACED = "REPLACED"
    EXPIRED = "EXPIRED"
    IMMEDIATE_REMAINDER = "IMMEDIATE_REMAINDER"
    SELF_TRADE = "SELF_TRADE"
    UNCOVERED = "UNCOVERED"
    FILL_REFUSED = "FILL_REFUSED"
    CANCELED_ON_CHAIN = "CANCELED_ON_CHAIN"
    DELISTED = "DELISTED"
    """Its market is gone for good."""
    DISCONNECTED = "DISCONNECTED"
    """Its owner's connection, which had asked for it."""
    LINKED = "LINKED"
    """An order that it is linked to is done, or has taken its place."""
    TRIGGER_REFUSED = "TRIGGER_REFUSED"
    """Its trigger came, and it could not enter."""
    TIMED_OUT = "TIMED_OUT"
    """Its owner had asked for it, and did not ask for more time."""
    PROTECTED = "PROTECTED"
    """Its owner's protection tripped."""


class RefusalCause(IntEnum):
    """Twin of Settlement's refusal reasons, low 7 bits; bit 0x80 says that the taker is at fault."""

    BALANCE = 1
    CANCELLED = 2
    EXPIRED = 3
    DEAD = 4
    OPERATOR = 5
    AMM = 6
    """The pair would have given less; nobody is at fault."""
    GROUP = 7
    """Another fill of the same fill-or-kill order was refused; nobody is at fault."""
    AGENT = 8
    """The agent who signed the order may not, or not any more."""


FAULTLESS = frozenset((RefusalCause.AMM, RefusalCause.GROUP))
"""Causes of which neither side is at fault."""


REFUSAL_TAKER_BIT = 0x80


class VenueState(StrEnum):
    ACTIVE = "ACTIVE"
    POST_ONLY = "POST_ONLY"
    CANCEL_ONLY = "CANCEL_ONLY"
    HALTED = "HALTED"
