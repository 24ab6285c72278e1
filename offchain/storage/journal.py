"""The append-only journal: the truth of the venue. One writer per folder.

Invariant: `append` returns only after fdatasync; after any error the object refuses everything, because what the disk
holds is then unknown until the next start has read it (a failed fsync is never retried: the kernel may have dropped the
pages). Opening makes the recovered tail durable before anything can be derived from it.

Behind the last group of the last segment there may be zeros. They are written with some group, many groups ahead: an
fdatasync that need not also make a new length of the file durable writes less, and waits for nobody else's files. A
closed journal and a segment that another follows have none.

The file `durable` beside the segments says up to which sequence followers may read: a group is on their disk before its
fsync returns, but must not leave the venue by way of SQL either. It is a hint in shared memory, never synced, and never
ahead of the truth.
"""

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from offchain.domain.errors import DiskFailure, JournalCorrupt, JournalLocked
from offchain.domain.limits import RECORDS_PER_GROUP_MAX, SEGMENT_BYTES
from offchain.storage import frames, scan
from offchain.storage.disk import Disk
from offchain.storage.frames import Body, Group, Record

__all__ = ["Journal", "Record", "durable_sequence", "locked"]

LOCK_NAME = "lock"
DURABLE_NAME = "durable"
_DURABLE = struct.Struct(">QQ")
_ALL_BITS = 2**64 - 1
ZEROS_BYTES = 256 * 1024
"""Of zeros at most: more than a thousand orders, and half a millisecond of the group that brings them."""


