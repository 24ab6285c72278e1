"""A market's resting orders in price-time order, and what its orders have in common.

Invariant: at rest the best bid is below the best ask; a price level holds its orders oldest first and its size is their
sum; no level is empty. It knows prices, sizes and order of arrival, no accounts' money.
"""

from collections.abc import Iterable
from typing import Final

from offchain.domain.event import LevelChanged
from offchain.domain.limits import NOTIONAL_ATOMS_MAX, PRICE_TICKS_MAX, SIZE_LOTS_MAX
from offchain.domain.market import Market, MarketState
from offchain.domain.order import Flags, Kind, Side, TimeInForce
from offchain.engine.orders import Ladder, PriceLevel, Ticket, Trader

POST_ONLY, AMM = int(Flags.POST_ONLY), int(Flags.AMM)
"""As plain integers: bit operations on enumerations are slow."""
IMMEDIATE: Final = (TimeInForce.IOC, TimeInForce.FOK)


class Book:
    """A market, its state, both sides of its book, and who trades in it."""

    __slots__ = ("asks", "bids", "is_restricted", "market", "state", "traders")

    def __init__(self, market: Market, touched: list[PriceLevel]) -> None:
        self.market = market
        self.state = MarketState.ACTIVE
        self.is_restricted = False
        """Market or venue are not ACTIVE: not every order may enter."""
        self.bids = Ladder(market.market, Side.BUY, touched)
        self.asks = Ladder(market.market, Side.SELL, touched)
        self.traders: dict[bytes, Trader] = {}
        """Accounts that ever had an order accepted here, by the bytes of their address."""

    def ladder(self, side: int) -> Ladder:
        return self.asks if side else self.bids

    def opposite(self, side: int) -> Ladder:
        return self.bids if side else self.asks

    def add(self, ticket: Ticket) -> None:
        (self.bids if ticket.is_buy else self.asks).append(ticket)

    def is_crossed_by(self, side: int, price: int, without: Ticket | None = None) -> bool:
        """Would an order at this price meet a resting one, if `without` were gone?"""
        for level in self.opposite(side).best_first():
            if price < level.price if side == Side.BUY else price > level.price:
                return False
            if without is None or level.head is not without or level.tail is not without:
                return True
        return False


class Lane:
    """What all orders with the same terms (market, side, kind, time in force, flags) have in common, looked up once.

    Only of terms that make sense: how many lanes there are is bounded by how many markets there are.
    """

    __slots__ = (
        "area_max",
        "base_atoms_per_lot",
        "book",
        "is_buy",
        "is_fok",
        "is_immediate",
        "is_post_only",
        "needs_expiry",
        "needs_pool",
        "opposite",
        "own",
        "quote_atoms_per_tick_lot",
        "size_max",
        "traders",
    )

    def __init__(self, book: Book, side: Side, kind: Kind, time_in_force: TimeInForce, flags: int) -> None:
        market = book.market
        self.book = book
        self.own, self.opposite = book.ladder(side), book.opposite(side)
        self.traders = book.traders
        self.is_buy = side is Side.BUY
        self.is_immediate = kind is Kind.MARKET or time_in_force in IMMEDIATE
        self.is_fok = time_in_force is TimeInForce.FOK
        self.needs_expiry = time_in_force is TimeInForce.GTD
        self.is_post_only, self.needs_pool = flags == POST_ONLY, flags == AMM
        self.base_atoms_per_lot, self.quote_atoms_per_tick_lot = (
            market.base_atoms_per_lot,
            market.quote_atoms_per_tick_lot,
        )
        self.size_max = min(SIZE_LOTS_MAX, NOTIONAL_ATOMS_MAX // market.base_atoms_per_lot)
        self.area_max = min(PRICE_TICKS_MAX, NOTIONAL_ATOMS_MAX // market.quote_atoms_per_tick_lot)
        """Price times size up to this: neither the price nor the notional is too large."""


def level_changes(touched: Iterable[PriceLevel]) -> list[LevelChanged]:
    """The touched levels with their sizes now: by book, in the order in which the books were touched first, bids before
    asks. They may be touched again."""
    sides: dict[int, tuple[list[LevelChanged], list[LevelChanged]]] = {}
    for level in touched:
        level.is_touched = False
        ladder = level.ladder
        of_book = sides.setdefault(ladder.market, ([], []))
        if level.head is None and level.price in ladder.levels:
            continue  # Emptied, and opened anew since: that one is in the list too.
        change = LevelChanged(market=ladder.market, side=ladder.side, price_ticks=level.price, size_lots=level.size)
        of_book[ladder.side].append(change)
    return [change for of_book in sides.values() for side in of_book for change in side]
