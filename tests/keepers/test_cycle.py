"""The cycle: pauses, exit codes, draining, heartbeats; and what is never logged."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from keepers import loop
from keepers.cycle import CHAIN, HALTED, INTERNAL, OK, USAGE, Cycle, Heartbeat, exit_code, stop_on_signals
from keepers.lease import LeaseLost
from offchain.domain.errors import (
    ChainUnreachable,
    ConfigurationError,
    DiskFailure,
    MissingContract,
    ReorgBeyondInbox,
    StorageError,
    TransactionFailed,
    WrongChain,
)


class Scripted:
    """A keeper whose observations are given; an exception among them is raised."""

    name = "scripted"

    def __init__(self, *script: object, in_flight: int = 0) -> None:
        self.script = list(script)
        self.acted: list[object] = []
        self.in_flight = in_flight
        self.drained = self.closed = self.prepared = 0
        self.when_empty: Callable[[], None] = lambda: None

    async def prepare(self) -> None:
        self.prepared += 1
        if self.script and self.script[0] == "unprepared":
            self.script.pop(0)
            raise ChainUnreachable("no node")

    async def observe(self) -> object:
        if not self.script:
            self.when_empty()
            return None
        item = self.script.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def decide(self, observation: object) -> list[object]:
        return [] if observation is None else [observation]

    async def act(self, action: object) -> bool:
        self.acted.append(action)
        return action == "busy"

    async def drain(self) -> int:
        self.drained += 1
        self.in_flight = max(0, self.in_flight - 1)
        return self.in_flight

    async def close(self) -> None:
        self.closed += 1

    def describe(self) -> dict[str, object]:
        return {"acted": len(self.acted)}


async def run(keeper: Scripted, folder: Path | None = None, pause: float = 0.001) -> int:
    cycle = Cycle(keeper, pause_seconds=pause, drain_seconds=1, heartbeat=Heartbeat(folder, "scripted"))
    keeper.when_empty = cycle.stop
    return await asyncio.wait_for(cycle.run(), 10)


async def test_failures_of_the_world_are_waited_out() -> None:
    keeper = Scripted("unprepared", 1, ChainUnreachable("x"), StorageError("locked"), ChainUnreachable("x"), 2)
    assert await run(keeper) == OK
    assert keeper.acted == [1, 2]
    assert keeper.prepared == 2
    assert keeper.closed == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("x"), USAGE),
        (LeaseLost("x"), USAGE),
        (WrongChain("x"), CHAIN),
        (MissingContract("x"), CHAIN),
        (ReorgBeyondInbox("x"), HALTED),
        (TransactionFailed("x"), HALTED),
        (DiskFailure("x"), INTERNAL),
        (KeyError("a bug"), INTERNAL),
    ],
)
async def test_what_only_an_operator_can_mend_ends_it(error: Exception, code: int) -> None:
    keeper = Scripted(1, error, 2)
    assert await run(keeper) == code
    assert keeper.acted == [1]
    assert keeper.closed == 1
    assert exit_code(ChainUnreachable("x")) is None


async def test_what_is_in_flight_is_looked_after_before_the_end() -> None:
    keeper = Scripted(1, in_flight=3)
    assert await run(keeper) == OK
    assert keeper.drained == 3


async def test_sigterm_ends_it_after_the_present_step() -> None:
    keeper = Scripted(1, "busy", 2)
    cycle = Cycle(keeper, pause_seconds=60, drain_seconds=1, heartbeat=Heartbeat(None, ""))
    stop_on_signals(cycle)
    asyncio.get_running_loop().call_later(0.05, signal.raise_signal, signal.SIGTERM)
    assert await asyncio.wait_for(cycle.run(), 5) == OK
    assert keeper.acted == [1]
    asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)


async def test_a_step_that_hangs_is_cut_off_when_told_to_stop() -> None:
    keeper = Scripted()

    async def hang() -> object:
        return await asyncio.Event().wait()

    keeper.observe = hang  # type: ignore[method-assign]
    cycle = Cycle(keeper, pause_seconds=0.01, drain_seconds=0.1, heartbeat=Heartbeat(None, ""))
    asyncio.get_running_loop().call_later(0.05, cycle.stop)
    assert await asyncio.wait_for(cycle.run(), 5) == OK
    assert keeper.closed == 1


async def test_a_busy_keeper_does_not_pause() -> None:
    keeper = Scripted(*["busy"] * 50)
    assert await asyncio.wait_for(run(keeper, pause=0.2), 5) == OK
    assert len(keeper.acted) == 50


async def test_the_heartbeat_says_how_it_ended(tmp_path: Path) -> None:
    await run(Scripted(1, ReorgBeyondInbox("gone")), tmp_path)
    beat = json.loads((tmp_path / "keepers" / "scripted.json").read_text())
    assert (beat["state"], beat["exitCode"]) == ("stopped", HALTED)


def test_the_key_is_in_no_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    key = bytes(range(32))
    loop.configure_logs("keeper.settle", [key])
    try:
        structlog.get_logger().error("oops", reason=f"bad key 0x{key.hex().upper()}", more="fine")
    finally:
        structlog.reset_defaults()
    line = json.loads(capsys.readouterr().err)
    assert line["reason"] == "bad key 0x(withheld)" and line["process"] == "keeper.settle"
    assert line["more"] == "fine"
