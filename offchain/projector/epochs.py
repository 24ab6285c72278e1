"""An epoch's header and file, from the journal.

Invariant: a function of the journal's records first..last and the state hash after the last; roots cover every
sequenced order, accepted or not (`ordersRoot`), and every record (`commandsRoot`, `dataHash`). The file holds the
records as they are hashed, for anyone to check: keccak of the file is the header's data hash.
"""

from pathlib import Path

from offchain.domain.batch import EpochHeader
from offchain.domain.command import PlaceOrder, decode, record_bytes
from offchain.domain.eip712 import order_digest
from offchain.domain.event import EpochClosed
from offchain.domain.keccak import keccak
from offchain.domain.order import CANCEL_TERMS
from offchain.engine.merkle import indexed_leaf, indexed_root, standard_root
from offchain.storage.disk import Disk
from offchain.storage.reader import JournalReader, Record
from offchain.storage.rows import row_of

NO_PARENT = "0x" + "00" * 32
"""Parent of the first epoch."""


def build_epoch(
    reader: JournalReader, closed: EpochClosed, parent: str, state_hash: bytes, separator: bytes
) -> tuple[EpochHeader, bytes]:
    """(header, content of the epoch file). `separator`: the EIP-712 domain of orders."""
    records, leaves, orders = [], [], []
    for record in reader.read(closed.first):
        if record.sequence > closed.last:
            break
        raw = record_bytes(*record)
        records.append(raw)
        leaves.append(indexed_leaf(raw))
        order_hash = _order_hash(record, separator)
        if order_hash is not None:
            orders.append((record.sequence, order_hash))
    assert len(records) == closed.last - closed.first + 1
    content = b"".join(records)
    header = EpochHeader(
        epoch=closed.epoch,
        parent=parent,
        first=closed.first,
        last=closed.last,
        orders_root=_hex(standard_root(orders)),
        commands_root=_hex(indexed_root(leaves)),
        state_root=_hex(state_hash),
        volume=closed.volume,
        count=closed.count,
        data_hash=_hex(keccak(content)),
    )
    return header, content


def _order_hash(record: Record, separator: bytes) -> bytes | None:
    """None if it is no order."""
    row = row_of(record, separator)
    if row is not None:
        _, terms, *_, digest = row
        return None if terms == CANCEL_TERMS else digest
    command = decode(record.kind, record.version, record.payload)
    return order_digest(separator, command.order) if isinstance(command, PlaceOrder) else None


def epoch_path(folder: Path, epoch: int) -> Path:
    return folder / f"{epoch:012d}.records"


def write_epoch(folder: Path, epoch: int, content: bytes) -> None:
    """Whole or not at all; again with the same content if it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    Disk().create(epoch_path(folder, epoch), content)


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
