"""The sequencer as a real process: kill -9, SIGTERM, a full disk, two on one folder."""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from venue_samples import Running, chunks, flow, fund, messages, placed, replay, running, settings, until

from offchain.domain.command import PlaceOrder
from offchain.domain.errors import SequencerUnavailable
from offchain.sequencer.link import SequencerLink
from offchain.sequencer.settings import SequencerSettings
from offchain.storage.reader import JournalReader

CODE = """
import pickle, resource, sys
from offchain.sequencer.serve import run_sequencer
settings, limit = pickle.loads(sys.stdin.buffer.read())
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(run_sequencer(settings, lambda sequencer: print("ready", flush=True)))
"""

STARTS: list[str] = []
"""What each process said until it listened."""


def start(configured: SequencerSettings, limit: int = 0) -> subprocess.Popen[bytes]:
    """Returns when it listens. `limit`: no file may become longer than this many bytes."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", CODE], stdin=pipe, stdout=pipe, stderr=pipe, env=os.environ)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(pickle.dumps((configured, limit)))
    process.stdin.close()
    said = b""
    for line in process.stdout:
        said += line
        if line.strip() == b"ready":
            break
    STARTS.append(said.decode())
    return process


def output(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None and process.stderr is not None
    return (process.stdout.read() + process.stderr.read()).decode()


async def stream(link: SequencerLink, orders: list[PlaceOrder], acknowledged: dict[int, PlaceOrder]) -> None:
    """Submits until the connection is lost."""
    try:
        for chunk in chunks(orders, 3):
            for ack, command in zip(await link.submit(chunk), chunk, strict=True):
                assert not ack.replayed
                acknowledged[ack.sequence] = command
    except SequencerUnavailable:
        pass


async def wait_funded(link: SequencerLink) -> None:
    async for message in messages(link):
        if message.sequence >= 19:
            return


async def test_kill_minus_nine_loses_nothing_acknowledged(tmp_path: Path) -> None:
    fund(tmp_path)
    configured, acknowledged = settings(tmp_path, epoch_orders=50), dict[int, PlaceOrder]()
    for life in range(5):
        process = start(configured)
        links = [await SequencerLink.connect(configured.socket) for _ in range(3)]
        await wait_funded(links[0])
        before = len(acknowledged)
        orders = flow(30_000, seed=life * 30_000)
        streams = [stream(link, orders[index::3], acknowledged) for index, link in enumerate(links)]
        streaming = asyncio.gather(*streams)
        goal = before + 60 + 37 * life
        await until(lambda goal=goal: len(acknowledged) >= goal)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        await streaming
        assert process.wait(10) == -signal.SIGKILL
        output(process)
        journaled = placed(tmp_path)
        assert all(journaled[sequence] == command for sequence, command in acknowledged.items())
    async with running(configured) as run:
        assert run.sequencer.engine.state_hash() == replay(tmp_path).state_hash()
        assert run.sequencer.engine.sequence >= max(acknowledged)
        await check_repetitions(run, acknowledged)


async def check_repetitions(run: Running, acknowledged: dict[int, PlaceOrder]) -> None:
    """What was accepted before the kills is answered with its first result."""
    for sequence, command in list(acknowledged.items())[:50]:
        (again,) = await run.sequencer.submit([command])
        assert not again.replayed or again.sequence == sequence


async def test_sigterm_drains(tmp_path: Path) -> None:
    fund(tmp_path)
    configured, acknowledged = settings(tmp_path), dict[int, PlaceOrder]()
    process = start(configured)
    link = await SequencerLink.connect(configured.socket)
    await wait_funded(link)
    streaming = asyncio.create_task(stream(link, flow(30_000), acknowledged))
    await until(lambda: len(acknowledged) >= 100)
    process.send_signal(signal.SIGTERM)
    await streaming
    assert await asyncio.to_thread(process.wait, 10) == 0, output(process)
    output(process)
    assert not configured.socket.exists()
    assert placed(tmp_path) == acknowledged, "what is journaled was answered"


async def test_a_full_disk_ends_the_process_with_70(tmp_path: Path) -> None:
    fund(tmp_path)
    configured, acknowledged = settings(tmp_path, inbox_poll_millis=60_000), dict[int, PlaceOrder]()
    process = start(configured, limit=60_000)
    link = await SequencerLink.connect(configured.socket)
    await stream(link, flow(30_000), acknowledged)
    assert await asyncio.to_thread(process.wait, 10) == 70
    said = output(process)
    assert "disk failure" in said and "Traceback" not in said
    assert acknowledged
    last = max(acknowledged)
    process = start(configured)
    link = await SequencerLink.connect(configured.socket)
    assert all(placed(tmp_path)[sequence] == command for sequence, command in acknowledged.items())
    (ack,) = await link.submit(flow(1, seed=40_000))
    assert ack.sequence > last
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 10) == 0
    assert "torn tail" in STARTS[-1]
    output(process)


async def test_two_nodes_on_one_folder(tmp_path: Path) -> None:
    configured = settings(tmp_path)
    first = start(configured)
    second = start(settings(tmp_path))
    assert second.wait(10) == 1
    assert f"belongs to the running process {first.pid}" in output(second)
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    output(first)
    third = start(configured)
    link = await SequencerLink.connect(configured.socket)
    third.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(third.wait, 10) == 0
    output(third)
    await link.close()


async def test_a_frozen_process_is_only_slow(tmp_path: Path) -> None:
    """SIGSTOP: nobody is answered wrongly, and the clock that jumped is just a later time."""
    fund(tmp_path)
    configured = settings(tmp_path)
    process = start(configured)
    link = await SequencerLink.connect(configured.socket)
    await wait_funded(link)
    (before,) = await link.submit(flow(1))
    process.send_signal(signal.SIGSTOP)
    waiting = asyncio.create_task(link.submit(flow(1, seed=1)))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    process.send_signal(signal.SIGCONT)
    (after,) = await waiting
    assert after.sequence > before.sequence and after.at >= before.at
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 10) == 0
    output(process)
    await link.close()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")
def test_recovery_is_quick_enough(tmp_path: Path) -> None:
    """A coarse bound: thousands of commands a second, so that a restart takes seconds."""

    async def fill() -> None:
        fund(tmp_path)
        async with running(settings(tmp_path)) as run:
            await run.funded()
            for chunk in chunks(flow(3_000), 500):
                await run.sequencer.submit(chunk)

    asyncio.run(fill())
    begun = time.perf_counter()
    count = replay(tmp_path).sequence
    assert count / (time.perf_counter() - begun) > 500
    assert JournalReader(tmp_path / "journal").durable_sequence() == count
