"""Crosses an incoming order with a book, in price-time order, at the makers' prices.

Invariant: no match outside either limit, never more than is left of either order, never an account with itself: its
resting order is taken out instead (expire maker). It knows no balances: whoever takes a match moves the money.
"""

from collections.abc import Iterator

from offchain.domain.order import Side
from offchain.engine.book import Book
from offchain.engine.orders import Ticket


def cross(book: Book, taker: Ticket, matches_max: int | None) -> Iterator[tuple[Ticket, int]]:
    """Yields (maker, lots); the book and both tickets are reduced already. 0 lots: it left, being the taker's own."""
    order = taker.order
    is_buy, limit = order.side == Side.BUY, order.price_ticks
    ladder = book.opposite(order.side)
    account = taker.account
    matches = 0
    while taker.remaining and matches != matches_max:
        level = ladder.best()
        if level is None or (level.price > limit if is_buy else level.price < limit):
            return
        maker = level.head
        assert maker is not None
        if maker.account is account:
            ladder.remove(maker)
            yield maker, 0
            continue
        lots = min(maker.remaining, taker.remaining)
        taker.remaining -= lots
        ladder.take(maker, lots)
        matches += 1
        yield maker, lots


def is_fillable(book: Book, taker: Ticket, matches_max: int) -> bool:
    """Can the whole order fill, with at most so many matches and none against its own account?"""
    order = taker.order
    is_buy, limit = order.side == Side.BUY, order.price_ticks
    wanted, matches = taker.remaining, 0
    for level in book.opposite(order.side).best_first():
        if level.price > limit if is_buy else level.price < limit:
            return False
        maker = level.head
        while maker is not None:
            if maker.account is not taker.account:
                wanted -= maker.remaining
                matches += 1
                if wanted <= 0:
                    return True
                if matches == matches_max:
                    return False
            maker = maker.newer
    return False
