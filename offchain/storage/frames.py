"""The bytes of a journal: segment headers, groups and records; no file is opened here.

    segment  = magic[8] length[4] JSON[length] crc32[4]  group*
    group    = head[92] record*
    head     = magic[4] version[1] 0[3] first[8] count[4] bytes[4] previous hash[32] hash[32] crc32[4]
    record   = length[4] kind[1] version[1] sequence[8] at[8] payload[length]     (domain.command.record_bytes)

Big-endian. A group's hash is sha256 over the head up to and with the previous hash, and the records: the chain. The
crc32 covers the head before it, so that a reader may skip a group by its length without hashing it.

Invariant: whatever these functions accept is what some version of this code wrote, byte for byte. They do not know
whether a damaged place is a torn tail or a loss: see `scan`.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from offchain.domain.command import RECORD_HEAD, Codec, bytes_max
from offchain.domain.errors import JournalCorrupt
from offchain.domain.limits import RECORD_BYTES_MAX

SEGMENT_MAGIC = b"HOOATSJ1"
GROUP_MAGIC = b"HGRP"
FORMAT_VERSION = 1
DIGEST_BYTES = 32
NO_HASH = bytes(32)
"""Stands for the group before the first."""

_LENGTH = struct.Struct(">I")
_HEAD = struct.Struct(">4sB3xQII32s32sI")
GROUP_HEAD_BYTES = _HEAD.size
_HASHED_HEAD = struct.Struct(">4sB3xQII32s")
_CHECKED_BYTES = _HEAD.size - 4
SEGMENT_HEADER_BYTES_MAX = 64 * 1024


class Damaged(Exception):
    """These bytes are no segment header or group; `what` says why, `offset` where in the given bytes."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.what = what
        self.offset = offset


class Record(NamedTuple):
    """One command as the journal keeps it; `at` in unix milliseconds."""

    kind: int
    version: int
    sequence: int
    at: int
    payload: bytes


class GroupHead(NamedTuple):
    first: int
    size: int
    body_bytes: int
    previous: bytes
    hash: bytes


class Group(NamedTuple):
    """A durable group as it stands in the journal: `content` is head and records.

    `digests` are not in the journal: those of its orders, 32 bytes each, in their order. Empty if whoever handed the
    group on did not say them; who needs one then computes it.
    """

    head: GroupHead
    content: bytes
    digests: bytes = b""

    @property
    def first(self) -> int:
        return self.head.first

    @property
    def last(self) -> int:
        return self.head.first + self.head.size - 1

    @property
    def body(self) -> memoryview:
        """The records."""
        return memoryview(self.content)[GROUP_HEAD_BYTES:]

    def records(self) -> Iterator[Record]:
        return decode_records(self.body, self.head)


class SegmentHeader(msgspec.Struct, frozen=True, rename="camel"):
    """`fields`: the record kinds of the code that wrote the segment; `previous_hash` closes the segment before."""

    version: int
    chain_id: int
    first_sequence: int
    previous_hash: str
    fields: dict[str, str]


_decode_header = msgspec.json.Decoder(SegmentHeader).decode


def encode_segment_header(chain_id: int, first_sequence: int, previous_hash: bytes) -> bytes:
    fields = {str(kind): layout for kind, layout in Codec.FIELDS.items()}
    header = SegmentHeader(FORMAT_VERSION, chain_id, first_sequence, previous_hash.hex(), fields)
    text = msgspec.json.encode(header)
    prefix = SEGMENT_MAGIC + _LENGTH.pack(len(text)) + text
    return prefix + _LENGTH.pack(zlib.crc32(prefix))


def decode_segment_header(segment: bytes | memoryview) -> tuple[SegmentHeader, int]:
    """(header, offset of the first group). Damaged if it is incomplete or was changed."""
    start = len(SEGMENT_MAGIC) + _LENGTH.size
    if len(segment) < start:
        raise Damaged("segment header is incomplete", 0)
    if segment[: len(SEGMENT_MAGIC)] != SEGMENT_MAGIC:
        raise Damaged("segment has no magic", 0)
    (length,) = _LENGTH.unpack_from(segment, len(SEGMENT_MAGIC))
    stop = start + length
    if length > SEGMENT_HEADER_BYTES_MAX or len(segment) < stop + _LENGTH.size:
        raise Damaged("segment header is incomplete", len(SEGMENT_MAGIC))
    if _LENGTH.unpack_from(segment, stop)[0] != zlib.crc32(segment[:stop]):
        raise Damaged("segment header fails its checksum", start)
    try:
        header = _decode_header(bytes(segment[start:stop]))
        bytes.fromhex(header.previous_hash)
    except (msgspec.MsgspecError, ValueError) as error:  # what is no UTF-8 is a ValueError
        raise Damaged(f"segment header does not decode: {error}", start) from error
    return header, stop + _LENGTH.size


