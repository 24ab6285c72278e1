"""Crosses an incoming order with a book, in price-time order, at the makers' prices.

Invariant: no match outside either limit, never more than is left of either order, never an account with itself: its
resting order is taken out instead (expire maker). It knows no balances: whoever takes a match moves the money.
"""

from collections.abc import Iterator

from offchain.domain.batch import BatchRules
from offchain.domain.order import Side
from offchain.engine.book import Book
from offchain.engine.orders import Ticket


class Room:
    """How many more makers a taker may meet: by count, and by the gas of a batch that holds nothing but its fills."""

    __slots__ = ("gas", "makers", "per_fresh_slot", "per_maker")

    def __init__(self, makers: int, gas: int = 0, per_maker: int = 0, per_fresh_slot: int = 0) -> None:
        self.makers = makers
        self.gas = gas
        self.per_maker = per_maker
        self.per_fresh_slot = per_fresh_slot

    @classmethod
    def of_a_batch(cls, taker: Ticket, makers: int, gas_max: int, rules: BatchRules) -> "Room":
        """For a taker whose fills must share a batch."""
        gas = gas_max - rules.gas(orders=1, fills=0, fresh_slots=taker.is_fresh)
        return cls(makers, gas, rules.gas_per_order + rules.gas_per_fill, rules.gas_per_fresh_slot)

    def admit(self, maker: Ticket) -> bool:
        """Takes the room for a match with `maker`, if there is any."""
        gas = self.gas - self.per_maker - (self.per_fresh_slot if maker.is_fresh else 0)
        if not self.makers or gas < 0:
            return False
        self.makers, self.gas = self.makers - 1, gas
        return True


def cross(book: Book, taker: Ticket, room: Room) -> Iterator[tuple[Ticket, int]]:
    """Yields (maker, lots); the book and both tickets are reduced already. 0 lots: it left, being the taker's own."""
    order = taker.order
    is_buy, limit = order.side == Side.BUY, order.price_ticks
    ladder = book.opposite(order.side)
    account = taker.account
    while taker.remaining and room.makers:
        level = ladder.best()
        if level is None or (level.price > limit if is_buy else level.price < limit):
            return
        maker = level.head
        assert maker is not None
        if maker.account is account:
            ladder.remove(maker)
            yield maker, 0
            continue
        if not room.admit(maker):
            return
        lots = min(maker.remaining, taker.remaining)
        taker.remaining -= lots
        ladder.take(maker, lots)
        yield maker, lots


def is_fillable(book: Book, taker: Ticket, room: Room) -> bool:
    """Can the whole order fill within the room, and not against its own account? Uses the room up."""
    order = taker.order
    is_buy, limit = order.side == Side.BUY, order.price_ticks
    wanted = taker.remaining
    for level in book.opposite(order.side).best_first():
        if level.price > limit if is_buy else level.price < limit:
            return False
        maker = level.head
        while maker is not None:
            if maker.account is not taker.account:
                if not room.admit(maker):
                    return False
                wanted -= maker.remaining
                if wanted <= 0:
                    return True
            maker = maker.newer
    return False
