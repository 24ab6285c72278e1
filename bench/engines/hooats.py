"""HOOATS's own engine, whole: accounts, nonces, holds, fees, self-trade prevention, timers, batches for settlement.

What arrives are the signed frames that the gateway hands on: they come from a trader's machine, and their digests from
whoever checked the signatures. Decoding them into rows is what others spend on order objects, and timed as that. Every
resting order has a slot of its own, a MOVE is a new order in the same slot, a TAKE is an IOC in slot 0. What matched is
told and settled between two chunks, outside the clock.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from bench.engines.adapter import Adapter
from bench.operations import CANCEL, TAKE, Digest, Operation, Workload
from bench.venue import START, Venue
from offchain.domain.command import NO_SIGNATURE
from offchain.domain.eip712 import order_digest
from offchain.domain.event import FillMatched
from offchain.domain.order import (
    CANCEL_TERMS,
    SIGNED_FRAME,
    Kind,
    Order,
    OrderRow,
    Side,
    TimeInForce,
    make_nonce,
)
from offchain.domain.units import Address, Lots, Ticks, from_hex

SIGNATURE = bytes(64) + b"\x1b"
NO_DIGEST = bytes(32)
FILLS_BETWEEN_SETTLEMENTS = 500
"""A venue with twice as many unsettled fills takes no more orders that trade."""
MAX_FEE_PPM = 10_000


class Engine(Adapter):
    """Through `Engine.apply_rows`, a chunk at a time, as the sequencer groups what arrives together."""

    venue_type = Venue

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        users = range(workload.users)
        self.people = [[Address(f"0x{side + 1:08x}{user:032x}") for user in users] for side in (0, 1)]
        self.venue = self.venue_type(self.people[0], self.people[1], workload.markets)
        self.sequence = 0
        self.settled = 0
        last = max((operation.order for operation in workload.preload + workload.operations), default=0)
        self.reached = array("Q", bytes(8 * (last + 1)))
        """The last sequence that an order's slot has seen; taken at once, so that it does not count as growth."""

    @property
    def chunk(self) -> int:
        return max(1, min(500, 100 * FILLS_BETWEEN_SETTLEMENTS // max(1, self.workload.most_fills)))

    def arriving(self, operations: Sequence[Operation]) -> bytes:
        """A frame each."""
        return b"".join(map(self.frame, operations))

    def make(self, arrived: bytes) -> list[OrderRow]:
        return list(SIGNED_FRAME.iter_unpack(arrived))

    def frame(self, operation: Operation) -> bytes:
        kind, number, market, side, price, size = operation
        self.sequence += 1
        account = self.people[side][number % self.workload.users]
        slot = 0 if kind == TAKE else number // self.workload.users + 1
        if kind == CANCEL:
            nonce = make_nonce(slot, self.reached[number])
            owner = from_hex(account)
            return SIGNED_FRAME.pack(owner, CANCEL_TERMS, 0, 0, 0, 0, nonce, 0, NO_SIGNATURE, owner, NO_DIGEST)
        if kind != TAKE:
            self.reached[number] = START + self.sequence
        nonce = make_nonce(slot, START + self.sequence)
        force = TimeInForce.IOC if kind == TAKE else TimeInForce.GTC
        limits = Ticks(price), Lots(size), Ticks(0)
        order = Order(account, 0, market + 1, Side(side), Kind.LIMIT, force, 0, *limits, MAX_FEE_PPM, nonce, 0)
        return order.to_frame() + SIGNATURE + from_hex(account) + order_digest(self.venue.engine.separator, order)

    def play(self, calls: list[OrderRow]) -> Sequence[Any]:
        engine = self.venue.engine
        return engine.apply_rows(engine.sequence + 1, self.venue.at, calls)

    def take(self, answers: Sequence[Any]) -> None:
        for event in self.venue.engine.take_events():
            if type(event) is FillMatched:
                self.count(event.size_lots, event.price_ticks)
        self.settled += self.venue.settle()

    def digest(self) -> Digest:
        assert self.settled == self.trades, f"{self.settled} of {self.trades} fills are settled"
        return super().digest()

    def resting(self) -> int:
        return self.venue.resting()
