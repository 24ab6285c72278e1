"""What the single writer knows, and how it comes to know it: start-up is recovery, through the same path that ran live.

Invariant: everything here is a function of the journal alone. The configuration only opens an empty journal, and must
otherwise name the same contracts.
"""

from collections.abc import Sequence
from pathlib import Path

import structlog

from offchain.domain.command import CloseEpoch, Command, OpenVenue, PlaceOrder, RequestApproval, decode, encode
from offchain.domain.eip712 import order_digest
from offchain.domain.errors import ConfigurationError
from offchain.domain.event import AnyEvent, ApprovalGranted, CommandRejected, EpochClosed
from offchain.domain.order import CANCEL_TERMS
from offchain.domain.units import Digest, from_hex
from offchain.engine.engine import Engine, flaw_of_venue
from offchain.engine.trading import Outcome
from offchain.sequencer.results import FirstResults, Result, packed_all
from offchain.sequencer.settings import FIRST_RESULTS_MAX, Clock
from offchain.storage.journal import Journal, Record
from offchain.storage.reader import Group, JournalReader
from offchain.storage.rows import Run, parts
from offchain.storage.snapshots import read_snapshot

IDENTITY = ("chain_id", "vault", "settlement", "commitment", "quote_token", "quote_decimals")
"""Fields of OpenVenue that say which exchange this is; the others stay as they were journaled."""


log = structlog.get_logger("sequencer")


class OpenEpoch:
    """Orders since the last epoch, and when the first of them came."""

    def __init__(self) -> None:
        self.orders = 0
        self._since = 0
        self._refused_at: int | None = None

    def continue_from(self, engine: Engine) -> None:
        """When the first order came is not known there: the epoch may get longer, once."""
        self.orders, self._since = engine.epoch_orders, engine.at

    def note_orders(self, at: int, count: int) -> None:
        if count:
            self._since = self._since if self.orders else at
            self.orders += count

    def note(self, at: int, command: Command, events: tuple[AnyEvent, ...]) -> None:
        if isinstance(command, PlaceOrder):
            self.note_orders(at, 1)
        elif isinstance(command, CloseEpoch) and any(isinstance(event, CommandRejected) for event in events):
            self._refused_at = at
        elif any(isinstance(event, EpochClosed) for event in events):
            self.orders, self._refused_at = 0, None

    def due_at(self, millis: int, orders: int) -> int | None:
        """Unix milliseconds at which to close it; None while it is empty. A refusal is not repeated at once."""
        if not self.orders:
            return None
        due = self._since if self.orders >= orders else self._since + millis
        return due if self._refused_at is None else max(due, self._refused_at + millis)


class Memory:
    """The engine, and what the sequencer keeps beside it. `engine` is that of a snapshot."""

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = engine or Engine()
        self.epoch = OpenEpoch()
        self.epoch.continue_from(self.engine)
        self.results = FirstResults(self.engine, FIRST_RESULTS_MAX)
        self.to_countersign: list[ApprovalGranted] = []
        """Granted withdrawals whose owner wants them relayed, until the sequencer has handed them over."""
        approvals = self.engine.open_approvals
        self.to_countersign.extend(granted for granted in approvals if granted.owner_signature)

    @property
    def venue(self) -> OpenVenue:
        assert self.engine.venue is not None
        return self.engine.venue

    def apply(self, sequence: int, at: int, command: Command, digest: Digest | None = None) -> tuple[AnyEvent, ...]:
        """`digest`: of a PlaceOrder, if it is known already."""
        if isinstance(command, PlaceOrder):
            digest = digest or self.digest(command)
        events = self.engine.apply(sequence, at, command, None if digest is None else from_hex(digest))
        self.epoch.note(at, command, events)
        if isinstance(command, PlaceOrder):
            assert digest is not None
            self.results.record(command, Result(digest, sequence, at, events))
        elif isinstance(command, RequestApproval):
            grants = [event for event in events if isinstance(event, ApprovalGranted) and event.owner_signature]
            self.to_countersign.extend(grants)
        return events

    def advance(self, group: Group) -> None:
        """All of a group that the engine does not have, as when it came."""
        for part in parts(group, self.engine):
            if isinstance(part, Run):
                outcomes = self.engine.apply_rows(*part)
                self.engine.skip_events()
                self._note_rows(part, outcomes)
            else:
                self.apply(part.sequence, part.at, decode(part.kind, part.version, part.payload))

    def _note_rows(self, run: Run, outcomes: Sequence[Outcome]) -> None:
        self.results.record_rows(run.rows, outcomes, packed_all(run.first, run.at, outcomes))
        self.epoch.note_orders(run.at, sum(row[1] != CANCEL_TERMS for row in run.rows))

    def digest(self, command: PlaceOrder) -> Digest:
        return Digest("0x" + order_digest(self.engine.separator, command.order).hex())


def recover(journal: Journal, venue: OpenVenue, clock: Clock, snapshots: Path) -> Memory:
    """Replays the journal from the newest snapshot of it, if there is one; or opens the venue in an empty one.

    ConfigurationError if the journal is another exchange's.
    """
    if journal.last_sequence == 0:
        return _open_venue(journal, venue, clock())
    reader = JournalReader(journal.folder)
    snapshot = read_snapshot(snapshots, reader, journal.last_sequence)
    memory = Memory(None if snapshot is None else snapshot.engine)
    log.info("replaying", from_sequence=memory.engine.sequence + 1, to_sequence=journal.last_sequence)
    for group in reader.groups(memory.engine.sequence + 1):
        memory.advance(group)
    assert memory.engine.sequence == journal.last_sequence
    _check_identity(memory.engine.venue, venue)
    return memory


def _open_venue(journal: Journal, venue: OpenVenue, at: int) -> Memory:
    memory = Memory()
    kind, version, payload = encode(venue)
    memory.apply(1, at, venue)
    if memory.engine.venue is None:
        flaw = flaw_of_venue(venue)
        raise ConfigurationError(f"no venue opens with this {flaw}", remedy=f"Start the node with another {flaw}")
    journal.append([Record(kind, version, 1, at, payload)])
    return memory


def _check_identity(first: OpenVenue | None, venue: OpenVenue) -> None:
    if first is None:
        raise ConfigurationError("the journal does not start with OpenVenue", remedy="Name the data folder of a node")
    for field in IDENTITY:
        journaled, configured = getattr(first, field), getattr(venue, field)
        if journaled != configured:
            raise ConfigurationError(
                f"the journal belongs to another exchange: its {field} is {journaled}, configured is {configured}",
                remedy="Use the data folder of this deployment, or a new one",
            )
