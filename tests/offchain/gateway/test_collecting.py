"""Cycles go by the clock: where the collector is off, nothing else takes them."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator

import pytest

from offchain.gateway.collecting import collect_by_age, collect_new, keep_burst, look_before_burst


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


async def goes(found: weakref.ref) -> bool:
    for _ in range(200):
        await asyncio.sleep(0.01)
        if found() is None:
            return True
    return False


@pytest.mark.parametrize("collect", [collect_new, collect_by_age])
async def test_new_cycles_go(collect: Callable[[float], Awaitable[None]]) -> None:
    collecting = asyncio.ensure_future(collect(0.01))
    await asyncio.sleep(0.02)
    assert not gc.isenabled()
    assert await goes(weakref.ref(Cycle()))
    collecting.cancel()


async def test_old_cycles_go_in_a_gateway() -> None:
    kept = Cycle()
    for _ in range(2):
        gc.collect(1)
    collecting = asyncio.ensure_future(collect_by_age(0.01, 5))
    found = weakref.ref(kept)
    del kept
    assert await goes(found)
    collecting.cancel()


def test_a_burst_is_kept_without_a_look_and_what_is_left_before_it_goes() -> None:
    """Where the collector left to itself is on, it is left to itself."""
    kept, before = [Cycle()], weakref.ref(Cycle())
    look_before_burst()
    keep_burst()
    assert before() is not None and not gc.get_freeze_count()
    gc.disable()
    look_before_burst()
    assert before() is None
    keep_burst()
    frozen = gc.get_freeze_count()
    assert frozen and gc.is_tracked(kept)
    gc.collect()
    assert gc.get_freeze_count() == frozen
