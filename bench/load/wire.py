"""Blocking sockets that speak the venue's two ways in, with as little between the bytes and the caller as can be.

A frame is ready before the clock starts; WebSocket frames carry a mask of zeros, which leaves the bytes as they are.
`receive` takes what is there, and gives the answers that it completes. One thread owns a connection.
"""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Iterator
from typing import Protocol

import msgspec

from offchain.domain.eip712 import bulk_digest, bulk_levels, frame_struct_hash
from offchain.domain.order import ORDER_FRAME_BYTES
from offchain.domain.wire import HEAD, RESULT_BYTES, STATUSES, VERSION, MessageKind
from offchain.security.signatures import sign

RECEIVE_BYTES = 1 << 18
TIMEOUT_SECONDS = 30.0


class Answer(msgspec.Struct):
    """One answer of `/v1/ws`; of an array `results` says how each order fared."""

    op: str | None = None
    id: int | None = None
    ok: bool = False
    results: list[Answer] | None = None
    error: msgspec.Raw = msgspec.Raw()


class Replied(Exception):
    """The venue said something that no order is answered with; the message has it."""


_decode = msgspec.json.Decoder(Answer).decode
_decode_results = msgspec.json.Decoder(Answer | list[Answer]).decode


class Connection(Protocol):
    """`window`: how many frames may be unanswered."""

    socket: socket.socket
    window: int

    def frame(self, number: int, orders: list[bytes]) -> bytes: ...

    def send(self, number: int, content: bytes) -> None:
        """Frames, the last of them with that number."""
        ...

    def receive(self) -> list[tuple[int, bytes]]:
        """Numbers of frames, and a byte for each of their orders: 1 if it was accepted, else 0."""
        ...


def _connected(host: str, port: int) -> socket.socket:
    found = socket.create_connection((host, port), TIMEOUT_SECONDS)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


