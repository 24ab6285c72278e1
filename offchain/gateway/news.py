"""The message protocol between gateways and the publisher, without a socket: over one stream, in order.

A message is its length (u32) and MessagePack; what may not fit 64 bits travels as JSON inside it.

    gateway                                   publisher
                                              STANDING on connection, then whenever the directory changes
    SUBSCRIBE(number, channel, start)         BEGUN(number, what was missed, or a snapshot), and from then on
                                              UPDATES of that channel, encoded once for everybody
    UNSUBSCRIBE(channel)
    ASK(number, what, arguments, after)       ANSWERED(number, ..), from a model that includes command `after`
    AWAIT(sequence)                           UPDATES, also empty ones, until one says that it is reached

Invariant: messages of a channel come in the order of their sequences, and what comes after BEGUN continues it. So a
gateway hands on what comes, and computes nothing.
"""

import struct
from collections.abc import Iterator

import msgspec

from offchain.domain.errors import InvalidInput

LENGTH_MAX = 1 << 30
"""Far above a directory of a million accounts; a longer message is a broken peer."""
_LENGTH = struct.Struct(">I")


class News(msgspec.Struct, frozen=True, array_like=True):
    """Base of all."""


class Subscribe(News, frozen=True, array_like=True, tag=1):
    """`account` of a private channel; `start`: the sequence to resume from, None for a snapshot."""

    number: int
    channel: str
    account: str | None
    start: int | None


class Unsubscribe(News, frozen=True, array_like=True, tag=2):
    channel: str
    account: str | None


class Ask(News, frozen=True, array_like=True, tag=3):
    """`arguments` is JSON."""

    number: int
    what: str
    arguments: bytes
    after: int


class Await(News, frozen=True, array_like=True, tag=4):
    sequence: int


class Standing(News, frozen=True, array_like=True, tag=11):
    """All of the directory, or what is new in it. `events` is JSON. `journal` changes when what was told is void."""

    is_all: bool
    journal: int
    sequence: int
    at: int
    events: bytes
    accounts: list[str]


class Updates(News, frozen=True, array_like=True, tag=12):
    """(channel, account, seq, text) of what changed until `sequence`."""

    sequence: int
    at: int
    messages: list[tuple[str, str | None, int, str]]


class Begun(News, frozen=True, array_like=True, tag=13):
    """(seq, text): if `is_resumed` all that was missed, else one snapshot; nothing if there is no such channel."""

    number: int
    is_resumed: bool
    messages: list[tuple[int, str]]


class Answered(News, frozen=True, array_like=True, tag=14):
    """`body` is JSON: the answer, or what is wrong (`failures.Problem`)."""

    number: int
    is_failure: bool
    body: bytes


AnyNews = Subscribe | Unsubscribe | Ask | Await | Standing | Updates | Begun | Answered

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AnyNews).decode


def encode(news: AnyNews) -> bytes:
    content = _encode(news)
    return _LENGTH.pack(len(content)) + content


class NewsReader:
    """Cuts a byte stream into messages. InvalidInput for what no version of this code sends."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, received: bytes) -> Iterator[AnyNews]:
        buffer = self._buffer
        buffer += received
        start, end = 0, len(buffer)
        while end - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > LENGTH_MAX:
                raise InvalidInput(f"a message of {length} bytes")
            stop = start + _LENGTH.size + length
            if stop > end:
                break
            try:
                yield _decode(memoryview(buffer)[start + _LENGTH.size : stop].tobytes())
            except msgspec.MsgspecError as error:
                raise InvalidInput(f"a message does not decode: {error}", remedy="Run one version everywhere") from None
            start = stop
        del buffer[:start]
