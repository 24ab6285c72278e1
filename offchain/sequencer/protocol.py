"""The message protocol between gateways and the sequencer, without a socket: frames in, frames out.

A frame is length (u32, of what follows), type (u8) and body. Commands travel in their canonical payloads, so that what
is journaled is what was sent, and the feed sends what was journaled; the rest is JSON: amounts do not fit 64 bits.

    client                      server
                                HELLO      on connection: protocol version, chain id, last durable sequence
    SUBMIT(id, commands)        ACKS(id, acks), after the fsync | ERROR(id, message): nothing was sequenced
    FEED(from_sequence)         RECORDS for ever: a durable group each, as it is in the journal, and mostly the digests
                                of its orders | ERROR(0, message)
    FOLLOW(term, ..)            the same before it is acknowledged; the follower says DURABLE(sequence) of what it has
    ROWS(id, form, rows)        RESULTS(id, attestation, results), after the fsync | ERROR(id, message)
    CANCEL(id, named)           CANCELLED(id, what came of it), after the fsync
    RECEIPT(id, sequence)       RECEIPT_IS(id, signature) | ERROR(id, message)
    GROUP_RECEIPT(id, sequence) GROUP_RECEIPT_IS(id, receipt) | ERROR(id, message)

ROWS carries orders and cancels in fixed frames (`domain.order`), RESULTS what became of them (`domain.wire`): no object
is made of either on the way. The attestation is empty if none of them was sequenced now.

Invariant: every frame that leaves the server speaks of durable commands only.
"""

import hmac
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum

import msgspec

from offchain.domain.command import NO_SIGNATURE, Command, decode, encode
from offchain.domain.errors import InvalidInput
from offchain.domain.event import AnyEvent
from offchain.domain.limits import RECORD_BYTES_MAX
from offchain.domain.units import Address, Digest
from offchain.sequencer.receipts import GroupReceipt
from offchain.storage.frames import Damaged, Group, decode_group

PROTOCOL_VERSION = 4
SUBMISSION_COMMANDS_MAX = 1_024
"""A submission never spans groups, so it is well below RECORDS_PER_GROUP_MAX."""
FRAME_BYTES_MAX = 512 * 1024 * 1024
"""Far above any group; a longer one is a broken peer."""

_FRAME_HEAD = struct.Struct(">IB")
_REQUEST_HEAD = struct.Struct(">QI")
_COMMAND_HEAD = struct.Struct(">IBB")
_ROWS_HEAD = struct.Struct(">Q?")
_RESULTS_HEAD = struct.Struct(">QB")
_RESULTS_FRAME = struct.Struct(">IBQB")
_NUMBER = struct.Struct(">Q")
_PAIR = struct.Struct(">QQ")


class FrameType(IntEnum):
    HELLO = 1
    SUBMIT = 2
    ACKS = 3
    ERROR = 4
    FEED = 5
    RECORDS = 6
    RECEIPT = 7
    RECEIPT_IS = 8
    ROWS = 9
    RESULTS = 10
    GROUP_RECEIPT = 11
    GROUP_RECEIPT_IS = 12
    FOLLOW = 13
    DURABLE = 14
    CANCEL = 15
    CANCELLED = 16


_FRAME_TYPES = {int(number): number for number in FrameType}


class Hello(msgspec.Struct, frozen=True):
    """`nonce`: what a follower from elsewhere proves its secret over."""

    version: int
    chain_id: int
    sequence: int
    term: int = 1
    nonce: str = ""


class Follow(msgspec.Struct, frozen=True):
    """Of a standby in its own term; `proof` is 0x-hex of HMAC-SHA256 over the nonce, with the secret of both."""

    from_sequence: int
    term: int
    proof: str = ""


class Ack(msgspec.Struct, frozen=True):
    """The durable result of one command.

    `receipt` (orders) and `approval` (granted approvals) are signatures of the attestation key as 0x-hex, else "".
    `replayed`: the same order was sequenced before; sequence, at, events and receipt are those of the first time. Of an
    order older than the last 65,536 the events show its present state; `sequence` 0 then says that it was rejected at a
    place that is not remembered, and there is no receipt.
    """

    sequence: int
    at: int
    events: tuple[AnyEvent, ...]
    receipt: str = ""
    approval: str = ""
    replayed: bool = False


class NamedCancel(msgspec.Struct, frozen=True):
    """Takes out the order of `account` that has this digest, or without one this client order id. `nonce`: which order
    `signature` is of; None if a session vouches. (0 is a nonce that can be signed, though no order has it.)"""

    account: Address
    digest: Digest = Digest("")
    client_order_id: str = ""
    nonce: int | None = None
    signature: bytes = NO_SIGNATURE


