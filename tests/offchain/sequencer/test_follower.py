"""The standby: the leader's journal to the byte, nothing acknowledged that it does not have, one leader a term."""

import asyncio
import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from test_process import CODE, output, stream, wait_funded
from venue_samples import CHAIN, Running, chunks, flow, fund, placed, replay, running, settings, until

from offchain.domain.command import PlaceOrder
from offchain.domain.errors import ConfigurationError, JournalCorrupt
from offchain.sequencer import protocol
from offchain.sequencer.follower import FollowerSettings, serve_follower
from offchain.sequencer.link import SequencerLink
from offchain.sequencer.settings import SequencerSettings
from offchain.storage.journal import durable_sequence
from offchain.storage.reader import JournalReader
from offchain.storage.snapshots import snapshot_files
from offchain.storage.standing import Standing, lead, read_standing

SECRET = b"\x05" * 32
FOLLOWER_CODE = """
import pickle, sys
from offchain.sequencer.follower import run_follower
sys.exit(run_follower(pickle.loads(sys.stdin.buffer.read())))
"""


def process_of(code: str, content: object) -> "subprocess.Popen[bytes]":
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, env=os.environ)
    assert process.stdin is not None
    process.stdin.write(pickle.dumps(content))
    process.stdin.close()
    return process


def following(folder: Path, leader: Path | str, **changes: object) -> FollowerSettings:
    values: dict[str, object] = {"data": folder, "leader": str(leader), "chain_id": CHAIN, "secret": SECRET}
    return FollowerSettings(**(values | changes))  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def follower(configured: FollowerSettings) -> AsyncIterator["asyncio.Task[int]"]:
    stop = asyncio.Event()
    task = asyncio.create_task(serve_follower(configured, stop))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait((task,), timeout=20)


def groups(folder: Path) -> list[bytes]:
    return [group.content for group in JournalReader(folder / "journal").groups()]


async def has(folder: Path, sequence: int) -> None:
    async with asyncio.timeout(20):
        await until(lambda: (durable_sequence(folder / "journal") or 0) >= sequence)


async def submit_all(run: Running, count: int, seed: int = 0) -> int:
    for chunk in chunks(flow(count, seed), 10):
        await run.sequencer.submit(chunk)
    return run.sequencer.durable_sequence


async def test_it_copies_the_past_and_the_present_to_the_byte(tmp_path: Path) -> None:
    leader, standby = settings(tmp_path / "a", ring_commands=20), tmp_path / "b"
    fund(tmp_path / "a")
    frequent = {"snapshot_commands": 30, "snapshot_seconds": 0.0}
    async with running(leader) as run:
        await run.funded()
        await submit_all(run, 60)
        async with follower(following(standby, leader.socket, **frequent)):
            await has(standby, await submit_all(run, 60, seed=60))
        await submit_all(run, 60, seed=120)
        async with follower(following(standby, leader.socket, **frequent)) as task:
            await has(standby, last := await submit_all(run, 60, seed=180))
            newest = lambda: int(snapshot_files(standby / "snapshots")[0].stem)  # noqa: E731
            async with asyncio.timeout(20):
                await until(lambda: newest() > last - 100)  # after what was copied is durable
            assert not task.done()
    assert groups(standby) == groups(tmp_path / "a")
    assert replay(standby).state_hash() == replay(tmp_path / "a").state_hash()


async def test_the_leader_comes_back(tmp_path: Path) -> None:
    leader, standby = settings(tmp_path / "a"), tmp_path / "b"
    async with follower(following(standby, leader.socket)):
        async with running(leader) as run:
            await has(standby, await submit_all(run, 20))
        async with running(leader) as run:
            await has(standby, await submit_all(run, 20, seed=20))
    assert groups(standby) == groups(tmp_path / "a")


async def test_nothing_is_acknowledged_that_no_follower_has(tmp_path: Path) -> None:
    """Nor told to a feed, nor shown to whoever reads the journal's folder."""
    leader, standby = settings(tmp_path / "a", sync_follower=True), tmp_path / "b"
    async with running(leader) as run:
        link, seen = await run.link(), list[int]()

        async def consume() -> None:
            async for group in link.feed(1):
                seen.append(group.last)

        feed = asyncio.create_task(consume())
        answer = asyncio.create_task(link.submit(flow(5)))
        await until(lambda: run.sequencer.engine.sequence == 6)
        await asyncio.sleep(0.2)
        assert not answer.done() and not any(last > 1 for last in seen)
        assert (durable_sequence(tmp_path / "a" / "journal") or 0) <= 1
        async with follower(following(standby, leader.socket)):
            acks = await asyncio.wait_for(answer, 10)
            assert [ack.sequence for ack in acks] == [2, 3, 4, 5, 6]
            assert set(placed(standby)) == {2, 3, 4, 5, 6}
            await until(lambda: seen[-1:] == [6])
        late = asyncio.create_task(link.submit(flow(1, seed=5)))
        await until(lambda: len(groups(tmp_path / "a")) == 3)
        await asyncio.sleep(0.2)
        assert not late.done() and seen[-1] == 6, "it is gone again"
        assert durable_sequence(tmp_path / "a" / "journal") == 6
        feed.cancel()
        run.stop.set()
        with pytest.raises(Exception, match=r"stop|lost"):
            await asyncio.wait_for(late, 15)
    assert await run.task == 0
    await link.close()


