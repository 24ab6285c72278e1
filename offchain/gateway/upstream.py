"""The gateway's one line to the sequencer: the feed that keeps the read model, and submissions.

Invariant: the model follows the journal without gap, or starts again from a snapshot. A submission ends in acks, in
`NotSubmitted` (nothing was sent) or in SequencerUnavailable (the outcome is unknown). Nothing is sent twice from here.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from offchain.domain.command import Command
from offchain.domain.errors import HooatsError, InvalidInput, SequencerUnavailable
from offchain.gateway.readmodel import Changes, ReadModel
from offchain.gateway.settings import GatewaySettings
from offchain.sequencer.link import DeliverRows, SequencerLink
from offchain.sequencer.protocol import Ack
from offchain.sequencer.receipts import GroupReceipt
from offchain.storage.frames import Group
from offchain.storage.reader import JournalReader
from offchain.storage.replica import FeedMessage, Replica
from offchain.storage.snapshots import read_snapshot

RECONNECT_SECONDS = (0.02, 1.0)
SUBMIT_SECONDS = 10.0
"""Longer than any group commit; then the outcome counts as unknown."""
RECEIPTS_MAX = 20_000
"""Of the orders that came through here; the sequencer signs an older one again, from the journal."""
YIELD_MESSAGES = 64
"""Of the feed, between two looks at the requests."""

T = TypeVar("T")
_log = logging.getLogger("hooats.gateway")


class NotSubmitted(HooatsError):
    """The sequencer is away and nothing was sent to it."""


class Upstream:
    """`start`, then `submit`; `on_changes(None)` says that a snapshot replaced the model."""

    def __init__(
        self, settings: GatewaySettings, model: ReadModel, on_changes: Callable[[Changes | None], None]
    ) -> None:
        self._settings = settings
        self._model = model
        self._replica = Replica()
        self._on_changes = on_changes
        self._link: SequencerLink | None = None
        self._receipts: OrderedDict[int, str] = OrderedDict()
        self._target = 0
        self._is_connected = False
        self._task: asyncio.Task[None] | None = None

    @property
    def is_live(self) -> bool:
        """Connected, and the model has caught up with where the sequencer was on connection."""
        return self._is_connected and self._model.is_loaded and self._model.sequence >= self._target

    async def start(self) -> None:
        self._task = asyncio.create_task(self._follow(), name="feed")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._drop_link()

    async def submit(self, commands: Sequence[Command]) -> list[Ack]:
        """Acks of durable commands, in order. InvalidInput: the sequencer cannot take them; nothing was sequenced."""
        link = self._link
        if link is None or not self.is_live:
            raise NotSubmitted("the sequencer is away", remedy="Nothing was sent; try again")
        acks = await self._bounded(link.submit(commands))
        for ack in acks:
            if ack.receipt:
                self._receipts[ack.sequence] = ack.receipt
        while len(self._receipts) > RECEIPTS_MAX:
            self._receipts.popitem(last=False)
        return acks

    def submit_rows(self, rows: bytes, deliver: DeliverRows, *, is_bulk: bool) -> None:
        """Signed frames, answered by `deliver`: see `SequencerLink.submit_rows`."""
        link = self._link
        if link is None or not self.is_live:
            raise NotSubmitted("the sequencer is away", remedy="Nothing was sent; try again")
        try:
            link.submit_rows(rows, deliver, is_bulk=is_bulk)
        except SequencerUnavailable as error:
            raise NotSubmitted(str(error)) from None

    async def receipt(self, sequence: int) -> str:
        """The receipt of a sequenced order again, "" if it cannot be had now."""
        link = self._link
        if sequence in self._receipts:
            return self._receipts[sequence]
        if link is None or not self.is_live:
            return ""
        try:
            return await self._bounded(link.receipt(sequence))
        except (SequencerUnavailable, InvalidInput):
            return ""

    async def group_receipt(self, sequence: int) -> GroupReceipt | None:
        """The receipt of the whole group in which an order was sequenced; None if there is none, or none now."""
        link = self._link
        if link is None or not self.is_live:
            return None
        try:
            return await self._bounded(link.group_receipt(sequence))
        except (SequencerUnavailable, InvalidInput):
            return None

    async def _bounded(self, answer: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(SUBMIT_SECONDS):
                return await answer
        except TimeoutError:
            raise SequencerUnavailable("the sequencer did not answer in time") from None

    async def _follow(self) -> None:
        shortest, longest = RECONNECT_SECONDS
        delay, attempts = shortest, 0
        while True:
            before = self._model.sequence
            try:
                await self._follow_once()
            except (SequencerUnavailable, OSError) as error:
                if self._is_connected or not attempts:
                    _log.warning("feed lost: %s", error)
            except Exception:
                _log.exception("feed broke; starting again")
                self._forget()
            attempts = 0 if self._is_connected else attempts + 1
            self._is_connected = False
            await self._drop_link()
            delay = shortest if self._model.sequence > before else min(delay * 2, longest)
            await asyncio.sleep(delay)

    async def _follow_once(self) -> None:
        self._link = await SequencerLink.connect(self._settings.sequencer_socket)
        hello, chain_id = self._link.hello, self._settings.chain_id
        assert hello is not None
        if hello.chain_id not in (0, chain_id):
            raise SequencerUnavailable(f"the sequencer is of chain {hello.chain_id}, not {chain_id}")
        if hello.sequence < self._replica.sequence:  # another journal, or an older one
            self._forget()
        if not self._replica.sequence:
            self._replica = await asyncio.to_thread(self._begin, hello.sequence)
        self._target = hello.sequence
        if not self._model.is_loaded:
            self._show_state()
        feed = self._link.feed(self._replica.sequence + 1)
        self._is_connected = True
        async with contextlib.aclosing(feed):
            async for group in feed:
                await self._take(group)

    async def _take(self, group: Group) -> None:
        if not self._model.is_loaded:
            self._replica.advance(group)
            self._show_state()
            await asyncio.sleep(0)
            return
        for count, message in enumerate(self._replica.apply(group), start=1):
            self._show(message)
            if count % YIELD_MESSAGES == 0:
                await asyncio.sleep(0)

    def _begin(self, sequence_max: int) -> Replica:
        """From the newest snapshot, if there is one."""
        journal, snapshots = self._settings.journal_folder, self._settings.snapshots_folder
        if journal is None or snapshots is None:
            return Replica()
        found = read_snapshot(snapshots, JournalReader(journal), sequence_max)
        return Replica() if found is None else Replica(found.engine, found.group_hash)

    def _forget(self) -> None:
        self._replica = Replica()
        self._model.is_loaded = False

    def _show_state(self) -> None:
        """Once the replica is where the sequencer was on connection."""
        if self._replica.sequence >= self._target:
            self._show(self._replica.describe())

    def _show(self, message: FeedMessage) -> None:
        changes = self._model.apply(message)
        self._on_changes(None if message.snapshot else changes)

    async def _drop_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()
