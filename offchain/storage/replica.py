"""An engine that follows the journal outside the writer: groups in, the events of every command out.

Invariant: after `apply` of a group its state is the writer's after that group, by the same `Engine.apply`; each group
has to continue the one before it, by sequence and by the chain of hashes. Where the groups come from is not known here.
"""

from collections.abc import Iterator

import msgspec

from offchain.domain.command import decode
from offchain.domain.errors import JournalCorrupt
from offchain.domain.event import AnyEvent
from offchain.engine.engine import Engine
from offchain.engine.state import Taken
from offchain.storage.frames import NO_HASH, Group
from offchain.storage.rows import Run, parts


class FeedMessage(msgspec.Struct, frozen=True):
    """All events of commands up to `sequence`; or, if `snapshot`, events that rebuild a read model as of it."""

    sequence: int
    at: int
    snapshot: bool
    events: tuple[AnyEvent, ...]
    commands: int = 1
    """How many there are. Of several, levels and balances are told once, as they are after the last."""
    taken: Taken | None = None
    """Instead of events, of orders and cancels."""


class Replica:
    """Begins with the first command, or with `engine` after the group that hashes to `group_hash`."""

    def __init__(self, engine: Engine | None = None, group_hash: bytes = NO_HASH) -> None:
        self.engine = engine or Engine()
        self.group_hash = group_hash

    @property
    def sequence(self) -> int:
        return self.engine.sequence

    def apply(self, group: Group) -> list[FeedMessage]:
        """One message a command. JournalCorrupt if the group does not continue what was applied."""
        self._check(group)
        messages = []
        for kind, version, sequence, at, payload in group.records():
            events = self.engine.apply(sequence, at, decode(kind, version, payload))
            messages.append(FeedMessage(sequence, at, False, events))
        self.group_hash = group.head.hash
        return messages

    def follow(self, group: Group) -> Iterator[FeedMessage]:
        """`apply`, with one message for all orders and cancels that follow each other. Each has to be looked at before
        the next is asked for: `taken` is the engine's own."""
        self._check(group)
        engine = self.engine
        for part in parts(group, engine):
            if isinstance(part, Run):
                engine.apply_rows(*part)
                yield self._message(part)
                continue
            events = engine.apply(part.sequence, part.at, decode(part.kind, part.version, part.payload))
            yield FeedMessage(engine.sequence, part.at, False, events)
        self.group_hash = group.head.hash

    def _message(self, run: Run) -> FeedMessage:
        engine, commands = self.engine, len(run.rows)
        if engine.ledger.parts:
            return FeedMessage(engine.sequence, run.at, False, engine.take_events(), commands)
        return FeedMessage(engine.sequence, run.at, False, (), commands, engine.take_effects())

    def advance(self, group: Group) -> None:
        """`apply`, where nobody wants the events: the same state at less cost."""
        self._check(group)
        engine = self.engine
        for part in parts(group, engine):
            if isinstance(part, Run):
                engine.apply_rows(*part)
                engine.skip_events()
            else:
                engine.apply(part.sequence, part.at, decode(part.kind, part.version, part.payload))
        self.group_hash = group.head.hash

    def describe(self) -> FeedMessage:
        """The present state."""
        return FeedMessage(self.engine.sequence, self.engine.at, True, tuple(self.engine.describe()))

    def _check(self, group: Group) -> None:
        if group.first != self.engine.sequence + 1 or group.head.previous != self.group_hash:
            raise JournalCorrupt(
                f"the group of sequence {group.first} does not continue sequence {self.engine.sequence}",
                remedy="It is of another journal",
            )
