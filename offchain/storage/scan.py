"""A journal folder: its segments, where their good part ends, and whether what follows is a torn tail or a loss.

Invariant: nothing here writes. Zeros up to a segment's end are its end. A torn tail is other bytes at the end of the
last segment that no complete group follows; a crash leaves it, because a group is only written after the fsync of the
one before. Everything else that does not read is JournalCorrupt.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from offchain.domain.errors import JournalCorrupt
from offchain.storage import frames
from offchain.storage.frames import Damaged, GroupHead, Record, SegmentHeader

SUFFIX = ".journal"
MARKER = "archived.json"
RESTORE = "Restore the folder from a backup; do not delete or cut anything by hand"


class Tail(NamedTuple):
    """The good end of a journal. `path` is None while there is no segment to append to.

    `cut_segment` has more than its good bytes, or none: a torn tail, of `torn_bytes`, or zeros.
    """

    path: Path | None
    good_bytes: int
    torn_bytes: int
    cut_segment: Path | None
    last_sequence: int
    last_at: int
    last_hash: bytes


class Archived(msgspec.Struct, frozen=True):
    """What the marker in a journal's folder says: these sequences are elsewhere, and `hash` is their last group's."""

    first: int
    last: int
    hash: str


_decode_archived = msgspec.json.Decoder(Archived).decode

EMPTY = Tail(None, 0, 0, None, 0, 0, frames.NO_HASH)


def archived(folder: Path) -> Archived | None:
    """None if nothing was archived. JournalCorrupt for a damaged marker."""
    try:
        return _decode_archived((folder / MARKER).read_bytes())
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise JournalCorrupt(f"{folder / MARKER}: {error}", remedy=RESTORE) from None


def segment_path(folder: Path, first_sequence: int) -> Path:
    return folder / f"{first_sequence:020d}{SUFFIX}"


def segments(folder: Path) -> list[tuple[int, Path]]:
    """(first sequence, path), ascending. JournalCorrupt for a segment whose name is no sequence."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        if not path.stem.isdigit():
            raise JournalCorrupt(f"{path}: not the name of a segment", remedy="Move it out of the journal's folder")
        found.append((int(path.stem), path))
    return sorted(found)


def corrupt(path: Path, offset: int, what: str) -> JournalCorrupt:
    return JournalCorrupt(f"{path} at byte {offset}: {what}", remedy=RESTORE)


def check_header(header: SegmentHeader, path: Path, first: int, previous_hash: bytes | None, chain_id: int) -> None:
    """JournalCorrupt unless the segment stands where its name says, after `previous_hash` (None: unknown)."""
    if header.version != frames.FORMAT_VERSION:
        raise JournalCorrupt(f"{path}: unknown format version {header.version}", remedy="Run a newer hooats")
    if header.first_sequence != first:
        raise corrupt(path, 0, f"the header says sequence {header.first_sequence}, the name {first}")
    if previous_hash is not None and header.previous_hash != previous_hash.hex():
        raise corrupt(path, 0, "the segment does not continue the one before it")
    if chain_id and header.chain_id != chain_id:
        raise corrupt(path, 0, f"the segment belongs to chain {header.chain_id}, not {chain_id}")


def check_link(head: GroupHead, path: Path, offset: int, expected: int, previous_hash: bytes) -> None:
    """JournalCorrupt unless this intact head continues the chain."""
    if head.first != expected:
        raise corrupt(path, offset, f"a group starts at sequence {head.first} where {expected} belongs")
    if head.previous != previous_hash:
        raise corrupt(path, offset, "a group does not continue the chain of hashes")


def find_group(segment: bytes, start: int) -> int | None:
    """Offset of the next intact group head at or after `start`: evidence that what is before it was once durable."""
    while (start := segment.find(frames.GROUP_MAGIC, start)) >= 0:
        try:
            frames.decode_group_head(segment, start)
        except Damaged:
            start += 1
        else:
            return start
    return None


def is_end(segment: bytes, offset: int) -> bool:
    """Whether only zeros follow, or nothing."""
    return segment[offset:] == bytes(len(segment) - offset)


def groups(segment: bytes, path: Path, offset: int, expected: int, previous: bytes) -> Iterator[tuple[int, GroupHead]]:
    """(offset, head) of every intact group of the chain. Damaged at the first place that is not one, unless it is the
    end."""
    while offset < len(segment):
        try:
            head = frames.decode_group_head(segment, offset)
        except Damaged:
            if is_end(segment, offset):
                return
            raise
        check_link(head, path, offset, expected, previous)
        frames.check_group_body(segment, offset, head)
        yield offset, head
        offset += frames.GROUP_HEAD_BYTES + head.body_bytes
        expected, previous = head.first + head.size, head.hash


def scan(folder: Path, chain_id: int = 0) -> Tail:
    """Checks every byte. JournalCorrupt for anything but a torn tail; `chain_id` 0 accepts any."""
    tail, chain = EMPTY, chain_id
    found = segments(folder)
    for position, (first, path) in enumerate(found):
        gone = archived(folder) if first != tail.last_sequence + 1 else None
        if gone is not None and gone.first == tail.last_sequence + 1:
            if first <= gone.last:
                continue  # it is in the archive already, and was about to go
            tail = tail._replace(last_sequence=gone.last, last_hash=bytes.fromhex(gone.hash))
        if first != tail.last_sequence + 1:
            missing = f"sequences {tail.last_sequence + 1} to {first - 1}"
            raise corrupt(path, 0, f"the segment of {missing} is missing before this one")
        last = position == len(found) - 1
        segment = path.read_bytes()
        try:
            header, start = frames.decode_segment_header(segment)
        except Damaged as damage:
            if last and find_group(segment, 0) is None:
                return tail._replace(torn_bytes=len(segment), cut_segment=path)
            raise corrupt(path, damage.offset, damage.what) from None
        check_header(header, path, first, tail.last_hash, chain)
        chain = header.chain_id
        tail = _scan_segment(segment, path, start, tail, last)
    return tail


def tail_of(path: Path) -> Tail:
    """Where the first segment ends, if it is a closed one."""
    content = path.read_bytes()
    header, start = frames.decode_segment_header(content)
    check_header(header, path, 1, frames.NO_HASH, 0)
    return _scan_segment(content, path, start, EMPTY, last=False)


def _scan_segment(segment: bytes, path: Path, start: int, before: Tail, last: bool) -> Tail:
    good, newest = start, None
    try:
        for offset, head in groups(segment, path, start, before.last_sequence + 1, before.last_hash):
            good = offset + frames.GROUP_HEAD_BYTES + head.body_bytes
            newest = offset, head
    except Damaged as damage:
        after = find_group(segment, good + 1)
        if after is not None:
            raise corrupt(path, good, f"{damage.what}, and an intact group follows at byte {after}") from None
        if not last:
            raise corrupt(path, good, f"{damage.what}, and this is not the last segment") from None
    torn = 0 if is_end(segment, good) else len(segment) - good
    if newest is None:
        last_known = before.last_sequence, before.last_at, before.last_hash
    else:
        record = last_record(segment, *newest)
        last_known = record.sequence, record.at, newest[1].hash
    return Tail(path, good, torn, path if len(segment) > good else None, *last_known)


def last_record(segment: bytes | memoryview, offset: int, head: GroupHead) -> Record:
    body = frames.check_group_body(segment, offset, head)
    *_, record = frames.decode_records(body, head)
    return record
