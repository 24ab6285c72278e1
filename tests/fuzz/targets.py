"""What is fed with any bytes: each target takes some, and raises where a promise about all bytes is broken.

    eip712     an order in JSON, or as a frame with its signature: one order, one digest, whichever way it came
    frames     binary messages of order entry: one answer each, with as many results as there are items
    messages   text messages of a WebSocket, before and after a login: one answer each, never an internal error
    journal    a journal's only segment: what reads is what a check of every byte finds, and the rest is named damage

A gateway with a sequencer runs in this process, so that coverage guides what is tried. `run.py` feeds them.
"""

import asyncio
import contextlib
import hashlib
import hmac
import importlib.util
import json
import shutil
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from offchain.client.orders import Signer
from offchain.domain import wire
from offchain.domain.eip712 import domain_separator, frame_digest, join_signature, order_digest, split_signature
from offchain.domain.errors import HooatsError, InvalidInput
from offchain.domain.market import Market
from offchain.domain.order import ORDER_FRAME_BYTES, Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Lots, Ticks
from offchain.gateway import schema
from offchain.gateway.app import create_app
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.stream import LOGIN_REQUEST
from offchain.security.signatures import Signers, canonical, recover, sign
from offchain.storage import frames as journal_frames
from offchain.storage.inspect import line_of
from offchain.storage.journal import Journal
from offchain.storage.reader import JournalReader
from offchain.storage.scan import segment_path

TESTS = Path(__file__).resolve().parents[1]
ANSWER_SECONDS = 10.0
START_SECONDS = 60.0
MESSAGES_MAX = 8
"""Of one input."""


def _beside(path: str, name: str) -> Any:
    """A module of other tests."""
    file = TESTS / path
    sys.path.append(str(file.parent))
    specification = importlib.util.spec_from_file_location(name, file)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


def venues_of_the_gateway() -> Any:
    """What the gateway's own tests start."""
    return sys.modules.get("gateway_venues") or _beside("offchain/gateway/conftest.py", "gateway_venues")


def scratch() -> Path:
    """A folder that `run.py` takes away in the end."""
    return Path(tempfile.mkdtemp(prefix="hooats-"))


class Target(Protocol):
    def seeds(self) -> Iterator[bytes]:
        """Valid inputs."""
        ...

    def __call__(self, content: bytes) -> None: ...


# --- orders ---


