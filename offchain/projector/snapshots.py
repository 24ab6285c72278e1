"""Engine snapshots: they only shorten a restart. The journal stays the truth.

Invariant: a snapshot is used only if it is whole, was taken after a record that this journal has, and restores to the
state hash it names; anything else is passed over and the replay starts earlier.
"""

import hashlib
from pathlib import Path

import msgspec
import structlog

from offchain.domain.command import record_bytes
from offchain.domain.errors import InvalidInput
from offchain.domain.keccak import keccak
from offchain.engine.engine import Engine
from offchain.storage.disk import Disk
from offchain.storage.reader import JournalReader

KEPT = 2
SUFFIX = ".snapshot"
_MAGIC = b"HOOATSS1"

log = structlog.get_logger("projector")


class SnapshotHeader(msgspec.Struct, frozen=True):
    sequence: int
    record: str
    state_hash: str
    sha256: str


_decode_header = msgspec.json.Decoder(SnapshotHeader).decode


def write_snapshot(folder: Path, engine: Engine, record: str) -> None:
    """After the command `engine.sequence`, whose journal record hashes to `record`. The older ones but one go."""
    folder.mkdir(parents=True, exist_ok=True)
    payload = engine.snapshot()
    digest = hashlib.sha256(payload).hexdigest()
    header = msgspec.json.encode(SnapshotHeader(engine.sequence, record, engine.state_hash().hex(), digest))
    disk = Disk()
    disk.create(folder / f"{engine.sequence:020d}{SUFFIX}", _MAGIC + header + b"\n" + payload)
    for path in sorted(folder.glob(f"*{SUFFIX}"))[:-KEPT]:
        disk.remove(path)


def read_snapshot(folder: Path, reader: JournalReader, sequence_max: int) -> Engine | None:
    """The engine of the newest usable snapshot that is not beyond `sequence_max`."""
    for path in sorted(folder.glob(f"*{SUFFIX}"), reverse=True):
        if path.stem.isdigit() and int(path.stem) <= sequence_max:
            try:
                return _restore(path.read_bytes(), reader)
            except (OSError, ValueError, InvalidInput) as error:
                log.warning("snapshot passed over", file=path.name, reason=str(error))
    return None


def _restore(content: bytes, reader: JournalReader) -> Engine:
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
    record = reader.record(header.sequence)
    if record is None or keccak(record_bytes(*record)).hex() != header.record:
        raise ValueError("taken from another journal")
    engine = Engine.restore(payload)
    if engine.sequence != header.sequence or engine.state_hash().hex() != header.state_hash:
        raise ValueError("restores to another state")
    return engine
