"""When garbage is collected in a process that serves: by the clock, never in the middle of a burst of orders.

Counting references frees nearly everything at once; what is left are cycles, of exceptions and of ended connections.
Invariant: a pass looks at what came since the last one; everything else is looked at rarely, or never where it only
grows and has no cycles. The collector left to itself takes a third of the publisher's time.
"""

import asyncio
import gc

SECONDS = 1.0
PASSES_PER_FULL = 600
"""Of a gateway: what lived longer than a pass, which connections do, is looked at every ten minutes."""


async def collect_new(seconds: float = SECONDS) -> None:
    """For the publisher, until cancelled. What outlives a pass, an engine and its orders, is never looked at again."""
    gc.disable()
    while True:
        gc.collect()
        gc.freeze()
        await asyncio.sleep(seconds)


def look_before_burst() -> None:
    """For the publisher: what others left since the last burst is looked at, which is little."""
    if not gc.isenabled():
        gc.collect(0)


def keep_burst() -> None:
    """What an engine made of a burst of orders has no cycles, and is never looked at: a pass over a second of it takes
    20 ms."""
    if not gc.isenabled():
        gc.freeze()


async def collect_by_age(seconds: float = SECONDS, passes_per_full: int = PASSES_PER_FULL) -> None:
    """For a gateway, until cancelled."""
    gc.disable()
    passes = 0
    while True:
        await asyncio.sleep(seconds)
        passes += 1
        gc.collect(2 if passes % passes_per_full == 0 else 1)
