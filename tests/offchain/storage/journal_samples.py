"""Small journals for tests, and a disk that fails or waits where a test wants it to."""

import errno
import os
import threading
from pathlib import Path

from offchain.domain.command import AdvanceTime, CancelOrder, PlaceOrder, encode
from offchain.domain.order import Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Address, Lots, Ticks
from offchain.storage.disk import Disk
from offchain.storage.journal import Journal, Record
from offchain.storage.reader import JournalReader

CHAIN = 998
ACCOUNT = Address("0x" + "a1" * 20)


def order(nonce: int) -> Order:
    terms = (ACCOUNT, 0, 1, Side.BUY, Kind.LIMIT, TimeInForce.GTC, 0, Ticks(1000), Lots(5), Ticks(0), 2500)
    return Order(*terms, make_nonce(1, nonce), 0)


def record(sequence: int, at: int = 0) -> Record:
    """Records of three kinds and three lengths."""
    command = (
        PlaceOrder(order(sequence), bytes(65), ACCOUNT, f"client-{sequence}"),
        CancelOrder(ACCOUNT, sequence, ACCOUNT),
        AdvanceTime(),
    )[sequence % 3]
    kind, version, payload = encode(command)
    return Record(kind, version, sequence, at or 1_000 + sequence, payload)


def records(first: int, last: int) -> list[Record]:
    return [record(sequence) for sequence in range(first, last + 1)]


def write(folder: Path, *sizes: int, segment_bytes: int = 1 << 26) -> list[Record]:
    """A closed journal of groups of these sizes; its records."""
    written: list[Record] = []
    with Journal.open(folder, chain_id=CHAIN, segment_bytes=segment_bytes) as journal:
        for size in sizes:
            group = records(len(written) + 1, len(written) + size)
            journal.append(group)
            written += group
    return written


def read(folder: Path) -> list[Record]:
    return list(JournalReader(folder).read())


class LazyDisk(Disk):
    """Syncs nothing, for tests that open journals thousands of times."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_folder(self, path: Path) -> None:
        pass

    def truncate(self, path: Path, length: int) -> None:
        os.truncate(path, length)

    def create(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)


class FaultyDisk(Disk):
    """Counts its calls; `fail_at` (from 1) raises there, after `short` bytes if it is a write. `gate` holds syncs."""

    def __init__(self, fail_at: int = 0, number: int = errno.ENOSPC, short: int = 0) -> None:
        self.calls = 0
        self.fail_at = fail_at
        self.failed = False
        self.synced = 0
        self.gate = threading.Event()
        self.gate.set()
        self._number = number
        self._short = short

    def _count(self) -> bool:
        self.calls += 1
        if self.calls == self.fail_at:
            self.failed = True
        return self.calls == self.fail_at

    def _fail(self) -> None:
        raise OSError(self._number, "injected")

    def write(self, descriptor: int, content: bytes, offset: int) -> None:
        if self._count():
            super().write(descriptor, content[: self._short], offset)
            self._fail()
        super().write(descriptor, content, offset)

    def sync(self, descriptor: int) -> None:
        if self._count():
            self._fail()
        super().sync(descriptor)
        self.gate.wait(30)
        self.synced += 1

    def sync_folder(self, path: Path) -> None:
        if self._count():
            self._fail()
        super().sync_folder(path)

    def truncate(self, path: Path, length: int) -> None:
        if self._count():
            self._fail()
        super().truncate(path, length)

    def open(self, path: Path) -> int:
        if self._count():
            self._fail()
        return super().open(path)
