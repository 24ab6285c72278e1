"""The single reader that writes: journal to history, epochs, outbox.

    journal (durable groups) -> Engine.apply -> rows and outbox -> ops (outbox, its cursor) -> history (rows, cursor)

Invariant: outbox rows and history rows are functions of the journal. The outbox is written first, each database in one
transaction with its own cursor, so a kill at any place is repaired by doing the rest again: a restart replays the
engine and writes only what is beyond each cursor. Nothing here ever decides about an order.
"""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from offchain.domain.command import Command, PlaceOrder, decode, record_bytes
from offchain.domain.eip712 import domain_separator, order_digest
from offchain.domain.errors import StorageError
from offchain.domain.event import (
    AnyEvent,
    ApprovalGranted,
    BatchClosed,
    EpochClosed,
    FillTakenBack,
    MarketRequested,
    MarketWithdrawn,
    RelayRequested,
)
from offchain.domain.keccak import keccak
from offchain.domain.units import Digest, from_hex
from offchain.engine.engine import Engine
from offchain.projector.epochs import NO_PARENT, build_epoch, write_epoch
from offchain.projector.recorder import Recorder
from offchain.storage.history import Cursor, History
from offchain.storage.ops import Ops, OutboxRow
from offchain.storage.reader import Group, JournalReader, Record
from offchain.storage.snapshots import read_snapshot, write_snapshot
from offchain.telemetry.probes import OFF, Progress

COMMANDS_PER_TRANSACTION = 2_000
OUTBOX_LAG_MAX = 10_000
"""Commands after which the outbox's cursor moves even if there is nothing to put."""
LIVE_SECONDS = 60.0
"""One transaction of the history on a slow disk takes seconds."""

