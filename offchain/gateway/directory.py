"""What a gateway has to know of the venue to take an order, and what its markets look like.

`Directory` knows who has an account or signs for one, and which markets there are. Its views of markets have no books:
those are filled by the `ReadModel`, which is a directory with all the rest. Nothing here knows the wire.
"""

import asyncio
import heapq
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from itertools import islice

from offchain.domain.event import (
    AgentChanged,
    AnyEvent,
    BandChanged,
    FeesChanged,
    FeeScheduleChanged,
    FillMatched,
    IndexLowered,
    MarketOpened,
    MarketRequested,
    MarketStateChanged,
    MarketWithdrawn,
    MarkPosted,
    OperatorsChanged,
    PoolChanged,
    VenueStateChanged,
)
from offchain.domain.market import Market, MarketState
from offchain.domain.reasons import VenueState
from offchain.domain.units import Address, Lots, Ticks
from offchain.engine.description import market_event
from offchain.engine.fills import Fill
from offchain.engine.state import event_of
from offchain.gateway.records import FillRecord

TRADES_PER_MARKET_MAX = 1_000

Trade = FillMatched | FillRecord
"""A fill of the book as its event, a fill of a pair as its record."""
Sizes = dict[int, int]
"""By price."""
LifeEvent = MarketRequested | MarketOpened | MarketStateChanged


class BookSide:
    """Price levels of one side; `prices` ascending. Changes are sorted in when somebody looks."""

    __slots__ = ("changed", "is_bid", "is_sorted", "prices", "sizes")

    def __init__(self, is_bid: bool) -> None:
        self.is_bid = is_bid
        self.is_sorted = True
        self.prices: list[int] = []
        self.sizes: Sizes = {}
        self.changed: Sizes = {}
        """The last word on each level since `take_changes`."""

    def set(self, price: int, size: int) -> None:
        """Size 0 removes the level."""
        self.changed[price] = size
        self.is_sorted = False

    def take_changes(self) -> Sizes:
        self._sort()
        changed, self.changed = self.changed, {}
        return changed

    def top(self, depth: int) -> list[tuple[int, int]]:
        """(price, size) of the best `depth` levels, best first."""
        if depth <= 0:
            return []
        if not self.is_sorted:
            self._sort()
        best = reversed(self.prices[-depth:]) if self.is_bid else self.prices[:depth]
        return [(price, self.sizes[price]) for price in best]

    def _sort(self) -> None:
        prices, sizes = self.prices, self.sizes
        for price, size in self.changed.items():
            if size:
                if price not in sizes:
                    insort(prices, price)
                sizes[price] = size
            elif sizes.pop(price, 0):
                del prices[bisect_left(prices, price)]
        self.is_sorted = True


