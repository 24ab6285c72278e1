"""Orders and cancels that came as rows of fixed frames: sequenced, applied and answered without an object for each.

Invariant: a row leaves the same record in the journal, the same state and the same first result as its command would;
nobody can tell from the journal which way it came. What a row says is checked where it is read (`read_rows`), so that
the engine gets nothing that a command could not say.
"""

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from offchain.domain.command import NO_SIGNATURE, RECORD_HEAD, Codec, pack_cancel
from offchain.domain.errors import InvalidInput
from offchain.domain.order import BULK_FRAME, CANCEL_TERMS, SIGNED_FRAME, OrderRow, unpack_terms
from offchain.sequencer.recovery import Memory
from offchain.sequencer.results import again, packed_all
from offchain.storage.frames import DIGEST_BYTES

TERMS = slice(20, 30)
"""Of an order's frame: see `domain.order`."""
PRICE = slice(30, 38)


class RowSubmission(NamedTuple):
    """`deliver` gets the packed results and the attestation of their group, once they are durable."""

    content: bytes
    is_bulk: bool
    size: int
    """How many rows."""
    deliver: Callable[[bytes, bytes], None]


def read_rows(content: bytes, is_bulk: bool, most: int) -> int:
    """How many rows there are. InvalidInput for bytes that are none: nothing of them may reach the engine."""
    size = (BULK_FRAME if is_bulk else SIGNED_FRAME).size
    count, rest = divmod(len(content), size)
    if rest or not 0 < count <= most:
        raise InvalidInput(f"{len(content)} bytes of rows", remedy=f"1 to {most} rows of {size} bytes")
    starts = range(0, len(content), size)
    for terms in {content[start + TERMS.start : start + TERMS.stop] for start in starts}:
        if terms != CANCEL_TERMS:
            _check_terms(terms)
        elif is_bulk or any(map(_is_no_cancel, (content[start : start + PRICE.stop] for start in starts))):
            raise InvalidInput("a row is neither order nor cancel")
    if is_bulk:
        for start in starts:
            if content[start : start + 20] == content[start + size - DIGEST_BYTES - 20 : start + size - DIGEST_BYTES]:
                raise InvalidInput("only agents sign in bulk")
    return count


def only_cancel(content: bytes) -> bool:
    """Whether all rows do, of which some `read_rows` found sound."""
    size = SIGNED_FRAME.size
    return all(content[at + TERMS.start : at + TERMS.stop] == CANCEL_TERMS for at in range(0, len(content), size))


def _is_no_cancel(head: bytes) -> bool:
    return head[TERMS] == CANCEL_TERMS and any(head[PRICE])


@lru_cache(maxsize=4_096)
def _check_terms(terms: bytes) -> None:
    try:
        unpack_terms(terms)
    except ValueError as error:
        raise InvalidInput(f"the terms of a row do not decode: {error}") from None


class RowAnswers(NamedTuple):
    """What became of rows. `records`: heads and payloads of those that got a place in the journal: `size` of
    them, from `first` on. `leaves`: sequence and digest of every order among them."""

    records: list[bytes]
    size: int
    first: int
    results: bytes
    leaves: list[tuple[int, bytes]]


_RECORD_TAIL = struct.Struct(">QQ")


class _Form(NamedTuple):
    """How an order in one of the two frames becomes a record: `record` packs all of it, of which `start` and the time
    are the same for all, out of what `payload` unpacks."""

    frame: struct.Struct
    kind: int
    start: bytes
    payload: struct.Struct
    record: struct.Struct


def _form(frame: struct.Struct, kind: int) -> _Form:
    size = frame.size - DIGEST_BYTES
    start = RECORD_HEAD.pack(size, kind, 1, 0, 0)[: -_RECORD_TAIL.size]
    return _Form(
        frame, kind, start, struct.Struct(f"{size}s{DIGEST_BYTES}x"), struct.Struct(f">{len(start)}sQ8s{size}s")
    )


_SIGNED, _BULK = _form(SIGNED_FRAME, Codec.KIND_PLACE), _form(BULK_FRAME, Codec.KIND_PLACE_BULK)


