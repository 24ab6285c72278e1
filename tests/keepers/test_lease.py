"""One process per key."""

import os
import subprocess
import sys

import pytest

from keepers.lease import KeptLease, LeaseLost, is_dead, is_elsewhere, this_process
from offchain.storage.ops import Ops


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.now += seconds


def kept(ops: Ops, clock: Clock, owner: str = "") -> KeptLease:
    return KeptLease(ops, "key:0x1", 15, owner=owner, now=clock, sleep=clock.sleep)


def dead_owner() -> str:
    """The name of a process of this machine that has ended."""
    code = "from keepers.lease import this_process; print(this_process())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_processes_are_told_apart() -> None:
    own, dead = this_process(), dead_owner()
    assert own != dead
    assert not is_dead(own)
    assert is_dead(dead)
    assert not is_elsewhere(own)
    assert is_elsewhere("another-host/pid:[1]/12/34")
    assert not is_dead("another-host/pid:[1]/12/34")
    recycled = own.rsplit("/", 1)[0] + "/1"
    assert is_dead(recycled), "the same id, but started at another time"
    assert str(os.getpid()) in own


def test_a_zombie_is_dead() -> None:
    code = "from keepers.lease import this_process; print(this_process(), flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", code], text=True, **pipes)
    assert process.stdout is not None
    owner = process.stdout.readline().strip()
    assert not is_dead(owner)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has taken note
    assert is_dead(owner)
    process.communicate()


async def test_a_second_living_process_is_refused(ops: Ops) -> None:
    clock = Clock()
    await kept(ops, clock).acquire()
    second = kept(ops, clock, owner=this_process() + "0")
    ops_owner = ops.lease("key:0x1")
    assert ops_owner is not None
    with pytest.raises(LeaseLost, match="holds key:0x1"):
        await second.acquire()
    assert clock.slept == 0


async def test_a_dead_process_of_this_machine_is_succeeded_at_once(ops: Ops) -> None:
    clock = Clock()
    await kept(ops, clock, owner=dead_owner()).acquire()
    await kept(ops, clock).acquire()
    assert clock.slept == 0


async def test_another_machines_lease_must_run_out(ops: Ops) -> None:
    clock = Clock()
    await kept(ops, clock, owner="far/pid:[1]/7/8").acquire()
    await kept(ops, clock).acquire()
    assert 14 <= clock.slept <= 17


async def test_another_machine_that_lives_is_not_succeeded(ops: Ops) -> None:
    clock = Clock()
    far = kept(ops, clock, owner="far/pid:[1]/7/8")
    await far.acquire()

    async def renewing(seconds: float) -> None:
        clock.now += seconds / 2
        far.check()
        clock.now += seconds / 2

    near = KeptLease(ops, "key:0x1", 15, now=clock, sleep=renewing)
    with pytest.raises(LeaseLost):
        await near.acquire()


async def test_a_process_that_slept_too_long_stops(ops: Ops) -> None:
    clock = Clock()
    sleeper = kept(ops, clock)
    await sleeper.acquire()
    sleeper.check()
    clock.now += 20
    await kept(ops, clock, owner="far/pid:[1]/7/8").acquire()
    with pytest.raises(LeaseLost):
        sleeper.check()


async def test_a_released_lease_is_free(ops: Ops) -> None:
    clock = Clock()
    first = kept(ops, clock, owner="far/pid:[1]/7/8")
    await first.acquire()
    first.release()
    await kept(ops, clock).acquire()
    assert clock.slept == 0
