"""The sequencer's errands to the ops database: final logs, pools and marks in, countersignatures out.

It looks often and finds nothing nearly always, so that it asks only whether anything was written at all.

Invariant: a log is submitted only after the ones before it are in the engine, and a block only after all its logs; a
countersignature is written only when its approval is durable. A database that does not answer delays both, and nothing
else.
"""

import asyncio
import time
from collections.abc import Sequence

import structlog

from offchain.domain.command import Command, ObserveBlock, ObserveLog, ObservePool, PostMark, Reading
from offchain.domain.eip712 import mark_digest
from offchain.domain.errors import SequencerUnavailable, StorageError
from offchain.domain.limits import MARK_AGE_MILLIS_MAX, READINGS_MAX
from offchain.domain.units import from_hex
from offchain.security.signatures import recover
from offchain.sequencer.sequencer import Sequencer
from offchain.storage.ops import Ops

LOGS_PER_LOOK = 500
LOGS_PER_SUBMISSION = 50
"""A submission is applied in one go: a millisecond's worth of what logs cost, so that orders do not wait for more."""
PAUSE_AFTER_FAILURE_SECONDS = 2.0
PAUSE_AFTER_REFUSAL_SECONDS = 10.0
"""The engine did not take a log: an operator has to look, and the journal must not fill with repetitions."""

LOOK_SECONDS = 1.0
"""Whether or not anything was written: what was there may have to wait for its market, or for its time."""

MARK_SECONDS = MARK_AGE_MILLIS_MAX / 1000 - 5
"""Of an older reading the engine would make no mark by the time that it comes."""

log = structlog.get_logger("sequencer")


class Inbox:
    """`run` polls for ever."""

    def __init__(self, sequencer: Sequencer, ops: Ops, poll_millis: int) -> None:
        self._sequencer = sequencer
        self._ops = ops
        self._pause = poll_millis / 1000
        self._marked: dict[int, tuple[Reading, ...]] = {}
        """What the last mark of a market was made of."""
        self._changes: int | None = None
        """What the database said before the last look; None if there may be more."""
        self._looked = 0.0
        self.failure = ""
        """Why the last errand failed; "" if it did not."""

    async def run(self) -> None:
        countersigned = await self._last_countersignature()
        while True:
            pause, failure = self._pause, ""
            try:
                countersigned = await self._countersign(countersigned)
                commands, marks = await asyncio.to_thread(self._look)
                if commands:
                    pause = await self._submit(commands)
                if marks:
                    await self._sequencer.submit(marks)
            except SequencerUnavailable:
                return
            except StorageError as error:
                log.warning("ops database does not answer", error=str(error))
                pause, failure = PAUSE_AFTER_FAILURE_SECONDS, str(error)
            self.failure = failure
            if pause:
                await asyncio.sleep(pause)

    def _look(self) -> tuple[list[Command], list[PostMark]]:
        now, changes = time.monotonic(), self._ops.changes()
        if changes is not None and changes == self._changes and now < self._looked + LOOK_SECONDS:
            return [], []
        self._changes = None
        commands, marks = self._poll(), self._poll_marks()
        if not commands:
            self._changes, self._looked = changes, now
        return commands, marks

    def _poll(self) -> list[Command]:
        engine = self._sequencer.engine
        logs, (number, time) = self._ops.poll_inbox(engine.last_event_sequence, LOGS_PER_LOOK)
        commands: list[Command] = [ObserveLog(log=found) for found in logs]
        if number > engine.chain_block[0]:
            commands.append(ObserveBlock(block_number=number, block_time=time))
        commands.extend(pool for pool in self._ops.pools() if self._is_news(pool))
        return commands

    def _poll_marks(self) -> list[PostMark]:
        """Of the markets of which a poster said something new: all that is young enough, and signed."""
        engine, now, commands = self._sequencer.engine, time.time(), []
        for market, words in self._ops.marks().items():
            readings = tuple(reading for reading in words if abs(now - reading.time) <= MARK_SECONDS)
            if readings and market in engine.books and readings != self._marked.get(market):
                self._marked[market] = readings
                signed = tuple(reading for reading in readings if self._is_signed(market, reading))
                if signed:
                    commands.append(PostMark(market=market, readings=signed[:READINGS_MAX]))
        return commands

    def _is_signed(self, market: int, reading: Reading) -> bool:
        """By who says it. Whose word counts is said by the keepers' database, which is believed of logs, too."""
        digest = mark_digest(self._sequencer.engine.separator, market, reading.price_ticks, reading.time)
        try:
            is_signed = recover(digest, from_hex(reading.signature)) == reading.poster
        except ValueError:
            is_signed = False
        if not is_signed:
            log.warning("a mark is not signed by its poster", market=market, poster=reading.poster)
        return is_signed

    def _is_news(self, seen: ObservePool) -> bool:
        """Of a listed market, from a later block than what is known."""
        engine = self._sequencer.engine
        known = engine.pools.get(seen.market)
        return seen.market in engine.books and (known is None or known.block_number < seen.block_number)

    def _place(self) -> tuple[object, ...]:
        """How far the engine has come."""
        engine = self._sequencer.engine
        return engine.last_event_sequence, engine.chain_block, sorted(engine.pools.items())

    async def _submit(self, commands: Sequence[Command]) -> float:
        """Seconds to wait before the next poll."""
        before = self._place()
        for start in range(0, len(commands), LOGS_PER_SUBMISSION):
            await self._sequencer.submit(commands[start : start + LOGS_PER_SUBMISSION])
        if self._place() == before:
            log.error("the engine takes nothing from the chain", event_sequence=before[0])
            return PAUSE_AFTER_REFUSAL_SECONDS
        return self._pause if len(commands) < LOGS_PER_LOOK else 0.0

    async def _countersign(self, last: int) -> int:
        """Hands over what became durable since; returns the highest nonce that was handed over."""
        granted = self._sequencer.memory.to_countersign
        ready = [grant for grant in granted if last < grant.nonce <= self._sequencer.durable_sequence]
        if ready:
            attestor = self._sequencer.attestor
            signatures = [(grant.nonce, attestor.approval(grant)) for grant in ready]
            await asyncio.to_thread(self._ops.put_countersignatures, signatures)
            last = ready[-1].nonce
        granted[:] = [grant for grant in granted if grant.nonce > last]
        return last

    async def _last_countersignature(self) -> int:
        while True:
            try:
                return await asyncio.to_thread(self._ops.last_countersignature)
            except StorageError as error:
                log.warning("ops database does not answer", error=str(error))
                await asyncio.sleep(PAUSE_AFTER_FAILURE_SECONDS)
