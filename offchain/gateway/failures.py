"""Error codes of the API: stable words, the HTTP status that fits each, and the one shape that every error has.

    {"error": {"code": "...", "message": "...", "data": {...}}, "requestId": "..."}

The engine's `RejectReason` words are codes too. Invariant: nothing that a client sends yields a 5xx; 503 says that the
venue is away (UNAVAILABLE: nothing was done) or that an outcome is unknown (UNKNOWN: ask for the digest, or send the
same request again).
"""

from enum import StrEnum
from typing import Any

import msgspec

from offchain.domain.errors import InvalidInput
from offchain.domain.event import RejectReason


class Code(StrEnum):
    """Codes that the gateway itself gives."""

    MALFORMED_JSON = "MALFORMED_JSON"
    INVALID_FIELD = "INVALID_FIELD"
    UNKNOWN_FIELD = "UNKNOWN_FIELD"
    MISSING_FIELD = "MISSING_FIELD"
    INVALID_SIGNATURE = "INVALID_SIGNATURE"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    SESSION_EXPIRED = "SESSION_EXPIRED"
    SESSION_REVOKED = "SESSION_REVOKED"
    TIMESTAMP_OUT_OF_WINDOW = "TIMESTAMP_OUT_OF_WINDOW"
    REPLAYED = "REPLAYED"
    NOT_FOUND = "NOT_FOUND"
    ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    HEAD_TOO_LARGE = "HEAD_TOO_LARGE"
    MALFORMED_HTTP = "MALFORMED_HTTP"
    TOO_MANY_ORDERS = "TOO_MANY_ORDERS"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    RATE_LIMITED = "RATE_LIMITED"
    TOO_MANY_SUBSCRIPTIONS = "TOO_MANY_SUBSCRIPTIONS"
    SLOW_CONSUMER = "SLOW_CONSUMER"
    UNAVAILABLE = "UNAVAILABLE"
    UNKNOWN = "UNKNOWN"
    INTERNAL = "INTERNAL"


_CONFLICTS = (
    RejectReason.DEAD_NONCE,
    RejectReason.DUPLICATE_CLIENT_ORDER_ID,
    RejectReason.MARKET_NOT_OPEN,
    RejectReason.POST_ONLY_VENUE,
    RejectReason.CANCEL_ONLY_VENUE,
    RejectReason.CANCEL_ONLY_ACCOUNT,
    RejectReason.ORDER_NOT_OPEN,
    RejectReason.NOTHING_TO_CLOSE,
    RejectReason.MARKET_EXISTS,
    RejectReason.MARKET_DELISTED,
    RejectReason.NO_POOL,
    RejectReason.POOL_BUSY,
    RejectReason.BATCH_REFUSED,
    RejectReason.NO_PROTECTION,
    RejectReason.PROTECTION_FROZEN,
    RejectReason.ALREADY_REQUESTED,
    RejectReason.DUPLICATE_CLIENT_TRANSFER_ID,
)

STATUS: dict[str, int] = {
    **{reason.value: 422 for reason in RejectReason},
    **{reason.value: 409 for reason in _CONFLICTS},
    RejectReason.TOO_MANY_REQUESTS_RELAYED.value: 429,
    RejectReason.WRONG_SIGNER.value: 401,
    RejectReason.AGENT_NOT_ENTITLED.value: 403,
    RejectReason.AGENT_LIMIT.value: 403,
    RejectReason.NOT_AN_OPERATOR.value: 403,
    RejectReason.UNKNOWN_MARKET.value: 404,
    RejectReason.UNKNOWN_TOKEN.value: 404,
    RejectReason.INVALID_PRICE.value: 400,
    RejectReason.INVALID_SIZE.value: 400,
    RejectReason.INVALID_SLOT.value: 400,
    RejectReason.INVALID_PARAMETER.value: 400,
    Code.MALFORMED_JSON: 400,
    Code.INVALID_FIELD: 400,
    Code.UNKNOWN_FIELD: 400,
    Code.MISSING_FIELD: 400,
    Code.TOO_MANY_ORDERS: 400,
    Code.INVALID_SIGNATURE: 401,
    Code.UNAUTHENTICATED: 401,
    Code.SESSION_EXPIRED: 401,
    Code.SESSION_REVOKED: 401,
    Code.TIMESTAMP_OUT_OF_WINDOW: 401,
    Code.REPLAYED: 401,
    Code.NOT_FOUND: 404,
    Code.ORDER_NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.REQUEST_TIMEOUT: 408,
    Code.BODY_TOO_LARGE: 413,
    Code.HEAD_TOO_LARGE: 431,
    Code.MALFORMED_HTTP: 400,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.RATE_LIMITED: 429,
    Code.TOO_MANY_SUBSCRIPTIONS: 429,
    Code.SLOW_CONSUMER: 429,
    Code.UNAVAILABLE: 503,
    Code.UNKNOWN: 503,
    Code.INTERNAL: 500,
}
"""HTTP status of every code that there is; a test checks that none is missing."""

