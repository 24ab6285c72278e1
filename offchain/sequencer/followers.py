"""Standbys that copy the journal, and what waits for them.

Invariant: with `sync_follower` nothing is acknowledged or told to a feed that is not on a follower's disk, too. So a
leader that was left by its followers, because one of them has taken over, acknowledges nothing any more; and one that
hears of a later term than its own stops.
"""

import asyncio
from collections.abc import Callable

import structlog

from offchain.sequencer.ring import Ring
from offchain.sequencer.settings import SequencerSettings

STOP_SECONDS = 3.0
"""How long a stop waits for a follower that may not be there."""

log = structlog.get_logger("sequencer")


class Followers:
    """`ring` has what is on the leader's disk, whether acknowledged or not."""

    def __init__(self, settings: SequencerSettings, last_sequence: int) -> None:
        self.ring = Ring(settings.ring_commands, settings.ring_bytes, last_sequence)
        self.is_sync = settings.sync_follower
        self.term = settings.term
        self.durable_sequence = 0
        """The highest that a follower had on disk since the start."""
        self.connected = 0
        self.deposed_by = 0
        """The later term that a follower told of; 0 if none did."""
        self._news = asyncio.Event()

    def note_durable(self, sequence: int) -> None:
        self.durable_sequence = max(self.durable_sequence, min(sequence, self.ring.last_sequence))
        self._news.set()

    def note_term(self, term: int) -> bool:
        """Whether this leader may go on: it does not if there was a later one."""
        if term > self.term:
            self.deposed_by = max(self.deposed_by, term)
            log.critical("another node has taken over: nothing is acknowledged any more", term=term, own_term=self.term)
        return term <= self.term

    def wake(self) -> None:
        """The leader stops: who waits looks again."""
        self._news.set()

    async def have(self, sequence: int, is_stopping: Callable[[], bool]) -> bool:
        """True once it may be acknowledged."""
        if not self.is_sync and not self.deposed_by:
            return True
        if self.durable_sequence < sequence and not self.connected:
            log.warning("waiting for a follower", sequence=sequence)
        while self.durable_sequence < sequence or self.deposed_by:
            self._news.clear()
            if not is_stopping():
                await self._news.wait()
                continue
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                log.warning("not acknowledged: no follower has it", sequence=sequence)
                return False
        return True
