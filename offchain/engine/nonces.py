"""Which order sequences of an account are dead: per slot, for immediate orders (slot 0), and below the floor.

Invariant: what is dead stays dead. Slots only rise, whether an order or a cancel raised them. This is the engine's
view, which is never behind the chain's: there a superseded sequence dies at settlement, here when it is superseded.
"""


class Nonces:
    """`slots` maps a slot to its highest dead or used sequence; slot 0 is that of the immediate orders."""

    __slots__ = ("floor", "slots")

    def __init__(self) -> None:
        self.floor = 0
        self.slots: dict[int, int] = {}

    def is_dead(self, slot: int, sequence: int) -> bool:
        return sequence < self.floor or sequence <= self.slots.get(slot, 0)

    def use(self, slot: int, sequence: int) -> None:
        """An order was accepted: this sequence and those below it are used up."""
        assert not self.is_dead(slot, sequence)
        self.slots[slot] = sequence

    def kill(self, slot: int, sequence: int) -> None:
        """A cancel: the slot's sequences up to this one are dead."""
        if sequence > self.slots.get(slot, 0):
            self.slots[slot] = sequence

    def raise_floor(self, floor: int) -> None:
        self.floor = max(self.floor, floor)
