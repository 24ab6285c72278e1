"""The orders and cancels of journal records as the engine's rows, without a command for each.

Invariant: applied in their parts, the records of a group lead to the same state as applied one by one
(`Engine.apply_rows`). What is no order or cancel, or carries a client order id, stays a record.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from offchain.domain.command import PLACE_KINDS, RECORD_HEAD, Codec, unpack_cancel
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
_PLAIN = struct.Struct(">6sQQ" + SIGNED_FRAME.format.removesuffix("32s").removeprefix(">"))
"""A whole record of an order that was signed alone: what all of them begin with, sequence, time, and the order."""
_PLAIN_HEAD: Final = RECORD_HEAD.pack(_PLACES[Codec.KIND_PLACE].size, Codec.KIND_PLACE, Codec.VERSION, 0, 0)[:6]
_DIGEST = struct.Struct(f"{DIGEST_BYTES}s")


class Run(NamedTuple):
    """Orders and cancels that follow each other at one time, numbered from `first`."""

    first: int
    at: int
    rows: list[OrderRow]


def parts(group: Group, engine: Engine) -> Iterator[Run | Record]:
    """In order, from the first that `engine` does not have; each has to be applied before the next is asked for."""
    wanted = engine.sequence + 1
    plain = _plain(group)
    if plain is not None:
        if plain.first < wanted:
            plain = Run(wanted, plain.at, plain.rows[wanted - plain.first :])
        if plain.rows:
            yield plain
        return
    run, digests = Run(0, 0, []), _digests(group)
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


def _plain(group: Group) -> Run | None:
    """Nearly all groups are orders of one instant that were signed alone, and their digests are there: these are cut in
    one go, at half of the cost. None for any other group."""
    head, digests = group.head, _digests(group)
    if digests is None or head.body_bytes != head.size * _PLAIN.size or len(group.digests) != head.size * DIGEST_BYTES:
        return None
    rows, at = [], _PLAIN.unpack_from(group.body)[2]
    for sequence, (fields, digest) in enumerate(zip(_PLAIN.iter_unpack(group.body), digests, strict=True), head.first):
        if fields[:3] != (_PLAIN_HEAD, sequence, at):
            return None
        rows.append(fields[3:] + digest)
    return Run(head.first, at, rows)


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
