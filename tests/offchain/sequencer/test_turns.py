"""When the loop waits for the disk, and when a thread does."""

import asyncio
import itertools
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from venue_samples import TRADERS, flow, fund, order, running, settings

from offchain.domain.order import Side
from offchain.sequencer import protocol
from offchain.sequencer.sequencer import SIGNATURES_IN_TURN_MAX
from offchain.storage.disk import Disk


class WatchedDisk(Disk):
    """Says in which threads it was synced; `look` is called before a sync returns, `delay` is waited for."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.look: Callable[[], None] = lambda: None
        self.delay = 0.0

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        self.threads.append(threading.get_ident())
        self.look()
        time.sleep(self.delay)


async def test_nothing_leaves_before_the_fsync_that_the_loop_waits_for_returns(tmp_path: Path) -> None:
    fund(tmp_path)
    disk, seen = WatchedDisk(), list[tuple[bool, int]]()
    async with running(settings(tmp_path), disk=disk) as run:
        await run.funded()
        link, feed, last = await run.link(), socket.socket(socket.AF_UNIX), run.sequencer.durable_sequence
        feed.connect(str(run.settings.socket))
        feed.sendall(protocol.feed_frame(last + 1))
        assert await asyncio.to_thread(feed.recv, 1 << 16), "the greeting"
        feed.setblocking(False)
        answer = asyncio.create_task(link.submit([order(TRADERS[0], Side.BUY, 1_000, 1, 1)]))

        def look() -> None:
            applied = run.sequencer.engine.sequence > run.sequencer.durable_sequence
            seen.append((applied, len(select.select([feed], [], [], 0)[0]) + answer.done()))

        disk.look = look
        await answer
        assert seen[0] == (True, 0) and disk.threads[-1] == threading.get_ident()
        feed.settimeout(5)
        assert await asyncio.to_thread(feed.recv, 1 << 16)
        feed.close()
        await link.close()


async def test_the_loop_waits_for_no_slow_disk_and_for_no_crowd_of_receipts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offchain.sequencer.sequencer.QUICK_SECONDS", 0.2)
    fund(tmp_path)
    disk, here = WatchedDisk(), threading.get_ident()
    async with running(settings(tmp_path, inbox_poll_millis=10_000), disk=disk) as run:
        await run.funded()
        orders = iter(flow(500))

        async def synced(count: int) -> bool:
            """Whether the loop waited for so many."""
            disk.threads.clear()
            await run.sequencer.submit(list(itertools.islice(orders, count)))
            assert len(disk.threads) == 1
            return disk.threads[0] == here

        assert [await synced(count) for count in (1, SIGNATURES_IN_TURN_MAX)] == [True, True]
        assert not await synced(SIGNATURES_IN_TURN_MAX + 1)
        assert await synced(1)
        disk.delay = 0.3
        assert await synced(1), "nobody knew"
        assert [await synced(1), await synced(1)] == [False, False]
        disk.delay = 0.0
        assert [await synced(1), await synced(1)] == [False, True]