class WebSocket:
    """`/v1/ws`: many frames may be under way, answers come in any order."""

    def __init__(self, host: str, port: int, window: int = 16) -> None:
        self.window = window
        self.socket = _connected(host, port)
        self._buffer = bytearray()
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET /v1/ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.socket.sendall(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        while b"\r\n\r\n" not in self._buffer:
            self._read()
        status, _, rest = bytes(self._buffer).partition(b"\r\n")
        if b" 101 " not in status:
            raise Replied(status.decode())
        self._buffer = bytearray(rest.partition(b"\r\n\r\n")[2])

    def frame(self, number: int, orders: list[bytes]) -> bytes:
        if len(orders) == 1:
            text = b'{"op":"order","id":%d,"order":%s}' % (number, orders[0])
        else:
            text = b'{"op":"order","id":%d,"orders":[%s]}' % (number, b",".join(orders))
        return _text_frame(text)

    def send(self, number: int, frame: bytes) -> None:
        self.socket.sendall(frame)

    def receive(self) -> list[tuple[int, bytes]]:
        found = []
        for opcode, payload in self._messages():
            if opcode == 1:
                answer = _decode(payload)
                if answer.op == "order" and answer.id is not None:
                    results = [answer] if answer.results is None else answer.results
                    found.append((answer.id, bytes(one.ok for one in results)))
                elif not answer.ok and answer.error:
                    raise Replied(bytes(answer.error).decode())
            elif opcode == 2:
                found.append(packed_answer(payload))
        return found

    def ask(self, text: bytes) -> None:
        """Waits for the answer of a request without an id; `Replied` if it is refused."""
        self.socket.sendall(_text_frame(text))
        while True:
            for opcode, payload in self._messages():
                answer = _decode(payload) if opcode == 1 else Answer()
                if answer.op is not None and not answer.ok:
                    raise Replied(bytes(answer.error).decode())
                if answer.op is not None:
                    return

    def throw_away(self) -> None:
        """What is there, unread."""
        for _ in self._messages():
            pass

    def _read(self) -> None:
        part = self.socket.recv(RECEIVE_BYTES)
        if not part:
            raise Replied("the venue closed the connection")
        self._buffer += part

    def _messages(self) -> Iterator[tuple[int, bytes]]:
        """(opcode, payload) of the whole frames that one read completes; pings are answered."""
        self._read()
        buffer, at = self._buffer, 0
        end = len(buffer)
        while end - at >= 2:
            length, start = buffer[at + 1] & 127, at + 2
            if length >= 126:
                width = 2 if length == 126 else 8
                start += width
                if end < start:
                    break
                length = int.from_bytes(buffer[start - width : start], "big")
            if end < start + length:
                break
            opcode, payload = buffer[at] & 15, bytes(buffer[start : start + length])
            at = start + length
            if opcode == 9:
                self.socket.sendall(_control_frame(10, payload))
            elif opcode == 8:
                raise Replied(f"closed: {payload[2:].decode(errors='replace')}")
            else:
                yield opcode, payload
        del buffer[:at]


class Packed(WebSocket):
    """The same stream with orders in fixed frames."""

    def frame(self, number: int, orders: list[bytes]) -> bytes:
        head = HEAD.pack(VERSION, MessageKind.ORDERS, len(orders), number)
        return _message(0x82, head + b"".join(orders))


class Bulk(WebSocket):
    """The same with one signature of an agent, `key`, for all orders of a message."""

    def __init__(self, host: str, port: int, window: int, key: bytes, separator: bytes) -> None:
        super().__init__(host, port, window)
        self._key, self._separator = key, separator

    def frame(self, number: int, orders: list[bytes]) -> bytes:
        frames = [order[:ORDER_FRAME_BYTES] for order in orders]
        root = bulk_levels([frame_struct_hash(frame) for frame in frames])[-1][0]
        signature = sign(bulk_digest(self._separator, root), self._key)
        head = HEAD.pack(VERSION, MessageKind.BULK, len(orders), number)
        return _message(0x82, head + signature + b"".join(frames))


_IS_ACCEPTED = bytes(status not in (STATUSES["rejected"], STATUSES["unknown"]) for status in range(256))
"""By status."""
_STATUS_AT = HEAD.size + 16


def packed_answer(payload: bytes) -> tuple[int, bytes]:
    """A message that is refused as a whole is answered once."""
    _, kind, count, number = HEAD.unpack_from(payload)
    if kind != MessageKind.RESULTS:
        return number, bytes(1)
    return number, payload[_STATUS_AT : HEAD.size + count * RESULT_BYTES : RESULT_BYTES].translate(_IS_ACCEPTED)


def _text_frame(text: bytes) -> bytes:
    return _message(0x81, text)


def _message(opcode: int, content: bytes) -> bytes:
    length = len(content)
    if length < 126:
        head = bytes((opcode, 0x80 | length))
    elif length < 1 << 16:
        head = bytes((opcode, 0xFE)) + length.to_bytes(2, "big")
    else:
        head = bytes((opcode, 0xFF)) + length.to_bytes(8, "big")
    return head + bytes(4) + content


def _control_frame(opcode: int, payload: bytes) -> bytes:
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload


class Rest:
    """`POST /v1/orders` over one connection that stays open: one request at a time."""

    def __init__(self, host: str, port: int) -> None:
        self.window = 1
        self.socket = _connected(host, port)
        self._host = f"{host}:{port}"
        self._buffer = bytearray()
        self._number = 0

    def frame(self, number: int, orders: list[bytes]) -> bytes:
        body = orders[0] if len(orders) == 1 else b"[" + b",".join(orders) + b"]"
        head = f"POST /v1/orders HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def send(self, number: int, frame: bytes) -> None:
        self._number = number
        self.socket.sendall(frame)

    def receive(self) -> list[tuple[int, bytes]]:
        part = self.socket.recv(RECEIVE_BYTES)
        if not part:
            raise Replied("the venue closed the connection")
        self._buffer += part
        head, separator, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not separator:
            return []
        lines = head.split(b"\r\n")
        lengths = [line.split(b":")[1] for line in lines if line.lower().startswith(b"content-length:")]
        if not lengths:
            raise Replied(lines[0].decode())
        length = int(lengths[0])
        if len(rest) < length:
            return []
        self._buffer = bytearray(rest[length:])
        return [(self._number, _outcomes(lines[0], rest[:length]))]


def _outcomes(status: bytes, body: bytes) -> bytes:
    """An array answers item by item; 429 and the like are refusals."""
    answer = _decode_results(body)
    is_ok = b" 200 " in status or b" 201 " in status or b" 207 " in status
    if isinstance(answer, Answer):
        results = answer.results
        return bytes((is_ok and not answer.error,)) if results is None else bytes(one.ok for one in results)
    return bytes(one.ok for one in answer)
