"""uvicorn's HTTP connection with the bounds it lacks: how many there are, bytes and seconds of a head.

Invariant: a connection that has not sent a whole head holds at most HEAD_BYTES_MAX, for at most HEAD_SECONDS; one that
does not take what it asked for ends by STALLED_SECONDS (`serve.bind`). What is no HTTP at all is answered in the same
error shape as everything else.
"""

import asyncio
from typing import Any

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from offchain.gateway.bounds import HEAD_BYTES_MAX, HEAD_SECONDS
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.ingress import Crowd, Ingress, Proxies

DOORS = "doors"
"""Name in the state of the application's lifespan."""
_JSON = (b"content-type", b"application/json")


class Doors:
    """Lets HTTP connections in, by number and rate. A trusted proxy is many clients, and has no bound of its own."""

    def __init__(self, crowd: Crowd, ingress: Ingress, proxies: Proxies) -> None:
        self.crowd = crowd
        self._ingress = ingress
        self._proxies = proxies

    def enter(self, address: str) -> ApiError | None:
        """Why not."""
        if address in self._proxies:
            return None
        if not self.crowd.enter(address):
            data = {"limit": "connections", "retryAfterMs": 1000}
            return ApiError(Code.RATE_LIMITED, "too many connections", data, {"Retry-After": "1"})
        try:
            self._ingress.take_handshake(address)
        except ApiError as error:
            self.crowd.leave(address)
            return error
        return None

    def leave(self, address: str) -> None:
        """Of who entered."""
        if address not in self._proxies:
            self.crowd.leave(address)


class BoundedProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=...)`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._is_reading_head = True
        self._head_timer: asyncio.TimerHandle | None = None
        self._doors: Doors = self.app_state[DOORS]
        self._has_entered = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()
        refusal = self._doors.enter(self._address)
        self._has_entered = refusal is None
        if refusal is not None and self._doors.crowd.is_full:
            transport.abort()
        elif refusal is not None:
            self.app = _answer(refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._leave()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """From here on the stream's own bounds hold."""
        self._leave()
        super().handle_websocket_upgrade()

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _leave(self) -> None:
        if self._has_entered:
            self._has_entered = False
            self._doors.leave(self._address)

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
        body = _body(error)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[error.status] + head + body)
        self.transport.close()

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _body(error: ApiError) -> bytes:
    return msgspec.json.encode({"ok": False, "error": error.body(), "requestId": ""})


def _answer(error: ApiError) -> ASGIApp:
    """An application that says so to whoever sends a request, once."""
    headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = _body(error)
        head = [_JSON, (b"content-length", b"%d" % len(body)), (b"connection", b"close"), *headers]
        await send({"type": "http.response.start", "status": error.status, "headers": head})
        await send({"type": "http.response.body", "body": body})

    return app
