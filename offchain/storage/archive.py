"""Closed segments of a journal, moved out of its folder: compressed, with a manifest of hashes, and back.

    archive/<first>.journal.gz ...    archive/manifest.json

Invariant: a segment leaves the folder only when its copy has been read back to the same bytes, and a marker in the
folder says which sequences are elsewhere and by what hash the rest continues them. The first segment stays: it says
which exchange this is. What comes back is the same bytes, checked against the manifest. Who may be without which
segments is decided by the caller.
"""

import gzip
import hashlib
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from offchain.domain.errors import InvalidInput, StorageError
from offchain.storage import frames, scan
from offchain.storage.disk import Disk
from offchain.storage.scan import MARKER, Archived

MANIFEST = "manifest.json"
LEVEL = 6


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """One segment: its sequences, its bytes and their sha256, and the hashes of the groups before it and at its end."""

    name: str
    first: int
    last: int
    bytes: int
    sha256: str
    previous_hash: str
    hash: str


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    chain_id: int
    segments: tuple[Entry, ...] = ()


class Moved(NamedTuple):
    segments: int
    last: int
    """Of the archived sequences; 0 if there are none."""


_decode = msgspec.json.Decoder(Manifest).decode


def read_manifest(folder: Path) -> Manifest | None:
    """None if there is no archive yet. StorageError for a damaged one."""
    try:
        return _decode((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise StorageError(f"{folder / MANIFEST} is damaged: {error}") from None


def archive(journal: Path, to: Path, sequence_max: int) -> Moved:
    """Moves the closed segments after the first that end at `sequence_max` or before. Can be repeated, also after a
    kill.

    InvalidInput if the archive is another journal's or does not go on where it ended; JournalCorrupt for damage.
    """
    found = scan.segments(journal)
    if not found:
        raise InvalidInput(f"there is no journal at {journal}", field="--data")
    chain_id = frames.decode_segment_header(found[0][1].read_bytes())[0].chain_id
    to.mkdir(mode=0o700, parents=True, exist_ok=True)
    manifest = read_manifest(to) or Manifest(chain_id)
    known = {entry.name: entry for entry in manifest.segments}
    moved = 0
    for (_, path), (after, _) in pairwise(found[1:]):
        if after - 1 > sequence_max:
            break
        if path.name not in known:
            content = path.read_bytes()
            entry = _entry(path, content, after - 1)
            _check_goes_on(manifest, entry, found[0][1])
            _pack(content, to / f"{path.name}.gz")
            manifest = Manifest(chain_id, (*manifest.segments, entry))
            Disk().create(to / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != known[path.name].sha256:
            raise InvalidInput(f"{to} has another {path.name}", field="--to", remedy="Name the archive of this journal")
        entry = {one.name: one for one in manifest.segments}[path.name]
        marker = Archived(manifest.segments[0].first, entry.last, entry.hash)
        Disk().create(journal / MARKER, msgspec.json.encode(marker))
        Disk().remove(path)
        moved += 1
    return Moved(moved, manifest.segments[-1].last if manifest.segments else 0)


def unarchive(source: Path, journal: Path) -> Moved:
    """Puts every archived segment back. StorageError names what is missing or damaged; nothing is overwritten."""
    manifest = read_manifest(source)
    if manifest is None:
        raise InvalidInput(f"there is no archive at {source}", field="--from", remedy="Name the folder of an archive")
    moved = 0
    for entry in manifest.segments:
        path = journal / entry.name
        if path.exists():
            continue
        try:
            content = gzip.decompress((source / f"{entry.name}.gz").read_bytes())
        except (OSError, EOFError, ValueError) as error:
            raise StorageError(f"{entry.name}.gz of the archive does not read: {error}") from None
        if len(content) != entry.bytes or hashlib.sha256(content).hexdigest() != entry.sha256:
            raise StorageError(f"{entry.name}.gz of the archive is not what its manifest says")
        Disk().create(path, content)
        moved += 1
    (journal / MARKER).unlink(missing_ok=True)
    return Moved(moved, manifest.segments[-1].last if manifest.segments else 0)


def _entry(path: Path, content: bytes, last: int) -> Entry:
    header, start = frames.decode_segment_header(content)
    previous = bytes.fromhex(header.previous_hash)
    sequence, group_hash = header.first_sequence - 1, previous
    try:
        for _, head in scan.groups(content, path, start, header.first_sequence, previous):
            sequence, group_hash = head.first + head.size - 1, head.hash
    except frames.Damaged as damage:
        raise scan.corrupt(path, damage.offset, damage.what) from None
    if sequence != last:
        raise scan.corrupt(path, len(content), f"it ends with sequence {sequence}, and the next begins after {last}")
    digest = hashlib.sha256(content).hexdigest()
    span = header.first_sequence, last, len(content), digest
    return Entry(path.name, *span, header.previous_hash, group_hash.hex())


def _pack(content: bytes, target: Path) -> None:
    Disk().create(target, gzip.compress(content, LEVEL, mtime=0))
    if gzip.decompress(target.read_bytes()) != content:
        raise StorageError(f"{target} does not read back", remedy="Check the disk of the archive")


def _check_goes_on(manifest: Manifest, entry: Entry, first: Path) -> None:
    if manifest.segments:
        before = manifest.segments[-1]
        expected = before.last + 1, before.hash
    else:
        tail = scan.tail_of(first)
        expected = tail.last_sequence + 1, tail.last_hash.hex()
    if (entry.first, entry.previous_hash) != expected:
        raise InvalidInput("the archive does not go on where it ended", field="--to", remedy="Name an empty folder")