class MarketView:
    """A market, its state, its book and its AMM pair. `undecided`: AMM fills that neither settled nor were refused."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.state: str = MarketState.ACTIVE
        self.bids = BookSide(is_bid=True)
        self.asks = BookSide(is_bid=False)
        self.sides = self.bids, self.asks
        """By `Side`."""
        self.trades: deque[Trade | Fill] = deque(maxlen=TRADES_PER_MARKET_MAX)
        self.pool: PoolChanged | None = None
        self.mark: MarkPosted | None = None
        self.band: BandChanged | None = None
        self.undecided: set[int] = set()

    def recent_trades(self, count: int) -> list[Trade]:
        """Newest first."""
        return [trade_of(trade) for trade in islice(reversed(self.trades), count)]

    def take_changes(self) -> tuple[Sizes, Sizes]:
        """Levels that changed since the last call, with their sizes now: bids, asks."""
        return self.bids.take_changes(), self.asks.take_changes()


class Directory:
    """One writer, many readers, one thread."""

    def __init__(self) -> None:
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._waiter_count = 0
        self._clear()
        self.sequence = 0
        self.at = 0
        self.is_loaded = False

    def _clear(self) -> None:
        self.accounts: dict[Address, None] = {}
        """Those that have, or had, a balance."""
        self.markets: dict[int, MarketView] = {}
        self.symbols: dict[str, MarketView] = {}
        self.requested: dict[int, MarketRequested] = {}
        """Asked for by operators, also those that have been listed since."""
        self.operators: tuple[Address, ...] = ()
        self.venue_state: VenueState = VenueState.ACTIVE
        self.venue_reason = ""
        self.maker_fee_ppm = 0
        self.taker_fee_ppm = 0
        self.fee_schedule: FeeScheduleChanged | None = None
        self.agents: dict[Address, dict[Address, AgentChanged]] = {}
        """Per account, by key; revoked and expired ones among them."""
        self.loss: IndexLowered | None = None
        """The last one that was declared on chain."""

    def replace(self, events: Iterable[AnyEvent], accounts: Iterable[Address], sequence: int, at: int) -> None:
        """Another directory's state as of `sequence`: see `describe`."""
        self._clear()
        self.extend(events, accounts)
        self.is_loaded = True
        self.pass_to(sequence, at)

    def extend(self, events: Iterable[AnyEvent], accounts: Iterable[Address]) -> None:
        for event in events:
            self.learn(event)
        self.accounts |= dict.fromkeys(accounts)

    def pass_to(self, sequence: int, at: int) -> None:
        """Whoever waits for `sequence` goes on."""
        self.sequence, self.at = sequence, at
        while self._waiters and self._waiters[0][0] <= sequence:
            waiter = heapq.heappop(self._waiters)[2]
            if not waiter.done():
                waiter.set_result(None)

    def release(self) -> None:
        """Nobody waits any longer: what was waited for is not seen from here now."""
        for _, _, waiter in self._waiters:
            waiter.cancel()
        self._waiters.clear()

    async def reached(self, sequence: int, seconds: float) -> bool:
        """Waits until this includes command `sequence`, so that a client can read what it wrote."""
        if self.sequence >= sequence:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiter_count += 1
        heapq.heappush(self._waiters, (sequence, self._waiter_count, waiter))
        await asyncio.wait((waiter,), timeout=seconds)
        return waiter.done() and not waiter.cancelled()

    def is_agent(self, account: Address, agent: Address, now: int) -> bool | None:
        """Whether `agent` may sign for `account` at `now` (unix ms); None before it was told of any."""
        if not self.is_loaded:
            return None
        terms = self.agents.get(account, {}).get(agent)
        return terms is not None and not terms.is_revoked and now < terms.expiry * 1000

    def describe(self) -> list[AnyEvent]:
        """Everything but the accounts, as events."""
        events: list[AnyEvent] = [OperatorsChanged(operators=self.operators), *self.requested.values()]
        for number, view in self.markets.items():
            events += [market_event(view.market), MarketStateChanged(market=number, state=view.state)]
            events += [event for event in (view.pool, view.mark, view.band) if event is not None]
        events.append(FeesChanged(maker_fee_ppm=self.maker_fee_ppm, taker_fee_ppm=self.taker_fee_ppm))
        if self.fee_schedule is not None:
            events.append(self.fee_schedule)
        events.append(VenueStateChanged(state=self.venue_state, reason=self.venue_reason))
        events += [agent for agents in self.agents.values() for agent in agents.values()]
        return events if self.loss is None else [*events, self.loss]

    def learn(self, event: AnyEvent) -> bool:
        """False if it is nothing that a directory knows of."""
        match event:
            case MarketRequested():
                self.requested[event.market] = event
            case MarketWithdrawn(market=market):
                self.requested.pop(market, None)
            case MarketOpened():
                self._open(event)
            case MarketStateChanged():
                self.markets[event.market].state = event.state
            case PoolChanged(market=market):
                self.markets[market].pool = event
            case MarkPosted(market=market):
                self.markets[market].mark = event
            case BandChanged(market=market):
                self.markets[market].band = event
            case VenueStateChanged():
                self.venue_state, self.venue_reason = event.state, event.reason
            case FeesChanged():
                self.maker_fee_ppm, self.taker_fee_ppm = event.maker_fee_ppm, event.taker_fee_ppm
            case FeeScheduleChanged():
                self.fee_schedule = event if event.tiers or event.discounts else None
            case OperatorsChanged(operators=operators):
                self.operators = operators
            case AgentChanged(account=account):
                self.agents.setdefault(account, {})[event.agent] = event
            case IndexLowered():
                self.loss = event
            case _:
                return False
        return True

    def _open(self, event: MarketOpened) -> None:
        market = Market(
            market=event.market,
            symbol=event.symbol,
            base_token=event.base_token,
            base_atoms_per_lot=event.base_atoms_per_lot,
            quote_atoms_per_tick_lot=event.quote_atoms_per_tick_lot,
            base_decimals=event.base_decimals,
            quote_decimals=event.quote_decimals,
        )
        view = MarketView(market)
        self.markets[event.market] = view
        self.symbols.setdefault(event.symbol, view)


def trade_of(trade: Trade | Fill) -> Trade:
    """The engine's own fills are kept as they are: few are ever shown."""
    if not isinstance(trade, Fill):
        return trade
    event = event_of(trade)
    assert isinstance(event, FillMatched)
    return event


def best_prices(view: MarketView) -> tuple[tuple[Ticks, Lots] | None, tuple[Ticks, Lots] | None]:
    """Best bid and best ask."""
    bid, ask = view.bids.top(1), view.asks.top(1)
    return (
        (Ticks(bid[0][0]), Lots(bid[0][1])) if bid else None,
        (Ticks(ask[0][0]), Lots(ask[0][1])) if ask else None,
    )
