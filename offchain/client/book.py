"""A local order book from the stream: snapshot, deltas, checksum."""

import zlib
from typing import Any

CHECKSUM_LEVELS = 10


class LocalBook:
    """Feed it the messages of `book:SYMBOL`. Prices and sizes stay the venue's strings."""

    def __init__(self) -> None:
        self.sequence: int | None = None
        self._sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}

    def apply(self, message: dict[str, Any]) -> bool:
        """False if messages are missing or the checksum differs: subscribe again for a snapshot."""
        if message["type"] == "snapshot":
            self._sides = {"bids": {}, "asks": {}}
        elif self.sequence is None or message["prevSeq"] > self.sequence:
            return False
        elif message["seq"] <= self.sequence:
            return True
        for side, levels in self._sides.items():
            for price, size in message[side]:
                if size == "0":
                    levels.pop(price, None)
                else:
                    levels[price] = size
        self.sequence = message["seq"]
        return bool(message["checksum"] == self.checksum())

    def levels(self, side: str, depth: int | None = None) -> list[list[str]]:
        """`side` is bids or asks, best first."""
        ordered = sorted(self._sides[side].items(), key=lambda level: _number(level[0]), reverse=side == "bids")
        return [list(level) for level in ordered[:depth]]

    def checksum(self) -> int:
        """CRC32 of `price:size,...|price:size,...`: top 10 bids, then top 10 asks, best first."""
        sides = (self.levels(side, CHECKSUM_LEVELS) for side in ("bids", "asks"))
        return zlib.crc32("|".join(",".join(":".join(level) for level in side) for side in sides).encode())


def _number(text: str) -> tuple[int, str]:
    """Orders canonical decimals without converting them: whole part, then the digits behind the point."""
    whole, _, part = text.partition(".")
    return int(whole), part
