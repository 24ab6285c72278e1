"""Which order sequences of an account are dead: per slot, for immediate orders (slot 0), and below the floor.

Invariant: what is dead stays dead. Slots only rise, whether an order or a cancel raised them. This is the engine's
view, which is never behind the chain's: there a superseded sequence dies at settlement, here when it is superseded.
"""

from offchain.domain.limits import SEQUENCE_MAX


class Nonces:
    """`slots` maps a slot to its highest dead or used nonce, slot and all; slot 0 is that of the immediate orders."""

    __slots__ = ("floor", "lowest", "slots")

    def __init__(self) -> None:
        self.floor = 0
        self.lowest = 1
        """The lowest sequence that no floor forbids: no order has sequence 0."""
        self.slots: dict[int, int] = {}

    def is_dead(self, nonce: int) -> bool:
        return nonce & SEQUENCE_MAX < self.lowest or nonce <= self.slots.get(nonce >> 48, 0)

    def use(self, nonce: int) -> None:
        """An order was accepted: this sequence and those below it in its slot are used up."""
        assert not self.is_dead(nonce)
        self.slots[nonce >> 48] = nonce

    def kill(self, nonce: int) -> None:
        """A cancel: the slot's sequences up to this one are dead."""
        if nonce & SEQUENCE_MAX and nonce > self.slots.get(nonce >> 48, 0):
            self.slots[nonce >> 48] = nonce

    def raise_floor(self, floor: int) -> None:
        self.floor = max(self.floor, floor)
        self.lowest = max(self.floor, 1)
