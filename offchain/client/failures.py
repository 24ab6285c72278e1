"""What can go wrong for a trader: the venue said no, or it could not be asked."""

from typing import Any

from offchain.domain.errors import HooatsError, SequencerUnavailable


class Refused(HooatsError):
    """The venue answered with an error: `code` is stable, `data` says more; nothing was executed.

    `is_first` is False if the same request had been sent before and its outcome was unknown: then it is that first time
    of which nothing is said.
    """

    def __init__(self, code: str, message: str, data: dict[str, Any] | None = None, status: int = 0) -> None:
        detail = (data or {}).get("remedy")
        super().__init__(f"{code}: {message}", remedy=str(detail) if detail else "")
        self.code = code
        self.data = data or {}
        self.status = status
        self.is_first = True


class ExchangeUnreachable(SequencerUnavailable):
    """No answer within the time for retries. What was sent may have been executed: ask for `digest`.

    `is_sent` is False only if there was no connection, so that this request cannot have arrived.
    """

    def __init__(self, message: str, *, digest: str = "", remedy: str = "", is_sent: bool = True) -> None:
        super().__init__(message, remedy=remedy)
        self.digest = digest
        self.is_sent = is_sent
