"""One process per key: a lease in the ops database.

Invariant: a key is used only while its lease is held and has not nearly run out. A lease whose owner is a dead process
of this very machine is taken over at once; any other must run out first. The lease is a courtesy between honest
processes; what makes a second sender harmless in the end is that every job is idempotent on chain.
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from offchain.domain.errors import ConfigurationError
from offchain.storage.ops import Lease, Ops

MARGIN_MILLIS = 2_000
"""Nothing is signed this shortly before the lease runs out: signing and sending take time, too."""


class LeaseLost(ConfigurationError):
    """Another process uses this key."""


class KeptLease:
    """The lease `name`, renewed by `check`."""

    def __init__(
        self,
        ops: Ops,
        name: str,
        seconds: int,
        *,
        owner: str = "",
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name, self.owner = name, owner or this_process()
        self._ops, self._seconds, self._now, self._sleep = ops, seconds, now, sleep
        self._until = 0

    async def acquire(self) -> None:
        """`LeaseLost` if another process lives and keeps renewing it."""
        if self._try():
            return
        first = self._ops.lease(self.name)
        if first is not None and is_dead(first.owner):
            self._ops.release_lease(self.name, first.owner)
        elif first is not None and not is_elsewhere(first.owner):
            raise self._refusal(first)
        elif first is not None:
            await self._sleep(max(0.0, first.until / 1000 - self._now()) + 0.5)
        if not self._try():
            raise self._refusal(self._ops.lease(self.name))

    def check(self) -> None:
        """Renews it when a third of its time is gone. `LeaseLost`: stop at once, sign nothing."""
        left = self._until - self._millis()
        if left > self._seconds * 1000 * 2 // 3 and left > MARGIN_MILLIS:
            return
        if not self._try():
            raise self._refusal(self._ops.lease(self.name))

    def release(self) -> None:
        self._ops.release_lease(self.name, self.owner)
        self._until = 0

    def _try(self) -> bool:
        lease = self._ops.acquire_lease(self.name, self.owner, self._seconds, self._millis())
        if lease is not None:
            self._until = lease.until
        return lease is not None

    def _refusal(self, lease: Lease | None) -> LeaseLost:
        owner = lease.owner if lease is not None else "another process"
        return LeaseLost(
            f"{owner} holds {self.name}",
            remedy="One process per key: stop the other one first, or wait until its lease has run out",
        )

    def _millis(self) -> int:
        return int(self._now() * 1000)


def this_process() -> str:
    """Names this process among all of all machines, also after its id was given to another."""
    pid = os.getpid()
    return f"{_place()}/{pid}/{_start_of(pid)}"


def is_elsewhere(owner: str) -> bool:
    """True if nothing can be known here about the owner's process."""
    return owner.rsplit("/", 2)[0] != _place()


def is_dead(owner: str) -> bool:
    """True only if the owner is a process of this machine that is gone."""
    place, pid, start = owner.rsplit("/", 2)
    if place != _place() or not pid.isdigit() or not start.isdigit() or _start_of(os.getpid()) == "0":
        return False
    return _start_of(int(pid)) != start


def _place() -> str:
    """Host and process-id namespace: containers share neither."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = "?"
    return f"{socket.gethostname()}/{namespace}"


def _start_of(pid: int) -> str:
    """Start time of a process in ticks since boot, "0" if there is none (or no /proc). A zombie is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return "0" if fields[0] in ("Z", "X") else fields[19]
    except (OSError, IndexError):
        return "0"
