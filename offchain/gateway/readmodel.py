"""What is known of the venue outside the writer, from the feed alone.

`Directory` is what a gateway has to know to take an order: who has an account or signs for one, which markets there
are. `ReadModel` is all that can be asked for, and is the publisher's: books, open orders, balances, recent fills.

Invariant: after `apply` of command n the model is the state after command n; a snapshot replaces all of it. Closed
orders and fills are kept for a while only, so that they can be asked for before the history has them. Nothing here
knows the wire.
"""

import asyncio
import heapq
from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Iterable
from copy import copy

import msgspec

from offchain.domain.event import (
    AccountRestricted,
    AgentChanged,
    AmmFillImproved,
    AmmFillMatched,
    AnyEvent,
    ApprovalGranted,
    ApprovalReleased,
    BalanceChanged,
    BandChanged,
    BatchClosed,
    CancelAllAfterSet,
    FeesChanged,
    FeeScheduleChanged,
    FillMatched,
    FillRefused,
    FillSettled,
    FillTakenBack,
    IndexLowered,
    LevelChanged,
    MarketOpened,
    MarketRequested,
    MarketStateChanged,
    MarketWithdrawn,
    MarkPosted,
    OperatorsChanged,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderTriggered,
    PoolChanged,
    ProtectionReset,
    ProtectionSet,
    ProtectionTripped,
    RelayEnded,
    RelayRequested,
    SubaccountChanged,
    VenueStateChanged,
)
from offchain.domain.limits import RELAYED_MAX
from offchain.domain.market import Market, MarketState
from offchain.domain.order import Side
from offchain.domain.reasons import VenueState
from offchain.domain.units import Address, Digest, Lots, Ticks
from offchain.engine.description import market_event
from offchain.engine.ledger import Balance
from offchain.engine.orders import Ticket
from offchain.engine.state import Taken, balance_event, event_of
from offchain.gateway.records import FillRecord, Kept, OrderRecord, RelayRecord, Unfilled
from offchain.gateway.terms import ProtectionRecord, Terms
from offchain.storage.replica import FeedMessage

CLOSED_ORDERS_MAX = 20_000
FILLS_MAX = 20_000
"""Recent closed orders and fills of all accounts; the history has the others."""
TRADES_PER_MARKET_MAX = 1_000


Trade = FillMatched | FillRecord
"""A fill of the book as its event, a fill of a pair as its record."""
AnyOrder = OrderRecord | Ticket
"""A ticket is the engine's, of an order of which nothing is filled."""
LifeEvent = MarketRequested | MarketOpened | MarketStateChanged


class BookSide:
    """Price levels of one side; `prices` ascending."""

    __slots__ = ("is_bid", "prices", "sizes")

    def __init__(self, is_bid: bool) -> None:
        self.is_bid = is_bid
        self.prices: list[int] = []
        self.sizes: dict[int, int] = {}

    def set(self, price: int, size: int) -> None:
        """Size 0 removes the level."""
        if size == 0:
            if self.sizes.pop(price, None) is not None:
                del self.prices[bisect_left(self.prices, price)]
            return
        if price not in self.sizes:
            insort(self.prices, price)
        self.sizes[price] = size

    def top(self, depth: int) -> list[tuple[int, int]]:
        """(price, size) of the best `depth` levels, best first."""
        if depth <= 0:
            return []
        best = reversed(self.prices[-depth:]) if self.is_bid else self.prices[:depth]
        return [(price, self.sizes[price]) for price in best]


