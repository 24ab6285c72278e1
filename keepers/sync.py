"""The sync keeper: final logs of Vault and Settlement into the inbox, reserves of AMM pairs beside it. The only process
that polls heads and logs.

Invariant: the inbox grows in the contracts' own event sequence without a gap (see chain/watcher.py); this module only
decides when to look again, and when to say that something is wrong. Pairs that cannot be read hold up no log.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from keepers.lease import KeptLease
from offchain.chain.registry import Registry, check_contracts
from offchain.chain.reserves import PoolReader
from offchain.chain.rpc import Rpc
from offchain.chain.watcher import Progress, Watcher
from offchain.domain.errors import ChainError

STALLED_SECONDS = 30.0
"""Without a new block for so long, the chain or every endpoint stands still: that is worth a warning."""

POOLS_PAUSE_SECONDS = 5.0
"""Between two readings of the pairs: a public endpoint answers 100 questions a minute, and a pair costs one."""
POOLS_PAUSE_SECONDS_LOCAL = 0.5

_log = structlog.get_logger()


class Observation(NamedTuple):
    """`seconds_since_advance`: since the head moved last."""

    progress: Progress
    seconds_since_advance: float
    pools_block: int = 0
    """The final block at which pairs were read last."""
    is_pools_turn: bool = False
    """There are pairs, and the last reading is long enough ago."""


class Report(NamedTuple):
    """Logs were appended."""

    sequence: int
    final_block: int
    appended: int


class Warn(NamedTuple):
    reason: str


class LookAgain(NamedTuple):
    """At once: there is more that is final."""


class ReadPools(NamedTuple):
    """The reserves of the AMM pairs may be others than those that are known."""

    final_block: int


Action = Report | Warn | LookAgain | ReadPools


def decide(observation: Observation) -> list[Action]:
    progress = observation.progress
    actions: list[Action] = []
    if progress.appended:
        actions.append(Report(progress.sequence, progress.final_block, progress.appended))
    if observation.seconds_since_advance >= STALLED_SECONDS:
        actions.append(Warn(f"no new block for {observation.seconds_since_advance:.0f} s at head {progress.head}"))
    if not progress.is_caught_up:
        actions.append(LookAgain())
    elif observation.is_pools_turn and progress.final_block > observation.pools_block:
        actions.append(ReadPools(progress.final_block))
    return actions


class Syncer:
    """A `cycle.Keeper`."""

    name = "sync"

    def __init__(
        self,
        rpc: Rpc,
        watcher: Watcher,
        pools: PoolReader | None,
        registry: Registry,
        lease: KeptLease,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rpc, self._watcher, self._registry, self._lease, self._now = rpc, watcher, registry, lease, now
        self._pools = pools
        self._pools_block = 0
        self._pools_at = -POOLS_PAUSE_SECONDS
        self._progress = Progress(0, 0, 0, 0, False)
        self._advanced_at = now()
        self._warned_at = 0.0
        self._pools_written = 0
        """Rows of pairs that were written, for the heartbeat."""

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
        pause = POOLS_PAUSE_SECONDS_LOCAL if self._rpc.is_local else POOLS_PAUSE_SECONDS
        is_turn = self._pools is not None and self._now() - self._pools_at >= pause
        return Observation(progress, self._now() - self._advanced_at, self._pools_block, is_turn)

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
            case ReadPools(final_block):
                await self._read_pools(final_block)
            case LookAgain():
                return True
        return False

    async def _read_pools(self, final_block: int) -> None:
        assert self._pools is not None
        self._pools_block, self._pools_at = final_block, self._now()
        try:
            self._pools_written += await self._pools.look()
        except ChainError as error:
            _log.warning("pools_not_read", reason=str(error))

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
            "pools": self._pools_written,
            "requests": self._rpc.requests,
        }