class Cancelled(msgspec.Struct, frozen=True):
    """`order`: as it was before, in the events of `Engine.find_order`; empty if the account has none of that name.
    `ack` is None if nothing was sequenced, because the order is not open or has another nonce."""

    order: tuple[AnyEvent, ...]
    ack: Ack | None = None


class Failure(msgspec.Struct, frozen=True):
    request: int
    message: str
    field: str = ""
    remedy: str = ""


_encode_json = msgspec.json.Encoder().encode
_decode_hello = msgspec.json.Decoder(Hello).decode
_decode_follow = msgspec.json.Decoder(Follow).decode
_decode_failure = msgspec.json.Decoder(Failure).decode
_decode_group_receipt = msgspec.json.Decoder(GroupReceipt).decode
_decode_acks = msgspec.json.Decoder(list[Ack]).decode
_decode_named = msgspec.json.Decoder(NamedCancel).decode
_decode_cancelled = msgspec.json.Decoder(Cancelled).decode


def frame(frame_type: FrameType, *parts: bytes) -> bytes:
    """A whole frame of the concatenated parts."""
    body = b"".join(parts)
    return _FRAME_HEAD.pack(1 + len(body), frame_type) + body


class FrameReader:
    """Cuts a byte stream into (type, body). InvalidInput for a frame that no version of this code sends."""

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._bytes_max = bytes_max

    def feed(self, received: bytes) -> Iterator[tuple[FrameType, bytes]]:
        kept = self._buffer
        if kept:
            kept += received
        buffer = kept or received  # mostly whole frames come, and there is nothing to join
        start, end = 0, len(buffer)
        while end - start >= _FRAME_HEAD.size:
            length, number = _FRAME_HEAD.unpack_from(buffer, start)
            if not 1 <= length <= self._bytes_max:
                raise InvalidInput(f"frame of {length} bytes")
            stop = start + 4 + length
            if stop > end:
                break
            frame_type = _FRAME_TYPES.get(number)
            if frame_type is None:
                raise InvalidInput(f"unknown frame type {number}", remedy="Run one version everywhere")
            yield frame_type, bytes(buffer[start + _FRAME_HEAD.size : stop])
            start = stop
        if kept:
            del kept[:start]
        elif start < end:
            kept += received[start:]


def hello_frame(hello: Hello) -> bytes:
    return frame(FrameType.HELLO, _encode_json(hello))


def read_hello(body: bytes) -> Hello:
    return _decode_hello(body)


def submit_frame(request: int, commands: Sequence[Command]) -> bytes:
    """InvalidInput if there are no commands, too many, or one that the journal would not take."""
    if not 0 < len(commands) <= SUBMISSION_COMMANDS_MAX:
        raise InvalidInput(f"submission of {len(commands)} commands", remedy=f"Send 1 to {SUBMISSION_COMMANDS_MAX}")
    parts = [_REQUEST_HEAD.pack(request, len(commands))]
    for command in commands:
        kind, version, payload = encode(command)
        if len(payload) > RECORD_BYTES_MAX:
            raise InvalidInput(f"command of {len(payload)} bytes", remedy=f"At most {RECORD_BYTES_MAX}")
        parts.append(_COMMAND_HEAD.pack(len(payload), kind, version))
        parts.append(payload)
    return frame(FrameType.SUBMIT, *parts)


def read_submit(body: bytes) -> tuple[int, list[Command]]:
    """(request, commands). InvalidInput carries nothing about the request: see `request_of`."""
    try:
        request, count = _REQUEST_HEAD.unpack_from(body)
        if not 0 < count <= SUBMISSION_COMMANDS_MAX:
            raise InvalidInput(f"submission of {count} commands")
        commands, position = [], _REQUEST_HEAD.size
        for _ in range(count):
            length, kind, version = _COMMAND_HEAD.unpack_from(body, position)
            position += _COMMAND_HEAD.size
            payload = body[position : position + length]
            position += length
            if len(payload) != length or length > RECORD_BYTES_MAX:
                raise InvalidInput(f"command of {length} bytes")
            commands.append(decode(kind, version, payload))
    except struct.error as error:
        raise InvalidInput(f"submission does not decode: {error}") from error
    if position != len(body):
        raise InvalidInput("submission is longer than its commands")
    return request, commands


def request_of(body: bytes) -> int:
    """The request id that opens the bodies of all frames but HELLO, ERROR, FEED and RECORDS; 0 if there is none."""
    return int(_NUMBER.unpack_from(body)[0]) if len(body) >= _NUMBER.size else 0


def acks_frame(request: int, acks: Sequence[Ack]) -> bytes:
    return frame(FrameType.ACKS, _NUMBER.pack(request), _encode_json(acks))


def read_acks(body: bytes) -> tuple[int, list[Ack]]:
    return request_of(body), _decode_acks(body[_NUMBER.size :])


