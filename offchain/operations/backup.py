"""A copy of what a node cannot rebuild, taken while it runs: the journal to a durable group, and the ops database.

    backup.json                  what is in it: sizes, hashes, last sequence, position on chain
    journal/<first>.journal      segments; the last one ends with a whole group
    ops.sqlite                   inbox, outbox, transactions, leases
    session.secret, .revoked     only if secrets were asked for

Invariant: the ops database is copied before the journal, so that it never knows of a command that the journal lacks:
what it lacks itself is read again from journal and chain. Everything else in a data folder is rebuilt. Deliberately no
key files: they are not in the data folder.
"""

import contextlib
import hashlib
import lzma
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from offchain import __version__
from offchain.domain.command import decode, record_bytes
from offchain.domain.errors import ConfigurationError, InvalidInput, StorageError
from offchain.domain.event import EpochClosed
from offchain.domain.keccak import keccak
from offchain.engine.engine import Engine
from offchain.storage import frames, scan
from offchain.storage.databases import sqlite_path
from offchain.storage.journal import durable_sequence
from offchain.storage.reader import JournalReader

FORMAT = 1
MANIFEST = "backup.json"
JOURNAL = "journal"
OPS = "ops.sqlite"
SECRETS = ("session.secret", "session.revoked")
ARCHIVES = (".tar", ".tar.gz", ".tgz")
COPY_BYTES = 1 << 20
MANIFEST_BYTES_MAX = 16 << 20
"""Of an archive, before its manifest has said how much there is: a hundred bytes per segment."""


class Content(msgspec.Struct, frozen=True, rename="camel"):
    """One file of a backup."""

    bytes: int
    sha256: str


