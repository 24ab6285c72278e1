"""How often one URL may be asked: a bucket of requests that refills evenly.

Invariant: never more than `per_minute` requests in any 60 s plus one burst. The clock and the sleep are given, so that
tests need not wait.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

BURST = 10


class Limiter:
    """`per_minute` 0 means no limit."""

    def __init__(
        self,
        per_minute: int,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = per_minute / 60
        self._burst = min(BURST, per_minute)
        self._tokens = float(self._burst)
        self._now, self._sleep = now, sleep
        self._at = now()

    async def take(self, requests: int = 1) -> None:
        """Waits until so many requests may be made; those of one batch are paid for afterwards, not refused."""
        if self._rate == 0:
            return
        self._refill()
        self._tokens -= requests
        if self._tokens < 0:
            await self._sleep(-self._tokens / self._rate)

    def _refill(self) -> None:
        now = self._now()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
