"""One WebSocket connection: subscriptions, login, order entry.

    {"op": "subscribe", "channel": "book:BTC-USDC", "from": 1234}    {"op": "unsubscribe", "channel": ...}
    {"op": "login", "key": ..., "timestamp": ms, "sign": hex}        {"op": "ping"}
    {"op": "order", "id": 1, "order": {...}} | {"orders": [...]}     {"op": "cancelAll", "symbol": ...}
    {"op": "cancel", "id": 2, "orderId": "0x.."} | with "cancel": {account, nonce, signature}
    {"op": "amend", "orderId": "0x..", "size": ...} | {"order": {...}}    {"op": "batch", "batch": {...}}
    {"op": "cancelAllAfter", "timeout": ms}    {"op": "cancelOnDisconnect", "enabled": true}
    {"op": "setProtection", "number": 1, "protection": {...}}    {"op": "removeProtection", "number": 1}
    {"op": "resetProtection", "number": 1}    {"op": "transfer", "transfer": {...}}

Every request is answered once, with its `op` and `id`, in the order of completion: wait for the answer of one request
before sending another that depends on it. Invariant: what one connection can hold of the gateway is bounded. Private
channels end with the session. Binary messages never come here: see `socket` and `entry`.
"""

import asyncio
import contextlib
import time
from typing import Annotated, Any, Literal

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from offchain.domain.limits import FRAME_BYTES_MAX, ORDERS_PER_REQUEST_MAX, SUBSCRIPTIONS_PER_CONNECTION_MAX
from offchain.domain.units import Address
from offchain.gateway import schema
from offchain.gateway.account_schema import ProtectionRequest, TransferRequest
from offchain.gateway.channels import ADMIN, MARKET_CHANNELS, PRIVATE_CHANNELS, VENUE, Channel
from offchain.gateway.context import Gateway
from offchain.gateway.failures import ApiError, Code, undecodable
from offchain.gateway.hub import CLOSE_TRY_LATER, Message, Outbox
from offchain.gateway.publications import away
from offchain.gateway.sessions import Session
from offchain.gateway.socket import EXTENSION, EntryProtocol
from offchain.security.limits import Gcra, Rate

REQUESTS_IN_FLIGHT_MAX = 64
"""Of one connection; then its frames wait in the socket."""
FAULTS = Rate(1, 50)
"""Refused frames (over the rate, malformed) until the connection is closed; one a second is forgotten."""
HEARTBEAT_SECONDS = 15.0
CLOSE_SECONDS = 2.0
CLOSE_POLICY = 1008
NO_BODY = msgspec.Raw(b"")
LOGIN_REQUEST = b"GET/v1/ws"
"""What a login signs after its timestamp."""


class StreamRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """One frame from the client; which fields are needed depends on `op`."""

    op: Literal[
        "subscribe",
        "unsubscribe",
        "login",
        "ping",
        "order",
        "cancel",
        "cancelAll",
        "amend",
        "batch",
        "cancelAllAfter",
        "cancelOnDisconnect",
        "setProtection",
        "removeProtection",
        "resetProtection",
        "transfer",
    ]
    id: Annotated[str, msgspec.Meta(max_length=64)] | int | None = None
    channel: str = ""
    from_: int | None = None
    key: str = ""
    timestamp: int = 0
    sign: str = ""
    order: msgspec.Raw = NO_BODY
    orders: list[msgspec.Raw] | None = None
    orderId: str = ""
    cancel: msgspec.Raw = NO_BODY
    symbol: str | None = None
    side: str | None = None
    size: Any = None
    batch: msgspec.Raw = NO_BODY
    timeout: int | None = None
    enabled: bool = True
    number: int | None = None
    protection: msgspec.Raw = NO_BODY
    transfer: msgspec.Raw = NO_BODY


WAYS_OUT = ("cancel", "cancelAll", "cancelAllAfter")
"""Draw on the budgets of cancels."""
Ending = tuple[int, str]
"""Close code and reason; 0 if the peer is gone."""

