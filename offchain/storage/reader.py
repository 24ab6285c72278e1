"""Reads a journal while its writer may be appending to it; used for replay, by the projector and by `inspect`.

Invariant: read-only, and only whole groups whose hash and place in the chain are right are ever yielded. `follow`
yields durable groups only. JournalCorrupt names the file and byte of anything else.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from offchain.domain.errors import InvalidInput
from offchain.storage import frames, scan
from offchain.storage.frames import GROUP_HEAD_BYTES, Damaged, Group, GroupHead, Record
from offchain.storage.journal import durable_sequence

__all__ = ["Group", "JournalReader", "Record"]

READ_BYTES = 1 << 22
FIRST_READ_BYTES = 1 << 16
"""Who is close behind the writer finds little, and then zeros; who finds a chunk full of groups reads twice as much."""


class JournalReader:
    """A folder; every `read` and `follow` has a position of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, from_sequence: int = 1) -> Iterator[Record]:
        """Every record from there to the end of the complete groups, durable or not: for recovery and offline use."""
        for group in self.groups(from_sequence):
            for record in group.records():
                if record.sequence >= from_sequence:
                    yield record

    def groups(self, from_sequence: int = 1) -> Iterator[Group]:
        """The same as whole groups; the first is the one that holds `from_sequence`."""
        position = _Position(self.folder, from_sequence)
        while groups := position.next_groups(None):
            yield from groups

    def follow(self, from_sequence: int = 1) -> Iterator[list[Record]]:
        """For ever: the records that became durable since, or [] when there are none (the caller waits)."""
        for groups in self.follow_groups(from_sequence):
            yield [r for group in groups for r in group.records() if r.sequence >= from_sequence]

    def follow_groups(
        self, from_sequence: int = 1, durable_sequence_now: Callable[[], int | None] | None = None
    ) -> Iterator[list[Group]]:
        """The same as whole groups; the first is the one that holds `from_sequence`.

        `durable_sequence_now`: of somebody who knows better than the folder.
        """
        position = _Position(self.folder, from_sequence)
        known = durable_sequence_now or (lambda: durable_sequence(self.folder))
        while True:
            durable = known()
            yield [] if durable is None else position.next_groups(durable)

    def record(self, sequence: int) -> Record | None:
        """One record, None beyond the end."""
        return next(self.read(sequence), None) if sequence > 0 else None

    def durable_sequence(self) -> int:
        """0 if unknown."""
        return durable_sequence(self.folder) or 0

    def chain_id(self) -> int | None:
        """Of the first segment; None while there is none, or none that is whole."""
        found = scan.segments(self.folder)
        if not found:
            return None
        with found[0][1].open("rb") as segment:
            start = segment.read(frames.SEGMENT_HEADER_BYTES_MAX)
        try:
            header, _ = frames.decode_segment_header(start)
        except Damaged:
            return None  # whoever opens or reads the journal says what is wrong with it
        return header.chain_id