log = structlog.get_logger("projector")
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, kw_only=True)
class ProjectorSettings:
    """`data` is the node's folder: `data/journal` is read, `data/epochs` and `data/snapshots/history` are written."""

    data: Path
    ops_url: str
    history_url: str
    poll_millis: int = 20
    snapshot_commands: int = 50_000
    snapshot_seconds: float = 60.0
    """At least so many commands and so much time after the one before."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = OFF
    """Of /livez, /readyz and /metrics; 0 lets the system choose and writes it to `data/projector.port`."""

    @property
    def journal_folder(self) -> Path:
        return self.data / "journal"

    @property
    def epochs_folder(self) -> Path:
        return self.data / "epochs"

    @property
    def snapshots_folder(self) -> Path:
        """Of its own: those that starts begin with are ahead of the history, and these are not."""
        return self.data / "snapshots" / "history"


class Projector:
    """`run` until `stop` is set. StorageError if history or outbox belong to another journal than this one."""

    def __init__(self, settings: ProjectorSettings, reader: JournalReader, ops: Ops, history: History) -> None:
        self._settings = settings
        self._reader = reader
        self._ops = ops
        self._history = history
        self._cursor = history.cursor() or Cursor(0, 0, "")
        self._check_cursor()
        self._outbox_sequence = ops.outbox_sequence()
        done = min(self._cursor.sequence, self._outbox_sequence)
        snapshot = read_snapshot(settings.snapshots_folder, reader, done, settings.snapshots_folder.parent)
        self.engine = Engine() if snapshot is None else snapshot.engine
        self._snapshot_sequence, self._snapshot_at = self.engine.sequence, time.monotonic()
        self._recorder = Recorder(history)
        self._settlement = b""
        self._outbox: list[OutboxRow] = []
        self._replacements: list[OutboxRow] = []
        self._last_epoch = (0, NO_PARENT)
        self._record = b""
        self.progress = Progress(LIVE_SECONDS)

    @property
    def sequence(self) -> int:
        """Of the last command in the history."""
        return self._cursor.sequence

    @property
    def outbox_sequence(self) -> int:
        return self._outbox_sequence

    @property
    def epoch(self) -> int:
        """The last one that was built since the start, 0 if none."""
        return self._last_epoch[0]

    @property
    def lag(self) -> int:
        """Durable commands that the history does not have yet."""
        return max(0, self._reader.durable_sequence() - self._cursor.sequence)

    def run(self, stop: threading.Event) -> None:
        first = self._reader.record(1)
        if first is not None:
            self._ops.bind_journal(keccak(record_bytes(*first)).hex())
        log.info("projecting", replay_from=self.engine.sequence + 1, cursor=self._cursor.sequence, lag=self.lag)
        for groups in self._reader.follow_groups(self.engine.sequence + 1):
            for group in groups:
                self.apply_group(group)
                if self.engine.sequence >= self._cursor.sequence + COMMANDS_PER_TRANSACTION or group is groups[-1]:
                    self.flush()
                    self._keep_snapshot(group)
                    self.progress.note()
                if stop.is_set():
                    return
            self.progress.note()
            if stop.wait(0 if groups else self._settings.poll_millis / 1000):
                return

    def apply_group(self, group: Group) -> None:
        """What of it is beyond the engine."""
        for record in group.records():
            if record.sequence > self.engine.sequence:
                self.apply(record)

    def apply(self, record: Record) -> None:
        """One command; its rows are kept until `flush`."""
        sequence, at = record.sequence, record.at
        command = decode(record.kind, record.version, record.payload)
        digest = self._digest(command) if isinstance(command, PlaceOrder) else Digest("")
        events = self.engine.apply(sequence, at, command, from_hex(digest) or None)
        self._record = record_bytes(*record)
        is_new = sequence > self._cursor.sequence
        if not is_new and sequence <= self._outbox_sequence:
            return
        if is_new:
            self._recorder.note(sequence, at, command, events, digest)
        for event in events:
            self._note(sequence, at, event, is_new)

    def flush(self) -> None:
        """Outbox first: what the history shows as batched is in the outbox."""
        sequence = self.engine.sequence
        if sequence > self._outbox_sequence and (
            self._outbox or self._replacements or sequence > self._outbox_sequence + OUTBOX_LAG_MAX
        ):
            self._ops.put_outbox(self._outbox, sequence, self._replacements)
            self._outbox, self._replacements, self._outbox_sequence = [], [], sequence
        if sequence > self._cursor.sequence:
            cursor = Cursor(sequence, self.engine.at, keccak(self._record).hex())
            self._history.write(self._recorder.take(), cursor)
            self._cursor = cursor

    def _keep_snapshot(self, group: Group) -> None:
        """After this group, if the last one is old."""
        sequence, now, settings = self.engine.sequence, time.monotonic(), self._settings
        if sequence < self._snapshot_sequence + settings.snapshot_commands:
            return
        if now >= self._snapshot_at + settings.snapshot_seconds:
            write_snapshot(settings.snapshots_folder, self.engine, group.head.hash)
            self._snapshot_sequence, self._snapshot_at = sequence, now

    def _note(self, sequence: int, at: int, event: AnyEvent, is_new: bool) -> None:
        match event:
            case EpochClosed():
                self._note_epoch(sequence, at, event, is_new)
            case BatchClosed(batch=batch):
                self._put("batch", batch, _encode(self.engine.settlement_batch(batch)), sequence)
            case ApprovalGranted(nonce=nonce) if event.owner_signature:
                self._put("approval", nonce, _encode(event), sequence)
            case RelayRequested(number=number):
                self._put("relay", number, _encode(event), sequence)
            case MarketRequested(market=market):
                self._put("market", market, _encode(event), sequence)
            case MarketWithdrawn(market=market):
                if sequence > self._outbox_sequence:
                    self._replacements.append(OutboxRow("market", market, _encode(event).decode(), sequence))
            case FillTakenBack(fill=fill):
                self._note_taken_back(sequence, fill)
            case _:
                pass

    def _note_epoch(self, sequence: int, at: int, event: EpochClosed, is_new: bool) -> None:
        header, content = build_epoch(
            self._reader, event, self._parent(event.epoch), self.engine.state_hash(), self.engine.separator
        )
        write_epoch(self._settings.epochs_folder, event.epoch, content)
        self._last_epoch = event.epoch, "0x" + header.hash().hex()
        self._put("epoch", event.epoch, _encode(header), sequence)
        if is_new:
            self._recorder.note_epoch(at, header)
        log.info("epoch closed", epoch=event.epoch, first=event.first, last=event.last, hash=self._last_epoch[1])

    def _note_taken_back(self, sequence: int, fill: int) -> None:
        """A batch that is closed already gets a new payload; an open one will be closed with it."""
        batch = self.engine.batch_of(fill)
        if batch is not None and sequence > self._outbox_sequence:
            payload = _encode(self.engine.settlement_batch(batch)).decode()
            self._replacements.append(OutboxRow("batch", batch, payload, sequence))

    def _put(self, kind: str, key: int, payload: bytes, sequence: int) -> None:
        if sequence > self._outbox_sequence:
            self._outbox.append(OutboxRow(kind, key, payload.decode(), sequence))

    def _parent(self, epoch: int) -> str:
        if epoch == 1:
            return NO_PARENT
        number, parent = self._last_epoch
        if number == epoch - 1:
            return parent
        before = self._history.epoch(epoch - 1)
        assert before is not None, f"epoch {epoch - 1} is neither at hand nor in the history"
        return before.hash

    def _digest(self, command: Command) -> Digest:
        assert isinstance(command, PlaceOrder)
        if not self._settlement:
            venue = self.engine.venue
            assert venue is not None, "an order before OpenVenue"
            self._settlement = domain_separator(venue.chain_id, venue.settlement)
        return Digest("0x" + order_digest(self._settlement, command.order).hex())

    def _check_cursor(self) -> None:
        if not self._cursor.sequence:
            return
        record = self._reader.record(self._cursor.sequence)
        if record is None or keccak(record_bytes(*record)).hex() != self._cursor.record:
            raise StorageError(
                f"the history stands at command {self._cursor.sequence} of another journal than this one",
                remedy="Delete the history database to rebuild it; if the journal lost its end, restore that first",
            )
