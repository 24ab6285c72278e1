"""Follows the journal's feed with an engine of its own, and shows the read model what it means.

Invariant: the model follows the journal without gap, or starts again from a snapshot, and is behind by one window at
most, unless somebody waits for what is newer. It counts as current once it is where the sequencer was on connection.
The last `ring_commands` before that are shown group by group, so that readers of a publisher that died go on from where
they were.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from offchain.domain.errors import SequencerUnavailable
from offchain.gateway.collecting import keep_burst, look_before_burst
from offchain.gateway.readmodel import Changes, ReadModel
from offchain.gateway.settings import PublisherSettings
from offchain.sequencer.link import SequencerLink
from offchain.storage.frames import Group
from offchain.storage.reader import JournalReader
from offchain.storage.replica import FeedMessage, Replica
from offchain.storage.snapshots import read_snapshot

RECONNECT_SECONDS = (0.02, 1.0)
TURN_COMMANDS = 128
"""Applied before others of the loop have their turn: 2 ms at most, and a turn costs as much as an order."""

WINDOW_COMMANDS = 32
"""Once a window has had so many, more of them wait for its end and are applied together: one by one, groups cost half
as much again. Fewer are shown as they come."""
READ_ON_BYTES = 1 << 17
"""So much at once is most of what a socket holds: more waits there."""

_log = logging.getLogger("hooats.publisher")


class Feed:
    """`on_changes(None)` says that a snapshot replaced the model, `on_taken` that all that was read is shown,
    `on_current` that the model has caught up, `on_void` that it is of another journal and will be replaced."""

    def __init__(
        self,
        settings: PublisherSettings,
        model: ReadModel,
        on_changes: Callable[[Changes | None], None],
        on_taken: Callable[[], None],
        on_current: Callable[[], None],
        on_void: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._model = model
        self._on_changes = on_changes
        self._on_taken = on_taken
        self._on_current = on_current
        self._on_void = on_void
        self._replica = Replica()
        self._target = 0
        self._is_connected = False
        self._window = settings.window_millis / 1000
        self._window_end = 0.0
        self._window_start = 0
        """The last command before it."""
        self._shown = 0
        self._wanted = 0
        """The last command that somebody waits for."""
        self._hurried = asyncio.Event()

    @property
    def is_live(self) -> bool:
        """Connected, and the model has caught up with where the sequencer was on connection."""
        return self._is_connected and self.is_current

    @property
    def is_current(self) -> bool:
        """What the model says was true when the connection was lost, if it was."""
        return self._model.is_loaded and self._model.sequence >= self._target

    def hurry(self, sequence: int) -> None:
        """Somebody waits for this command."""
        if sequence > self._replica.sequence:
            self._wanted = max(self._wanted, sequence)
            self._hurried.set()

    async def follow(self) -> None:
        """Until cancelled."""
        shortest, longest = RECONNECT_SECONDS
        delay, attempts = shortest, 0
        while True:
            before = self._replica.sequence
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
            delay = shortest if self._replica.sequence > before else min(delay * 2, longest)
            await asyncio.sleep(delay)

    async def _follow_once(self) -> None:
        link = await SequencerLink.connect(self._settings.sequencer_socket)
        try:
            hello, chain_id = link.hello, self._settings.chain_id
            assert hello is not None
            if hello.chain_id not in (0, chain_id):
                raise SequencerUnavailable(f"the sequencer is of chain {hello.chain_id}, not {chain_id}")
            if hello.sequence < self._replica.sequence:  # another journal, or an older one
                self._forget()
            if not self._replica.sequence:
                self._replica = await asyncio.to_thread(self._begin, hello.sequence)
            self._target = hello.sequence
            self._show_state()
            feed = link.feed(self._replica.sequence + 1, self._pace)
            self._is_connected = True
            async with contextlib.aclosing(feed):
                applied = 0
                async for group in feed:
                    self._take(group)
                    applied += group.head.size
                    if applied >= TURN_COMMANDS:
                        applied = 0
                        await asyncio.sleep(0)
        finally:
            await link.close()

    def _pace(self, size: int) -> Awaitable[None] | None:
        """All that was read is shown; what to wait for before there is more."""
        self._on_taken()
        now, before, self._shown = asyncio.get_running_loop().time(), self._shown, self._replica.sequence
        if now >= self._window_end:
            self._window_end, self._window_start = now + self._window, before
        is_slow = self._shown - self._window_start < WINDOW_COMMANDS
        is_behind = size >= READ_ON_BYTES or not self.is_current or self._shown < self._wanted
        if is_slow or is_behind or not self._window:
            return None
        keep_burst()
        return self._wait(self._window_end - now)

    async def _wait(self, seconds: float) -> None:
        self._hurried.clear()
        end = asyncio.get_running_loop().call_later(seconds, self._hurried.set)
        await self._hurried.wait()
        end.cancel()
        look_before_burst()

    def _take(self, group: Group) -> None:
        if not self._model.is_loaded:
            self._replica.advance(group)
            self._show_state()
            return
        was_current = self.is_current
        for message in self._replica.follow(group):
            self._show(message)
        if not was_current and self.is_current:
            self._on_current()

    def _begin(self, sequence_max: int) -> Replica:
        """From the newest snapshot, if there is one."""
        journal, snapshots = self._settings.journal_folder, self._settings.snapshots_folder
        if journal is None or snapshots is None:
            return Replica()
        found = read_snapshot(snapshots, JournalReader(journal), sequence_max)
        return Replica() if found is None else Replica(found.engine, found.group_hash)

    def _forget(self) -> None:
        self._replica = Replica()
        self._shown = self._wanted = 0
        self._model.is_loaded = False
        self._on_void()

    def _show_state(self) -> None:
        """Once what is left can be shown command by command; never before the venue is open, or there are no rows."""
        if not self._model.is_loaded and self._replica.sequence >= max(self._target - self._settings.ring_commands, 1):
            self._show(self._replica.describe())
        if self.is_current:
            self._on_current()

    def _show(self, message: FeedMessage) -> None:
        changes = self._model.apply(message)
        self._on_changes(None if message.snapshot else changes)