class _Position:
    """Walks segments and groups. `wanted` is the first sequence still to be yielded."""

    def __init__(self, folder: Path, wanted: int) -> None:
        assert wanted > 0
        self.folder = folder
        self.wanted = wanted
        self.path: Path | None = None
        self.offset = 0
        self.expected = 0
        self.previous = frames.NO_HASH
        self._chunk_bytes = FIRST_READ_BYTES

    def next_groups(self, durable: int | None) -> list[Group]:
        """Some groups (a few megabytes at most), [] at the end; `durable` None: up to the last complete one."""
        if durable is not None and durable < self.wanted:
            return []
        if self.path is None and not self._find_segment(durable):
            return []
        while True:
            before = self.path, self.offset
            assert self.path is not None
            is_followed = durable is None and scan.segments(self.folder)[-1][1] > self.path  # so nobody writes here now
            groups = self._read_groups(durable)
            if groups:
                return groups
            if before == (self.path, self.offset) and not self._enter(self.expected):
                if is_followed:
                    what = f"sequence {self.expected} is missing, and this is not the last segment"
                    raise scan.corrupt(self.path, self.offset, what)
                return []

    def _find_segment(self, durable: int | None) -> bool:
        found = [(first, path) for first, path in scan.segments(self.folder) if first <= self.wanted]
        if not found:
            return False
        first, path = found[-1]
        if self._enter(first, known=False):
            return True
        if durable is not None:
            raise scan.corrupt(path, 0, f"sequence {self.wanted} was durable and is missing")
        return False

    def _enter(self, first: int, known: bool = True) -> bool:
        """Moves to the segment that starts at `first`, if it exists."""
        path = scan.segment_path(self.folder, first)
        if path == self.path:
            return False
        if not path.exists():
            self._check_not_archived(first)
            return False
        with path.open("rb") as segment:
            start = segment.read(frames.SEGMENT_HEADER_BYTES_MAX)
        try:
            header, self.offset = frames.decode_segment_header(start)
        except Damaged as damage:
            if scan.segments(self.folder)[-1][0] == first and scan.find_group(path.read_bytes(), 0) is None:
                return False
            raise scan.corrupt(path, damage.offset, damage.what) from None
        scan.check_header(header, path, first, self.previous if known else None, 0)
        self.path, self.expected, self.previous = path, first, bytes.fromhex(header.previous_hash)
        return True

    def _check_not_archived(self, sequence: int) -> None:
        gone = scan.archived(self.folder)
        if gone is not None and gone.first <= sequence <= gone.last:
            raise InvalidInput(
                f"sequences {gone.first} to {gone.last} are archived", remedy="Bring them back: hooats journal restore"
            )

    def _read_groups(self, durable: int | None) -> list[Group]:
        """The groups at the present offset; moves it. [] while skipping, and at the end."""
        assert self.path is not None
        with self.path.open("rb", buffering=0) as segment:
            size, damage = max(os.fstat(segment.fileno()).st_size - self.offset, 0), None
            for bytes_max in (self._chunk_bytes, READ_BYTES, size):  # a group may be larger than the first, and both
                chunk, offset = os.pread(segment.fileno(), min(size, bytes_max), self.offset), self.offset
                try:
                    groups = self._take_groups(chunk, durable)
                except Damaged as found:
                    damage = found
                    continue
                was_full = 2 * (self.offset - offset) > len(chunk)
                self._chunk_bytes = min(2 * bytes_max, READ_BYTES) if was_full else FIRST_READ_BYTES
                return groups
        assert damage is not None
        self._check_damage(chunk, damage, durable)
        return []

    def _take_groups(self, chunk: bytes, durable: int | None) -> list[Group]:
        """Damaged if not even the first group of the chunk is whole."""
        base, groups = self.offset, list[Group]()
        while self.offset - base < len(chunk):
            try:
                head = frames.decode_group_head(chunk, self.offset - base)
                if durable is not None and head.first + head.size - 1 > durable:
                    break
                self._take(chunk, head, self.offset - base, groups)
            except Damaged:
                if self.offset == base:
                    raise
                break
        if not chunk:
            self._check_end(durable)
        return groups

    def _take(self, chunk: bytes, head: GroupHead, offset: int, groups: list[Group]) -> None:
        assert self.path is not None
        scan.check_link(head, self.path, self.offset, self.expected, self.previous)
        length = GROUP_HEAD_BYTES + head.body_bytes
        if len(chunk) - offset < length:
            raise Damaged("group is incomplete", offset)
        if head.first + head.size > self.wanted:
            frames.check_group_body(chunk, offset, head)
            groups.append(Group(head, chunk[offset : offset + length]))
            self.wanted = head.first + head.size
        self.offset += length
        self.expected, self.previous = head.first + head.size, head.hash

    def _check_end(self, durable: int | None) -> None:
        assert self.path is not None
        if durable is not None and durable >= self.expected and scan.segments(self.folder)[-1][1] == self.path:
            raise scan.corrupt(self.path, self.offset, f"sequence {self.expected} was durable and is missing")

    def _check_damage(self, rest: bytes, damage: Damaged, durable: int | None) -> None:
        """Returns if this is the end, or a tail that is still being written, or torn."""
        assert self.path is not None
        if durable is not None and durable >= self.expected:
            raise scan.corrupt(self.path, self.offset, f"{damage.what}, though it was durable")
        if scan.is_end(rest, 0):
            return
        if scan.find_group(rest, 1) is not None:
            raise scan.corrupt(self.path, self.offset, f"{damage.what}, and an intact group follows")
        if scan.segments(self.folder)[-1][1] != self.path:
            raise scan.corrupt(self.path, self.offset, f"{damage.what}, and this is not the last segment")
