"""Crosses an incoming order with a book, in price-time order, at the makers' prices.

Invariant: no match outside either limit, never more than is left of either order, never an account with itself: its
resting order is taken out instead (expire maker). It knows no balances: whoever takes a match moves the money.
"""

from collections.abc import Callable, Iterator, Sequence

from offchain.domain.order import Side
from offchain.engine.book import Book
from offchain.engine.load import Load, Row
from offchain.engine.orders import Ticket


class Room:
    """How many more makers a taker may meet: by count, and by the gas of a batch that holds nothing but its fills."""

    __slots__ = ("_gas_max", "_load", "_rows", "makers")

    def __init__(
        self,
        makers: int,
        load: Load | None = None,
        gas_max: int = 0,
        rows: Callable[[Ticket], Sequence[Row]] | None = None,
    ) -> None:
        """`load` has the taker already; `rows` says which balances of a maker a match changes."""
        self.makers = makers
        self._load = load
        self._gas_max = gas_max
        self._rows = rows

    def admit(self, maker: Ticket) -> bool:
        """Takes the room for a match with `maker`, if there is any."""
        if not self.makers:
            return False
        if self._load is not None:
            load = self._load.copy()
            load.add((maker,), self._rows(maker) if self._rows is not None else (), is_amm=False)
            if not load.fits(self._gas_max):
                return False
            self._load = load
        self.makers -= 1
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
