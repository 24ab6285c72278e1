"""What the engine knows of an account besides its balances: nonces, open and recent orders, restrictions."""

from collections.abc import Iterator

from offchain.domain.event import AnyEvent
from offchain.domain.limits import RECENT_ORDERS_PER_ACCOUNT
from offchain.domain.units import Address, Digest
from offchain.engine.book import Resting

Result = tuple[AnyEvent, ...]
"""The events that answer an order: accepted and perhaps closed."""


class Account:
    """`slots` maps a slot to its highest sequence that is used or dead. `recent` holds closed orders, oldest first."""

    __slots__ = (
        "address",
        "cancel_only",
        "client_ids",
        "floor",
        "immediate_sequence",
        "open",
        "recent",
        "slot_orders",
        "slots",
    )

    def __init__(self, address: Address) -> None:
        self.address = address
        self.slots: dict[int, int] = {}
        self.slot_orders: dict[int, Digest] = {}
        self.immediate_sequence = 0
        self.floor = 0
        self.open: dict[Digest, Resting] = {}
        self.recent: dict[Digest, Result] = {}
        self.client_ids: dict[str, Digest] = {}
        self.cancel_only = False

    def is_dead(self, slot: int, sequence: int) -> bool:
        """Whether an order with this nonce can no longer be accepted."""
        if sequence < self.floor:
            return True
        return sequence <= (self.immediate_sequence if slot == 0 else self.slots.get(slot, 0))

    def use(self, slot: int, sequence: int) -> None:
        """Kills the slot's sequences up to this one."""
        if slot == 0:
            self.immediate_sequence = max(self.immediate_sequence, sequence)
        else:
            self.slots[slot] = max(self.slots.get(slot, 0), sequence)

    def in_slot(self, slot: int) -> Resting | None:
        """The open order of a slot."""
        digest = self.slot_orders.get(slot)
        return self.open.get(digest) if digest is not None else None

    def remember(self, digest: Digest, result: Result) -> Digest | None:
        """A closed order still answers with its result, until 10,000 newer ones have closed: the one forgotten."""
        self.recent[digest] = result
        if len(self.recent) <= RECENT_ORDERS_PER_ACCOUNT:
            return None
        oldest = next(iter(self.recent))
        accepted = self.recent.pop(oldest)[0]
        name = getattr(accepted, "client_order_id", "")
        if name and self.client_ids.get(name) == oldest:
            del self.client_ids[name]
        return oldest

    def newest_first(self) -> Iterator[Resting]:
        """Open orders, a stable copy."""
        yield from reversed(list(self.open.values()))
