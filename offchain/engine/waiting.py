"""Orders that wait: for a price, or for another order to be done.

Invariant: a waiting order is open, rests in a level here (at its trigger price, or with the other children of its
parent) and holds no money. Levels keep their orders by sequence. Which trigger a price reaches is decided price by
price; orders whose trigger came are due, in that order, until they enter. Kept here are only places: what an order does
when it is due is said by `reacting`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from offchain.domain.limits import TRAILING_ORDERS_PER_MARKET_MAX
from offchain.domain.order import Order, Side
from offchain.engine.book import ON_LAST, TAKE_PROFIT
from offchain.engine.orders import Ladder, PriceLevel, Ticket

Watch = tuple[int, bool, bool]
"""Market, whether it is the last price and not the mark, whether a trigger is reached from below."""


class Queue(Ladder):
    """Levels of waiting orders, by trigger or by parent. Nobody is told of them."""

    __slots__ = ()

    def open_level(self, price: int) -> PriceLevel:
        level = super().open_level(price)
        level.is_touched = True  # So that it never gets among those that are told.
        return level


class Due(Queue):
    """Of levels whose trigger came, which have left their queues."""

    __slots__ = ()

    def drop_level(self, level: PriceLevel) -> None:
        """Nothing: an empty one is passed over."""


def watch_of(order: Order) -> Watch:
    is_rising = (order.side == Side.BUY) is not bool(order.flags & TAKE_PROFIT)
    return order.market, bool(order.flags & ON_LAST), is_rising


class Waiting:
    __slots__ = ("_due_queue", "count", "deadline", "due", "links", "parents", "queues", "trailing")

    def __init__(self) -> None:
        self.queues: dict[Watch, Queue] = {}
        self.parents = Queue(0, Side.BUY, [])
        """Orders that wait for another one; in the place of the price its sequence."""
        self.links: dict[int, Ticket] = {}
        """Of which order an order cancels what it fills, by its sequence; both are here."""
        self.trailing: dict[Watch, dict[int, Ticket]] = {}
        """Those whose trigger follows the price, by sequence."""
        self.due: deque[PriceLevel] = deque()
        self._due_queue = Due(0, Side.BUY, [])
        self.count = 0
        """Of all waiting orders; kept by whoever puts them here and takes them away."""
        self.deadline = 0
        """When orders are due that were too many for the last command; 0 if none are."""

    def queue(self, watch: Watch) -> Queue:
        queue = self.queues.get(watch)
        if queue is None:
            market, _, is_rising = watch
            queue = self.queues[watch] = Queue(market, Side.SELL if is_rising else Side.BUY, [])
        return queue

    def put(self, queue: Queue, price: int, ticket: Ticket) -> None:
        """Into a level, in its place by sequence."""
        level = queue.levels.get(price) or queue.open_level(price)
        level.insert(ticket)
        ticket.level = level
        level.size += ticket.remaining

    def make_due(self, ticket: Ticket) -> None:
        """One that rests nowhere."""
        level = PriceLevel(self._due_queue, 0)
        level.is_touched = True
        level.insert(ticket)
        ticket.level, level.size = level, ticket.remaining
        self.due.append(level)

    def reach(self, market: int, on_last: bool, price: int) -> None:
        """The price is here now: triggers move, then those that are reached are due."""
        for is_rising in (True, False):
            watch = market, on_last, is_rising
            if watch in self.trailing:
                self._trail(watch, price)
            queue = self.queues.get(watch)
            while queue is not None and (queue.best <= price if is_rising else queue.best >= price):
                level = queue.levels[queue.best]
                queue.drop_level(level)
                level.ladder = self._due_queue
                self.due.append(level)

    def _trail(self, watch: Watch, price: int) -> None:
        trailing, is_rising = self.trailing[watch], watch[2]
        queue = self.queue(watch)
        for sequence, ticket in list(trailing.items()):
            level = ticket.level
            if level is None or level.ladder is not queue:
                del trailing[sequence]
                continue
            special = ticket.account.specials[ticket.nonce]
            moved = price + special.trail if is_rising else price - special.trail
            if (moved < level.price if is_rising else moved > level.price) and moved > 0:
                take_out(ticket)
                self.put(queue, moved, ticket)
        if not trailing:
            del self.trailing[watch]

    def is_full(self, watch: Watch) -> bool:
        """No more triggers may follow this price; those that do not any more are forgotten first."""
        trailing, queue = self.trailing.get(watch, {}), self.queue(watch)
        for sequence, ticket in list(trailing.items()):
            if ticket.level is None or ticket.level.ladder is not queue:
                del trailing[sequence]
        return len(trailing) >= TRAILING_ORDERS_PER_MARKET_MAX

    def link(self, one: Ticket, other: Ticket) -> None:
        self.links[one.sequence], self.links[other.sequence] = other, one

    def unlink(self, one: Ticket) -> Ticket | None:
        """The order that it was linked to, if that is open."""
        other = self.links.pop(one.sequence, None)
        if other is not None:
            self.links.pop(other.sequence, None)
        return None if other is None or other.reason is not None else other

    def next_due(self) -> Ticket | None:
        """The order that is due first."""
        while self.due:
            if (ticket := self.due[0].first()) is not None:
                return ticket
            self.due.popleft()
        return None

    def all_due(self) -> Iterator[Ticket]:
        for level in self.due:
            yield from level.orders()


def take_out(ticket: Ticket) -> None:
    """Out of its level, which closes with the last of its orders."""
    level = ticket.level
    assert level is not None
    ticket.level = None
    level.size -= ticket.remaining
    if not level.size:
        level.ladder.drop_level(level)
