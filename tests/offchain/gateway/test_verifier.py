"""The verifier process: right answers, in batches, through its own death."""

# ruff: noqa: ASYNC110  (other processes are waited for by looking)

import asyncio
import os
import signal
import sys

import pytest

from offchain.client.orders import Signer
from offchain.gateway import verifier as module
from offchain.gateway.verifier import Verifier, VerifierOverloaded
from offchain.security.signatures import recover, sign

KEYS = [bytes((n,)) * 32 for n in range(1, 9)]


@pytest.fixture
async def verifier():
    running = Verifier()
    await running.start()
    yield running
    await running.close()


def item(number: int) -> tuple[bytes, bytes]:
    digest = number.to_bytes(32, "big")
    return digest, sign(digest, KEYS[number % len(KEYS)])


async def test_answers_equal_those_of_the_function(verifier) -> None:
    items = [item(number) for number in range(1, 600)]
    items[5] = items[5][0], bytes(65)
    items[6] = items[6][0], items[6][1][:63]
    items[7] = items[7][0], items[8][1]
    found = await asyncio.gather(*(verifier.recover(*pair) for pair in items))
    assert found == [recover(*pair) for pair in items]
    assert found[5] is found[6] is None


async def test_one_batch_for_one_tick(verifier, monkeypatch) -> None:
    batches = []
    monkeypatch.setattr(module, "_Batch", lambda *a, made=module._Batch: batches.append(1) or made(*a))
    await asyncio.gather(*(verifier.recover(*item(number)) for number in range(1, 100)))
    assert len(batches) == 1


async def child_of(verifier: Verifier) -> int:
    """Process id of the child; never 0, which would signal this very process group."""
    async with asyncio.timeout(10):
        while not verifier.is_alive or verifier.process_id == 0:
            await asyncio.sleep(0.005)
    assert verifier.process_id > 1
    return verifier.process_id


async def test_nothing_is_lost_when_it_is_killed(verifier) -> None:
    """SIGKILL in the middle of the flow, several times; every answer arrives and is right."""
    for start in (1, 1001, 2001):
        numbers = range(start, start + 800)
        waiting = [verifier.recover(*item(number)) for number in numbers]
        await asyncio.sleep(0.004)
        assert not waiting[-1].done()
        os.kill(await child_of(verifier), signal.SIGKILL)
        async with asyncio.timeout(20):
            found = await asyncio.gather(*waiting)
        assert found == [Signer(KEYS[number % len(KEYS)]).address for number in numbers]
    assert verifier.restarts == 3


SUICIDAL = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); s.send(bytes(8)); s.recv(1)"


async def test_a_batch_that_kills_it_is_given_up(verifier, monkeypatch) -> None:
    """No endless loop of restarts for one poisoned batch."""

    async def spawn_suicidal(descriptor: int) -> asyncio.subprocess.Process:
        command = (sys.executable, "-c", SUICIDAL, str(descriptor))
        return await asyncio.create_subprocess_exec(*command, pass_fds=(descriptor,))

    with monkeypatch.context() as patch:
        patch.setattr(module, "_spawn", spawn_suicidal)
        process = await child_of(verifier)
        os.kill(process, signal.SIGKILL)
        while verifier.process_id == process:
            await asyncio.sleep(0.001)
        answer = verifier.recover(*item(1))
        with pytest.raises(VerifierOverloaded):
            await answer
    assert verifier.restarts <= 1 + module.ATTEMPTS_MAX
    assert await verifier.recover(*item(2)) == Signer(KEYS[2]).address


async def test_what_waits_is_bounded(verifier, monkeypatch) -> None:
    monkeypatch.setattr(module, "PENDING_MAX", 3)
    waiting = [verifier.recover(*item(number)) for number in range(1, 4)]
    with pytest.raises(VerifierOverloaded):
        verifier.recover(*item(4))
    await asyncio.gather(*waiting)
    assert await verifier.recover(*item(4)) == Signer(KEYS[4]).address


async def test_it_ends_with_its_gateway() -> None:
    running = Verifier()
    await running.start()
    process = running.process_id
    waiting = running.recover(*item(1))
    await running.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert waiting.done()
    waiting.exception()


async def test_the_event_loop_is_not_blocked(verifier) -> None:
    """8,000 recoveries are a quarter of a second of work; the loop's longest pause stays far below."""
    pair = item(1)
    waiting = asyncio.gather(*(verifier.recover(*pair) for _ in range(8_000)))
    await asyncio.sleep(0.01)
    longest, last = 0.0, asyncio.get_running_loop().time()
    while not waiting.done():
        await asyncio.sleep(0)
        now = asyncio.get_running_loop().time()
        longest, last = max(longest, now - last), now
    await waiting
    assert longest < 0.1
