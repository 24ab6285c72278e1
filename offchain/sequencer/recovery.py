"""What the single writer knows, and how it comes to know it: start-up is recovery, through the same path that ran live.

Invariant: everything here is a function of the journal alone. The configuration only opens an empty journal, and must
otherwise name the same contracts.
"""

from offchain.domain.command import CloseEpoch, Command, OpenVenue, PlaceOrder, RequestApproval, decode, encode
from offchain.domain.eip712 import domain_separator, order_digest
from offchain.domain.errors import ConfigurationError
from offchain.domain.event import AnyEvent, ApprovalGranted, CommandRejected, EpochClosed
from offchain.domain.units import Digest, from_hex
from offchain.engine.engine import Engine
from offchain.sequencer.results import FirstResults, Result
from offchain.sequencer.settings import FIRST_RESULTS_MAX, Clock
from offchain.storage.journal import Journal, Record
from offchain.storage.reader import JournalReader

IDENTITY = ("chain_id", "vault", "settlement", "commitment", "quote_token", "quote_decimals")
"""Fields of OpenVenue that say which exchange this is; the others stay as they were journaled."""


class OpenEpoch:
    """Orders since the last epoch, and when the first of them came."""

    def __init__(self) -> None:
        self.orders = 0
        self._since = 0
        self._refused_at: int | None = None

    def note(self, at: int, command: Command, events: tuple[AnyEvent, ...]) -> None:
        if isinstance(command, PlaceOrder):
            self.note_orders(at, 1)
        elif isinstance(command, CloseEpoch) and any(isinstance(event, CommandRejected) for event in events):
            self._refused_at = at
        elif any(isinstance(event, EpochClosed) for event in events):
            self.orders, self._refused_at = 0, None

    def note_orders(self, at: int, count: int) -> None:
        if count:
            self._since = self._since if self.orders else at
            self.orders += count

    def due_at(self, millis: int, orders: int) -> int | None:
        """Unix milliseconds at which to close it; None while it is empty. A refusal is not repeated at once."""
        if not self.orders:
            return None
        due = self._since if self.orders >= orders else self._since + millis
        return due if self._refused_at is None else max(due, self._refused_at + millis)


class Memory:
    """The engine, and what the sequencer keeps beside it."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.epoch = OpenEpoch()
        self.results = FirstResults(self.engine, FIRST_RESULTS_MAX)
        self.to_countersign: list[ApprovalGranted] = []
        """Granted withdrawals whose owner wants them relayed, until the sequencer has handed them over."""
        self._settlement = b""

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

    def digest(self, command: PlaceOrder) -> Digest:
        self._settlement = self._settlement or domain_separator(self.venue.chain_id, self.venue.settlement)
        return Digest("0x" + order_digest(self._settlement, command.order).hex())


def recover(journal: Journal, venue: OpenVenue, clock: Clock) -> Memory:
    """Replays the journal, or opens the venue in an empty one.

    ConfigurationError if the journal is another exchange's.
    """
    memory = Memory()
    if journal.last_sequence == 0:
        at = clock()
        kind, version, payload = encode(venue)
        memory.apply(1, at, venue)
        if memory.engine.venue is None:
            raise ConfigurationError(
                f"the engine does not open this venue: {venue}", remedy="Check fees and batch size"
            )
        journal.append([Record(kind, version, 1, at, payload)])
        return memory
    for record in JournalReader(journal.folder).read():
        command = decode(record.kind, record.version, record.payload)
        if record.sequence == 1:
            _check_identity(command, venue)
        memory.apply(record.sequence, record.at, command)
    assert memory.engine.sequence == journal.last_sequence
    return memory


def _check_identity(first: Command, venue: OpenVenue) -> None:
    if not isinstance(first, OpenVenue):
        raise ConfigurationError("the journal does not start with OpenVenue", remedy="Name the data folder of a node")
    for field in IDENTITY:
        journaled, configured = getattr(first, field), getattr(venue, field)
        if journaled != configured:
            raise ConfigurationError(
                f"the journal belongs to another exchange: its {field} is {journaled}, configured is {configured}",
                remedy="Use the data folder of this deployment, or a new one",
            )
