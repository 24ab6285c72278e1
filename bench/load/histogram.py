"""Latencies from a microsecond to a minute in logarithmic buckets with three significant digits, as HdrHistogram has.

A value of n bits keeps its upper eleven, so a bucket is never wider than 1/1024 of what it holds. Adding costs one
shift and one increment, whatever is in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

KEPT_BITS = 11
HIGHEST = 60_000_000
"""Microseconds; what is longer counts as this long."""


class Histogram:
    """Of whole microseconds."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.largest = 0

    def add(self, micros: int, count: int = 1) -> None:
        """So many times. What is negative counts as 0."""
        micros = min(max(micros, 0), HIGHEST)
        shift = max(0, micros.bit_length() - KEPT_BITS)
        bucket = micros >> shift << shift
        self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += count
        self.largest = max(self.largest, micros)

    def at(self, share: float) -> int:
        """Microseconds that this share of all values does not exceed: the upper end of its bucket."""
        wanted, seen = share * self.count, 0
        for bucket, count in self:
            seen += count
            if seen >= wanted and count:
                shift = max(0, bucket.bit_length() - KEPT_BITS)
                return min(bucket + (1 << shift) - 1, self.largest)
        return self.largest

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(lower end, count), ascending."""
        return iter(sorted(self._counts.items()))

    def summary(self, shares: Sequence[float] = (0.5, 0.99, 0.999)) -> dict[str, float]:
        """Milliseconds at these shares, and the largest."""
        found = {f"p{share * 100:g}": self.at(share) / 1000 for share in shares}
        return {**found, "max": self.largest / 1000, "count": self.count}
