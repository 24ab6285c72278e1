"""The life of the keepers' transactions: PLANNED, SIGNED (raw bytes kept), SENT, MINED, FINAL, or FAILED.

Invariant: a job has at most one transaction that is not FAILED, a keeper at most one per nonce, and every signed
version is kept before it may be sent. What to sign and when to send is the caller's decision; nothing here talks to the
chain.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from offchain.domain.errors import StorageError
from offchain.storage import ops_schema as t
from offchain.storage.databases import Database, rows_of


class TransactionState(StrEnum):
    PLANNED = "PLANNED"
    SIGNED = "SIGNED"
    SENT = "SENT"
    MINED = "MINED"
    FINAL = "FINAL"
    FAILED = "FAILED"


LIVE_STATES = (TransactionState.SIGNED, TransactionState.SENT, TransactionState.MINED, TransactionState.FINAL)
"""What is on chain, or may still get there."""
OPEN_STATES = (TransactionState.PLANNED, TransactionState.SIGNED, TransactionState.SENT, TransactionState.MINED)
"""What a keeper still has to look after."""


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """One row; `job` is `kind:key` of its outbox row. Hex with 0x, "" for what is not known yet; times in milliseconds.

    `raw`, `hash` and fees are those of the last signed version (see `attempts`); once MINED, `hash` is the mined one's.
    """

    id: int
    job: str
    keeper: str
    state: TransactionState
    target: str
    calldata: str
    gas: int
    nonce: int | None
    raw: str
    hash: str
    max_fee: int
    priority_fee: int
    block_number: int
    block_hash: str
    error: str
    created_at: int
    updated_at: int


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    hash: str
    id: int
    raw: str
    max_fee: int
    priority_fee: int
    signed_at: int


class Transactions:
    """The part of `Ops` about transactions."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def plan(self, job: str, keeper: str, target: str, calldata: str, gas: int, now: int) -> Transaction:
        """A PLANNED transaction for the job, or the one that is there and has not failed."""
        with self.database.writing() as connection:
            failed = str(TransactionState.FAILED)
            found = _rows(connection, t.transactions.c.job == job, t.transactions.c.state != failed)
            if found:
                return found[0]
            empty = {"raw": "", "hash": "", "max_fee": 0, "priority_fee": 0, "block_number": 0, "block_hash": ""}
            values = {"job": job, "keeper": keeper, "target": target, "calldata": calldata, "gas": gas, "error": ""}
            times = {"created_at": now, "updated_at": now, "state": str(TransactionState.PLANNED)}
            key = connection.execute(t.transactions.insert().values(**empty, **values, **times)).inserted_primary_key
            assert key is not None
            return _rows(connection, t.transactions.c.id == key[0])[0]

    def sign(
        self,
        id: int,
        nonce: int,
        raw: str,
        hash: str,
        max_fee: int,
        priority_fee: int,
        now: int,
        revision: int | None = None,
    ) -> Transaction:
        """Keeps a signed version, the first or one that replaces it at the same nonce. Call before sending it.

        StorageError if it has no right to exist: the job's outbox row is not at `revision` any more (the payload was
        replaced), the nonce is another live transaction's or changed, or the transaction is final.
        """
        with self.database.writing() as connection:
            row = self._one(connection, id)
            if row.state in (TransactionState.FINAL, TransactionState.FAILED):
                raise StorageError(f"transaction {id} is {row.state}")
            if row.nonce is not None and row.nonce != nonce:
                raise StorageError(f"transaction {id} has nonce {row.nonce}, not {nonce}")
            _check_revision(connection, row.job, revision)
            self._check_nonce(connection, row, nonce)
            version = {"raw": raw, "hash": hash, "max_fee": max_fee, "priority_fee": priority_fee}
            self.database.insert_absent(connection, t.attempts, [{**version, "id": id, "signed_at": now}])
            state = TransactionState.SIGNED if row.state is TransactionState.PLANNED else row.state
            return self._change(connection, id, now, **version, nonce=nonce, state=str(state))

    def sent(self, id: int, now: int) -> Transaction:
        """Some node has taken it."""
        return self._move(id, (TransactionState.SIGNED, TransactionState.SENT), TransactionState.SENT, now)

    def mined(self, id: int, hash: str, block_number: int, block_hash: str, now: int) -> Transaction:
        """A version of it is in a block, successfully."""
        before = (TransactionState.SIGNED, TransactionState.SENT, TransactionState.MINED)
        place = {"hash": hash, "block_number": block_number, "block_hash": block_hash}
        return self._move(id, before, TransactionState.MINED, now, **place)

    def unmined(self, id: int, now: int) -> Transaction:
        """Its block is gone: it waits to be mined again."""
        before, place = (TransactionState.MINED, TransactionState.SENT), {"block_number": 0, "block_hash": ""}
        return self._move(id, before, TransactionState.SENT, now, **place)

    def final(self, id: int, now: int) -> Transaction:
        return self._move(id, (TransactionState.MINED, TransactionState.FINAL), TransactionState.FINAL, now)

    def failed(self, id: int, error: str, now: int) -> Transaction:
        """Nothing of it can be mined any more: reverted, or its nonce was used. Lets a waiting payload in."""
        with self.database.writing() as connection:
            row = self._one(connection, id)
            if row.state is TransactionState.FINAL:
                raise StorageError(f"transaction {id} is FINAL")
            changed = self._change(connection, id, now, state=str(TransactionState.FAILED), error=error)
            _let_in_next_payload(connection, row.job)
            return changed

    def transaction(self, id: int) -> Transaction | None:
        with self.database.reading() as connection:
            return next(iter(_rows(connection, t.transactions.c.id == id)), None)

    def transaction_of(self, job: str) -> Transaction | None:
        """The job's transaction that has not failed, else the last that has."""
        with self.database.reading() as connection:
            rows = _rows(connection, t.transactions.c.job == job)
        return max(rows, key=lambda row: (row.state is not TransactionState.FAILED, row.id), default=None)

    def transactions_since(self, prefix: str, since: int) -> int:
        """How many were begun from `since` (unix millis) on for jobs whose names begin so, whatever became of them."""
        query = sa.select(sa.func.count()).select_from(t.transactions)
        query = query.where(t.transactions.c.job.startswith(prefix), t.transactions.c.created_at >= since)
        with self.database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def transactions_of(self, keeper: str, states: Collection[TransactionState] = OPEN_STATES) -> list[Transaction]:
        """By nonce, those without one last."""
        names = [str(state) for state in states]
        with self.database.reading() as connection:
            rows = _rows(connection, t.transactions.c.keeper == keeper, t.transactions.c.state.in_(names))
        return sorted(rows, key=lambda row: (row.nonce is None, row.nonce or 0, row.id))

    def attempts(self, id: int) -> list[Attempt]:
        """Every signed version, the oldest first."""
        query = sa.select(t.attempts).where(t.attempts.c.id == id).order_by(t.attempts.c.signed_at, t.attempts.c.hash)
        with self.database.reading() as connection:
            return [msgspec.convert(row, Attempt) for row in rows_of(connection.execute(query))]

    def next_nonce(self, keeper: str) -> int:
        """One above the highest nonce that this database ever signed for the keeper, 0 if none."""
        highest = sa.func.max(t.transactions.c.nonce)
        with self.database.reading() as connection:
            found = connection.execute(sa.select(highest).where(t.transactions.c.keeper == keeper)).scalar()
        return 0 if found is None else found + 1

    def _move(
        self, id: int, before: Collection[TransactionState], state: TransactionState, now: int, **values: Any
    ) -> Transaction:
        with self.database.writing() as connection:
            row = self._one(connection, id)
            if row.state not in before:
                raise StorageError(f"transaction {id} is {row.state} and cannot become {state}")
            return self._change(connection, id, now, state=str(state), **values)

    def _change(self, connection: Connection, id: int, now: int, **values: Any) -> Transaction:
        table = t.transactions
        connection.execute(table.update().where(table.c.id == id).values(updated_at=now, **values))
        return self._one(connection, id)

    def _one(self, connection: Connection, id: int) -> Transaction:
        rows = _rows(connection, t.transactions.c.id == id)
        if not rows:
            raise StorageError(f"there is no transaction {id}")
        return rows[0]

    def _check_nonce(self, connection: Connection, row: Transaction, nonce: int) -> None:
        table = t.transactions
        live = [str(state) for state in LIVE_STATES]
        same = _rows(connection, table.c.keeper == row.keeper, table.c.nonce == nonce, table.c.state.in_(live))
        if any(other.id != row.id for other in same):
            raise StorageError(f"nonce {nonce} of {row.keeper} belongs to transaction {same[0].id}")


def _rows(connection: Connection, *conditions: sa.ColumnElement[bool]) -> list[Transaction]:
    query = sa.select(t.transactions).where(*conditions).order_by(t.transactions.c.id)
    return [msgspec.convert(row, Transaction) for row in rows_of(connection.execute(query))]


def _outbox_place(job: str) -> sa.ColumnElement[bool] | None:
    kind, _, key = job.partition(":")
    return sa.and_(t.outbox.c.kind == kind, t.outbox.c.key == int(key)) if key.isdigit() else None


def _check_revision(connection: Connection, job: str, revision: int | None) -> None:
    place = _outbox_place(job)
    if revision is None or place is None:
        return
    if connection.execute(sa.select(t.outbox.c.revision).where(place)).scalar() != revision:
        raise StorageError(f"the payload of {job} was replaced", remedy="Build the transaction from the new one")


def _let_in_next_payload(connection: Connection, job: str) -> None:
    place = _outbox_place(job)
    if place is not None:
        changed = {"payload": t.outbox.c.next_payload, "next_payload": None, "revision": t.outbox.c.revision + 1}
        waiting = t.outbox.c.next_payload.is_not(None)
        connection.execute(t.outbox.update().where(place, waiting).values(changed))
