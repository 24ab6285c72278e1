"""The orders and cancels of journal records as the engine's rows, without a command for each.

Invariant: applied in their parts, the records of a group lead to the same state as applied one by one
(`Engine.apply_rows`). What is no order or cancel, or carries a client order id, stays a record.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from offchain.domain.command import PLACE_KINDS, Codec, unpack_cancel
from offchain.domain.eip712 import frame_digest
from offchain.domain.order import BULK_FRAME, CANCEL_TERMS, SIGNED_FRAME, OrderRow
from offchain.engine.engine import Engine
from offchain.storage.frames import DIGEST_BYTES, Group, Record

_PLACES = {
    Codec.KIND_PLACE: struct.Struct(SIGNED_FRAME.format.removesuffix("32s")),
    Codec.KIND_PLACE_BULK: struct.Struct(BULK_FRAME.format.removesuffix("32s")),
}
"""The payload of an order without a client order id, by kind: a signed frame but for the digest."""
NO_DIGEST: Final = bytes(DIGEST_BYTES)
_DIGEST = struct.Struct(f"{DIGEST_BYTES}s")


class Run(NamedTuple):
    """Orders and cancels that follow each other at one time, numbered from `first`."""

    first: int
    at: int
    rows: list[OrderRow]


def parts(group: Group, engine: Engine) -> Iterator[Run | Record]:
    """In order, from the first that `engine` does not have; each has to be applied before the next is asked for."""
    run, digests = Run(0, 0, []), _digests(group)
    wanted = engine.sequence + 1
    for record in group.records():
        digest = next(digests)[0] if digests and record.kind in PLACE_KINDS else None
        if record.sequence < wanted:
            continue
        row = row_of(record, engine.separator, digest)
        if run.rows and (row is None or record.at != run.at):
            yield run
            run = Run(0, 0, [])
        if row is None:
            yield record
        elif run.rows:
            run.rows.append(row)
        else:
            run = Run(record.sequence, record.at, [row])
    if run.rows:
        yield run


def _digests(group: Group) -> Iterator[tuple[bytes]] | None:
    return _DIGEST.iter_unpack(group.digests) if group.digests else None


def row_of(record: Record, separator: bytes, digest: bytes | None = None) -> OrderRow | None:
    """None if the record has to be applied as a command. `digest`: of an order, if it is known already."""
    kind, version, _, _, payload = record
    if version != Codec.VERSION:
        return None
    place = _PLACES.get(kind)
    if place is not None and len(payload) == place.size:
        return *place.unpack(payload), digest or frame_digest(separator, payload)
    if kind == Codec.KIND_CANCEL:
        account, nonce, signer, signature = unpack_cancel(payload)
        return account, CANCEL_TERMS, 0, 0, 0, 0, nonce, 0, signature, signer, NO_DIGEST
    return None
