"""Accepted orders, open and recent: their life as a table, and who remembers them for how long.

Invariant: a digest is known while its order is open and for the last 10,000 closed and rejected ones of its account; a
client order id while its order is open or among those closed. So the same request gets the first result. Only orders of
accounts that the chain has named are remembered: memory costs somebody gas.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from offchain.domain.event import CloseReason, OrderAccepted, OrderRejected
from offchain.domain.limits import RECENT_ORDERS_PER_ACCOUNT
from offchain.domain.order import Order, OrderStatus
from offchain.domain.units import Address, Digest
from offchain.engine.ledger import Balance
from offchain.engine.nonces import Nonces

ORDER_TRANSITIONS: Final[dict[tuple[OrderStatus, CloseReason], OrderStatus]] = {
    (OrderStatus.OPEN, CloseReason.FILLED): OrderStatus.CLOSED,
    (OrderStatus.OPEN, CloseReason.CANCELED): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.REPLACED): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.EXPIRED): OrderStatus.EXPIRED,
    (OrderStatus.OPEN, CloseReason.IMMEDIATE_REMAINDER): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.SELF_TRADE): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.UNCOVERED): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.FILL_REFUSED): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.CANCELED_ON_CHAIN): OrderStatus.CANCELED,
    (OrderStatus.OPEN, CloseReason.DELISTED): OrderStatus.CANCELED,
}
"""(state, trigger) -> state. An accepted order is OPEN; no other state is ever left."""


class PriceLevel:
    """Orders at one price, oldest first, as a linked list through the tickets."""

    __slots__ = ("head", "is_touched", "price", "size", "tail")

    def __init__(self, price: int) -> None:
        self.price = price
        self.size = 0
        self.head: Ticket | None = None
        self.tail: Ticket | None = None
        self.is_touched = False


class Ticket:
    """An accepted order, what is left of it, and its place in the book. Links are cleared when it leaves the book."""

    __slots__ = (
        "accepted",
        "account",
        "balance",
        "digest",
        "hold_per_lot",
        "is_fresh",
        "level",
        "newer",
        "older",
        "order",
        "remaining",
        "sequence",
        "signature",
        "status",
    )

    def __init__(
        self, order: Order, signature: bytes, accepted: OrderAccepted, account: Account, balance: Balance, per_lot: int
    ) -> None:
        self.order = order
        self.signature = signature
        self.accepted = accepted
        self.digest = accepted.digest
        self.sequence = accepted.sequence
        """That of its command: its time priority, and its id among timers."""
        self.account = account
        self.balance = balance
        """Where its hold is."""
        self.hold_per_lot = per_lot
        self.remaining: int = order.size_lots
        self.status = OrderStatus.OPEN
        self.is_fresh = False
        """Nothing of its slot had settled when it was accepted, and the venue's rules make a difference of that."""
        self.level: PriceLevel | None = None
        self.older: Ticket | None = None
        self.newer: Ticket | None = None

    @property
    def filled(self) -> int:
        return self.order.size_lots - self.remaining

    def close(self, reason: CloseReason) -> None:
        self.status = ORDER_TRANSITIONS[self.status, reason]


class ClosedOrder:
    """What is remembered of an order that is no longer open."""

    __slots__ = ("accepted", "filled", "reason")

    def __init__(self, accepted: OrderAccepted, filled: int, reason: CloseReason) -> None:
        self.accepted = accepted
        self.filled = filled
        self.reason = reason


class Account:
    """Everything the engine keeps per account; each part is changed by the module that defines it."""

    __slots__ = (
        "address",
        "approvals",
        "cancels",
        "client_ids",
        "closed",
        "locked",
        "nonces",
        "open",
        "rejected",
        "settled_slots",
        "slots",
        "uncovered",
    )

    def __init__(self, address: Address) -> None:
        self.address = address
        self.nonces = Nonces()
        self.open: dict[Digest, Ticket] = {}
        """Oldest first."""
        self.slots: dict[int, Ticket] = {}
        """The open order of a slot."""
        self.settled_slots: dict[int, None] = {}
        """Slots in which a fill settled: known only where the venue's rules make a difference of that."""
        self.closed: OrderedDict[Digest, ClosedOrder] = OrderedDict()
        self.rejected: OrderedDict[Digest, OrderRejected] = OrderedDict()
        self.client_ids: dict[str, Digest] = {}
        self.cancels = 0
        """How often it cancelled on chain: known only where the venue's rules make a difference of that."""
        self.approvals = 0
        """How many countersignatures are open."""
        self.locked = 0
        """Collateral locked from this account less what was unlocked to it, in units of the settlement token.

        Below 0 for whoever was paid out of another's position: a liquidator, the insurance account.
        """
        self.uncovered = 0
        """How many of its balances are not covered; above 0 it may only cancel."""


class Orders:
    """Which orders are known, and the first result of each."""

    __slots__ = ("known", "limit")

    def __init__(self, limit: int = RECENT_ORDERS_PER_ACCOUNT) -> None:
        self.known: dict[Digest, Ticket | ClosedOrder | OrderRejected] = {}
        self.limit = limit

    def add(self, ticket: Ticket) -> None:
        account, order = ticket.account, ticket.order
        account.rejected.pop(ticket.digest, None)
        self.known[ticket.digest] = ticket
        account.open[ticket.digest] = ticket
        slot = order.nonce >> 48
        if slot:
            account.slots[slot] = ticket
        if ticket.accepted.client_order_id:
            account.client_ids[ticket.accepted.client_order_id] = ticket.digest

    def close(self, ticket: Ticket, reason: CloseReason) -> None:
        """Moves an open order to the recent ones; the oldest of those may be forgotten."""
        ticket.close(reason)
        account = ticket.account
        del account.open[ticket.digest]
        slot = ticket.order.nonce >> 48
        if slot:
            del account.slots[slot]
        self.remember_closed(account, ClosedOrder(ticket.accepted, ticket.filled, reason))

    def remember_closed(self, account: Account, closed: ClosedOrder) -> None:
        digest = closed.accepted.digest
        self.known[digest] = closed
        account.closed[digest] = closed
        if len(account.closed) > self.limit:
            old_digest, old = account.closed.popitem(last=False)
            del self.known[old_digest]
            if old.accepted.client_order_id:
                del account.client_ids[old.accepted.client_order_id]

    def remember_rejected(self, account: Account, rejected: OrderRejected) -> None:
        """Keeps a first result; an order that is known already keeps the one it has."""
        digest = rejected.digest
        if digest in self.known:
            return
        self.known[digest] = rejected
        account.rejected[digest] = rejected
        if len(account.rejected) > self.limit:
            old_digest, _ = account.rejected.popitem(last=False)
            del self.known[old_digest]
