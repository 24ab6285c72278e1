"""The gateway's one line to the sequencer: the feed that keeps the read model, and submissions.

Invariant: the model follows the journal without gap, or starts again from a snapshot. A submission ends in acks, in
`NotSubmitted` (nothing was sent) or in SequencerUnavailable (the outcome is unknown). Nothing is sent twice from here.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from offchain.domain.command import Command
from offchain.domain.errors import HooatsError, InvalidInput, SequencerUnavailable
from offchain.gateway.readmodel import Changes, ReadModel
from offchain.sequencer.link import DeliverRows, SequencerLink
from offchain.sequencer.protocol import Ack
from offchain.sequencer.receipts import GroupReceipt
from offchain.storage.frames import Group
from offchain.storage.replica import FeedMessage, Replica

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
        self, path: Path, chain_id: int, model: ReadModel, on_changes: Callable[[Changes | None], None]
    ) -> None:
        self._path = path
        self._chain_id = chain_id
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
                self._replica = Replica()
            attempts = 0 if self._is_connected else attempts + 1
            self._is_connected = False
            await self._drop_link()
            delay = shortest if self._model.sequence > before else min(delay * 2, longest)
            await asyncio.sleep(delay)

    async def _follow_once(self) -> None:
        self._link = await SequencerLink.connect(self._path)
        hello = self._link.hello
        assert hello is not None
        if hello.chain_id not in (0, self._chain_id):
            raise SequencerUnavailable(f"the sequencer is of chain {hello.chain_id}, not {self._chain_id}")
        if hello.sequence < self._replica.sequence:  # another journal, or an older one
            self._replica = Replica()
        if self._replica.sequence < self._model.sequence:
            self._model.is_loaded = False
        self._target = hello.sequence
        feed = self._link.feed(self._replica.sequence + 1)
        self._is_connected = True
        async with contextlib.aclosing(feed):
            async for group in feed:
                await self._take(group)

    async def _take(self, group: Group) -> None:
        messages = self._replica.apply(group)
        if not self._model.is_loaded:
            if group.last >= self._target:
                self._show(self._replica.describe())
            messages = []
        for count, message in enumerate(messages, start=1):
            self._show(message)
            if count % YIELD_MESSAGES == 0:
                await asyncio.sleep(0)

    def _show(self, message: FeedMessage) -> None:
        changes = self._model.apply(message)
        self._on_changes(None if message.snapshot else changes)

    async def _drop_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()