class Body:
    """The records of a group that is being filled, as they will stand in it: numbered without a gap, their times never
    falling."""

    def __init__(self) -> None:
        self.first = self.first_at = 0
        """Of the first record; 0 while there is none."""
        self.count = 0
        self.at = 0
        """Of the last record."""
        self.parts: list[bytes] = []

    @property
    def last(self) -> int:
        return self.first + self.count - 1

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Body":
        body = cls()
        for record in records:
            body.add(record)
        return body

    def add(self, record: Record) -> None:
        size = len(record.payload)
        assert size <= RECORD_BYTES_MAX or size <= bytes_max(record.kind, record.payload), (record.kind, size)
        head = RECORD_HEAD.pack(size, record.kind, record.version, record.sequence, record.at)
        self.extend((head, record.payload), 1, record.sequence, record.at)

    def extend(self, parts: Sequence[bytes], count: int, first: int, at: int) -> None:
        """So many records of one instant, numbered from `first`. `parts`: heads and payloads, as `add` has them."""
        if not self.count:
            self.first, self.first_at = first, at
        assert first == self.last + 1, first
        assert at >= self.at, at
        self.parts += parts
        self.count += count
        self.at = at

    def seal(self, previous_hash: bytes) -> tuple[bytes, bytes]:
        """(bytes of the group, its hash)."""
        body = b"".join(self.parts)
        hashed = _HASHED_HEAD.pack(GROUP_MAGIC, FORMAT_VERSION, self.first, self.count, len(body), previous_hash)
        digest = hashlib.sha256(hashed)
        digest.update(body)
        checked = hashed + digest.digest()
        return b"".join((checked, _LENGTH.pack(zlib.crc32(checked)), body)), checked[-32:]


def decode_group_head(segment: bytes | memoryview, offset: int) -> GroupHead:
    """Damaged if it is incomplete or was changed; the records are not looked at."""
    if len(segment) - offset < GROUP_HEAD_BYTES:
        raise Damaged("group head is incomplete", offset)
    magic, version, first, count, length, previous, group_hash, checksum = _HEAD.unpack_from(segment, offset)
    if magic != GROUP_MAGIC:
        raise Damaged("group has no magic", offset)
    if checksum != zlib.crc32(segment[offset : offset + _CHECKED_BYTES]):
        raise Damaged("group head fails its checksum", offset)
    if version != FORMAT_VERSION:
        raise Damaged(f"group has unknown version {version}", offset)
    if not count:
        raise Damaged("group has no records", offset)
    return GroupHead(first, count, length, previous, group_hash)


def check_group_body(segment: bytes | memoryview, offset: int, head: GroupHead) -> memoryview:
    """The group's records, once they match its hash; Damaged otherwise. `offset` is that of the head."""
    start = offset + GROUP_HEAD_BYTES
    body = memoryview(segment)[start : start + head.body_bytes]
    if len(body) != head.body_bytes:
        raise Damaged("group is incomplete", offset)
    hashed = _HASHED_HEAD.pack(GROUP_MAGIC, FORMAT_VERSION, head.first, head.size, head.body_bytes, head.previous)
    digest = hashlib.sha256(hashed)
    digest.update(body)
    if digest.digest() != head.hash:
        raise Damaged("group does not match its hash", offset)
    return body


def decode_group(content: bytes) -> Group:
    """One whole group that came from somewhere else, and the digests behind it; Damaged if it is not what its hash
    says. Digests are believed."""
    head = decode_group_head(content, 0)
    stop = GROUP_HEAD_BYTES + head.body_bytes
    digests = content[stop:]
    if len(digests) % DIGEST_BYTES or len(digests) > head.size * DIGEST_BYTES:
        raise Damaged("group has another length", 0)
    check_group_body(content, 0, head)
    return Group(head, content[:stop], digests)


def decode_records(body: memoryview, head: GroupHead) -> Iterator[Record]:
    """The records of a body that matched its hash. JournalCorrupt for what no version of this code writes: who made the
    hash may be an operator that somebody checks."""
    position, sequence = 0, head.first
    for _ in range(head.size):
        try:
            length, kind, version, stamped, at = RECORD_HEAD.unpack_from(body, position)
        except struct.error:
            raise _unwritten(head, f"it ends before record {sequence}") from None
        start = position + RECORD_HEAD.size
        position = start + length
        if stamped != sequence or position > len(body):
            raise _unwritten(head, f"record {sequence} is not where it belongs")
        yield Record(kind, version, sequence, at, bytes(body[start:position]))
        sequence += 1
    if position != len(body):
        raise _unwritten(head, "it has more than its records")


def _unwritten(head: GroupHead, what: str) -> JournalCorrupt:
    remedy = "Whoever gave you this journal made it by other means"
    return JournalCorrupt(f"the group of sequence {head.first} has the hash it claims, but {what}", remedy=remedy)
