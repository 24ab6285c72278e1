"""When each frame is due."""

from __future__ import annotations

import random


def poisson(rate: float, count: int, seed: int) -> list[float]:
    """Seconds from the start: `count` arrivals, `rate` a second on average, each independent of the others."""
    chance = random.Random(seed)
    due, at = [], 0.0
    for _ in range(count):
        at += chance.expovariate(rate)
        due.append(at)
    return due