CCXT: dict[str, str] = {
    **dict.fromkeys(("INVALID_SIGNATURE", "UNAUTHENTICATED", "WRONG_SIGNER"), "AuthenticationError"),
    **dict.fromkeys(("SESSION_EXPIRED", "SESSION_REVOKED"), "AuthenticationError"),
    **dict.fromkeys(("AGENT_LIMIT", "AGENT_NOT_ENTITLED"), "PermissionDenied"),
    "NOT_AN_OPERATOR": "PermissionDenied",
    **dict.fromkeys(("TIMESTAMP_OUT_OF_WINDOW", "REPLAYED"), "InvalidNonce"),
    **dict.fromkeys(("DEAD_NONCE", "NONCE_TOO_FAR_AHEAD"), "InvalidNonce"),
    **dict.fromkeys(("UNKNOWN_MARKET", "UNKNOWN_TOKEN"), "BadSymbol"),
    **dict.fromkeys(("MARKET_NOT_OPEN", "MARKET_DELISTED", "NO_POOL"), "MarketClosed"),
    **dict.fromkeys(("POST_ONLY_VENUE", "CANCEL_ONLY_VENUE"), "OnMaintenance"),
    **dict.fromkeys(("CANCEL_ONLY_ACCOUNT", "TOO_MANY_APPROVALS", "TOO_MANY_OPEN_ORDERS"), "OperationRejected"),
    **dict.fromkeys(("BATCH_REFUSED", "NOTHING_TO_CLOSE", "TOO_MANY_WAITING_ORDERS"), "OperationRejected"),
    **dict.fromkeys(("NO_PROTECTION", "PROTECTION_FROZEN"), "OperationRejected"),
    **dict.fromkeys(("ALREADY_REQUESTED", "DUPLICATE_CLIENT_TRANSFER_ID"), "OperationRejected"),
    "TOO_MANY_REQUESTS_RELAYED": "RateLimitExceeded",
    "INSUFFICIENT_BALANCE": "InsufficientFunds",
    **dict.fromkeys(("EXPIRED", "FEE_CAP_TOO_LOW", "INVALID_PRICE", "INVALID_SIZE", "INVALID_SLOT"), "InvalidOrder"),
    **dict.fromkeys(("PRICE_OUT_OF_BAND", "REDUCE_ONLY_EXCEEDED"), "InvalidOrder"),
    "POST_ONLY_WOULD_CROSS": "OrderImmediatelyFillable",
    "DUPLICATE_CLIENT_ORDER_ID": "DuplicateOrderId",
    **dict.fromkeys(("ORDER_NOT_FOUND", "ORDER_NOT_OPEN"), "OrderNotFound"),
    "UNSUPPORTED": "NotSupported",
    "MISSING_FIELD": "ArgumentsRequired",
    **dict.fromkeys(("INVALID_FIELD", "INVALID_PARAMETER", "MALFORMED_JSON", "UNKNOWN_FIELD"), "BadRequest"),
    **dict.fromkeys(("BODY_TOO_LARGE", "HEAD_TOO_LARGE", "MALFORMED_HTTP", "TOO_MANY_ORDERS"), "BadRequest"),
    **dict.fromkeys(("METHOD_NOT_ALLOWED", "NOT_FOUND", "UNSUPPORTED_MEDIA_TYPE"), "BadRequest"),
    **dict.fromkeys(("MARKET_EXISTS", "UNKNOWN_FILL"), "BadRequest"),
    **dict.fromkeys(("POOL_BUSY", "RATE_LIMITED", "SLOW_CONSUMER", "TOO_MANY_SUBSCRIPTIONS"), "RateLimitExceeded"),
    **dict.fromkeys(("REQUEST_TIMEOUT", "UNAVAILABLE"), "ExchangeNotAvailable"),
    "UNKNOWN": "RequestTimeout",
    "INTERNAL": "ExchangeError",
}
"""Code to ccxt's exception class, served by /v1/capabilities; a test checks that none is missing. Of those only
RequestTimeout leaves open whether something was executed."""


class ApiError(Exception):
    """What a request ends in when it is not served. `headers` go with the HTTP answer."""

    def __init__(
        self,
        code: str,
        message: str,
        data: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = str(code)
        self.message = message
        self.data = data or {}
        self.headers = headers or {}

    @property
    def status(self) -> int:
        return STATUS[self.code]

    def body(self) -> dict[str, Any]:
        """The value of `error`."""
        return {"code": self.code, "message": self.message, "data": self.data}


def invalid(error: InvalidInput, code: str = Code.INVALID_FIELD) -> ApiError:
    """A refusal of one field, with the remedy that the domain names."""
    data = {"field": error.field}
    if error.remedy:
        data["remedy"] = error.remedy
    if error.nearest:
        data["nearest"] = error.nearest
    return ApiError(code, error.message, data)


def undecodable(error: Exception, length: int) -> ApiError:
    """What msgspec says about a body of `length` bytes: malformed (with the byte), or which field is wrong and how."""
    text = str(error)
    if isinstance(error, msgspec.ValidationError):
        words, _, path = text.partition(" - at `")
        place = path.rstrip("`").removeprefix("$").removeprefix(".")
        if "unknown field" in text:
            name = text.split("`")[1]
            return ApiError(Code.UNKNOWN_FIELD, f"unknown field {name}", {"field": f"{place}.{name}".lstrip(".")})
        if "missing required field" in text:
            name = text.split("`")[1]
            return ApiError(Code.MISSING_FIELD, f"{name} is missing", {"field": f"{place}.{name}".lstrip(".")})
        message = f"{place}: {words}" if place else words
        return ApiError(Code.INVALID_FIELD, message.replace("`", ""), {"field": place})
    if isinstance(error, RecursionError):
        return ApiError(Code.MALFORMED_JSON, "JSON is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return ApiError(Code.MALFORMED_JSON, f"not UTF-8 (byte {error.start})")
    if "truncated" in text:
        return ApiError(Code.MALFORMED_JSON, f"JSON ends too early (byte {length})")
    return ApiError(Code.MALFORMED_JSON, text)
