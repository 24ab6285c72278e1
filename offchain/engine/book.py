"""A market's resting orders in price-time order.

Invariant: at rest the best bid is below the best ask; a price level holds its orders oldest first and its size is their
sum; no level is empty. It knows prices, sizes and order of arrival, no accounts' money.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

from offchain.domain.event import LevelChanged
from offchain.domain.market import Market, MarketState
from offchain.domain.order import Side
from offchain.engine.orders import PriceLevel, Ticket


class Ladder:
    """The price levels of one side. `keys` are signed so that the best price is at the end."""

    __slots__ = ("keys", "levels", "sign", "touched")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.levels: dict[int, PriceLevel] = {}
        self.touched: list[PriceLevel] = []

    def best(self) -> PriceLevel | None:
        return self.levels[self.sign * self.keys[-1]] if self.keys else None

    def best_first(self) -> Iterator[PriceLevel]:
        sign, levels = self.sign, self.levels
        return (levels[sign * key] for key in reversed(self.keys))

    def touch(self, level: PriceLevel) -> None:
        if not level.is_touched:
            level.is_touched = True
            self.touched.append(level)

    def append(self, ticket: Ticket) -> None:
        """Adds an order behind those at its price."""
        price = ticket.order.price_ticks
        level = self.levels.get(price)
        if level is None:
            level = self.levels[price] = PriceLevel(price)
            insort(self.keys, self.sign * price)
            level.head = ticket
        else:
            tail = level.tail
            assert tail is not None
            tail.newer = ticket
            ticket.older = tail
        level.tail = ticket
        level.size += ticket.remaining
        ticket.level = level
        self.touch(level)

    def remove(self, ticket: Ticket) -> None:
        """Takes an order out, whatever is left of it."""
        level, older, newer = ticket.level, ticket.older, ticket.newer
        assert level is not None
        level.size -= ticket.remaining
        if older is None:
            level.head = newer
        else:
            older.newer = newer
        if newer is None:
            level.tail = older
        else:
            newer.older = older
        ticket.level = ticket.older = ticket.newer = None
        self.touch(level)
        if level.head is None:
            self._drop(level)

    def take(self, ticket: Ticket, lots: int) -> None:
        """Reduces an order by what it filled; one that is filled leaves."""
        level = ticket.level
        assert level is not None
        ticket.remaining -= lots
        level.size -= lots
        if ticket.remaining:
            self.touch(level)
        else:
            self.remove(ticket)

    def _drop(self, level: PriceLevel) -> None:
        del self.levels[level.price]
        key = self.sign * level.price
        if self.keys[-1] == key:
            self.keys.pop()
        else:
            del self.keys[bisect_left(self.keys, key)]


class Book:
    """A market, its state, and both sides of its book."""

    __slots__ = ("asks", "bids", "market", "state")

    def __init__(self, market: Market) -> None:
        self.market = market
        self.state = MarketState.ACTIVE
        self.bids = Ladder(1)
        self.asks = Ladder(-1)

    def ladder(self, side: int) -> Ladder:
        return self.asks if side else self.bids

    def opposite(self, side: int) -> Ladder:
        return self.bids if side else self.asks

    def add(self, ticket: Ticket) -> None:
        self.ladder(ticket.order.side).append(ticket)

    def remove(self, ticket: Ticket) -> None:
        self.ladder(ticket.order.side).remove(ticket)

    def is_crossed_by(self, side: int, price: int, without: Ticket | None = None) -> bool:
        """Would an order at this price meet a resting one, if `without` were gone?"""
        for level in self.opposite(side).best_first():
            if price < level.price if side == Side.BUY else price > level.price:
                return False
            if without is None or level.head is not without or level.tail is not without:
                return True
        return False

    def take_changes(self) -> list[LevelChanged]:
        """The levels touched since the last call, with their sizes now."""
        changes = []
        for side, ladder in ((Side.BUY, self.bids), (Side.SELL, self.asks)):
            if not ladder.touched:
                continue
            for level in ladder.touched:
                level.is_touched = False
                if level.head is None and level.price in ladder.levels:
                    continue  # Emptied, and opened anew since: that one is in the list too.
                changes.append(
                    LevelChanged(market=self.market.market, side=side, price_ticks=level.price, size_lots=level.size)
                )
            ladder.touched.clear()
        return changes
