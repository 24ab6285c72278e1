"""A line to the sequencer, for submissions and receipts.

Invariant: a submission ends in acks, in `NotSubmitted` (nothing was sent) or in SequencerUnavailable (the outcome is
unknown). Nothing is sent twice from here.
"""

import asyncio
import logging
import struct
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TypeVar

from offchain.domain.command import Command
from offchain.domain.errors import HooatsError, InvalidInput, SequencerUnavailable
from offchain.domain.wire import RESULT_BYTES
from offchain.sequencer.link import DeliverRows, SequencerLink
from offchain.sequencer.protocol import Ack, Cancelled, NamedCancel
from offchain.sequencer.receipts import GroupReceipt

RECONNECT_SECONDS = (0.02, 1.0)
SUBMIT_SECONDS = 10.0
"""Longer than any group commit; then the outcome counts as unknown."""
RECEIPTS_MAX = 20_000
"""Of the orders that came through here; the sequencer signs an older one again, from the journal."""
_SEQUENCE = struct.Struct(">Q")
"""Opens a packed result."""

T = TypeVar("T")
_log = logging.getLogger("hooats.gateway")


class NotSubmitted(HooatsError):
    """The sequencer is away and nothing was sent to it."""


class Upstream:
    """`start`, then `submit`. Connects again whenever the connection is lost."""

    def __init__(self, socket: Path, chain_id: int) -> None:
        self._socket = socket
        self._chain_id = chain_id
        self._link: SequencerLink | None = None
        self._receipts: OrderedDict[int, str] = OrderedDict()
        self.newest = 0
        """The last command whose result came this way."""
        self._task: asyncio.Task[None] | None = None

    @property
    def is_live(self) -> bool:
        return self._link is not None and self._link.connected

    async def start(self) -> None:
        self._task = asyncio.create_task(self._connect(), name="sequencer")

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
            self.newest = max(self.newest, ack.sequence)
            if ack.receipt:
                self._receipts[ack.sequence] = ack.receipt
        while len(self._receipts) > RECEIPTS_MAX:
            self._receipts.popitem(last=False)
        return acks

    async def cancel(self, named: NamedCancel) -> Cancelled:
        """The same of one order by its id."""
        link = self._link
        if link is None or not self.is_live:
            raise NotSubmitted("the sequencer is away", remedy="Nothing was sent; try again")
        cancelled = await self._bounded(link.cancel(named))
        if cancelled.ack is not None:
            self.newest = max(self.newest, cancelled.ack.sequence)
        return cancelled

    def submit_rows(self, rows: bytes, deliver: DeliverRows, *, is_bulk: bool) -> None:
        """Signed frames, answered by `deliver`: see `SequencerLink.submit_rows`."""
        link = self._link
        if link is None or not self.is_live:
            raise NotSubmitted("the sequencer is away", remedy="Nothing was sent; try again")

        def delivered(results: bytes, attestation: bytes, error: HooatsError | None) -> None:
            if results:
                (sequence,) = _SEQUENCE.unpack_from(results, len(results) - RESULT_BYTES)
                self.newest = max(self.newest, sequence)
            deliver(results, attestation, error)

        try:
            link.submit_rows(rows, delivered, is_bulk=is_bulk)
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

    async def _connect(self) -> None:
        """Again and again."""
        shortest, longest = RECONNECT_SECONDS
        delay, attempts = shortest, 0
        while True:
            try:
                self._link = await self._greeted()
                delay, attempts = shortest, 0
                await self._link.ended()
                _log.warning("the sequencer is lost")
            except (SequencerUnavailable, OSError) as error:
                if not attempts:
                    _log.warning("no sequencer: %s", error)
                attempts += 1
            except Exception:
                _log.exception("no sequencer")
            await self._drop_link()
            await asyncio.sleep(delay)
            delay = min(delay * 2, longest)

    async def _greeted(self) -> SequencerLink:
        link = await SequencerLink.connect(self._socket)
        assert link.hello is not None
        if link.hello.chain_id not in (0, self._chain_id):
            await link.close()
            raise SequencerUnavailable(f"the sequencer is of chain {link.hello.chain_id}, not {self._chain_id}")
        return link

    async def _drop_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()
