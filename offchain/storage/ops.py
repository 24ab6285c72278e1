"""The ops database: inbox (chain to engine), outbox (engine to chain), countersignatures, heads, logs and leases.

Invariant: the inbox has no gap and no row of it ever changes; an outbox row never changes while a transaction that
carries it may still be mined. Transactions have a module of their own, over the same database.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from offchain.domain.chainlog import AnyChainLog, MarketListed
from offchain.domain.command import ObservePool, Reading
from offchain.domain.errors import ConfigurationError, ReorgBeyondInbox, StorageError
from offchain.storage import ops_schema as t
from offchain.storage.databases import Database
from offchain.storage.transactions import LIVE_STATES, Transactions

_encode = msgspec.json.Encoder().encode
_LISTED = '{"log":"market_listed"'
"""How the JSON of a listing begins."""
_decode_log = msgspec.json.Decoder(AnyChainLog).decode
POLL_LENGTH_MAX = 8 * 1024 * 1024
"""Characters of logs that one poll gathers before it ends: the chain decides how long each one is."""


class OutboxRow(NamedTuple):
    """`payload` is JSON: an EpochHeader, a SettlementBatch, an ApprovalGranted, a RelayRequested, a MarketRequested or
    the MarketWithdrawn that took its place; `revision` counts its replacements.

    `sequence` is that of the command it follows from; `countersignature` the attestation key's, of approvals only.
    """

    kind: str
    key: int
    payload: str
    sequence: int
    revision: int = 0
    countersignature: str = ""


class Head(NamedTuple):
    """A block header; `time` in unix seconds."""

    number: int
    hash: str
    parent: str
    time: int


class SeenLog(NamedTuple):
    """A decoded log at its place on chain."""

    block_number: int
    log_index: int
    block_hash: str
    log: AnyChainLog


class Lease(NamedTuple):
    """`token` grows with every change of owner; `until` in unix milliseconds."""

    name: str
    owner: str
    until: int
    token: int


class Ops(Transactions):
    """All methods are one transaction each and may be called from any thread."""

    def __init__(self, url: str) -> None:
        super().__init__(Database(url, t.SCHEMA, name="ops", version=t.VERSION))

    def close(self) -> None:
        self.database.close()

    def changes(self) -> int | None:
        """Another number if anything was written since, whatever it was; None if the database does not say."""
        return self.database.changes()

    def bind_journal(self, identity: str) -> None:
        """This database belongs to one journal for ever, that whose first record has this hash.

        ConfigurationError if it belongs to another: its outbox rows were never of this exchange's making.
        """
        with self.database.writing() as connection:
            self.database.insert_absent(connection, t.journals, [{"name": "journal", "identity": identity}])
            found = connection.execute(sa.select(t.journals.c.identity)).scalar()
        if found != identity:
            raise ConfigurationError(
                "the ops database belongs to another journal",
                remedy="Use that journal's data folder, or a new database",
            )

    # --- inbox ---

    def append_inbox(self, logs: Sequence[AnyChainLog], block_number: int, block_time: int) -> None:
        """Final logs up to and with this block, ascending. Logs that are there already must be the same.

        ReorgBeyondInbox if one is not: halt. StorageError for a gap in the event sequence: a log was missed.
        """
        with self.database.writing() as connection:
            last = self._last_event(connection)
            for log in logs:
                text = _encode(log).decode()
                if log.event_sequence <= last:
                    self._check_same(connection, log.event_sequence, text)
                    continue
                if log.event_sequence != last + 1:
                    raise StorageError(f"log {log.event_sequence} follows {last}", remedy="Fetch what is between")
                row = {"event_sequence": log.event_sequence, "block_number": log.block_number, "log": text}
                connection.execute(t.inbox.insert().values(row))
                last = log.event_sequence
            _move_cursor(connection, "blocks", block_number, block_time)

    def inbox_after(self, event_sequence: int, limit: int = 1000) -> list[AnyChainLog]:
        with self.database.reading() as connection:
            return self._inbox_after(connection, event_sequence, limit)

    def inbox_block(self) -> tuple[int, int]:
        """(number, unix seconds) of the highest final block whose logs are all in the inbox; (0, 0) if none."""
        with self.database.reading() as connection:
            return _cursor(connection, "blocks")

    def poll_inbox(self, event_sequence: int, limit: int = 1000) -> tuple[list[AnyChainLog], tuple[int, int]]:
        """Logs after, and the block up to which these are all: (0, 0) if the limit or POLL_LENGTH_MAX cut them."""
        logs: list[AnyChainLog] = []
        length = 0
        with self.database.reading() as connection:
            with connection.execute(_inbox_query(event_sequence, limit)) as found:
                for text in found.scalars():
                    logs.append(_decode_log(text))
                    length += len(text)
                    if length >= POLL_LENGTH_MAX:
                        break
            is_all = len(logs) < limit and length < POLL_LENGTH_MAX
            return logs, _cursor(connection, "blocks") if is_all else (0, 0)

    def markets_after(self, event_sequence: int) -> list[MarketListed]:
        """The listings among the logs after this one."""
        column = t.inbox.c.event_sequence
        query = sa.select(t.inbox.c.log).where(column > event_sequence, t.inbox.c.log.startswith(_LISTED))
        with self.database.reading() as connection:
            logs = [_decode_log(text) for text in connection.execute(query.order_by(column)).scalars()]
        return [log for log in logs if isinstance(log, MarketListed)]

    # --- pools ---

    def put_pools(self, pools: Sequence[ObservePool]) -> None:
        """Overwrites what was known of these markets' pairs."""
        with self.database.writing() as connection:
            self.database.upsert(connection, t.pools, [msgspec.structs.asdict(pool) for pool in pools])

    def pools(self) -> list[ObservePool]:
        """The latest of every pair, by market."""
        with self.database.reading() as connection:
            rows = connection.execute(sa.select(t.pools).order_by(t.pools.c.market)).mappings().all()
        return [ObservePool(**{str(name): value for name, value in row.items()}) for row in rows]

    # --- marks ---

    def put_marks(self, readings: Sequence[tuple[int, Reading]]) -> None:
        """Overwrites what these posters said of these markets."""
        rows = [{"market": market, **msgspec.structs.asdict(reading)} for market, reading in readings]
        with self.database.writing() as connection:
            self.database.upsert(connection, t.marks, rows)

    def marks(self) -> dict[int, tuple[Reading, ...]]:
        """By market and poster."""
        found: dict[int, tuple[Reading, ...]] = {}
        with self.database.reading() as connection:
            query = sa.select(t.marks).order_by(t.marks.c.market, t.marks.c.poster)
            for row in connection.execute(query):
                reading = Reading(row.poster, row.price_ticks, row.time, row.signature)
                found[row.market] = (*found.get(row.market, ()), reading)
        return found

    # --- the end of the inbox ---

    def last_event(self) -> int:
        """Event sequence of the last inbox row, 0 if there is none."""
        with self.database.reading() as connection:
            return self._last_event(connection)

    def _inbox_after(self, connection: Connection, event_sequence: int, limit: int) -> list[AnyChainLog]:
        return [_decode_log(text) for text in connection.execute(_inbox_query(event_sequence, limit)).scalars()]

    def _last_event(self, connection: Connection) -> int:
        return connection.execute(sa.select(sa.func.max(t.inbox.c.event_sequence))).scalar() or 0

    def _check_same(self, connection: Connection, event_sequence: int, text: str) -> None:
        query = sa.select(t.inbox.c.log).where(t.inbox.c.event_sequence == event_sequence)
        if connection.execute(query).scalar() != text:
            raise ReorgBeyondInbox(
                f"final log {event_sequence} is another one now", remedy="Halt; the ledger was built on the first"
            )

    # --- outbox ---

    def put_outbox(self, rows: Sequence[OutboxRow], sequence: int, replacements: Sequence[OutboxRow] = ()) -> None:
        """Inserts the absent rows, replaces payloads of which a fill was taken back, and says that the outbox is
        complete to this journal sequence.

        A replacement waits while a transaction with the present payload may still be mined, until that has failed.
        """
        values = [{**row._asdict(), "next_payload": None} for row in rows]
        for value in values:
            del value["countersignature"]
        with self.database.writing() as connection:
            self.database.insert_absent(connection, t.outbox, values)
            for replacement in replacements:
                self._replace(connection, replacement)
            _move_cursor(connection, "outbox", sequence, 0)

    def _replace(self, connection: Connection, new: OutboxRow) -> None:
        row = connection.execute(_outbox_query(new.kind, new.key)).one_or_none()
        if row is None:
            raise StorageError(f"there is no {new.kind} {new.key} in the outbox to replace")
        if row.sequence >= new.sequence:  # done before
            return
        values: dict[str, object] = {"sequence": new.sequence, "next_payload": new.payload}
        if not self._is_live(connection, f"{new.kind}:{new.key}"):
            values |= {"payload": new.payload, "next_payload": None, "revision": row.revision + 1}
        place = sa.and_(t.outbox.c.kind == new.kind, t.outbox.c.key == new.key)
        connection.execute(t.outbox.update().where(place).values(values))

    def outbox_after(self, kind: str, key: int, limit: int = 100) -> list[OutboxRow]:
        """Rows of a kind with a higher key, ascending.

        Approvals end before the first that has no countersignature yet, so that a cursor never passes one.
        """
        query = sa.select(t.outbox, t.countersignatures.c.signature).select_from(
            t.outbox.outerjoin(
                t.countersignatures,
                sa.and_(t.outbox.c.kind == "approval", t.outbox.c.key == t.countersignatures.c.nonce),
            )
        )
        query = query.where(t.outbox.c.kind == kind, t.outbox.c.key > key).order_by(t.outbox.c.key).limit(limit)
        rows = []
        with self.database.reading() as connection:
            for row in connection.execute(query):
                if kind == "approval" and row.signature is None:
                    break
                rows.append(OutboxRow(kind, row.key, row.payload, row.sequence, row.revision, row.signature or ""))
        return rows

    def outbox_row(self, kind: str, key: int) -> OutboxRow | None:
        return next(iter(self.outbox_after(kind, key - 1, 1)), None) if self._has_outbox(kind, key) else None

    def last_epoch(self) -> OutboxRow | None:
        """The newest epoch that was closed, None if there is none."""
        query = sa.select(sa.func.max(t.outbox.c.key)).where(t.outbox.c.kind == "epoch")
        with self.database.reading() as connection:
            key = connection.execute(query).scalar()
        return None if key is None else self.outbox_row("epoch", int(key))

    def outbox_sequence(self) -> int:
        """The journal sequence up to which the outbox is complete."""
        with self.database.reading() as connection:
            return _cursor(connection, "outbox")[0]

    def put_countersignatures(self, signatures: Sequence[tuple[int, str]]) -> None:
        """(approval nonce, 0x-hex signature), inserted if absent."""
        rows = [{"nonce": nonce, "signature": signature} for nonce, signature in signatures]
        with self.database.writing() as connection:
            self.database.insert_absent(connection, t.countersignatures, rows)

    def last_countersignature(self) -> int:
        """Highest nonce that is there, 0 if none."""
        with self.database.reading() as connection:
            return connection.execute(sa.select(sa.func.max(t.countersignatures.c.nonce))).scalar() or 0

    def _has_outbox(self, kind: str, key: int) -> bool:
        with self.database.reading() as connection:
            return connection.execute(_outbox_query(kind, key)).one_or_none() is not None

    def _is_live(self, connection: Connection, job: str) -> bool:
        states = [str(state) for state in LIVE_STATES]
        query = sa.select(t.transactions.c.id).where(t.transactions.c.job == job, t.transactions.c.state.in_(states))
        return connection.execute(query.limit(1)).scalar() is not None

    # --- leases ---

    def acquire_lease(self, name: str, owner: str, seconds: int, now: int) -> Lease | None:
        """The lease if it is free, run out or ours (then it is extended); None while another one holds it.

        `now` in unix milliseconds. What a keeper does outside must not outlast `until`.
        """
        with self.database.writing() as connection:
            row = connection.execute(sa.select(t.leases).where(t.leases.c.name == name)).one_or_none()
            if row is not None and row.owner != owner and row.until > now:
                return None
            token = 1 if row is None else row.token + (row.owner != owner)
            lease = Lease(name, owner, now + seconds * 1000, token)
            self.database.upsert(connection, t.leases, [lease._asdict()])
            return lease

    def lease(self, name: str) -> Lease | None:
        """Who holds it, or held it last."""
        with self.database.reading() as connection:
            row = connection.execute(sa.select(t.leases).where(t.leases.c.name == name)).one_or_none()
        return Lease(row.name, row.owner, row.until, row.token) if row is not None else None

    def release_lease(self, name: str, owner: str) -> None:
        with self.database.writing() as connection:
            held = sa.and_(t.leases.c.name == name, t.leases.c.owner == owner)
            connection.execute(t.leases.update().where(held).values(until=0))

    # --- heads and logs, rewritable ---

    def record_head(self, number: int, block_hash: str, parent: str, time: int, keep: int = 256) -> None:
        """Remembers a header and forgets those more than `keep` blocks below it."""
        with self.database.writing() as connection:
            row = {"number": number, "hash": block_hash, "parent": parent, "time": time}
            self.database.upsert(connection, t.heads, [row])
            connection.execute(t.heads.delete().where(t.heads.c.number < number - keep))

    def head(self, number: int | None = None) -> Head | None:
        """The remembered header of a block, or the highest."""
        query = sa.select(t.heads).order_by(t.heads.c.number.desc()).limit(1)
        if number is not None:
            query = query.where(t.heads.c.number == number)
        with self.database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return Head(row.number, row.hash, row.parent, row.time) if row else None

    def replace_logs(self, first_block: int, last_block: int, logs: Sequence[SeenLog]) -> None:
        """The logs of a block range as seen now, also if there are none."""
        rows = [
            {
                "block_number": seen.block_number,
                "log_index": seen.log_index,
                "block_hash": seen.block_hash,
                "event_sequence": seen.log.event_sequence,
                "log": _encode(seen.log).decode(),
            }
            for seen in logs
        ]
        with self.database.writing() as connection:
            connection.execute(
                t.chain_logs.delete().where(t.chain_logs.c.block_number.between(first_block, last_block))
            )
            self.database.insert_absent(connection, t.chain_logs, rows)

    def forget_above(self, number: int) -> None:
        """A reorg: headers and logs above the common ancestor."""
        with self.database.writing() as connection:
            connection.execute(t.heads.delete().where(t.heads.c.number > number))
            connection.execute(t.chain_logs.delete().where(t.chain_logs.c.block_number > number))

    def logs_between(self, first_block: int, last_block: int) -> list[SeenLog]:
        """In the order of the chain."""
        table = t.chain_logs
        query = sa.select(table).where(table.c.block_number.between(first_block, last_block))
        with self.database.reading() as connection:
            rows = connection.execute(query.order_by(table.c.block_number, table.c.log_index)).all()
        return [SeenLog(row.block_number, row.log_index, row.block_hash, _decode_log(row.log)) for row in rows]


def _cursor(connection: Connection, name: str) -> tuple[int, int]:
    query = sa.select(t.cursors.c.number, t.cursors.c.time).where(t.cursors.c.name == name)
    row = connection.execute(query).one_or_none()
    return (row.number, row.time) if row else (0, 0)


def _move_cursor(connection: Connection, name: str, number: int, time: int) -> None:
    """Never back."""
    if number < _cursor(connection, name)[0]:
        return
    connection.execute(t.cursors.delete().where(t.cursors.c.name == name))
    connection.execute(t.cursors.insert().values(name=name, number=number, time=time))


def _inbox_query(event_sequence: int, limit: int) -> sa.Select[str]:
    column = t.inbox.c.event_sequence
    return sa.select(t.inbox.c.log).where(column > event_sequence).order_by(column).limit(limit)


def _outbox_query(kind: str, key: int) -> sa.Select[tuple[object, ...]]:
    return sa.select(t.outbox).where(t.outbox.c.kind == kind, t.outbox.c.key == key)
