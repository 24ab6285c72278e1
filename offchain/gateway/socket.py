"""The WebSocket connection below the application: binary messages go to order entry, all else to uvicorn and ASGI.

A binary message that comes in one frame, as nearly all do, is taken out of the stream here and never enters the
application's queue: that takes a tenth of the time. Handshake, text, control frames, fragments and everything malformed
are the library's. Invariant: whole frames only are given to either, so neither loses its place in the stream.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import apply_mask  # type: ignore[attr-defined]
from websockets.http11 import Request

from offchain.domain.limits import FRAME_BYTES_MAX
from offchain.domain.units import Address
from offchain.gateway.entry import Entry
from offchain.gateway.failures import ApiError, Code
from offchain.security.limits import Gcra

EXTENSION = "hooats.entry"
"""Under this name the application finds the connection in its scope."""
LONGEST = FRAME_BYTES_MAX + 14
"""Of a frame with its head."""
UNSENT_BYTES_MAX = 1024 * 1024
"""Of answers that the client does not read; then the connection ends."""
UNREAD_SECONDS = 60.0
"""For which a client may leave unread that it is to go, and what it was sent before: as much as a socket holds."""
_WHOLE_BINARY = 0x82
_WHOLE_TEXT = 0x81
_MASKED = 0x80


class EntryProtocol(WebSocketsSansIOProtocol):
    """For `uvicorn.Config(ws=...)`. Order entry begins when the application has called `admit`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.address = ""
        self.limit: Gcra
        self._entry: Entry | None = None
        self._session: Any = None
        self._rest = b""
        self._last_call: asyncio.TimerHandle | None = None
        self._is_lost = False
        self._when_lost: Callable[[], None] | None = None

    def admit(self, entry: Entry, limit: Gcra, address: str, session: Any) -> None:
        """`session` has the account that is logged in on this connection."""
        self.limit, self.address = limit, address
        self._entry, self._session = entry, session

    def when_lost(self, then: Callable[[], None]) -> None:
        """Called once the connection is gone, which may be now."""
        if self._is_lost:
            then()
        else:
            self._when_lost = then

    def dismiss(self, entry: Entry) -> None:
        """`entry` takes nothing more from here, and does nothing more of what it has."""
        self._entry = None
        entry.forget(self)

    # --- Peer ---

    def reply(self, messages: Sequence[bytes]) -> None:
        transport = self.transport
        if self.close_sent or self.disconnected or transport.is_closing():
            return
        transport.write(b"".join([part for message in messages for part in (_frame_head(len(message)), message)]))
        if transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            transport.abort()

    def push(self, frame: bytes) -> bool:
        """Sends a whole frame at once; False if the client does not take what it was sent before."""
        if not self.writable.is_set() or self.close_sent or self.disconnected or self.transport.is_closing():
            return False
        self.transport.write(frame)
        return True

    def require_account(self) -> Address:
        if self._session is None:
            raise ApiError(Code.UNAUTHENTICATED, "this needs a login")
        account: Address = self._session.require_account()
        return account

    # --- ASGI ---

    async def send(self, message: Any) -> None:
        """A close frame goes behind what the client has not read yet, and waits for it there: who reads again learns
        from it where to resume. Who does not, loses the connection."""
        if message["type"] == "websocket.close" and not self.disconnected:
            self.writable.set()
            self._last_call = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)
        await super().send(message)

    # --- asyncio.Protocol ---

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._entry is None or self.close_sent:
            super().data_received(self._rest + data)
            self._rest = b""
            return
        content = self._rest + data if self._rest else data
        start, end = 0, len(content)
        while start < end:
            stop, payload = _find_frame(content, start)
            if stop - start > LONGEST:
                super().data_received(content[start:])  # which ends the connection
                start = end
                break
            if stop > end or not stop:
                break
            if content[start] == _WHOLE_BINARY and not self.frames and content[start + 1] & _MASKED:
                self._entry.receive(self, apply_mask(content[payload:stop], content[payload - 4 : payload]))
            else:
                super().data_received(content[start:stop])
            start = stop
        self._rest = content[start:]

    def connection_lost(self, exc: Exception | None) -> None:
        self._entry = self._session = None
        self._is_lost = True
        if self._last_call is not None:
            self._last_call.cancel()
        if self._when_lost is not None:
            self._when_lost()
        super().connection_lost(exc)


def _find_frame(content: bytes, start: int) -> tuple[int, int]:
    """(where the frame that begins there ends, where its payload begins): RFC 6455, 5.2. (0, 0) if that is not known
    yet."""
    if len(content) - start < 2:
        return 0, 0
    second = content[start + 1]
    length, payload = second & 0x7F, start + 2
    if length >= 126:
        width = 2 if length == 126 else 8
        payload += width
        if len(content) < payload:
            return 0, 0
        length = int.from_bytes(content[payload - width : payload], "big")
    if second & _MASKED:
        payload += 4
    return payload + length, payload


def text_frame(text: str) -> bytes:
    """A message as a server sends it, the same to everybody."""
    content = text.encode()
    return _frame_head(len(content), _WHOLE_TEXT) + content


def _frame_head(length: int, kind: int = _WHOLE_BINARY) -> bytes:
    """Of an unmasked message in one frame."""
    if length < 126:
        return bytes((kind, length))
    if length < 1 << 16:
        return bytes((kind, 126)) + length.to_bytes(2, "big")
    return bytes((kind, 127)) + length.to_bytes(8, "big")
