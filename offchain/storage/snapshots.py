"""Engine snapshots: they only shorten a restart. The journal stays the truth.

Invariant: a snapshot is taken after a whole group and names that group's hash, which stands for the whole journal up to
there. It is used only if it is whole, if this journal has that very group there, and if it restores to the state hash
that it names; anything else is passed over, with a line in the log, and the replay starts earlier. Of a snapshot that
this very code wrote, what it restores to is not hashed again: that costs as much as restoring it.
"""

import errno
import hashlib
import os
import shutil
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from offchain import domain
from offchain import engine as engine_package
from offchain.domain.limits import SEGMENT_BYTES
from offchain.engine.engine import Engine
from offchain.storage.disk import UNFINISHED, Disk
from offchain.storage.reader import JournalReader

KEPT = 2
SUFFIX = ".snapshot"
_MAGIC = b"HOOATSS2"

log = structlog.get_logger("snapshots")


class SnapshotHeader(msgspec.Struct, frozen=True):
    sequence: int
    group_hash: str
    state_hash: str
    sha256: str
    code: str
    """Of the code that wrote it: see `_code`."""


class Snapshot(NamedTuple):
    engine: Engine
    group_hash: bytes
    """Of the last group before it."""


_decode_header = msgspec.json.Decoder(SnapshotHeader).decode


def write_snapshot(folder: Path, engine: Engine, group_hash: bytes) -> None:
    """After the group that hashes to `group_hash`, whose last command is the engine's. The older ones but one go, and
    any later one: it is of another journal. Nobody else writes into this folder. A disk that has no room for it, and
    for the journal besides, gets none: a line in the log says so."""
    try:
        _write(folder, engine, group_hash)
    except OSError as error:
        log.warning("no snapshot", sequence=engine.sequence, reason=str(error))
        _remove_unfinished(folder)


def _remove_unfinished(folder: Path) -> None:
    """The journal may need the room."""
    for torn in folder.glob(f"*{SUFFIX}{UNFINISHED}"):
        torn.unlink(missing_ok=True)


def _write(folder: Path, engine: Engine, group_hash: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    disk = Disk()
    _remove_unfinished(folder)
    payload = engine.snapshot()
    digest = hashlib.sha256(payload).hexdigest()
    state_hash = Engine.hash_of(payload).hex()
    header = msgspec.json.encode(SnapshotHeader(engine.sequence, group_hash.hex(), state_hash, digest, _code()))
    if shutil.disk_usage(folder).free < len(payload) + SEGMENT_BYTES:
        raise OSError(errno.ENOSPC, "the room that is left is the journal's")
    disk.create(folder / f"{engine.sequence:020d}{SUFFIX}", _MAGIC + header + b"\n" + payload)
    files = snapshot_files(folder)
    kept = [path for path in files if int(path.stem) <= engine.sequence][:KEPT]
    for path in files:
        if path not in kept:
            disk.remove(path)


def snapshot_files(*folders: Path) -> list[Path]:
    """The newest first."""
    found = (path for folder in folders for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())
    return sorted(found, key=lambda path: path.name, reverse=True)


def read_snapshot(folder: Path, reader: JournalReader, sequence_max: int, *others: Path) -> Snapshot | None:
    """The newest usable one of these folders that is not beyond `sequence_max`."""
    for path in snapshot_files(folder, *others):
        if int(path.stem) <= sequence_max:
            try:
                return _restore(path.read_bytes(), reader)
            except (OSError, ValueError) as error:
                log.warning("snapshot passed over", file=path.name, reason=str(error))
    return None


def _restore(content: bytes, reader: JournalReader) -> Snapshot:
    """ValueError if it is not usable."""
    if not content.startswith(_MAGIC):
        raise ValueError("no magic")
    text, _, payload = content[len(_MAGIC) :].partition(b"\n")
    try:
        header = _decode_header(text)
    except msgspec.MsgspecError as error:
        raise ValueError(f"header does not decode: {error}") from error
    if hashlib.sha256(payload).hexdigest() != header.sha256:
        raise ValueError("damaged")
    group = next(reader.groups(header.sequence), None) if header.sequence > 0 else None
    if group is None or group.last != header.sequence or group.head.hash.hex() != header.group_hash:
        raise ValueError("taken from another journal")
    engine = Engine.restore(payload)
    if engine.sequence != header.sequence:
        raise ValueError("restores to another state")
    if header.code != _code() and engine.state_hash().hex() != header.state_hash:
        raise ValueError("restores to another state")
    return Snapshot(engine, group.head.hash)


@lru_cache(maxsize=1)
def _code() -> str:
    """A hash of all that decides what a snapshot is restored to."""
    digest = hashlib.sha256()
    for package in (domain, engine_package):
        for path in sorted(Path(folder) / name for folder in package.__path__ for name in os.listdir(folder)):
            if path.suffix == ".py":
                digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
