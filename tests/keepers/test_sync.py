"""What the sync keeper decides; what it reads is tested with the watcher and the pool reader."""

from typing import Any, cast

from keepers.sync import LookAgain, Observation, ReadPools, Report, Syncer, Warn, decide
from offchain.chain.watcher import Progress
from offchain.domain.errors import ChainUnreachable


def test_decisions() -> None:
    assert decide(Observation(Progress(10, 9, 3, 0, True), 0.5)) == []
    assert decide(Observation(Progress(10, 9, 5, 2, True), 0.5)) == [Report(5, 9, 2)]
    assert decide(Observation(Progress(500, 9, 5, 0, False), 0.5)) == [LookAgain()]
    (warning,) = decide(Observation(Progress(10, 9, 3, 0, True), 31))
    assert isinstance(warning, Warn)
    assert "31 s" in warning.reason


def test_pairs_are_read_once_per_final_block() -> None:
    caught_up, behind = Progress(10, 9, 3, 0, True), Progress(500, 9, 5, 0, False)
    assert decide(Observation(caught_up, 0.5, pools_block=8, is_pools_turn=True)) == [ReadPools(9)]
    assert decide(Observation(caught_up, 0.5, pools_block=9, is_pools_turn=True)) == []
    assert decide(Observation(caught_up, 0.5, pools_block=8, is_pools_turn=False)) == []
    assert decide(Observation(behind, 0.5, pools_block=8, is_pools_turn=True)) == [LookAgain()], "logs come first"


class Stub:
    """Everything that a Syncer asks while it observes and reads pairs."""

    is_local = True
    reorgs = requests = 0

    def __init__(self) -> None:
        self.progress = Progress(10, 9, 3, 0, True)
        self.looks = 0

    def check(self) -> None:
        pass


class Watched(Stub):
    async def look(self) -> Progress:
        return self.progress


class Pools(Stub):
    async def look(self) -> int:
        self.looks += 1
        if self.looks == 2:
            raise ChainUnreachable("no endpoint answers")
        return 3


async def test_a_reading_that_fails_stops_nothing() -> None:
    watched, pools, now = Watched(), Pools(), [100.0]
    parts: Any = Stub()
    syncer = Syncer(parts, cast(Any, watched), cast(Any, pools), parts, parts, lambda: now[0])
    for block in (9, 10, 11):
        watched.progress = Progress(block + 1, block, 3, 0, True)
        now[0] += 60
        for action in syncer.decide(await syncer.observe()):
            assert await syncer.act(action) is False
    assert pools.looks == 3
    assert syncer.describe()["pools"] == 6
    without = Syncer(parts, cast(Any, watched), None, parts, parts, lambda: now[0])
    assert without.decide(await without.observe()) == []
