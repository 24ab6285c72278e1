"""The order that a trader signs, its nonce, and the words for its life.

Twin: `struct Order` in contracts/interfaces/Types.sol. The fixed frame here is what the journal and the binary wire
keep.
"""

import struct
from enum import IntEnum, IntFlag, StrEnum

import msgspec

from offchain.domain.limits import SEQUENCE_MAX
from offchain.domain.units import Address, Lots, Ticks, from_hex, to_address

_FRAME = struct.Struct(">20sBIBBBHQQQiQQ")
ORDER_FRAME_BYTES = _FRAME.size


class Side(IntEnum):
    BUY = 0
    SELL = 1

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY


class Kind(IntEnum):
    LIMIT = 0
    MARKET = 1


class TimeInForce(IntEnum):
    GTC = 0
    IOC = 1
    FOK = 2
    GTD = 3


class Flags(IntFlag):
    NONE = 0
    POST_ONLY = 1
    REDUCE_ONLY = 2
    AMM = 4
    """Trades with the market's AMM pair only, whole or not at all. Twin: FLAG_AMM."""


class OrderStatus(StrEnum):
    """ccxt's words."""

    OPEN = "open"
    CLOSED = "closed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class Order(msgspec.Struct, frozen=True):
    """Fields in the order of the EIP-712 type."""

    account: Address
    subaccount: int
    market: int
    side: Side
    kind: Kind
    time_in_force: TimeInForce
    flags: int
    price_ticks: Ticks
    size_lots: Lots
    trigger_ticks: Ticks
    max_fee_ppm: int
    nonce: int
    expiry: int

    @property
    def slot(self) -> int:
        return self.nonce >> 48

    @property
    def sequence(self) -> int:
        """The nonce's sequence: client milliseconds."""
        return self.nonce & SEQUENCE_MAX

    @property
    def is_immediate(self) -> bool:
        """Never rests in the book."""
        return self.kind == Kind.MARKET or self.time_in_force in (
            TimeInForce.IOC,
            TimeInForce.FOK,
        )

    def to_frame(self) -> bytes:
        """Fixed frame of ORDER_FRAME_BYTES; fields must be in range (see `engine` for the checks of meaning)."""
        return _FRAME.pack(
            from_hex(self.account),
            self.subaccount,
            self.market,
            self.side,
            self.kind,
            self.time_in_force,
            self.flags,
            self.price_ticks,
            self.size_lots,
            self.trigger_ticks,
            self.max_fee_ppm,
            self.nonce,
            self.expiry,
        )

    @classmethod
    def from_frame(cls, frame: bytes) -> "Order":
        """Inverse of `to_frame`. ValueError if an enumeration has no such member."""
        (
            account,
            sub,
            market,
            side,
            kind,
            tif,
            flags,
            price,
            size,
            trigger,
            fee,
            nonce,
            expiry,
        ) = _FRAME.unpack(frame)
        return cls(
            to_address(account),
            sub,
            market,
            Side(side),
            Kind(kind),
            TimeInForce(tif),
            flags,
            price,
            size,
            trigger,
            fee,
            nonce,
            expiry,
        )


def make_nonce(slot: int, sequence: int) -> int:
    """Slot (top 16 bits) and sequence (48 bits)."""
    assert 0 <= slot < 2**16 and 0 <= sequence <= SEQUENCE_MAX
    return slot << 48 | sequence
