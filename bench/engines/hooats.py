"""HOOATS's own engine, whole: accounts, nonces, holds, fees, self-trade prevention, timers, batches for settlement.

An order reaches it as the frame that the gateway hands on, and is decoded while the clock runs; frames are what a
trader's machine makes, so making them is not timed. Every resting order has a slot of its own, a MOVE is a new order in
the same slot, a TAKE is an IOC in slot 0. What was matched is settled between two chunks, outside the clock.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import Any

from bench.engines.adapter import Adapter
from bench.operations import CANCEL, TAKE, Digest, Operation, Workload
from bench.venue import START, Venue
from offchain.domain.command import CancelOrder, PlaceOrder
from offchain.domain.event import FillMatched
from offchain.domain.order import Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Address, Lots, Ticks, to_address

CANCEL_FRAME = struct.Struct(">20sQ")
SIGNATURE = bytes(64) + b"\x1b"
FILLS_BETWEEN_SETTLEMENTS = 500
"""A venue with twice as many unsettled fills takes no more orders that trade."""
MAX_FEE_PPM = 10_000


class Engine(Adapter):
    """Through `Engine.apply`, one command after the other."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        users = range(workload.users)
        self.people = [[Address(f"0x{side + 1:08x}{user:032x}") for user in users] for side in (0, 1)]
        self.venue = Venue(self.people[0], self.people[1], workload.markets)
        self.sequence = 0
        self.settled = 0
        last = max((operation.order for operation in workload.preload + workload.operations), default=0)
        self.reached = array("Q", bytes(8 * (last + 1)))
        """The last sequence that an order's slot has seen; taken at once, so that it does not count as growth."""

    @property
    def chunk(self) -> int:
        return max(1, min(500, 100 * FILLS_BETWEEN_SETTLEMENTS // max(1, self.workload.most_fills)))

    def make(self, operations: Sequence[Operation]) -> list[bytes]:
        """A frame each."""
        return [self.frame(operation) for operation in operations]

    def frame(self, operation: Operation) -> bytes:
        kind, number, market, side, price, size = operation
        self.sequence += 1
        account = self.people[side][number % self.workload.users]
        slot = 0 if kind == TAKE else number // self.workload.users + 1
        if kind == CANCEL:
            return CANCEL_FRAME.pack(bytes.fromhex(account[2:]), make_nonce(slot, self.reached[number]))
        if kind != TAKE:
            self.reached[number] = START + self.sequence
        nonce = make_nonce(slot, START + self.sequence)
        force = TimeInForce.IOC if kind == TAKE else TimeInForce.GTC
        limits = Ticks(price), Lots(size), Ticks(0)
        order = Order(account, 0, market + 1, Side(side), Kind.LIMIT, force, 0, *limits, MAX_FEE_PPM, nonce, 0)
        return order.to_frame()

    def play(self, calls: Any) -> Sequence[Any]:
        engine, at = self.venue.engine, self.venue.at
        apply, sequence = engine.apply, engine.sequence
        unpack, size = CANCEL_FRAME.unpack, CANCEL_FRAME.size
        answers = []
        for frame in calls:
            sequence += 1
            if len(frame) == size:
                raw, nonce = unpack(frame)
                account = to_address(raw)
                answers.append(apply(sequence, at, CancelOrder(account, nonce, account)))
            else:
                order = Order.from_frame(frame)
                answers.append(apply(sequence, at, PlaceOrder(order, SIGNATURE, order.account)))
        return answers

    def take(self, answers: Sequence[Any]) -> None:
        for events in answers:
            for event in events:
                if type(event) is FillMatched:
                    self.count(event.size_lots, event.price_ticks)
        self.settled += self.venue.settle()

    def digest(self) -> Digest:
        assert self.settled == self.trades, f"{self.settled} of {self.trades} fills are settled"
        return super().digest()

    def resting(self) -> int:
        return self.venue.resting()
