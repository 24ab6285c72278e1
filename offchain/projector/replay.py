"""Replays a journal from nothing: what anyone who holds it can do to check the venue.

Invariant: read-only, and through the same `Engine.apply` and the same epoch headers as the venue itself.
"""

from pathlib import Path
from typing import NamedTuple

from offchain.domain.batch import EpochHeader
from offchain.domain.command import OpenVenue, PlaceOrder, decode
from offchain.domain.eip712 import domain_separator, order_digest
from offchain.domain.errors import InvalidInput
from offchain.domain.event import (
    AmmFillMatched,
    AnyEvent,
    BalanceChanged,
    EpochClosed,
    FillMatched,
    FillRefused,
    FillSettled,
)
from offchain.domain.units import Digest
from offchain.engine.engine import Engine
from offchain.projector.epochs import NO_PARENT, build_epoch
from offchain.storage.reader import JournalReader
from offchain.storage.replica import Replica


class Replay(NamedTuple):
    """`orders` maps the digest of every sequenced order to its sequence; `events` are all that ever happened."""

    engine: Engine
    headers: list[EpochHeader]
    orders: dict[Digest, int]
    events: list[AnyEvent]

    def balances(self) -> list[BalanceChanged]:
        """Every balance after the last command."""
        return [event for event in self.engine.describe() if isinstance(event, BalanceChanged)]

    def fills(self) -> tuple[list[int], list[int], list[int]]:
        """(matched, settled, refused) fill ids, in order of their events."""
        matched = [event.fill for event in self.events if isinstance(event, FillMatched | AmmFillMatched)]
        settled = [event.fill for event in self.events if isinstance(event, FillSettled)]
        refused = [event.fill for event in self.events if isinstance(event, FillRefused)]
        return matched, settled, refused


def replay_journal(folder: Path) -> Replay:
    """The state after the journal's last command. `InvalidInput` if there is no journal, JournalCorrupt if damaged."""
    if not folder.is_dir():
        raise InvalidInput(f"there is no journal at {folder}", field="--data", remedy="Name the data folder of a node")
    engine, reader = Engine(), JournalReader(folder)
    headers: list[EpochHeader] = []
    orders: dict[Digest, int] = {}
    happened: list[AnyEvent] = []

    separator = b""

    def digest_of(command: PlaceOrder) -> Digest:
        return Digest("0x" + order_digest(separator, command.order).hex())

    for record in reader.read():
        command = decode(record.kind, record.version, record.payload)
        events = engine.apply(record.sequence, record.at, command)
        happened.extend(events)
        if isinstance(command, OpenVenue):
            separator = domain_separator(command.chain_id, command.settlement)
        if isinstance(command, PlaceOrder):
            orders[digest_of(command)] = record.sequence
        for event in events:
            if isinstance(event, EpochClosed):
                parent = "0x" + headers[-1].hash().hex() if headers else NO_PARENT
                header, _ = build_epoch(reader, event, parent, engine.state_hash(), engine.separator)
                headers.append(header)
    return Replay(engine, headers, orders, happened)


def state_after(folder: Path, sequence: int) -> bytes:
    """The state hash after that command. `InvalidInput` if the journal does not have it."""
    replica = Replica()
    for group in JournalReader(folder).groups():
        if group.last <= sequence:
            replica.advance(group)
        elif replica.sequence < sequence:
            for record in group.records():
                if record.sequence <= sequence:
                    command = decode(record.kind, record.version, record.payload)
                    replica.engine.apply(record.sequence, record.at, command)
        if replica.sequence == sequence:
            return replica.engine.state_hash()
    raise InvalidInput(f"the journal has no sequence {sequence}", field="--data")