def cancel_frame(request: int, named: NamedCancel) -> bytes:
    return frame(FrameType.CANCEL, _NUMBER.pack(request), _encode_json(named))


def read_cancel(body: bytes) -> tuple[int, NamedCancel]:
    try:
        return request_of(body), _decode_named(body[_NUMBER.size :])
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"CANCEL does not decode: {error}") from None


def cancelled_frame(request: int, cancelled: Cancelled) -> bytes:
    return frame(FrameType.CANCELLED, _NUMBER.pack(request), _encode_json(cancelled))


def read_cancelled(body: bytes) -> tuple[int, Cancelled]:
    return request_of(body), _decode_cancelled(body[_NUMBER.size :])


def error_frame(failure: Failure) -> bytes:
    return frame(FrameType.ERROR, _encode_json(failure))


def read_error(body: bytes) -> Failure:
    return _decode_failure(body)


def feed_frame(from_sequence: int) -> bytes:
    return frame(FrameType.FEED, _NUMBER.pack(from_sequence))


def read_feed(body: bytes) -> int:
    if len(body) != _NUMBER.size:
        raise InvalidInput("FEED has another length")
    return request_of(body)


def records_frame(group: bytes, digests: bytes = b"") -> bytes:
    """A group as `Journal.append` wrote it, and the digests of its orders behind it, if they are known: readers need
    them, and would hash every order again."""
    return frame(FrameType.RECORDS, group, digests)


def read_records(body: bytes) -> Group:
    """InvalidInput if it is not what its hash says. The digests are believed, if there are any."""
    try:
        return decode_group(body)
    except Damaged as damage:
        raise InvalidInput(f"a group of the feed does not read: {damage.what}") from damage


def rows_frame(request: int, rows: bytes, *, is_bulk: bool) -> bytes:
    """Signed frames one after the other, or (`is_bulk`) bulk frames."""
    return frame(FrameType.ROWS, _ROWS_HEAD.pack(request, is_bulk), rows)


def split_rows(body: bytes) -> tuple[int, bool, bytes]:
    """(request, whether they are bulk frames, rows): as they came, see `rows.read_rows`."""
    if len(body) < _ROWS_HEAD.size:
        raise InvalidInput("ROWS is too short")
    request, is_bulk = _ROWS_HEAD.unpack_from(body)
    return request, is_bulk, body[_ROWS_HEAD.size :]


def results_frame(request: int, attestation: bytes, results: bytes) -> bytes:
    length = _RESULTS_FRAME.size - 4 + len(attestation) + len(results)
    return _RESULTS_FRAME.pack(length, FrameType.RESULTS, request, len(attestation)) + attestation + results


def read_results(body: bytes) -> tuple[int, bytes, bytes]:
    """(request, attestation, results)."""
    request, length = _RESULTS_HEAD.unpack_from(body)
    start = _RESULTS_HEAD.size + length
    return request, body[_RESULTS_HEAD.size : start], body[start:]


def group_receipt_frame(request: int, sequence: int) -> bytes:
    return frame(FrameType.GROUP_RECEIPT, _PAIR.pack(request, sequence))


def group_receipt_is_frame(request: int, receipt: GroupReceipt) -> bytes:
    return frame(FrameType.GROUP_RECEIPT_IS, _NUMBER.pack(request), _encode_json(receipt))


def read_group_receipt_is(body: bytes) -> tuple[int, GroupReceipt]:
    return request_of(body), _decode_group_receipt(body[_NUMBER.size :])


def follow_frame(follow: Follow) -> bytes:
    return frame(FrameType.FOLLOW, _encode_json(follow))


def read_follow(body: bytes) -> Follow:
    try:
        return _decode_follow(body)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"FOLLOW does not decode: {error}") from None


def prove(secret: bytes, nonce: str) -> str:
    return hmac.digest(secret, b"follow" + nonce.encode(), "sha256").hex()


def durable_frame(sequence: int) -> bytes:
    return frame(FrameType.DURABLE, _NUMBER.pack(sequence))


def read_durable(body: bytes) -> int:
    if len(body) != _NUMBER.size:
        raise InvalidInput("DURABLE has another length")
    return request_of(body)


def receipt_frame(request: int, sequence: int) -> bytes:
    return frame(FrameType.RECEIPT, _PAIR.pack(request, sequence))


def read_receipt(body: bytes) -> tuple[int, int]:
    """Of GROUP_RECEIPT, too."""
    if len(body) != _PAIR.size:
        raise InvalidInput("RECEIPT has another length")
    request, sequence = _PAIR.unpack(body)
    return request, sequence


def receipt_is_frame(request: int, signature: str) -> bytes:
    return frame(FrameType.RECEIPT_IS, _NUMBER.pack(request), signature.encode())


def read_receipt_is(body: bytes) -> tuple[int, str]:
    return request_of(body), body[_NUMBER.size :].decode()