_decode = msgspec.json.Decoder(StreamRequest).decode
_encode = msgspec.json.Encoder().encode


class Connection:
    """Runs until either side closes."""

    def __init__(self, gateway: Gateway, socket: WebSocket) -> None:
        self._gateway = gateway
        self._socket = socket
        peer = socket.scope["extensions"].get(EXTENSION)
        queued = gateway.settings.send_queue_max
        self._below = peer if isinstance(peer, EntryProtocol) else None
        self._outbox = Outbox(gateway.hub, gateway.metrics, queued, self._below)
        self.limit = gateway.ingress.connection()
        self._channels: set[Channel] = set()
        self._session: Session | None = None
        self._cancels_at_end: Address | None = None
        """Whose orders are cancelled when this connection ends."""
        self._expiry: asyncio.TimerHandle | None = None
        self._expired: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._faults = Gcra(FAULTS)
        self._slots = asyncio.Semaphore(REQUESTS_IN_FLIGHT_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._address = socket.client.host if socket.client else ""

    async def run(self) -> None:
        """After the handshake."""
        parts = [asyncio.create_task(part) for part in (self._send(), self._read(), self._pulse(), self._end())]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            code, reason = next(iter(done)).result()
        finally:
            if self._expiry is not None:
                self._expiry.cancel()
            self._gateway.sessions.unwatch(self._expire)
            for channel in self._channels:
                self._gateway.hub.unsubscribe(self._outbox, channel)
            tasks = (*parts, *self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._cancels_at_end is not None:
                if self._below is not None:
                    self._below.dismiss(self._gateway.entry)
                self._gateway.cancel_of_gone(self._cancels_at_end)
        if code and self._socket.application_state is WebSocketState.CONNECTED:
            with contextlib.suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._socket.close(code, reason)

    async def _send(self) -> Ending:
        sent = self._gateway.metrics.messages_out
        while True:
            message = await self._outbox.next()
            try:
                await self._socket.send({"type": "websocket.send", "text": message.text})
            except (WebSocketDisconnect, RuntimeError):
                return 0, ""
            sent.inc()

    async def _end(self) -> Ending:
        """When the reader was too slow (also while a message is stuck in the socket), or the session is over."""
        await asyncio.wait((self._outbox.overflowed, self._expired), return_when=asyncio.FIRST_COMPLETED)
        if self._outbox.overflowed.done():
            return CLOSE_TRY_LATER, f"slow consumer; resume from {self._outbox.overflowed.result()}"
        return CLOSE_POLICY, "session expired"

    async def _pulse(self) -> Ending:
        """Says that the connection is alive."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            sequence = self._gateway.model.sequence
            beat = {"type": "heartbeat", "seq": sequence, "timestamp": time.time_ns() // 1_000_000}
            self._outbox.push(Message(None, sequence, _encode(beat).decode()))

    async def _read(self) -> Ending:
        while True:
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return 0, ""
            self._gateway.metrics.messages_in.inc()
            request: StreamRequest | None = None
            try:
                self._gateway.ingress.take_message(self.limit)
                request = self._decode_frame(event)
                is_cancel = request.op in WAYS_OUT
                weight = max(1, len(request.orders or ()))
                self._gateway.ingress.take_address(self._address, weight, is_cancel=is_cancel)
                if not self._answer_now(request):
                    await self._slots.acquire()
                    task = asyncio.create_task(self._answer_later(request))
                    self._tasks.add(task)
                    task.add_done_callback(self._finished)
            except ApiError as error:
                self._refuse(request, error)
                is_fault = error.code in (Code.RATE_LIMITED, Code.MALFORMED_JSON)
                if is_fault and self._faults.take("", 1, time.monotonic_ns()):
                    return CLOSE_POLICY, "too many refused frames"

    def _decode_frame(self, event: Any) -> StreamRequest:
        text = event.get("text")
        if text is None:
            message = "a binary message comes in one frame"
            raise ApiError(Code.UNSUPPORTED_MEDIA_TYPE, message, {"remedy": "Do not fragment it"})
        if len(text) > FRAME_BYTES_MAX:
            raise ApiError(Code.BODY_TOO_LARGE, "the frame is too large", {"maximum": FRAME_BYTES_MAX})
        try:
            return _decode(text)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise undecodable(error, len(text)) from None

    def _answer_now(self, request: StreamRequest) -> bool:
        """Requests that need no other process. False for the others."""
        match request.op:
            case "subscribe":
                self._subscribe(request)
            case "unsubscribe":
                channel = self._channel(request.channel)
                self._channels.discard(channel)
                self._gateway.hub.unsubscribe(self._outbox, channel)
                self._reply(request, {"channel": channel.name})
            case "login":
                self._login(request)
            case "cancelOnDisconnect":
                account = self._account().account
                self._cancels_at_end = account if request.enabled else None
                self._reply(request, {"enabled": request.enabled})
            case "ping":
                now = time.time_ns() // 1_000_000
                self._reply(request, {"seq": self._gateway.model.sequence, "timestamp": now})
            case _:
                return False
        return True

    async def _answer_later(self, request: StreamRequest) -> None:
        try:
            self._reply(request, await self._trade(request))
        except ApiError as error:
            self._refuse(request, error)
        except Exception:
            self._gateway.bug("stream")
            self._refuse(request, ApiError(Code.INTERNAL, "internal error"))

    async def _trade(self, request: StreamRequest) -> dict[str, Any]:
        trading = self._gateway.trading
        if request.op == "order":
            if request.orders is not None and not request.order:
                if len(request.orders) > ORDERS_PER_REQUEST_MAX:
                    data = {"maximum": ORDERS_PER_REQUEST_MAX}
                    raise ApiError(Code.TOO_MANY_ORDERS, "too many orders in a request", data)
                outcomes = await trading.place(request.orders, self._known_account())
                failed = {"ok": False}
                return {"results": [o if isinstance(o, dict) else failed | {"error": o.body()} for o in outcomes]}
            if not request.order or request.orders is not None:
                raise ApiError(Code.MISSING_FIELD, "order or orders is missing", {"field": "order"})
            (outcome,) = await trading.place([request.order], self._known_account())
            if isinstance(outcome, ApiError):
                raise outcome
            return outcome
        if request.op == "cancel":
            digest = schema.parse_digest(request.orderId)
            if request.cancel:
                return await trading.cancel_signed(digest, bytes(request.cancel))
            return await trading.cancel(self._account().account, digest)
        return await self._change(self._account().account, request)

    async def _change(self, account: Address, request: StreamRequest) -> dict[str, Any]:
        """What only a session may."""
        resting = self._gateway.resting
        if request.op == "amend":
            order = schema.decode(schema.OrderRequest, request.order) if request.order else None
            wanted = schema.AmendRequest(size=request.size, order=order)
            return await resting.amend(account, schema.parse_digest(request.orderId), wanted)
        if request.op == "batch":
            batch = schema.parse_batch(request.batch)
            count = len(batch.cancels) + len(batch.amends) + len(batch.orders)
            self._gateway.ingress.take_address(self._address, max(1, count - 1))
            return await self._gateway.batches.execute(account, batch)
        if request.op == "cancelAllAfter":
            if request.timeout is None:
                raise ApiError(Code.MISSING_FIELD, "timeout is missing", {"field": "timeout"})
            return await resting.cancel_all_after(account, request.timeout)
        if request.op == "transfer":
            self._account().require_owner()
            return await self._gateway.accounts.transfer(account, schema.decode(TransferRequest, request.transfer))
        if request.op.endswith("Protection"):
            return await self._protect(account, request)
        if request.side is not None:
            return await resting.cancel_side(account, request.symbol, request.side)
        return await self._gateway.trading.cancel_all(account, request.symbol)

    async def _protect(self, account: Address, request: StreamRequest) -> dict[str, Any]:
        if request.number is None:
            raise ApiError(Code.MISSING_FIELD, "number is missing", {"field": "number"})
        accounts, number = self._gateway.accounts, request.number
        if request.op == "setProtection":
            wanted = schema.decode(ProtectionRequest, request.protection)
            return await accounts.set_protection(account, number, wanted)
        if request.op == "removeProtection":
            return await accounts.remove_protection(account, number)
        return await accounts.reset_protection(account, number)

    def _known_account(self) -> Address | None:
        """Who is logged in, if anybody is."""
        return None if self._session is None else self._account().account

    def _subscribe(self, request: StreamRequest) -> None:
        if not self._gateway.publications.is_live:
            raise away()
        channel = self._channel(request.channel)
        if channel not in self._channels and len(self._channels) >= SUBSCRIPTIONS_PER_CONNECTION_MAX:
            data = {"maximum": SUBSCRIPTIONS_PER_CONNECTION_MAX}
            raise ApiError(Code.TOO_MANY_SUBSCRIPTIONS, "too many subscriptions of this connection", data)
        self._gateway.hub.unsubscribe(self._outbox, channel)
        self._channels.add(channel)
        self._reply(request, {"channel": channel.name})
        start = request.from_
        self._gateway.hub.subscribe(self._outbox, channel, start if start is not None and 0 <= start < 2**63 else None)

    def _channel(self, name: str) -> Channel:
        kind, _, symbol = name.partition(":")
        if name in PRIVATE_CHANNELS:
            return Channel(name, self._account().account)
        if name == VENUE or (kind in MARKET_CHANNELS and symbol in self._gateway.model.symbols):
            return Channel(name)
        if kind == ADMIN:
            self._account().require_owner()
            self._gateway.administration.require_operator(self._account().account)
            if self._gateway.administration.knows(symbol):
                return Channel(name)
        data = {"channels": [*(f"{kind}:SYMBOL" for kind in MARKET_CHANNELS), VENUE, *PRIVATE_CHANNELS]}
        raise ApiError(Code.NOT_FOUND, f"no channel {name[:60]}", data)

    def _login(self, request: StreamRequest) -> None:
        now, sessions = time.time_ns() // 1_000_000, self._gateway.sessions
        session = sessions.check(request.key, str(request.timestamp), request.sign, LOGIN_REQUEST, now)
        known = self._session
        if known is not None and (session.account, session.agent) != (known.account, known.agent):
            # What the one subscribed to may not be for the other.
            raise ApiError(Code.UNAUTHENTICATED, "this connection is logged in as another account, or by another key")
        sessions.spend(request.sign, request.timestamp, now)
        self._session = session
        sessions.watch(session, self._expire)
        if self._expiry is not None:
            self._expiry.cancel()
        left = session.expires_at - now / 1000
        self._expiry = asyncio.get_running_loop().call_later(left, self._expire)
        self._reply(request, {"account": session.account, "expiresAt": session.expires_at})

    def _expire(self) -> None:
        if not self._expired.done():
            self._expired.set_result(None)

    def require_account(self) -> Address:
        """Who is logged in; `ApiError` if nobody is."""
        return self._account().account

    def _account(self) -> Session:
        if self._session is None:
            raise ApiError(Code.UNAUTHENTICATED, "this needs a login", {"remedy": '{"op": "login", ...}'})
        if time.time() >= self._session.expires_at:
            raise ApiError(Code.SESSION_EXPIRED, "the session has expired", {"expiresAt": self._session.expires_at})
        return self._session

    def _reply(self, request: StreamRequest, answer: dict[str, Any]) -> None:
        head = {"op": request.op, "id": request.id, "ok": True}
        self._outbox.push(Message(None, self._gateway.model.sequence, _encode(head | answer).decode()))

    def _refuse(self, request: StreamRequest | None, error: ApiError) -> None:
        head = {"op": request.op if request else None, "id": request.id if request else None, "ok": False}
        text = _encode(head | {"error": error.body()}).decode()
        self._outbox.push(Message(None, self._gateway.model.sequence, text))

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()
