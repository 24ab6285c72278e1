"""Back from a backup into an empty data folder.

What was acknowledged after the backup is gone; if there was anything, the receipts of it contradict whatever this node
sequences next, and fills that settled have no orders any more. Invariant: where the chain knows of more than the backup
does, nothing is restored unless the loss is accepted in so many words; a folder appears only when it is whole, and its
replay gave the state that was backed up.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from offchain.chain.contracts import OrderbookCommitment, Settlement
from offchain.chain.registry import Registry
from offchain.chain.wallet import Endpoint
from offchain.domain.command import record_bytes
from offchain.domain.errors import ChainError, ConfigurationError, InvalidInput, StorageError
from offchain.domain.keccak import keccak
from offchain.operations.backup import JOURNAL, MANIFEST, Manifest, Position, opened, replay
from offchain.storage import scan
from offchain.storage.ops import Ops
from offchain.storage.reader import JournalReader


class Known(NamedTuple):
    """What the chain knows: the last epoch and sequence that were committed, the last fill that was settled."""

    epoch: int
    sequence: int
    fill: int


class Restored(NamedTuple):
    """`beyond` says what the chain knows and the backup does not; "" if nothing."""

    manifest: Manifest
    position: Position
    beyond: str


def known_to_chain(url: str, registry: Registry) -> Known:
    """ChainError if the chain cannot be asked."""
    endpoint, commitment = Endpoint(url), registry.address("OrderbookCommitment")
    (epoch,) = endpoint.call(commitment, OrderbookCommitment.last_epoch)
    (sequence,) = endpoint.call(commitment, OrderbookCommitment.last_sequence)
    (fill,) = endpoint.call(registry.address("Settlement"), Settlement.last_fill)
    return Known(epoch, sequence, fill)


def beyond(known: Known, last_sequence: int, position: Position) -> str:
    """In words what the chain knows beyond a journal that ends there; "" if nothing."""
    parts = []
    if known.epoch > position.epoch:
        parts.append(f"epoch {known.epoch} (the backup ends with {position.epoch})")
    if known.sequence > last_sequence:
        parts.append(f"sequence {known.sequence} (the backup ends with {last_sequence})")
    if known.fill > position.fill:
        parts.append(f"fill {known.fill} (the backup ends with {position.fill})")
    return ", ".join(parts)


def restore(source: Path, data: Path, registry: Registry, url: str, *, accepts_loss: bool) -> Restored:
    """Verifies, replays, asks the chain, and only then makes the folder `data`.

    InvalidInput if the folder is not empty or the backup is another chain's; StorageError if it is damaged;
    ConfigurationError if the chain knows of more, or cannot be asked, and the loss is not accepted.
    """
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise InvalidInput(f"{data} is not empty", field="--data", remedy="Move it away: a restore never overwrites")
    with opened(source) as (folder, manifest), _staged(data) as staging:
        if manifest.chain_id != registry.chain_id:
            raise InvalidInput(
                f"the backup is of chain {manifest.chain_id}, not {registry.chain_id}", remedy="Check --chain-id"
            )
        for name in manifest.files:
            target = staging / name
            target.parent.mkdir(mode=0o700, exist_ok=True)
            shutil.copyfile(folder / name, target)
            target.chmod(0o600)
        check_journal(staging / JOURNAL, manifest)
        position = replay(staging / JOURNAL)
        _check_replay(manifest, position)
        _check_ops(staging, manifest)
        found = _ask(url, registry, manifest, position, accepts_loss)
        shutil.copyfile(folder / MANIFEST, staging / "restored.json")
        _publish(staging, data)
    return Restored(manifest, position, found)


def check_journal(folder: Path, manifest: Manifest) -> None:
    """The journal begins and ends as the manifest says: whoever made that may have written anything into it.

    StorageError if not; a journal without a record is none.
    """
    tail = scan.scan(folder, manifest.chain_id) if scan.segments(folder) else None
    first = JournalReader(folder).record(1) if tail is not None and tail.last_sequence else None
    if tail is None or first is None:
        raise StorageError("the journal of the backup has no record", remedy="Use another backup")
    found = keccak(record_bytes(*first)).hex(), tail.last_sequence, "0x" + tail.last_hash.hex()
    if found != (manifest.identity, manifest.last_sequence, manifest.last_hash):
        raise StorageError(
            f"the journal of the backup ends with sequence {found[1]}, or is not the one that its manifest names",
            remedy="Use another backup",
        )


def _check_replay(manifest: Manifest, position: Position) -> None:
    if manifest.position is not None and manifest.position != position:
        raise StorageError(
            f"the replay ends with {position}, the backup said {manifest.position}",
            remedy=f"Use hooats {manifest.version}, which made the backup",
        )


def _check_ops(folder: Path, manifest: Manifest) -> None:
    """The ops database is of this journal, and knows of no command beyond it."""
    path = folder / "ops.sqlite"
    if not path.exists():
        return
    ops = Ops(f"sqlite:///{path}")
    try:
        ops.bind_journal(manifest.identity)
        if ops.outbox_sequence() > manifest.last_sequence:
            raise StorageError("the ops database of the backup is newer than its journal", remedy="Use another backup")
    finally:
        ops.close()


def _ask(url: str, registry: Registry, manifest: Manifest, position: Position, accepts_loss: bool) -> str:
    try:
        found = beyond(known_to_chain(url, registry), manifest.last_sequence, position)
    except ChainError as error:
        if accepts_loss:
            return f"unknown, the chain cannot be asked: {error.message}"
        raise ConfigurationError(
            f"whether the chain knows of more than this backup cannot be asked: {error.message}",
            remedy="Give another --rpc; or --accept-loss",
        ) from None
    if found and not accepts_loss:
        raise ConfigurationError(
            f"the chain knows of more than this backup: {found}",
            remedy="Restore a newer backup; or lose that, with --accept-loss: receipts given for it will convict you",
        )
    return found


@contextmanager
def _staged(data: Path) -> Iterator[Path]:
    """A folder beside `data`, gone at the end unless it was renamed."""
    data.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{data.name}.restoring-", dir=data.parent))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _publish(staging: Path, data: Path) -> None:
    """Everything on disk, then the name."""
    for path in [*staging.rglob("*"), staging]:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if data.exists():
        data.rmdir()
    staging.rename(data)