class SignedOrders:
    """`{` begins an order in JSON; anything else is a frame and a signature."""

    def __init__(self) -> None:
        self.venues = venues_of_the_gateway()
        real = self.venues.real_venue
        self._market = Market(
            market=1,
            base_token=real.BASE,
            base_atoms_per_lot=10**14,
            quote_atoms_per_tick_lot=10,
            base_decimals=18,
            quote_decimals=6,
            symbol="BTC-USDC",
        )
        self._separator = domain_separator(real.CHAIN_ID, real.SETTLEMENT)
        self._signers = Signers()

    def order(self, slot: int = 1) -> Order:
        account = Signer(self.venues.KEYS[0]).address
        terms = (account, 0, 1, Side.BUY, Kind.LIMIT, TimeInForce.GTC, 0, Ticks(10), Lots(5), Ticks(0), 10_000)
        return Order(*terms, make_nonce(slot, time.time_ns() // 1_000_000), 0)

    def signed(self, slot: int = 1) -> bytes:
        """Frame and signature."""
        frame = self.order(slot).to_frame()
        return frame + sign(frame_digest(self._separator, frame), self.venues.KEYS[0])

    def body(self, slot: int = 1) -> bytes:
        """The same in JSON."""
        order = self.order(slot)
        signature = sign(order_digest(self._separator, order), self.venues.KEYS[0])
        fields = {"symbol": "BTC-USDC", "account": order.account, "side": "buy", "price": "1.0", "size": "0.0005"}
        fields |= {"nonce": str(order.nonce), "maxFeePpm": 10_000, "expiry": 0, "signature": "0x" + signature.hex()}
        return json.dumps(fields | {"type": "limit", "timeInForce": "GTC", "clientOrderId": f"fuzz-{slot}"}).encode()

    def seeds(self) -> Iterator[bytes]:
        yield self.body()
        yield self.signed()
        yield self.signed() + bytes(1 + 5 * 32)

    def __call__(self, content: bytes) -> None:
        if content[:1] == b"{":
            try:
                found = schema.parse_order(schema.decode(schema.OrderRequest, content), self._market)
            except ApiError:
                return
            self._check(found.order, found.signature)
            return
        frame, signature = content[:ORDER_FRAME_BYTES], content[ORDER_FRAME_BYTES:]
        try:
            order = Order.from_frame(frame)
        except (ValueError, struct.error):
            return
        assert order.to_frame() == frame
        self._check(order, signature)

    def _check(self, order: Order, signature: bytes) -> None:
        frame = order.to_frame()
        assert Order.from_frame(frame) == order
        digest = order_digest(self._separator, order)
        assert digest == frame_digest(self._separator, frame)
        alone, proof = split_signature(signature)
        assert proof is None or join_signature(alone, proof) == signature
        found, known = recover(digest, alone), self._signers.recover(digest, canonical(alone))
        assert (found is None) == (known is None)
        assert found is None or (known is not None and found == "0x" + known.hex())


# --- a gateway ---


class Served:
    """The gateway's application and its publisher, in a loop of this process. The sequencer is another, which `run.py`
    ends with this."""

    def __init__(self) -> None:
        self.orders = SignedOrders()
        self.loop = asyncio.new_event_loop()
        self._stack = contextlib.AsyncExitStack()
        self.app = self.loop.run_until_complete(self._start())
        self.gateway = self.app.state.gateway

    async def _start(self) -> Any:
        venues, real = self.orders.venues, self.orders.venues.real_venue
        folder = scratch()
        processes = real.RealVenue(folder)
        processes.list_markets()
        for key in venues.KEYS[:3]:
            processes.deposit(Signer(key).address, real.QUOTE, 10**12)
        processes.start("sequencer")
        settings = venues.settings_for(folder)
        await self._stack.enter_async_context(venues.run_publisher_here(settings))
        app = create_app(settings)
        app.state.gateway.routes = app.routes
        await self._stack.enter_async_context(app.router.lifespan_context(app))
        async with asyncio.timeout(START_SECONDS):
            while not app.state.gateway.model.accounts:  # noqa: ASYNC110  (another process is waited for by looking)
                await asyncio.sleep(0.01)
        return app

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Never longer than ANSWER_SECONDS, and never with a bug in the gateway's own count of them."""
        self.loop.run_until_complete(asyncio.wait_for(work, ANSWER_SECONDS))
        assert not self.gateway.metrics.failures._value.get(), "the gateway hit a bug: see its log"
        assert self.gateway.trading.is_live()


class Peer:
    """A connection of order entry, logged in."""

    def __init__(self, served: Served) -> None:
        self.limit = served.gateway.ingress.connection()
        self.address = "127.0.0.1"
        self.replies: list[bytes] = []
        self.replied = asyncio.Event()
        self._account = served.orders.order().account

    def reply(self, messages: Sequence[bytes]) -> None:
        self.replies.extend(messages)
        self.replied.set()

    def require_account(self) -> Any:
        return self._account


class Frames:
    """One binary message."""

    def __init__(self) -> None:
        self._served = Served()

    def seeds(self) -> Iterator[bytes]:
        orders = self._served.orders
        kinds = wire.MessageKind
        items = {
            kinds.ORDERS: orders.signed(1) + orders.signed(2),
            kinds.CANCELS: wire.CANCEL.pack(orders.order().nonce) * 3,
            kinds.CANCEL_ALL: wire.CANCEL_ALL.pack(1),
        }
        counts = {kinds.ORDERS: 2, kinds.CANCELS: 3, kinds.CANCEL_ALL: 1}
        for kind, content in items.items():
            yield wire.HEAD.pack(wire.VERSION, kind, counts[kind], 77) + content
        frames = [orders.order(slot).to_frame() for slot in (3, 4)]
        yield wire.HEAD.pack(wire.VERSION, kinds.BULK, 2, 78) + bytes(65) + b"".join(frames)

    def __call__(self, content: bytes) -> None:
        self._served.run(self._send(content))

    async def _send(self, content: bytes) -> None:
        peer = Peer(self._served)
        self._served.gateway.entry.receive(peer, content)
        await peer.replied.wait()
        await asyncio.sleep(0)
        (reply,) = peer.replies
        version, kind, count, number = wire.HEAD.unpack_from(reply)
        asked = wire.HEAD.unpack_from(content) if len(content) >= wire.HEAD.size else (0, 0, 0, 0)
        assert (version, number) == (wire.VERSION, asked[3])
        if kind == wire.MessageKind.FAULT:
            assert count == 1 and len(reply) > wire.HEAD.size
            return
        assert (kind, count) == (wire.MessageKind.RESULTS, asked[2])
        results = reply[wire.HEAD.size : wire.HEAD.size + count * wire.RESULT_BYTES]
        assert len(reply) - wire.HEAD.size - len(results) in (0, wire.ATTESTATION.size)
        for at in range(0, len(results), wire.RESULT_BYTES):
            wire.unpack_result(results[at : at + wire.RESULT_BYTES])


class Messages:
    """Lines of text, each a message. An odd first byte: the connection logs in before."""

    def __init__(self) -> None:
        self._served = Served()
        self._now = 0
        self._scope = {
            "type": "websocket",
            "path": "/v1/ws",
            "raw_path": b"/v1/ws",
            "query_string": b"",
            "headers": [],
            "client": ("127.0.0.1", 1),
            "subprotocols": [],
            "extensions": {},
        }
        seconds = int(time.time())
        account = self._served.orders.order().account
        self._credentials = self._served.gateway.sessions.issue(account, seconds, seconds + 86_400, seconds * 1_000)

    def seeds(self) -> Iterator[bytes]:
        body = self._served.orders.body
        order = json.loads(body(5))
        digest = "0x" + "ab" * 32
        said: list[dict[str, Any]] = [
            {"op": "subscribe", "channel": "book:BTC-USDC", "from": 1},
            {"op": "subscribe", "channel": "fills"},
            {"op": "unsubscribe", "channel": "trades:BTC-USDC"},
            {"op": "ping", "id": "a"},
            {"op": "order", "id": 1, "order": order},
            {"op": "order", "id": 2, "orders": [json.loads(body(6)), {"symbol": "X"}]},
            {"op": "cancel", "id": 3, "orderId": digest, "cancel": {"account": order["account"], "nonce": "1"}},
            {"op": "cancelAll", "id": 4, "symbol": "BTC-USDC"},
            {"op": "login", "key": self._credentials.api_key, "timestamp": 1, "sign": "00" * 32},
        ]
        for start in range(len(said)):
            for first in (b"0", b"1"):
                yield first + b"\n".join(json.dumps(one).encode() for one in said[start : start + 3])

    def __call__(self, content: bytes) -> None:
        self._served.run(self._connect(content))

    async def _connect(self, content: bytes) -> None:
        texts = [line.decode(errors="replace") for line in content[1:].split(b"\n")[:MESSAGES_MAX]]
        if content[:1] and content[0] & 1:
            texts.insert(0, self._login())
        connection = _Conversation(texts)
        await self._served.app(dict(self._scope), connection.receive, connection.send)
        assert connection.closed or connection.answers == len(texts)

    def _login(self) -> str:
        """A mark is good once: no two in one millisecond."""
        self._now = max(self._now + 1, time.time_ns() // 1_000_000 - 20_000)
        key, secret = self._credentials.api_key, self._credentials.secret
        signature = hmac.new(secret.encode(), b"%d" % self._now + LOGIN_REQUEST, hashlib.sha256).hexdigest()
        return json.dumps({"op": "login", "key": key, "timestamp": self._now, "sign": signature})


class _Conversation:
    """A client by ASGI: says everything, hears every answer, goes."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = iter(texts)
        self._wanted = len(texts)
        self._has_connected = False
        self._done = asyncio.Event()
        self.answers = 0
        self.closed = False

    async def receive(self) -> dict[str, Any]:
        if not self._has_connected:
            self._has_connected = True
            return {"type": "websocket.connect"}
        text = next(self._texts, None)
        if text is not None:
            return {"type": "websocket.receive", "text": text}
        if self.answers < self._wanted:
            await self._done.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.close":
            self.closed = True
            self._done.set()
        if message["type"] != "websocket.send":
            return
        answer = msgspec.json.decode(message["text"])
        if "ok" not in answer:
            return
        assert answer["ok"] or answer["error"]["code"] != Code.INTERNAL, answer
        self.answers += 1
        if self.answers == self._wanted:
            self._done.set()


# --- a journal ---


class JournalFile:
    """One segment. An odd first byte: its checksums and hashes are made good before, so that what is behind them is
    reached; a journal may come from an operator whom nobody trusts."""

    def __init__(self) -> None:
        self._samples = _beside("offchain/storage/journal_samples.py", "journal_samples")
        self._folder = scratch()

    def seeds(self) -> Iterator[bytes]:
        for sizes in ((1,), (3, 2), (4, 1, 1)):
            folder = self._folder / "seed"
            self._samples.write(folder, *sizes)
            content = segment_path(folder, 1).read_bytes()
            shutil.rmtree(folder)
            yield b"0" + content
            yield b"1" + content

    def __call__(self, content: bytes) -> None:
        segment = content[1:]
        if content[:1] and content[0] & 1:
            segment = mended(segment)
        folder = self._folder / "journal"
        folder.mkdir(exist_ok=True)
        path = segment_path(folder, 1)
        path.write_bytes(segment)
        try:
            self._check(folder)
        finally:
            shutil.rmtree(folder)

    def _check(self, folder: Path) -> None:
        read = []
        try:
            for record in JournalReader(folder).read():
                read.append(record)
                with contextlib.suppress(InvalidInput):
                    line_of(record)
        except HooatsError:
            return
        try:
            journal = Journal.open(folder, chain_id=self._samples.CHAIN, disk=self._samples.LazyDisk())
        except HooatsError:
            return
        with journal:
            assert journal.last_sequence == (read[-1].sequence if read else 0)


def mended(segment: bytes) -> bytes:
    """With the checksum of its header, and the hashes and checksums of its groups, as its bytes now want them."""
    head = len(journal_frames.SEGMENT_MAGIC) + 4
    if len(segment) < head:
        return segment
    content = bytearray(segment)
    at = head + struct.unpack_from(">I", content, head - 4)[0]
    if at + 4 > len(content):
        return segment
    content[at : at + 4] = zlib.crc32(content[:at]).to_bytes(4)
    at, previous = at + 4, b""
    size = journal_frames.GROUP_HEAD_BYTES
    while at + size <= len(content):
        length = struct.unpack_from(">I", content, at + 20)[0]
        if previous:
            content[at + 24 : at + 56] = previous
        body = bytes(content[at + size : at + size + length])
        previous = hashlib.sha256(bytes(content[at : at + 56]) + body).digest()
        content[at + 56 : at + 88] = previous
        content[at + 88 : at + 92] = zlib.crc32(content[at : at + 88]).to_bytes(4)
        at += size + length
    return bytes(content)


TARGETS: dict[str, type[Target]] = {
    "eip712": SignedOrders,
    "frames": Frames,
    "messages": Messages,
    "journal": JournalFile,
}
