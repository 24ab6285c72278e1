"""The cycle of every keeper: observe → decide (pure) → act, again and again, until told to stop.

Invariant: a failure of the world (no node, busy database) is waited out with growing, jittered pauses; whatever only an
operator can mend ends the process with its exit code. SIGTERM ends the cycle after the present step; what is in flight
is then looked after, without anything new, for a bounded time.

    0   stopped as told
    2   configuration: a wrong setting, key or registry, or another process holds the key
    3   the chain is another one, or a contract is missing
    5   halted: a final log is gone, or a transaction can never succeed; starting again will not help, an operator must
    70  a failing disk, or a bug
"""

import asyncio
import json
import os
import random
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog

from offchain.domain.errors import (
    BlockTooLarge,
    ConfigurationError,
    DiskFailure,
    HooatsError,
    MissingContract,
    ReorgBeyondInbox,
    TransactionFailed,
    WrongChain,
)
from offchain.telemetry.probes import Progress
from offchain.telemetry.supervisor import ALIVE, READY, STOPPING, tell

OK = 0
USAGE = 2
CHAIN = 3
HALTED = 5
INTERNAL = 70

PAUSE_SECONDS_MAX = 30.0
HEARTBEAT_SECONDS = 1.0
LIVE_SECONDS = 120.0
"""A round takes at most the longest pause and a few timeouts of every endpoint; without one for so long, it hangs."""

O = TypeVar("O")  # noqa: E741
A = TypeVar("A")

_log = structlog.get_logger()


class Keeper(Protocol[O, A]):
    """What the cycle needs of a keeper. `decide` is pure; `act` may be repeated without harm."""

    name: str

    async def prepare(self) -> None:
        """Checks and reconciles; repeated until it succeeds once."""

    async def observe(self) -> O: ...

    def decide(self, observation: O) -> Sequence[A]: ...

    async def act(self, action: A) -> bool:
        """True if there is more to do at once, without a pause."""

    async def drain(self) -> int:
        """Looks after what is in flight, without anything new; how much is left."""

    async def close(self) -> None: ...

    def describe(self) -> dict[str, object]:
        """Figures for the heartbeat."""


def exit_code(error: BaseException) -> int | None:
    """None for what may pass by itself."""
    match error:
        case ConfigurationError():
            return USAGE
        case WrongChain() | MissingContract():
            return CHAIN
        case BlockTooLarge() | ReorgBeyondInbox() | TransactionFailed():
            return HALTED
        case DiskFailure():
            return INTERNAL
        case HooatsError():
            return None
        case _:
            return INTERNAL


class Heartbeat:
    """A small JSON file that says that the keeper lives, and how it is doing. Written beside, then renamed."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self._path = folder / "keepers" / f"{name}.json" if folder is not None else None
        self._written = 0.0
        self.metrics_port: int | None = None
        """Where the probes answer; None if nowhere."""

    def beat(self, state: str, figures: dict[str, object], *, force: bool = False) -> None:
        now = time.monotonic()
        if self._path is None or (not force and now - self._written < HEARTBEAT_SECONDS):
            return
        self._written = now
        who = {"pid": os.getpid(), "host": socket.gethostname()}
        content = {"state": state, **who, "at": int(time.time() * 1000), **figures}
        if self.metrics_port is not None:
            content["metricsPort"] = self.metrics_port
        staging = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            staging.write_text(json.dumps(content))
            staging.replace(self._path)
        except OSError as error:
            _log.warning("heartbeat", reason=error.strerror)


@dataclass
class Status:
    """How the cycle is doing, for probes: `reason` of the last failure, "" while it works."""

    is_prepared: bool = False
    failures: int = 0
    failures_in_a_row: int = 0
    reason: str = ""
    halted: bool = False
    figures: dict[str, object] = field(default_factory=dict)


class Cycle:
    """Runs one keeper to its end."""

    def __init__(
        self, keeper: Keeper[Any, Any], *, pause_seconds: float, drain_seconds: float, heartbeat: Heartbeat
    ) -> None:
        self._keeper = keeper
        self._pause, self._drain = pause_seconds, drain_seconds
        self._heartbeat = heartbeat
        self._stop = asyncio.Event()
        self._failures = 0
        self._is_prepared = False
        self.status = Status()
        self.progress = Progress(LIVE_SECONDS)

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> int:
        """The exit code."""
        code = OK
        try:
            while not self._stop.is_set():
                pause = await self._bounded_step()
                self.progress.note()
                tell(ALIVE)
                await self._wait(pause)
            tell(STOPPING)
            await self._look_after()
        except Exception as error:
            found = exit_code(error)
            code = INTERNAL if found is None else found
            words = str(error) if isinstance(error, HooatsError) else f"{type(error).__name__}: {error}"
            self.status.halted = code == HALTED
            _log.error("stopped", reason=words, exit_code=code, exc_info=not isinstance(error, HooatsError))
        finally:
            self._heartbeat.beat("stopped", {"exitCode": code}, force=True)
            await self._keeper.close()
        return code

    async def _bounded_step(self) -> float:
        """One step; when told to stop, it has as long to end as there is for draining. Cut off is as good as killed."""
        step = asyncio.ensure_future(self._guarded_step())
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({step, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                await asyncio.wait({step}, timeout=self._drain)
        finally:
            stop.cancel()
            if not step.done():
                step.cancel()
                await asyncio.wait({step})
        return 0.0 if step.cancelled() else step.result()

    async def _guarded_step(self) -> float:
        """One step; returns the pause after it."""
        try:
            is_busy = await self._step()
        except HooatsError as error:
            if exit_code(error) is not None:
                raise
            self._failures += 1
            self.status.failures += 1
            self.status.failures_in_a_row, self.status.reason = self._failures, str(error)
            longest = min(PAUSE_SECONDS_MAX, self._pause * 2.0 ** min(self._failures, 16))
            pause = longest * random.uniform(0.5, 1.0)
            _log.warning("waiting", reason=str(error), failures=self._failures, pause=round(pause, 2))
            self._heartbeat.beat("waiting", {"reason": error.message, "failures": self._failures})
            return pause
        if self._failures:
            _log.info("recovered", failures=self._failures)
        self._failures = 0
        figures = self._keeper.describe()
        self.status.failures_in_a_row, self.status.reason, self.status.figures = 0, "", figures
        self._heartbeat.beat("running", figures)
        return 0.0 if is_busy else self._pause

    async def _step(self) -> bool:
        keeper = self._keeper
        if not self._is_prepared:
            await keeper.prepare()
            self._is_prepared = self.status.is_prepared = True
            tell(READY)
            _log.info("ready", **keeper.describe())
        is_busy = False
        for action in keeper.decide(await keeper.observe()):
            is_busy = await keeper.act(action) or is_busy
        return is_busy

    async def _look_after(self) -> None:
        """What is in flight, until it is done or the time is over. It goes on after the next start either way."""
        deadline = time.monotonic() + self._drain
        while self._is_prepared and time.monotonic() < deadline:
            try:
                left = await self._keeper.drain()
            except HooatsError as error:
                _log.warning("drain", reason=str(error))
                left = -1
            if left == 0:
                break
            await asyncio.sleep(min(self._pause, 0.5))

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return


def stop_on_signals(cycle: Cycle) -> None:
    """SIGTERM and SIGINT end the cycle; a second one ends the process."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_once, loop, number, cycle)


def _stop_once(loop: asyncio.AbstractEventLoop, number: int, cycle: Cycle) -> None:
    _log.info("stopping", signal=signal.Signals(number).name)
    loop.remove_signal_handler(number)
    cycle.stop()
