"""The feed: the same gapless groups from any sequence, from memory or from the journal; what a reader makes of them."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from venue_samples import Running, chunks, flow, fund, messages, running, settings

from offchain.domain.errors import JournalCorrupt, SequencerUnavailable
from offchain.domain.event import AnyEvent, BalanceChanged, LevelChanged, OrderAccepted, OrderClosed
from offchain.sequencer import protocol
from offchain.sequencer.link import SequencerLink
from offchain.storage.frames import Group
from offchain.storage.reader import JournalReader
from offchain.storage.replica import FeedMessage, Replica


async def follow(link: SequencerLink, start: int, until: int) -> list[Group]:
    found = []
    async with asyncio.timeout(20), contextlib.aclosing(link.feed(start)) as groups:
        async for group in groups:
            found.append(group)
            if group.last >= until:
                break
    return found


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
        whole = await follow(link, 1, last)
        assert whole == list(JournalReader(tmp_path / "journal").groups()), "to the byte"
        for start in range(1, last + 1, 3):
            found = [group._replace(digests=b"") for group in await follow(link, start, last)]
            assert found == [group for group in whole if group.last >= start]
        with pytest.raises(SequencerUnavailable, match=f"no sequence {last + 1_000}"):
            await follow(link, last + 1_000, last)
        await link.close()


async def test_readers_under_way_make_the_same_of_it(tmp_path: Path) -> None:
    """Every reader sees the events that the writer acknowledged."""
    fund(tmp_path)
    async with running(settings(tmp_path, ring_commands=50)) as run:
        await run.funded()
        link = await run.link()
        target = run.sequencer.durable_sequence + 400

        async def read() -> tuple[list[FeedMessage], bytes]:
            replica, found = Replica(), []
            async with asyncio.timeout(20), contextlib.aclosing(messages(link, replica)) as feed:
                async for message in feed:
                    found.append(message)
                    if message.sequence >= target:
                        break
            return found, replica.engine.state_hash()

        readers, acknowledged = [asyncio.create_task(read())], {}
        for chunk in chunks(flow(400), 4):
            answer = asyncio.create_task(run.sequencer.submit(chunk))
            if len(readers) < 20:
                readers.append(asyncio.create_task(read()))
            acknowledged |= {ack.sequence: ack.events for ack in await answer}
        (first, state), *others = [await reader for reader in readers]
        assert [message.sequence for message in first] == list(range(1, target + 1))
        assert all(first[sequence - 1].events == events for sequence, events in acknowledged.items())
        assert all(found == (first, state) for found in others)
        assert state == run.sequencer.engine.state_hash()
        await link.close()


def test_a_description_is_what_the_events_led_to(tmp_path: Path) -> None:
    async def write() -> None:
        fund(tmp_path)
        async with running(settings(tmp_path)) as run:
            await run.funded()
            await submit_all(run, 200)

    asyncio.run(write())
    replica, told = Replica(), list[AnyEvent]()
    for group in JournalReader(tmp_path / "journal").groups():
        told.extend(event for message in replica.apply(group) for event in message.events)
    assert present(told) == present(replica.describe().events)


def present(events: list[AnyEvent] | tuple[AnyEvent, ...]) -> tuple[object, ...]:
    levels: dict[tuple[int, int, int], int] = {}
    balances: dict[tuple[str, str], AnyEvent] = {}
    opened: set[str] = set()
    for event in events:
        if isinstance(event, LevelChanged):
            levels[event.market, event.side, event.price_ticks] = event.size_lots
        elif isinstance(event, BalanceChanged):
            balances[event.account, event.token] = event
        elif isinstance(event, OrderAccepted):
            opened.add(event.digest)
        elif isinstance(event, OrderClosed):
            opened.discard(event.digest)
    return {key: size for key, size in levels.items() if size}, balances, opened


def test_a_group_that_does_not_continue_is_refused(tmp_path: Path) -> None:
    async def write(folder: Path, seed: int) -> list[Group]:
        async with running(settings(folder)) as run:
            await run.sequencer.submit(flow(3, seed))
            await run.sequencer.submit(flow(3, seed + 3))
        return list(JournalReader(folder / "journal").groups())

    one, other = asyncio.run(write(tmp_path / "a", 0)), asyncio.run(write(tmp_path / "b", 100))
    for groups in ([one[0], one[2]], [one[0], one[1], one[1]], [one[0], one[1], other[2]], [one[1]]):
        replica = Replica()
        for group in groups[:-1]:
            replica.apply(group)
        with pytest.raises(JournalCorrupt, match="does not continue"):
            replica.apply(groups[-1])


async def test_after_a_restart_the_past_is_still_there(tmp_path: Path) -> None:
    fund(tmp_path)
    async with running(settings(tmp_path)) as run:
        await run.funded()
        last = await submit_all(run, 60)
        before = await follow(await run.link(), 1, last)
    async with running(settings(tmp_path, ring_commands=30)) as run:
        assert await follow(await run.link(), 1, last) == before
        last = (await run.sequencer.submit(flow(1, 60)))[0].sequence
        assert (await follow(await run.link(), 1, last))[:-1] == before, "and the present follows it"


async def test_nobody_waits_for_a_slow_feed_and_it_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs a bounded buffer: above it the connection would be cut."""
    monkeypatch.setattr("offchain.sequencer.server.CONNECTION_BUFFER_BYTES_MAX", 400_000)
    fund(tmp_path)
    configured = settings(tmp_path, ring_commands=200)
    async with running(configured) as run:
        await run.funded()
        with socket.socket(socket.AF_UNIX) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(str(configured.socket))
            slow.sendall(protocol.feed_frame(1))
            await asyncio.sleep(0.05)
            last = await submit_all(run, 6_000, 100)
            slow.settimeout(5)
            cutter, groups = protocol.FrameReader(), list[Group]()
            while not groups or groups[-1].last < last:
                for frame_type, body in cutter.feed(await asyncio.to_thread(slow.recv, 1 << 16)):
                    if frame_type is protocol.FrameType.RECORDS:
                        groups.append(protocol.read_records(body)._replace(digests=b""))
        assert groups == list(JournalReader(tmp_path / "journal").groups())


async def test_the_end_of_the_connection_is_an_error_of_the_feed(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as run:
        feed = (await run.link()).feed(1)
        assert (await anext(feed)).first == 1
        run.stop.set()
        with pytest.raises(SequencerUnavailable):
            await anext(feed)


async def test_nonsense_ends_the_connection(tmp_path: Path) -> None:
    configured = settings(tmp_path)
    async with running(configured) as run:
        for nonsense in (b"\x00" * 64, b"\xff" * 64, protocol.records_frame(b""), protocol.feed_frame(1)[:-1]):
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