class MarketView:
    """A market, its state, its book and its AMM pair. `undecided`: AMM fills that neither settled nor were refused."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.state: str = MarketState.ACTIVE
        self.bids = BookSide(is_bid=True)
        self.asks = BookSide(is_bid=False)
        self.trades: deque[Trade] = deque(maxlen=TRADES_PER_MARKET_MAX)
        self.pool: PoolChanged | None = None
        self.mark: MarkPosted | None = None
        self.band: BandChanged | None = None
        self.undecided: set[int] = set()

    def side(self, side: int) -> BookSide:
        return self.bids if side == Side.BUY else self.asks


class Changes(msgspec.Struct):
    """What commands changed, for the channels. `orders` and `fills` are copies as of the last of them."""

    levels: dict[int, list[tuple[int, int, int]]] = msgspec.field(default_factory=dict)
    """market -> (side, price, size)"""
    trades: dict[int, list[Trade]] = msgspec.field(default_factory=dict)
    orders: dict[Digest, OrderRecord | Unfilled] = msgspec.field(default_factory=dict)
    fills: dict[int, FillRecord] = msgspec.field(default_factory=dict)
    balances: dict[tuple[Address, Address], BalanceChanged] = msgspec.field(default_factory=dict)
    kept: list[Kept] = msgspec.field(default_factory=list)
    """The same of balances that no event told of."""
    parts: dict[tuple[Address, Address, int], SubaccountChanged] = msgspec.field(default_factory=dict)
    protections: dict[tuple[Address, int], ProtectionRecord] = msgspec.field(default_factory=dict)
    pools: dict[int, PoolChanged] = msgspec.field(default_factory=dict)
    marks: dict[int, MarkPosted] = msgspec.field(default_factory=dict)
    life: dict[int, list[LifeEvent]] = msgspec.field(default_factory=dict)
    """market -> what was asked for, listed or changed of it"""
    venue: bool = False
    listed: list[AnyEvent] = msgspec.field(default_factory=list)
    """What a directory learns."""
    opened: list[Address] = msgspec.field(default_factory=list)
    """Accounts that were not known before."""


class Directory:
    """One writer, many readers, one thread. Its views of markets have no books."""

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


class ReadModel(Directory):
    """All of it."""

    def __init__(self) -> None:
        super().__init__()
        self.origin = 0
        """Of the snapshot that it began with: of orders before it not everything is known."""

    def _clear(self) -> None:
        super()._clear()
        self.orders: dict[Digest, AnyOrder] = {}
        self.open_orders: dict[Address, dict[Digest, AnyOrder]] = {}
        self.closed_orders: dict[Address, OrderedDict[Digest, AnyOrder]] = {}
        self.client_orders: dict[tuple[Address, str], Digest] = {}
        self.balances: dict[Address, dict[Address, BalanceChanged | Balance]] = {}
        """A balance of the engine is always as it is now."""
        self.restricted: set[Address] = set()
        self.deadlines: dict[Address, int] = {}
        """When all orders of an account are cancelled."""
        self.terms = Terms()
        self.fills: OrderedDict[int, FillRecord] = OrderedDict()
        self.account_fills: dict[Address, deque[int]] = {}
        self._approvals: dict[int, ApprovalGranted] = {}
        self._account_approvals: dict[Address, set[int]] = {}
        self._closing: OrderedDict[Digest, int] = OrderedDict()
        """When recent orders closed, the oldest first."""
        self.relayed: OrderedDict[Digest, RelayRecord] = OrderedDict()
        """What the relay was asked for, by what was signed."""

    def apply(self, message: FeedMessage) -> Changes:
        """The events of commands that follow, or a snapshot."""
        if message.snapshot:
            self._clear()
        else:
            followed = self.sequence + message.commands
            assert self.is_loaded and message.sequence == followed, (message.sequence, self.sequence)
        changes = Changes()
        for event in message.events:
            self._apply_event(event, message.at, changes)
        if message.taken is not None:
            self._take(message.taken, message.at, changes)
        for digest, order in changes.orders.items():
            if isinstance(order, OrderRecord):
                changes.orders[digest] = copy(order)
        for number, fill in changes.fills.items():
            changes.fills[number] = copy(fill)
        if message.snapshot:
            self.origin = message.sequence
        self.is_loaded = True
        self.pass_to(message.sequence, message.at)
        return changes

    # --- questions ---

    def order(self, digest: Digest) -> OrderRecord | None:
        """Open, or closed a short while ago."""
        order = self.orders.get(digest)
        return self._unfold(digest, order) if isinstance(order, Ticket) else order

    def open_of(self, account: Address) -> list[OrderRecord]:
        return [self._known(digest) for digest in list(self.open_orders.get(account, ()))]

    def recent_closed(self, account: Address) -> Iterable[OrderRecord]:
        """Newest first."""
        return (self._known(digest) for digest in reversed(list(self.closed_orders.get(account, ()))))

    def balances_of(self, account: Address) -> dict[Address, BalanceChanged]:
        """By token."""
        found = self.balances.get(account, {}).items()
        return {token: balance_event(one) if isinstance(one, Balance) else one for token, one in found}

    def recent_fills(self, account: Address) -> Iterable[FillRecord]:
        """Newest first."""
        return (self.fills[number] for number in reversed(self.account_fills.get(account, deque())))

    def account_approvals(self, account: Address) -> list[ApprovalGranted]:
        """Outstanding countersignatures, oldest first."""
        return [self._approvals[nonce] for nonce in sorted(self._account_approvals.get(account, ()))]

    def _known(self, digest: Digest) -> OrderRecord:
        order = self.orders[digest]
        return self._unfold(digest, order) if isinstance(order, Ticket) else order

    def _unfold(self, digest: Digest, ticket: Ticket) -> OrderRecord:
        """An order gets its record when somebody asks for it, or something happens that only a record knows of."""
        order = Unfilled(ticket, ticket.size, self._closing.get(digest, 0)).record()
        kept = self.closed_orders if order.reason else self.open_orders
        kept[order.account][digest] = self.orders[digest] = order
        return order

    # --- the engine's own objects ---

    def _take(self, taken: Taken, at: int, changes: Changes) -> None:
        """What the events of the same would do. For nearly all orders nobody ever asks, or listens."""
        for effect in taken.effects:
            if isinstance(effect, Ticket):
                account = effect.account
                if effect.trigger or account.specials or effect.key in account.names:
                    self._accept(effect.accepted, changes)
                    continue
                digest = effect.digest
                self.orders[digest] = self.open_orders.setdefault(account.address, {})[digest] = effect
                changes.orders[digest] = Unfilled(effect, effect.size, 0)
            elif not (isinstance(effect, tuple) and self._close_unfilled(effect[1], at, changes)):
                self._apply_event(event_of(effect), at, changes)
        for market, side, price, size in taken.levels:
            self._level(market, side, price, size, changes)
        for balance in taken.balances:
            self._open_account(balance.account, changes)
            self.balances.setdefault(balance.account, {})[balance.token] = balance
            sums = balance.settled, balance.funds, balance.taken, balance.owed, balance.leaving
            changes.kept.append(Kept(balance, *sums))

    def _close_unfilled(self, ticket: Ticket, at: int, changes: Changes) -> bool:
        digest, account = ticket.digest, ticket.account.address
        if self.orders.get(digest) is not ticket:
            return False
        del self.open_orders[account][digest]
        self._keep_closed(account, digest, ticket, at)
        changes.orders[digest] = Unfilled(ticket, ticket.size, at)
        return True

    # --- events ---

    def _apply_event(self, event: AnyEvent, at: int, changes: Changes) -> None:
        match event:
            case LevelChanged(market=market, side=side, price_ticks=price, size_lots=size):
                self._level(market, side, price, size, changes)
            case BalanceChanged(account=account):
                self._open_account(account, changes)
                self.balances.setdefault(account, {})[event.token] = event
                changes.balances[account, event.token] = event
            case OrderAccepted():
                self._accept(event, changes)
            case FillMatched() | AmmFillMatched():
                self._match(event, at, changes)
            case OrderAmended() | OrderTriggered():
                self._change(event, at, changes)
            case OrderClosed():
                self._close(event, at, changes)
            case CancelAllAfterSet(account=account, deadline=deadline):
                self.deadlines[account] = deadline
                if not deadline:
                    del self.deadlines[account]
            case BatchClosed() | FillSettled() | FillRefused() | FillTakenBack() | AmmFillImproved():
                self._settle(event, at, changes)
            case ApprovalGranted():
                self._approvals[event.nonce] = event
                self._account_approvals.setdefault(event.account, set()).add(event.nonce)
            case ApprovalReleased():
                if self._approvals.pop(event.nonce, None) is not None:
                    self._account_approvals[event.account].discard(event.nonce)
            case RelayRequested(number=number, digest=digest, request=request):
                self.relayed[digest] = RelayRecord(digest, number, request)
                if len(self.relayed) > RELAYED_MAX:
                    self.relayed.popitem(last=False)
            case RelayEnded(digest=digest, transaction=transaction):
                if digest in self.relayed:
                    self.relayed[digest].transaction = transaction
            case AccountRestricted(account=account, cancel_only=cancel_only):
                (self.restricted.add if cancel_only else self.restricted.discard)(account)
            case _:
                if self.terms.learn(event, at):
                    self._tell_terms(event, changes)
                if self.learn(event):
                    changes.listed.append(event)
                    self._tell(event, changes)

    def _level(self, market: int, side: int, price: int, size: int, changes: Changes) -> None:
        self.markets[market].side(side).set(price, size)
        changes.levels.setdefault(market, []).append((side, price, size))

    def _open_account(self, account: Address, changes: Changes) -> None:
        if account not in self.accounts:
            self.accounts[account] = None
            changes.opened.append(account)

    def _tell_terms(self, event: AnyEvent, changes: Changes) -> None:
        match event:
            case SubaccountChanged():
                changes.parts[event.account, event.token, event.subaccount] = event
            case ProtectionSet():
                changes.protections[event.account, event.protection] = self.terms.protection(event)
            case ProtectionTripped() | ProtectionReset():
                record = self.terms.protections[event.account][event.protection]
                changes.protections[event.account, event.protection] = record
            case _:
                pass

    def _tell(self, event: AnyEvent, changes: Changes) -> None:
        """Which channels a change of the directory is for."""
        match event:
            case PoolChanged(market=market):
                changes.pools[market] = event
            case MarkPosted(market=market):
                changes.marks[market] = event
            case MarketRequested() | MarketOpened() | MarketStateChanged():
                changes.life.setdefault(event.market, []).append(event)
                changes.venue = True
            case MarketWithdrawn() | IndexLowered() | VenueStateChanged() | FeesChanged() | FeeScheduleChanged():
                changes.venue = True
            case _:
                pass

    def _accept(self, event: OrderAccepted, changes: Changes) -> None:
        order = OrderRecord.accepted(event)
        self.orders[event.digest] = order
        self.open_orders.setdefault(event.account, {})[event.digest] = order
        if event.client_order_id:
            self.client_orders[event.account, event.client_order_id] = event.digest
        changes.orders[event.digest] = order

    def _change(self, event: OrderAmended | OrderTriggered, at: int, changes: Changes) -> None:
        order = self.order(event.digest)
        if order is None or order.reason:
            return
        if isinstance(event, OrderAmended):
            order.amend(event, at)
        else:
            order.trigger(at)
        changes.orders[event.digest] = order

    def _match(self, event: FillMatched | AmmFillMatched, at: int, changes: Changes) -> None:
        view = self.markets[event.market]
        trade: Trade
        if isinstance(event, FillMatched):
            fill, trade = FillRecord.matched(event, view.market), event
        else:
            fill = trade = FillRecord.matched_by_pair(event, view.market)
            view.undecided.add(event.fill)
        view.trades.append(trade)
        changes.trades.setdefault(event.market, []).append(trade)
        self.fills[event.fill] = fill
        for account in fill.accounts:
            self.account_fills.setdefault(account, deque()).append(event.fill)
        self._forget_fills()
        changes.fills[event.fill] = fill
        self._move(fill, 1, at, changes)

    def _move(self, fill: FillRecord, sign: int, at: int, changes: Changes) -> None:
        """Adds the fill to both orders, or takes it back."""
        for digest, fee in ((fill.maker_digest, fill.maker_fee), (fill.taker_digest, fill.taker_fee)):
            order = self.order(digest)  # a pair has none
            if order is not None:
                order.move(Lots(sign * fill.size_lots), sign * fill.notional, sign * fee, at)
                changes.orders[digest] = order

    def _close(self, event: OrderClosed, at: int, changes: Changes) -> None:
        order = self.order(event.digest)
        if self.open_orders.get(event.account, {}).pop(event.digest, None) is None or order is None:
            return
        order.close(event.reason, at)
        changes.orders[event.digest] = order
        self._keep_closed(event.account, event.digest, order, at)

    def _keep_closed(self, account: Address, digest: Digest, order: AnyOrder, at: int) -> None:
        self.closed_orders.setdefault(account, OrderedDict())[digest] = order
        self._closing[digest] = at
        self._forget_orders()

    def _settle(
        self,
        event: BatchClosed | FillSettled | FillRefused | FillTakenBack | AmmFillImproved,
        at: int,
        changes: Changes,
    ) -> None:
        numbers = range(event.first, event.last + 1) if isinstance(event, BatchClosed) else (event.fill,)
        for number in numbers:
            fill = self.fills.get(number)
            if fill is None:
                continue
            fill.advance(event)
            changes.fills[number] = fill
            if isinstance(event, FillSettled | FillRefused):
                self.markets[fill.market].undecided.discard(number)
            if isinstance(event, FillRefused):
                self._move(fill, -1, at, changes)

    def _forget_fills(self) -> None:
        while len(self.fills) > FILLS_MAX:
            number, fill = self.fills.popitem(last=False)
            self.markets[fill.market].undecided.discard(number)
            for account in fill.accounts:
                numbers = self.account_fills[account]
                assert numbers.popleft() == number
                if not numbers:
                    del self.account_fills[account]

    def _forget_orders(self) -> None:
        while len(self._closing) > CLOSED_ORDERS_MAX:
            digest, _ = self._closing.popitem(last=False)
            order = self.orders.pop(digest)
            account = order.account.address if isinstance(order, Ticket) else order.account
            closed = self.closed_orders[account]
            del closed[digest]
            if not closed:
                del self.closed_orders[account]
            if isinstance(order, OrderRecord) and self.client_orders.get((account, order.client_order_id)) == digest:
                del self.client_orders[account, order.client_order_id]


def best_prices(view: MarketView) -> tuple[tuple[Ticks, Lots] | None, tuple[Ticks, Lots] | None]:
    """Best bid and best ask."""
    bid, ask = view.bids.top(1), view.asks.top(1)
    return (
        (Ticks(bid[0][0]), Lots(bid[0][1])) if bid else None,
        (Ticks(ask[0][0]), Lots(ask[0][1])) if ask else None,
    )