def apply_rows(memory: Memory, content: bytes, at: int, *, is_bulk: bool) -> RowAnswers:
    """Gives every row that is not known its place; the others get their first result again."""
    form = _BULK if is_bulk else _SIGNED
    if CANCEL_TERMS not in content:
        rows: list[OrderRow] = list(form.frame.iter_unpack(content))
        keys = [row[-1] for row in rows]
        if len(set(keys)) == len(keys) and not memory.engine.known.has_any(keys):
            return _apply_new(memory, content, form, at, rows, keys)
    return _apply_others(memory, content, form, at)


def _apply_new(
    memory: Memory, content: bytes, form: _Form, at: int, rows: list[OrderRow], keys: list[bytes]
) -> RowAnswers:
    """Nearly always: orders, and none of them was there before."""
    engine, record, start, instant = memory.engine, form.record.pack, form.start, at.to_bytes(8)
    first = engine.sequence + 1
    outcomes = engine.apply_rows(first, at, rows)
    engine.skip_events()
    payloads = enumerate(form.payload.iter_unpack(content), first)
    records = [record(start, sequence, instant, payload) for sequence, (payload,) in payloads]
    results = packed_all(first, at, outcomes)
    memory.results.record_orders(keys, rows, outcomes, results)
    memory.epoch.note_orders(at, len(keys))
    return RowAnswers(records, len(rows), first, b"".join(results), list(enumerate(keys, first)))


def _apply_others(memory: Memory, content: bytes, form: _Form, at: int) -> RowAnswers:
    """Row by row: there are cancels, or orders that may be known."""
    engine, first_results = memory.engine, memory.results
    frame, kind = form.frame, form.kind
    size, payload_bytes, known = frame.size, frame.size - DIGEST_BYTES, engine.known
    records, rows, repeated = list[bytes](), list[OrderRow](), list[tuple[int, bytes | int]]()
    first, here, counted, head = engine.sequence + 1, dict[bytes, int](), 0, RECORD_HEAD.pack

    def find(row: OrderRow) -> bytes | int | None:
        """The first result; of an order that is in this very submission, which of the rows it is."""
        nonlocal counted
        here.update((rows[number][-1], number) for number in range(counted, len(rows)))
        counted = len(rows)
        number = here.get(row[-1])
        if number is not None and rows[number][-2] == row[-2]:
            return number
        return first_results.find_row(row)

    def fresh() -> Iterator[OrderRow]:
        """Drawn one by one, each after the one before it was applied: a row may repeat it."""
        start, sequence = -size, first
        for row in frame.iter_unpack(content):
            start += size
            if row[1] == CANCEL_TERMS:
                payload = _cancel_payload(row)
                records.append(head(len(payload), Codec.KIND_CANCEL, 1, sequence, at))
                records.append(payload)
            else:
                if row[-1] in known and (result := find(row)) is not None:
                    repeated.append((start // size, result))
                    continue
                records.append(head(payload_bytes, kind, 1, sequence, at))
                records.append(content[start : start + payload_bytes])
            rows.append(row)
            sequence += 1
            yield row

    outcomes = engine.apply_rows(first, at, fresh())
    engine.skip_events()
    results = packed_all(first, at, outcomes)
    leaves = [(sequence, row[-1]) for sequence, row in enumerate(rows, first) if row[1] != CANCEL_TERMS]
    first_results.record_rows(rows, outcomes, results)
    memory.epoch.note_orders(at, len(leaves))
    answers = results.copy() if repeated else results
    for position, found in repeated:
        answers.insert(position, found if isinstance(found, bytes) else again(results[found]))
    return RowAnswers(records, len(rows), first, b"".join(answers), leaves)


def _cancel_payload(row: OrderRow) -> bytes:
    return pack_cancel(row[0], row[6], row[9], row[8])


def cancel_row(account: bytes, nonce: int) -> bytes:
    """A row that cancels by session: nobody's signature is in it."""
    return SIGNED_FRAME.pack(account, CANCEL_TERMS, 0, 0, 0, 0, nonce, 0, NO_SIGNATURE, account, bytes(DIGEST_BYTES))
