"""The order that a trader signs, its nonce, and the words for its life.

Twin: `struct Order` in contracts/interfaces/Types.sol. The fixed frame here is what the journal and the binary wire
keep.
"""

import struct
from enum import IntEnum, IntFlag, StrEnum

import msgspec

from offchain.domain.limits import BULK_DEPTH, SEQUENCE_MAX
from offchain.domain.units import Address, Lots, Ticks, from_hex, to_address

ORDER_FRAME = struct.Struct(">20sBIBBBHQQQiQQ")
ORDER_FRAME_BYTES = ORDER_FRAME.size
ORDER_TERMS = struct.Struct(">BIBBBH")
"""What kind of order it is: sub-account, market, side, kind, time in force, flags."""
SIGNATURE_BYTES = 65
BULK_SIGNATURE_BYTES = SIGNATURE_BYTES + 1 + BULK_DEPTH * 32
"""The same with the proof behind it that the order is in the tree that was signed: position[1] siblings[32 each]."""
SIGNED_FRAME = struct.Struct(">20s10sQQQiQQ65s20s32s")
"""An order with what vouches for it, as the gateway hands it on: frame[74] signature[65] signer[20] digest[32].

All but the digest is what the journal keeps of an order without a client order id.
"""
OrderRow = tuple[bytes, bytes, int, int, int, int, int, int, bytes, bytes, bytes]
"""A signed frame, unpacked: account, terms, price, size, trigger, fee cap, nonce, expiry, signature, signer, digest.

The terms (sub-account, market, side, kind, time in force, flags) stay packed: they are the same in thousands of orders.
"""
BULK_FRAME = struct.Struct(f">20s10sQQQiQQ{BULK_SIGNATURE_BYTES}s20s32s")
"""The same of an order that its agent signed in bulk."""
CANCEL_TERMS = ORDER_TERMS.pack(0, 0, 0, 0xFF, 0, 0)
"""In the place of an order's terms: this row cancels the order of its account and nonce."""


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
    ON_LAST = 8
    """Its trigger looks at the price of the last trade, not at the mark."""
    TAKE_PROFIT = 16
    """Its trigger is one that gains: a sale above, a purchase below. Without it: a stop."""
    IMMEDIATE = 32
    """What does not match at once when its trigger comes is cancelled."""
    PROTECTED = 64
    """Counts for its account's protection, and is cancelled when that trips."""


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
        return ORDER_FRAME.pack(
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
        ) = ORDER_FRAME.unpack(frame)
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


def pack_terms(subaccount: int, market: int, side: int, kind: int, time_in_force: int, flags: int) -> bytes:
    """The ten bytes of an order's frame that say what kind of order it is."""
    return ORDER_TERMS.pack(subaccount, market, side, kind, time_in_force, flags)


def unpack_terms(terms: bytes) -> tuple[int, int, Side, Kind, TimeInForce, int]:
    """Sub-account, market, side, kind, time in force, flags. ValueError if an enumeration has no such member."""
    subaccount, market, side, kind, tif, flags = ORDER_TERMS.unpack(terms)
    return subaccount, market, Side(side), Kind(kind), TimeInForce(tif), flags


def to_row(order: Order, signature: bytes, signer: bytes, digest: bytes) -> OrderRow:
    """The row that unpacking the order's signed frame gives; `signer` and `digest` as bytes."""
    terms = pack_terms(order.subaccount, order.market, order.side, order.kind, order.time_in_force, order.flags)
    prices = order.price_ticks, order.size_lots, order.trigger_ticks, order.max_fee_ppm
    return from_hex(order.account), terms, *prices, order.nonce, order.expiry, signature, signer, digest


def from_row(row: OrderRow) -> Order:
    """The order of a row; ValueError as `unpack_terms`."""
    account, terms, price, size, trigger, max_fee, nonce, expiry, _, _, _ = row
    head = to_address(account), *unpack_terms(terms)
    return Order(*head, Ticks(price), Lots(size), Ticks(trigger), max_fee, nonce, expiry)
