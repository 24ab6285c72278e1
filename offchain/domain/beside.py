"""What travels beside an order: wishes that its signature does not cover and the chain never hears of.

The session or connection that hands the order on vouches for them, as it does for a cancel. Whoever forges them can
make an order trade less, later or less visibly than its signer wished, never beyond what was signed.
"""

import struct
from enum import IntEnum

import msgspec

_FRAME = struct.Struct(">QQQQBB")
BESIDE_BYTES = _FRAME.size


class SelfTrade(IntEnum):
    """What happens when an order would meet one of its own account or group. The incoming order's word counts."""

    EXPIRE_MAKER = 0
    EXPIRE_TAKER = 1
    EXPIRE_BOTH = 2
    NONE = 3
    """Trades within its group. Within an account as EXPIRE_MAKER: the chain settles no account with itself."""


class Beside(msgspec.Struct, frozen=True):
    """Nonces name other orders of the same account; 0 in a field: no such wish."""

    display_lots: int = 0
    """Shows no more than this at a time; every further part queues behind the others at its price."""
    trail_ticks: int = 0
    """Its trigger follows the price at this distance, never away from it."""
    parent: int = 0
    """Waits until this order is done, and is then as large as what that filled at most."""
    other: int = 0
    """One of the two cancels the other: what either fills the other loses."""
    self_trade: SelfTrade = SelfTrade.EXPIRE_MAKER
    is_amend: bool = False
    """Only in place of an open order of its slot; keeps its place in the queue if nothing but the size shrinks."""

    def to_frame(self) -> bytes:
        numbers = self.display_lots, self.trail_ticks, self.parent, self.other
        return _FRAME.pack(*numbers, self.self_trade, self.is_amend)

    @classmethod
    def from_frame(cls, frame: bytes) -> "Beside":
        """Inverse of `to_frame`. ValueError for a mode or a truth that there is not."""
        if len(frame) != BESIDE_BYTES:
            raise ValueError(f"{len(frame)} bytes beside an order")
        display, trail, parent, other, self_trade, is_amend = _FRAME.unpack(frame)
        if is_amend > 1:
            raise ValueError(f"{is_amend} is neither true nor false")
        return cls(display, trail, parent, other, SelfTrade(self_trade), bool(is_amend))


NOTHING_BESIDE = Beside()