async def test_kill_minus_nine_of_the_leader_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Under load, again and again: the follower takes over, and the next one follows it."""
    folders = [tmp_path / name for name in "abcd"]
    acknowledged: dict[int, PlaceOrder] = {}
    folders[0].mkdir()
    fund(folders[0])
    for life in range(3):
        here, there = folders[life], folders[life + 1]
        if life:
            assert lead(here, promote=True).term == life + 1
        port = {"sync_follower": True, "follow_port": 0, "follow_secret": SECRET, "term": life + 1}
        configured = settings(here, epoch_orders=50, **port)
        process = process_of(CODE, (configured, 0))
        port_file = here / "follow.port"
        await until(lambda file=port_file: file.exists() and bool(file.read_text()))  # type: ignore[misc]
        leader = f"127.0.0.1:{port_file.read_text().strip()}"
        standby = process_of(FOLLOWER_CODE, following(there, leader))
        await until(configured.socket.exists)
        links = [await SequencerLink.connect(configured.socket) for _ in range(3)]
        await wait_funded(links[0])
        before, orders = len(acknowledged), flow(30_000, seed=life * 30_000)
        streams = [stream(link, orders[index::3], acknowledged) for index, link in enumerate(links)]
        streaming = asyncio.gather(*streams)
        await until(lambda goal=before + 100: len(acknowledged) >= goal)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        await streaming
        assert process.wait(10) == -signal.SIGKILL
        standby.send_signal(signal.SIGKILL if life % 2 else signal.SIGTERM)
        standby.wait(10)
        for ended in (process, standby):
            output(ended)
        journaled = placed(there)
        assert all(journaled[sequence] == command for sequence, command in acknowledged.items())
        assert len({(command.order.account, command.order.nonce) for command in journaled.values()}) == len(journaled)
        copied = groups(there)
        assert groups(here)[: len(copied)] == copied
    async with running(settings(folders[3], term=4)) as run:
        assert run.sequencer.engine.state_hash() == replay(folders[3]).state_hash()
        for sequence, command in list(acknowledged.items())[-30:]:
            (again,) = await run.sequencer.submit([command])
            assert not again.replayed or again.sequence == sequence


async def test_a_leader_that_hears_of_a_later_term_stops_for_good(tmp_path: Path) -> None:
    leader, standby = settings(tmp_path / "a"), tmp_path / "b"
    async with running(leader) as run:
        async with follower(following(standby, leader.socket)):
            await has(standby, await submit_all(run, 20))
        assert read_standing(standby) == Standing(1, is_follower=True)
        with pytest.raises(ConfigurationError, match="--promote"):
            lead(standby, promote=False)
        assert lead(standby, promote=True) == Standing(2) == lead(standby, promote=False)
        async with follower(following(standby, leader.socket)):
            assert await asyncio.wait_for(run.task, 10) == 0
    with pytest.raises(ConfigurationError, match="follows another"):
        lead(tmp_path / "a", promote=False)
    assert read_standing(tmp_path / "a") == Standing(2, is_follower=True)


async def test_a_follower_is_in_the_term_of_its_leader(tmp_path: Path) -> None:
    leader, standby = settings(tmp_path / "a", term=3), tmp_path / "b"
    async with running(leader) as run, follower(following(standby, leader.socket)):
        await has(standby, await submit_all(run, 10))
    assert read_standing(standby) == Standing(3, is_follower=True)


async def test_another_past_is_not_followed(tmp_path: Path) -> None:
    async with running(settings(tmp_path / "a")) as run:
        await submit_all(run, 10)
    async with running(settings(tmp_path / "b")) as run:
        await submit_all(run, 30, seed=50)
        configured = following(tmp_path / "a", run.settings.socket)
        with pytest.raises(JournalCorrupt, match="does not continue"):
            await asyncio.wait_for(serve_follower(configured, asyncio.Event()), 10)
    before = groups(tmp_path / "a")
    assert before == groups(tmp_path / "a"), "nothing was cut"


async def test_who_does_not_know_the_secret_gets_nothing(tmp_path: Path) -> None:
    configured = settings(tmp_path / "a", follow_port=0, follow_secret=SECRET)
    async with running(configured) as run:
        last = await submit_all(run, 10)
        leader = f"127.0.0.1:{(tmp_path / 'a' / 'follow.port').read_text().strip()}"
        async with follower(following(tmp_path / "b", leader, secret=b"\x06" * 32)):
            await asyncio.sleep(0.5)
            assert not durable_sequence(tmp_path / "b" / "journal")
        for said in (protocol.feed_frame(1), protocol.submit_frame(1, flow(1, seed=90)), b"\xff" * 64):
            reader, writer = await asyncio.open_connection(*leader.split(":"))
            writer.write(said)
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionResetError):
                    received = await reader.read()
            assert protocol.records_frame(b"")[4:5] not in received[4:5]
            writer.close()
        async with follower(following(tmp_path / "b", leader)):
            await has(tmp_path / "b", last)
    with pytest.raises(ConfigurationError, match="secret"):
        SequencerSettings(**{**vars(configured), "follow_secret": b""})


async def test_its_probes_say_how_far_behind_it_is(tmp_path: Path) -> None:
    leader, standby = settings(tmp_path / "a"), tmp_path / "b"
    async with follower(following(standby, leader.socket, metrics_port=0)):
        await until((standby / "follower.port").exists)
        url = f"http://127.0.0.1:{(standby / 'follower.port').read_text().strip()}"
        status, content = await asyncio.to_thread(ask, f"{url}/readyz")
        assert (status, json.loads(content)["reasons"]) == (
            503,
            {"leader": "the leader is away; start a node here with --promote?"},
        )
        async with running(leader) as run:
            last = await submit_all(run, 20)
            await has(standby, last)
            status, content = await asyncio.to_thread(ask, f"{url}/readyz")
            assert (status, json.loads(content)["process"]) == (200, "follower")
            _, content = await asyncio.to_thread(ask, f"{url}/metrics")
            assert f"hooats_follower_sequence {float(last)}" in content
            assert "hooats_follower_lag_commands 0.0" in content


def ask(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
