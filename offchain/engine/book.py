"""A market's resting orders in price-time order.

Invariant: at rest the best bid is below the best ask; a price level holds its orders oldest first and its size is their
sum; no level is empty. It knows prices, sizes and order of arrival, no accounts' money.
"""

from collections.abc import Container, Iterable

from offchain.domain.event import LevelChanged
from offchain.domain.limits import MARK_AGE_MILLIS_MAX
from offchain.domain.market import Market, MarketState
from offchain.domain.order import Flags, Side
from offchain.domain.units import PPM
from offchain.engine.orders import Ladder, PriceLevel, Tape, Ticket, Trader

POST_ONLY, REDUCE_ONLY, AMM = int(Flags.POST_ONLY), int(Flags.REDUCE_ONLY), int(Flags.AMM)
ON_LAST, TAKE_PROFIT, IMMEDIATE = int(Flags.ON_LAST), int(Flags.TAKE_PROFIT), int(Flags.IMMEDIATE)
PROTECTED = int(Flags.PROTECTED)
OF_TRIGGER = ON_LAST | TAKE_PROFIT | IMMEDIATE
"""As plain integers: bit operations on enumerations are slow."""


class Book:
    """A market, its state, both sides of its book, and who trades in it."""

    __slots__ = ("_parts", "asks", "band", "bids", "guarded", "mark", "mark_at", "market", "state", "tape", "traders")

    def __init__(self, market: Market, touched: list[PriceLevel]) -> None:
        self.market = market
        self.state = MarketState.ACTIVE
        self.bids = Ladder(market.market, Side.BUY, touched)
        self.asks = Ladder(market.market, Side.SELL, touched)
        self.traders: dict[bytes, Trader] = {}
        """Accounts that ever had an order accepted here, by the bytes of their address."""
        self._parts: dict[int, dict[bytes, Trader]] = {}
        """The same of sub-accounts, by number."""
        self.guarded: dict[int, dict[bytes, Trader]] = {}
        """Those, by sub-account, of whom nothing speaks against another protected order: see `protecting`."""
        self.tape = Tape()
        self.band = (0, 0)
        """Millionths that a sale may be below the reference price, a purchase above it; (0, 0): no bound."""
        self.mark = 0
        """In ticks; 0: none was ever posted."""
        self.mark_at = 0
        """Unix millis."""

    def traders_of(self, subaccount: int) -> dict[bytes, Trader]:
        return self._parts.setdefault(subaccount, {}) if subaccount else self.traders

    def reference(self, now: int) -> int:
        """The mark if it is fresh, else the last price; 0 if there is neither."""
        is_fresh = self.mark and now - self.mark_at <= MARK_AGE_MILLIS_MAX
        return self.mark if is_fresh else self.tape.last

    def is_beyond_band(self, side: int, price: int, now: int) -> bool:
        """Whether an order's limit goes further than the band lets it."""
        (below, above), reference = self.band, self.reference(now)
        if not (below or above) or not reference:
            return False
        if side:
            return price * PPM < reference * (PPM - below)
        return price * PPM > reference * (PPM + above)

    def ladder(self, side: int) -> Ladder:
        return self.asks if side else self.bids

    def opposite(self, side: int) -> Ladder:
        return self.bids if side else self.asks

    def is_crossed_by(self, side: int, price: int, without: Ticket | None = None) -> bool:
        """Would an order at this price meet a resting one, if `without` were gone?"""
        for level in self.opposite(side).best_first():
            if price < level.price if side == Side.BUY else price > level.price:
                return False
            if any(ticket is not without for ticket in level.orders()):
                return True
        return False

    def meets(self, side: int, price: int, gone: Container[int]) -> bool:
        """The same if the orders of these sequences were gone."""
        for level in self.opposite(side).best_first():
            if price < level.price if side == Side.BUY else price > level.price:
                return False
            if any(ticket.sequence not in gone for ticket in level.orders()):
                return True
        return False


def level_changes(touched: Iterable[PriceLevel]) -> list[LevelChanged]:
    """The touched levels with their sizes now: by book, in the order in which the books were touched first, bids before
    asks. They may be touched again."""
    sides: dict[int, tuple[list[LevelChanged], list[LevelChanged]]] = {}
    for level in touched:
        level.settle()
        ladder = level.ladder
        of_book = sides.setdefault(ladder.market, ([], []))
        if not level.size and level.price in ladder.levels:
            continue  # Emptied, and opened anew since: that one is in the list too.
        change = LevelChanged(market=ladder.market, side=ladder.side, price_ticks=level.price, size_lots=level.size)
        of_book[ladder.side].append(change)
    return [change for of_book in sides.values() for side in of_book for change in side]


def level_sizes(touched: Iterable[PriceLevel]) -> list[tuple[int, int, int, int]]:
    """(market, side, price, size) of the same levels, in the order in which they were touched."""
    return [
        (level.ladder.market, level.ladder.side, level.price, level.size)
        for level in touched
        if level.size or level.price not in level.ladder.levels
    ]
