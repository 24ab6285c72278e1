"""ccxt's exceptions, by name and parent, those that the venue's codes map to and their ancestors.

BaseError
├── ExchangeError
│   ├── AuthenticationError ── PermissionDenied
│   ├── ArgumentsRequired
│   ├── BadRequest ── BadSymbol
│   ├── OperationRejected ── MarketClosed
│   ├── InsufficientFunds
│   ├── InvalidOrder ── OrderNotFound, OrderImmediatelyFillable, DuplicateOrderId
│   └── NotSupported
└── OperationFailed
    ├── NetworkError
    │   ├── RateLimitExceeded
    │   ├── ExchangeNotAvailable ── OnMaintenance
    │   ├── InvalidNonce
    │   └── RequestTimeout          the outcome is unknown: ask for the order, or send it again
    └── BadResponse
"""

from typing import Any

from offchain.client.failures import ExchangeUnreachable, Refused


class BaseError(Exception):
    """`code` and `data` are the venue's, if it was the venue that said no."""

    def __init__(self, message: str, code: str = "", data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data or {}


class ExchangeError(BaseError):
    pass


class AuthenticationError(ExchangeError):
    pass


class PermissionDenied(AuthenticationError):
    pass


class ArgumentsRequired(ExchangeError):
    pass


class BadRequest(ExchangeError):
    pass


class BadSymbol(BadRequest):
    pass


class OperationRejected(ExchangeError):
    pass


class MarketClosed(OperationRejected):
    pass


class InsufficientFunds(ExchangeError):
    pass


class InvalidOrder(ExchangeError):
    pass


class OrderNotFound(InvalidOrder):
    pass


class OrderImmediatelyFillable(InvalidOrder):
    pass


class DuplicateOrderId(InvalidOrder):
    pass


class NotSupported(ExchangeError):
    pass


class OperationFailed(BaseError):
    pass


class NetworkError(OperationFailed):
    pass


class RateLimitExceeded(NetworkError):
    pass


class ExchangeNotAvailable(NetworkError):
    pass


class OnMaintenance(ExchangeNotAvailable):
    pass


class InvalidNonce(NetworkError):
    pass


class RequestTimeout(NetworkError):
    pass


class BadResponse(OperationFailed):
    pass


CLASSES: dict[str, type[BaseError]] = {
    kind.__name__: kind for kind in list(globals().values()) if isinstance(kind, type) and issubclass(kind, BaseError)
}


def translated(error: Refused | ExchangeUnreachable, classes: dict[str, str]) -> BaseError:
    """`classes`: code to class, as GET /v1/capabilities says. What a code does not tell, its status does."""
    if isinstance(error, ExchangeUnreachable):
        kind = RequestTimeout if error.is_sent else ExchangeNotAvailable
        return kind(str(error), "UNKNOWN" if error.is_sent else "UNAVAILABLE", {"digest": error.digest})
    name = classes.get(error.code, "BadResponse" if error.code == "INVALID_ANSWER" else "ExchangeError")
    return CLASSES.get(name, ExchangeError)(str(error), error.code, error.data)
