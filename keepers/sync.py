"""The sync keeper: final logs of Vault and Settlement into the inbox. The only process that polls heads and logs.

Invariant: the inbox grows in the contracts' own event sequence without a gap (see chain/watcher.py); this module only
decides when to look again, and when to say that something is wrong.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from keepers.lease import KeptLease
from offchain.chain.registry import Registry, check_contracts
from offchain.chain.rpc import Rpc
from offchain.chain.watcher import Progress, Watcher

STALLED_SECONDS = 30.0
"""Without a new block for so long, the chain or every endpoint stands still: that is worth a warning."""

_log = structlog.get_logger()


class Observation(NamedTuple):
    """`seconds_since_advance`: since the head moved last."""

    progress: Progress
    seconds_since_advance: float


class Report(NamedTuple):
    """Logs were appended."""

    sequence: int
    final_block: int
    appended: int


class Warn(NamedTuple):
    reason: str


class LookAgain(NamedTuple):
    """At once: there is more that is final."""


Action = Report | Warn | LookAgain


def decide(observation: Observation) -> list[Action]:
    progress = observation.progress
    actions: list[Action] = []
    if progress.appended:
        actions.append(Report(progress.sequence, progress.final_block, progress.appended))
    if observation.seconds_since_advance >= STALLED_SECONDS:
        actions.append(Warn(f"no new block for {observation.seconds_since_advance:.0f} s at head {progress.head}"))
    if not progress.is_caught_up:
        actions.append(LookAgain())
    return actions


class Syncer:
    """A `cycle.Keeper`."""

    name = "sync"

    def __init__(
        self,
        rpc: Rpc,
        watcher: Watcher,
        registry: Registry,
        lease: KeptLease,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rpc, self._watcher, self._registry, self._lease, self._now = rpc, watcher, registry, lease, now
        self._progress = Progress(0, 0, 0, 0, False)
        self._advanced_at = now()
        self._warned_at = 0.0

    async def prepare(self) -> None:
        await self._lease.acquire()
        await self._rpc.check_chain(self._registry.chain_id)
        await check_contracts(self._rpc, self._registry, ("Vault", "Settlement"))

    async def observe(self) -> Observation:
        self._lease.check()
        progress = await self._watcher.look()
        if progress.head != self._progress.head:
            self._advanced_at = self._now()
        self._progress = progress
        return Observation(progress, self._now() - self._advanced_at)

    def decide(self, observation: Observation) -> Sequence[Action]:
        return decide(observation)

    async def act(self, action: Action) -> bool:
        match action:
            case Report(sequence, final_block, appended):
                _log.info("appended", sequence=sequence, final_block=final_block, logs=appended)
            case Warn(reason):
                if self._now() - self._warned_at > STALLED_SECONDS:
                    self._warned_at = self._now()
                    _log.warning("stalled", reason=reason)
            case LookAgain():
                return True
        return False

    async def drain(self) -> int:
        return 0

    async def close(self) -> None:
        self._lease.release()
        await self._rpc.aclose()

    def describe(self) -> dict[str, object]:
        return {
            "head": self._progress.head,
            "finalBlock": self._progress.final_block,
            "sequence": self._progress.sequence,
            "reorgs": self._watcher.reorgs,
            "requests": self._rpc.requests,
        }
