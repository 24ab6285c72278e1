"""The feed: the same gapless stream from any sequence, a snapshot when it is too old, and no mercy for slow readers."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from venue_samples import Running, chunks, flow, fund, running, settings

from offchain.domain.errors import SequencerUnavailable
from offchain.domain.event import (
    AnyEvent,
    BalanceChanged,
    LevelChanged,
    MarketOpened,
    OrderAccepted,
    OrderClosed,
)
from offchain.sequencer import protocol
from offchain.sequencer.link import SequencerLink
from offchain.sequencer.protocol import FeedMessage


class Model:
    """The smallest read model: what a gateway would know of books, balances and open orders."""

    def __init__(self) -> None:
        self.levels: dict[tuple[int, int, int], int] = {}
        self.balances: dict[tuple[str, str], AnyEvent] = {}
        self.open: set[str] = set()
        self.markets: set[int] = set()
        self.sequence = 0

    def apply(self, message: FeedMessage) -> None:
        if message.snapshot:
            self.__init__()  # type: ignore[misc]
        else:
            assert message.sequence == self.sequence + 1 or not self.sequence, "a gap"
        self.sequence = message.sequence
        for event in message.events:
            if isinstance(event, LevelChanged):
                self.levels[event.market, event.side, event.price_ticks] = event.size_lots
            elif isinstance(event, BalanceChanged):
                self.balances[event.account, event.token] = event
            elif isinstance(event, OrderAccepted):
                self.open.add(event.digest)
            elif isinstance(event, OrderClosed):
                self.open.discard(event.digest)
            elif isinstance(event, MarketOpened):
                self.markets.add(event.market)

    def seen(self) -> tuple[object, ...]:
        return {key: size for key, size in self.levels.items() if size}, self.balances, self.open, self.markets


async def follow(link: SequencerLink, start: int, until: int) -> tuple[Model, list[FeedMessage]]:
    model, messages = Model(), []
    async with asyncio.timeout(20):
        async for message in link.feed(start):
            model.apply(message)
            messages.append(message)
            if message.sequence >= until:
                break
    return model, messages


async def submit_all(run: Running, count: int, size: int = 10) -> int:
    for chunk in chunks(flow(count), size):
        await run.sequencer.submit(chunk)
    return run.sequencer.durable_sequence


async def test_resume_from_any_sequence(tmp_path: Path) -> None:
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        last = await submit_all(run, 90)
        link = await run.link()
        whole, messages = await follow(link, 1, last)
        assert [message.sequence for message in messages] == list(range(1, last + 1))
        assert not any(message.snapshot for message in messages)
        for start in range(2, last + 1, 3):
            _, rest = await follow(link, start, last)
            assert rest == messages[start - 1 :]
        snapshot, (first, *_) = await follow(link, 0, last)
        assert first.snapshot and first.sequence == last
        assert snapshot.seen() == whole.seen()
        ahead, (first, *_) = await follow(link, last + 1_000, last)
        assert first.snapshot and ahead.seen() == whole.seen(), "a place that never was gets a snapshot"
        await link.close()


async def test_snapshot_and_stream_agree_under_way(tmp_path: Path) -> None:
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        link = await run.link()
        target = run.sequencer.durable_sequence + 400
        readers = [asyncio.create_task(follow(link, 1, target))]
        for chunk in chunks(flow(400), 4):
            answer = asyncio.create_task(run.sequencer.submit(chunk))
            if len(readers) < 40:
                readers.append(asyncio.create_task(follow(link, 0, target)))
            await answer
        models = [(await reader)[0].seen() for reader in readers]
        assert all(model == models[0] for model in models)
        await link.close()


async def test_after_a_restart_the_recent_past_is_still_there(tmp_path: Path) -> None:
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        last = await submit_all(run, 60)
        _, before = await follow(await run.link(), 1, last)
    async with running(settings(tmp_path)) as run:
        _, after = await follow(await run.link(), 1, last)
        assert after == before
    async with running(settings(tmp_path, ring_commands=30)) as run:
        _, after = await follow(await run.link(), last - 20, last)
        assert after == before[last - 21 :]
        _, (first, *_) = await follow(await run.link(), last - 40, last)
        assert first.snapshot


async def test_a_slow_feed_is_cut_off_and_nobody_waits_for_it(tmp_path: Path) -> None:
    fund(tmp_path)
    configured = settings(tmp_path, ring_commands=200)
    async with running(configured) as run:
        await run.funded()
        with socket.socket(socket.AF_UNIX) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(str(configured.socket))
            slow.sendall(protocol.feed_frame(1))
            await asyncio.sleep(0.05)
            last = await submit_all(run, 3_000, 100)
            slow.settimeout(5)
            received = 0
            with contextlib.suppress(ConnectionResetError):
                while content := await asyncio.to_thread(slow.recv, 1 << 20):
                    received += len(content)
        assert received < 2_000_000
        link = await run.link()
        model, messages = await follow(link, 100, last)
        assert messages[0].snapshot and model.sequence == last, "it resumes with a snapshot"
        await link.close()


async def test_the_end_of_the_connection_is_an_error_of_the_feed(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as run:
        feed = (await run.link()).feed(1)
        assert (await anext(feed)).sequence == 1
        run.stop.set()
        with pytest.raises(SequencerUnavailable):
            await anext(feed)


async def test_nonsense_ends_the_connection(tmp_path: Path) -> None:
    configured = settings(tmp_path)
    async with running(configured) as run:
        for nonsense in (b"\x00" * 64, b"\xff" * 64, protocol.snapshot_end_frame(1, 1), protocol.feed_frame(1)[:-1]):
            reader, writer = await asyncio.open_unix_connection(str(configured.socket))
            writer.write(nonsense)
            if nonsense[4:5] == b"\x05":
                writer.write_eof()
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionResetError):
                    while await reader.read(4096):
                        pass
            writer.close()
        assert (await run.sequencer.submit(flow(1)))[0].sequence == 2
