"""The few system calls of the journal, behind one object so that tests can make any of them fail or wait.

Invariant: nothing is retried. A short write is continued, any error is the caller's `DiskFailure`.
"""

import os
from pathlib import Path

UNFINISHED = ".new"
"""What follows the name of a file that is being created."""
SLICE_BYTES = 4 * 1024 * 1024
"""Of a new file, after which the disk has to have it: the journal's fsync, beside it, waits for what is unwritten."""


class Disk:
    """Files and folders. Every method may raise OSError."""

    def open(self, path: Path) -> int:
        """To write."""
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    def create(self, path: Path, content: bytes) -> None:
        """A new file under its name only when it is whole and on disk: temporary file, fsync, rename, folder fsync."""
        temporary = path.with_name(path.name + UNFINISHED)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            for start in range(0, max(1, len(content)), SLICE_BYTES):
                self.write(descriptor, content[start : start + SLICE_BYTES], start)
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        self.sync_folder(path.parent)

    def write(self, descriptor: int, content: bytes, offset: int) -> None:
        """All of it, or OSError after an unknown part of it."""
        written = os.pwrite(descriptor, content, offset)
        while written < len(content):
            written += os.pwrite(descriptor, memoryview(content)[written:], offset + written)

    def sync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def sync_folder(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def truncate(self, path: Path, length: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, length)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        os.unlink(path)
        self.sync_folder(path.parent)