class Journal:
    """Holds the folder's lock; see `open`."""

    def __init__(self, folder: Path, chain_id: int, lock: int, disk: Disk, segment_bytes: int) -> None:
        self.folder = folder
        self.chain_id = chain_id
        self.last_sequence = 0
        self.last_at = 0
        self.last_hash = frames.NO_HASH
        self.torn_bytes = 0
        """Bytes that were cut from the tail when the journal was opened."""
        self.lost_sequence = 0
        """If above 0: the last sequence that was once durable and is gone with the torn tail. The disk has lied."""
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._lock: int | None = lock
        self._dead: str | None = None
        self._segment: int | None = None
        self._path: Path | None = None
        """Of the segment."""
        self._written = 0
        self._length = 0
        """Of the segment's file, with the zeros behind what was written."""
        self._durable: int | None = None
        self._publishes = True

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        chain_id: int,
        disk: Disk | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        publishes: bool = True,
    ) -> "Journal":
        """Locks the folder, checks every byte of it, cuts a torn tail. `publishes` False: only `publish` tells readers.

        JournalLocked names the process that owns the folder, JournalCorrupt the file and place of any other damage,
        DiskFailure a disk that cannot even be opened.
        """
        disk = disk or Disk()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            journal = cls(folder, chain_id, _lock(folder), disk, segment_bytes)
            journal._publishes = publishes
            try:
                journal._recover()
            except BaseException:
                journal.close()
                raise
        except OSError as error:
            raise DiskFailure(f"{folder}: {error}", remedy="Check the disk and its permissions") from error
        return journal

    def append(self, records: Sequence[Record]) -> bytes:
        """`append_body` of these."""
        return self.append_body(Body.of(records))

    def append_body(self, body: Body) -> bytes:
        """One group: one write, one fdatasync; as it stands there. DiskFailure: unknown until the next start."""
        assert 0 < body.count <= RECORDS_PER_GROUP_MAX, body.count
        assert body.first == self.last_sequence + 1, body.first
        assert body.first_at >= self.last_at, body.first_at
        group, group_hash = body.seal(self.last_hash)
        self._write(group, body.last, body.at, group_hash, has_zeros=True)
        return group

    def copy(self, groups: Sequence[Group]) -> None:
        """Groups of another journal as they stand there: one write, one fdatasync. No zeros follow them: the disk must
        not lose the first of them and keep another.

        JournalCorrupt if they do not continue this one; DiskFailure as `append`.
        """
        sequence, group_hash = self.last_sequence, self.last_hash
        for group in groups:
            if group.first != sequence + 1 or group.head.previous != group_hash:
                raise JournalCorrupt(
                    f"the other journal's group of sequence {group.first} does not continue this one after {sequence}",
                    remedy="One of the two has commands that the other does not have; keep both, and copy one anew",
                )
            sequence, group_hash = group.last, group.head.hash
        *_, last = groups[-1].records()
        self._write(b"".join(group.content for group in groups), last.sequence, last.at, group_hash)

    def _write(self, content: bytes, last: int, at: int, group_hash: bytes, *, has_zeros: bool = False) -> None:
        if self._dead is not None:
            raise DiskFailure(f"the journal is closed: {self._dead}")
        try:
            if self._segment is None or self._written >= self._segment_bytes:
                self._next_segment()
            assert self._segment is not None
            self._disk.write(self._segment, content, self._written)
            end = self._written + len(content)
            if has_zeros and end > self._length:
                self._write_zeros(self._segment, end)
            self._disk.sync(self._segment)
        except OSError as error:
            self._dead = str(error)
            raise DiskFailure(f"{self.folder}: {error}", remedy="Free or replace the disk, then start again") from error
        self._written, self._length = end, max(self._length, end)
        self.last_sequence, self.last_at, self.last_hash = last, at, group_hash
        if self._publishes:
            self.publish(self.last_sequence)

    def _write_zeros(self, segment: int, end: int) -> None:
        """A disk that has no room for them may still have some for orders."""
        zeros = bytes(ZEROS_BYTES - end % ZEROS_BYTES)
        self._length = end + len(zeros)
        with contextlib.suppress(OSError):
            self._disk.write(segment, zeros, end)

    def close(self) -> None:
        """Releases the folder; idempotent."""
        if self._dead is None and self._segment is not None and self._length > self._written:
            with contextlib.suppress(OSError):  # zeros do no harm
                os.ftruncate(self._segment, self._written)
        self._dead = self._dead or "closed"
        for descriptor in (self._segment, self._durable, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._segment, self._durable, self._lock = None, None, None

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _recover(self) -> None:
        for leftover in self.folder.glob(f"*{scan.SUFFIX}.new"):
            self._disk.remove(leftover)
        tail = scan.scan(self.folder, self.chain_id)
        self.last_sequence, self.last_at, self.last_hash = tail.last_sequence, tail.last_at, tail.last_hash
        self.torn_bytes, self._written, self._length = tail.torn_bytes, tail.good_bytes, tail.good_bytes
        if tail.cut_segment is not None:
            if tail.cut_segment == tail.path:
                self._disk.truncate(tail.cut_segment, tail.good_bytes)
            else:
                self._disk.remove(tail.cut_segment)
        if tail.path is not None:
            self._segment, self._path = self._disk.open(tail.path), tail.path
            self._disk.sync(self._segment)
        self._disk.sync_folder(self.folder)
        was_durable = durable_sequence(self.folder)
        if was_durable is not None and was_durable > self.last_sequence:
            self.lost_sequence = was_durable
        self._durable = os.open(self.folder / DURABLE_NAME, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if self._publishes:
            self.publish(self.last_sequence)

    def _next_segment(self) -> None:
        if self._path is not None and self._length > self._written:
            self._disk.truncate(self._path, self._written)
        first = self.last_sequence + 1
        path = scan.segment_path(self.folder, first)
        header = frames.encode_segment_header(self.chain_id, first, self.last_hash)
        self._disk.create(path, header)
        old, self._segment = self._segment, None
        if old is not None:
            os.close(old)
        self._segment, self._path = self._disk.open(path), path
        self._written = self._length = len(header)

    def publish(self, sequence: int) -> None:
        """Readers may go up to there. Deliberately without error: they wait longer, nothing else."""
        assert self._durable is not None
        with contextlib.suppress(OSError):
            os.pwrite(self._durable, _DURABLE.pack(sequence, sequence ^ _ALL_BITS), 0)


def durable_sequence(folder: Path) -> int | None:
    """The last sequence whose group is known to be on disk; None if the folder does not say."""
    try:
        content = (folder / DURABLE_NAME).read_bytes()
    except FileNotFoundError:
        return None
    if len(content) != _DURABLE.size:
        return None
    sequence, complement = _DURABLE.unpack(content)
    return int(sequence) if sequence ^ complement == _ALL_BITS else None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps a writer from starting meanwhile, and writes nothing; JournalLocked while one runs.

    Without a lock file (in a copy) there is nothing to hold.
    """
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        _hold(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int:
    """The descriptor holds the lock: it is not inherited, and ends with the process however that ends."""
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _hold(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _hold(descriptor: int, folder: Path) -> None:
    """JournalLocked names the process that has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace") or "unknown"
        raise JournalLocked(
            f"{folder} belongs to the running process {owner}", remedy="One node per data folder: stop that one first"
        ) from None
