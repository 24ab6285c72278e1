"""uvicorn's HTTP connection with two bounds it lacks: the bytes and the seconds of a request's head.

Invariant: a connection that has not sent a whole head holds at most HEAD_BYTES_MAX, for at most HEAD_SECONDS. What is
no HTTP at all is answered in the same error shape as everything else.
"""

import asyncio
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from offchain.gateway.failures import ApiError, Code

HEAD_BYTES_MAX = 32 * 1024
"""Request line and headers; ours are below 2 kB."""
HEAD_SECONDS = 10.0


class BoundedProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=...)`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._is_reading_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_reading_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._is_reading_head and self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._refuse(ApiError(Code.HEAD_TOO_LARGE, "the head is too large", {"maximum": HEAD_BYTES_MAX}))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_reading_head = True
        if self._head_timer is None:
            self._start_timer()

    def on_headers_complete(self) -> None:
        self._is_reading_head, self._head_bytes = False, 0
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_reading_head = True

    def send_400_response(self, msg: str) -> None:
        self._refuse(ApiError(Code.MALFORMED_HTTP, "this is not HTTP/1.1"))

    def _refuse(self, error: ApiError) -> None:
        body = msgspec.json.encode({"ok": False, "error": error.body(), "requestId": ""})
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[error.status] + head + body)
        self.transport.close()

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