class Position(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a replay of the journal ends with; `block` is the last one whose logs are all in it."""

    state_hash: str
    epoch: int
    fill: int
    event_sequence: int
    block: int


class Manifest(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """`identity` is the hash of the journal's first record; `position` is None if the journal was not replayed."""

    format: int
    version: str
    created_at: int
    chain_id: int
    identity: str
    last_sequence: int
    last_hash: str
    files: dict[str, Content]
    position: Position | None = None


def replay(folder: Path) -> Position:
    """Replays the whole journal, ten thousand commands a second or so. JournalCorrupt if it is damaged."""
    engine, epoch = Engine(), 0
    for record in JournalReader(folder).read():
        events = engine.apply(record.sequence, record.at, decode(record.kind, record.version, record.payload))
        epoch = max([epoch, *(event.epoch for event in events if isinstance(event, EpochClosed))])
    return Position(
        state_hash="0x" + engine.state_hash().hex(),
        epoch=epoch,
        fill=engine.batches.last_fill,
        event_sequence=engine.last_event_sequence,
        block=engine.chain_block[0],
    )


def back_up(data: Path, to: Path, ops_url: str, *, with_secrets: bool = False, replays: bool = True) -> Manifest:
    """Copies into the folder or archive `to`, which appears only when it is whole.

    InvalidInput if there is no journal or `to` exists; ConfigurationError if the ops database is no SQLite file.
    """
    if not scan.segments(data / JOURNAL):
        raise InvalidInput(f"there is no journal in {data}", field="--data", remedy="Name the data folder of a node")
    if scan.archived(data / JOURNAL) is not None:
        raise InvalidInput("segments of the journal are archived", remedy="Bring them back: hooats journal restore")
    if to.exists():
        raise InvalidInput(f"{to} exists", field="--to", remedy="A backup never overwrites another: name a new one")
    to.parent.mkdir(parents=True, exist_ok=True)
    with _staging(to.parent) as staging:
        copy = staging / "backup"
        copy.mkdir(mode=0o700)
        (copy / JOURNAL).mkdir(mode=0o700)
        _copy_ops(ops_url, copy / OPS)
        last, last_hash = _copy_journal(data / JOURNAL, copy / JOURNAL)
        for name in SECRETS if with_secrets else ():
            if (data / name).exists():
                _write(copy / name, (data / name).read_bytes())
        first = JournalReader(copy / JOURNAL).record(1)
        assert first is not None, "a durable journal starts with its first record"
        manifest = Manifest(
            format=FORMAT,
            version=__version__,
            created_at=int(time.time() * 1000),
            chain_id=JournalReader(copy / JOURNAL).chain_id() or 0,
            identity=keccak(record_bytes(*first)).hex(),
            last_sequence=last,
            last_hash="0x" + last_hash.hex(),
            files={name: content_of(copy / name) for name in _names(copy)},
            position=replay(copy / JOURNAL) if replays else None,
        )
        _write(copy / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        _publish(copy, to)
    return manifest


@contextlib.contextmanager
def opened(source: Path) -> Iterator[tuple[Path, Manifest]]:
    """(folder, manifest) of a backup whose every file is as its manifest says.

    InvalidInput if it is no backup, StorageError names the file that is missing, foreign or damaged.
    """
    if source.is_dir():
        yield source, _checked(source)
        return
    if not source.is_file():
        raise InvalidInput(f"there is no backup {source}", remedy="Name a folder or archive that hooats backup made")
    with _staging(None) as staging:
        _unpack(source, staging)
        yield staging, _checked(staging)


def content_of(path: Path) -> Content:
    digest, length = hashlib.sha256(), 0
    with path.open("rb") as file:
        while part := file.read(COPY_BYTES):
            digest.update(part)
            length += len(part)
    return Content(length, digest.hexdigest())


def _copy_journal(source: Path, copy: Path) -> tuple[int, bytes]:
    """Every whole group up to the durable one; returns the last sequence and the last group's hash."""
    durable = durable_sequence(source)
    last, previous = 0, frames.NO_HASH
    for first, path in scan.segments(source):
        if first != last + 1:
            break  # a segment that was started after `durable` was read, or whose first group is not durable
        content = path.read_bytes()
        try:
            header, good = frames.decode_segment_header(content)
        except frames.Damaged as damage:
            raise scan.corrupt(path, damage.offset, damage.what) from None
        scan.check_header(header, path, first, previous, 0)
        with contextlib.suppress(frames.Damaged):  # a group that is being written, which is not durable yet
            for offset, head in scan.groups(content, path, good, first, previous):
                if durable is not None and head.first + head.size - 1 > durable:
                    break
                good = offset + frames.GROUP_HEAD_BYTES + head.body_bytes
                last, previous = head.first + head.size - 1, head.hash
        _write(copy / path.name, content[:good])
    if last < (durable or 1):
        raise scan.corrupt(source, 0, f"command {durable} was durable, and {last} is the last that reads")
    return last, previous


def _copy_ops(url: str, copy: Path) -> None:
    """By SQLite's own backup, which is consistent while others write. Nothing if there is no database yet."""
    path = sqlite_path(url)
    if path is None:
        raise ConfigurationError(
            "the ops database is no SQLite file", remedy="Back it up with its own tools before the journal"
        )
    if not path.is_file():
        return
    copy.touch(0o600)
    with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        try:
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
            answer = target.execute("PRAGMA integrity_check").fetchone()[0]
        except sqlite3.Error as error:
            raise StorageError(f"the ops database: {error}", remedy="Try again") from error
    if answer != "ok":
        raise StorageError(f"the copy of the ops database is damaged: {answer}", remedy="Check the disk")


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _names(folder: Path) -> list[str]:
    """Files by their names in a manifest."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _publish(copy: Path, to: Path) -> None:
    """The folder under its name, or an archive of it."""
    if not to.name.endswith(ARCHIVES):
        copy.rename(to)
        return
    archive = copy.parent / "archive"
    archive.touch(0o600)
    with tarfile.open(archive, "w" if to.suffix == ".tar" else "w:gz") as packed:
        for name in (MANIFEST, *(name for name in _names(copy) if name != MANIFEST)):
            packed.add(copy / name, name)
    with archive.open("rb") as file:
        os.fsync(file.fileno())
    archive.rename(to)


def _unpack(archive: Path, folder: Path) -> None:
    """Plain files with names that a backup can have, the manifest first and no more than it says; anything else is
    refused before it is written."""
    left = MANIFEST_BYTES_MAX
    try:
        with tarfile.open(archive) as packed:
            for member in packed:
                if not member.isfile() or not _is_name(member.name):
                    raise InvalidInput(f"{archive} holds {member.name!r}, which no backup does", remedy="Do not use it")
                if member.size > left:
                    raise InvalidInput(f"{archive} holds more than its manifest says", remedy="Do not use it")
                left -= member.size
                file = packed.extractfile(member)
                assert file is not None, "a plain file has content"
                target = folder / member.name
                target.parent.mkdir(mode=0o700, exist_ok=True)
                with file, target.open("xb") as copy:
                    shutil.copyfileobj(file, copy, COPY_BYTES)
                if member.name == MANIFEST:
                    left = sum(content.bytes for content in _manifest(folder).files.values())
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        words = str(error).partition("\n")[0].rstrip(":") or type(error).__name__
        raise InvalidInput(f"{archive} does not unpack: {words}", remedy="Name an archive that is whole") from None


def _is_name(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    if folder == JOURNAL:
        return file.endswith(scan.SUFFIX) and file.removesuffix(scan.SUFFIX).isdigit()
    return not folder and name in (MANIFEST, OPS, *SECRETS)


def _manifest(folder: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"{folder} is no backup: {error}", remedy="Name one that hooats backup made") from None
    if manifest.format != FORMAT:
        raise InvalidInput(f"the backup has format {manifest.format}, not {FORMAT}", remedy="Use a newer hooats")
    return manifest


def _checked(folder: Path) -> Manifest:
    for path in folder.rglob("*"):
        if path.is_symlink():
            link = path.relative_to(folder)
            raise StorageError(f"{folder}: {link} is a symbolic link, which no backup holds", remedy="Do not use it")
    manifest = _manifest(folder)
    found = set(_names(folder)) - {MANIFEST}
    for name in sorted(found ^ set(manifest.files)):
        what = "is missing" if name in manifest.files else "is not in its manifest"
        raise StorageError(f"{folder}: {name} {what}", remedy="Use another backup")
    for name, content in manifest.files.items():
        if not _is_name(name) or content_of(folder / name) != content:
            raise StorageError(f"{folder}: {name} is not what was backed up", remedy="Use another backup")
    return manifest


@contextlib.contextmanager
def _staging(parent: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".hooats-backup-", dir=parent) as name:
        yield Path(name)
