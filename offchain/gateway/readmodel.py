"""What is known of the venue outside the writer, from the feed alone.

`ReadModel` is all that can be asked for, and is the publisher's: books, open orders, balances, recent fills.

Invariant: after `apply` of command n the model is the state after command n; a snapshot replaces all of it. Closed
orders and fills are kept for a while only, so that they can be asked for before the history has them. Nothing here
knows the wire.

Of nearly all orders nobody ever asks, and nobody listens: of these nothing is kept here while they are open, because
the engine that made `Taken` has them, and of those that closed what finds them again. They get their records when
somebody asks, or something happens that only a record knows of.
"""

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Container, Iterable, Mapping
from copy import copy

import msgspec

from offchain.domain.event import (
    AccountRestricted,
    AmmFillImproved,
    AmmFillMatched,
    AnyEvent,
    ApprovalGranted,
    ApprovalReleased,
    BalanceChanged,
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
from offchain.domain.units import Address, Digest, Lots, from_hex
from offchain.engine.fills import Fill
from offchain.engine.ledger import Balance
from offchain.engine.memory import Known
from offchain.engine.orders import Account, Ticket
from offchain.engine.state import Taken, balance_event, event_of
from offchain.gateway.directory import Directory, LifeEvent, Trade, trade_of
from offchain.gateway.records import FillRecord, Kept, OrderRecord, RelayRecord
from offchain.gateway.terms import ProtectionRecord, Terms
from offchain.storage.replica import FeedMessage

CLOSED_ORDERS_MAX = 20_000
FILLS_MAX = 20_000
"""Recent closed orders and fills of all accounts; the history has the others."""


AnyFill = FillRecord | Fill


class Everybody(Container[Address]):
    """All accounts there are."""

    def __contains__(self, account: object) -> bool:
        return True


class Changes(msgspec.Struct):
    """What commands changed, for the channels. `orders` and `fills` are copies as of the last of them. Of orders, fills
    and balances only those of accounts that are watched."""

    books: dict[int, None] = msgspec.field(default_factory=dict)
    """Markets of which levels changed: see `BookSide.changed`."""
    trades: dict[int, list[Trade | Fill]] = msgspec.field(default_factory=dict)
    orders: dict[bytes, OrderRecord] = msgspec.field(default_factory=dict)
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


class ReadModel(Directory):
    """All of it."""

    def __init__(self) -> None:
        super().__init__()
        self.origin = 0
        """Of the snapshot that it began with: of orders before it not everything is known."""
        self.watched: Container[Address] = Everybody()
        """Accounts of which `Changes` are made."""
        self._message: FeedMessage | None = None
        """That is being applied."""

    def _clear(self) -> None:
        super()._clear()
        self.orders: dict[bytes, OrderRecord] = {}
        """Those that have a record, by the bytes of their digest, as all orders here."""
        self.open_orders: dict[Address, dict[bytes, OrderRecord]] = {}
        """Of those."""
        self.closed_orders: dict[Address, deque[bytes]] = {}
        """The newest last."""
        self._known = Known()
        self._owners: Mapping[Address, Account] = {}
        """The engine's own: where open orders without a record are."""
        self._leaving: frozenset[bytes] | None = frozenset()
        """Orders that the message which is being applied says to have closed; None: nobody asked yet."""
        self._sums: dict[bytes, list[int]] = {}
        """Of tickets that filled: lots, cost, fee, and when the last fill was."""
        self.client_orders: dict[tuple[Address, str], Digest] = {}
        self.balances: dict[Address, dict[Address, BalanceChanged | Balance]] = {}
        """A balance of the engine is always as it is now."""
        self.restricted: set[Address] = set()
        self.deadlines: dict[Address, int] = {}
        """When all orders of an account are cancelled."""
        self.terms = Terms()
        self._fills: OrderedDict[int, AnyFill] = OrderedDict()
        self._batches: deque[BatchClosed] = deque()
        self._settled: dict[int, FillSettled] = {}
        """What became of fills that have no record yet."""
        self.account_fills: dict[Address, deque[int]] = {}
        self._approvals: dict[int, ApprovalGranted] = {}
        self._account_approvals: dict[Address, set[int]] = {}
        self._closed: OrderedDict[bytes, tuple[int, Ticket | None]] = OrderedDict()
        """When, and the ticket of one that had no record then. The oldest first."""
        self.relayed: OrderedDict[Digest, RelayRecord] = OrderedDict()
        """What the relay was asked for, by what was signed."""

    def apply(self, message: FeedMessage) -> Changes:
        """The events of commands that follow, or a snapshot."""
        if message.snapshot:
            self._clear()
        else:
            followed = self.sequence + message.commands
            assert self.is_loaded and message.sequence == followed, (message.sequence, self.sequence)
        changes, self._message, self._leaving = Changes(), message, None
        for event in message.events:
            self._apply_event(event, message.at, changes)
        if message.taken is not None:
            self._take(message.taken, message.at, changes)
        self._message, self._leaving = None, frozenset()
        self._forget()
        for key, order in changes.orders.items():
            changes.orders[key] = copy(order)
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
        return self._order(from_hex(digest))

    def open_of(self, account: Address) -> list[OrderRecord]:
        """The oldest first."""
        owner = self._owners.get(account)
        for ticket in () if owner is None else owner.open.values():
            if ticket.key not in self.orders:
                self._unfold(ticket)
        return sorted(self.open_orders.get(account, {}).values(), key=lambda order: order.sequence)

    def recent_closed(self, account: Address) -> Iterable[OrderRecord]:
        """Newest first."""
        return (self._known_order(key) for key in reversed(self.closed_orders.get(account, deque())))

    def balances_of(self, account: Address) -> dict[Address, BalanceChanged]:
        """By token."""
        found = self.balances.get(account, {}).items()
        return {token: balance_event(one) if isinstance(one, Balance) else one for token, one in found}

    def recent_fills(self, account: Address) -> Iterable[FillRecord]:
        """Newest first."""
        return (self.fill(number) for number in reversed(self.account_fills.get(account, deque())))

    def fill(self, number: int) -> FillRecord:
        """It gets its record when somebody asks for it, or something happens that only a record knows of."""
        fill = self._fills[number]
        if isinstance(fill, FillRecord):
            return fill
        event = trade_of(fill)
        assert isinstance(event, FillMatched)
        record = self._fills[number] = FillRecord.matched(event, self.markets[event.market].market)
        place = bisect_left(self._batches, number, key=lambda batch: batch.last)
        if place < len(self._batches):
            record.advance(self._batches[place])
        settled = self._settled.pop(number, None)
        if settled is not None:
            record.advance(settled)
        return record

    def account_approvals(self, account: Address) -> list[ApprovalGranted]:
        """Outstanding countersignatures, oldest first."""
        return [self._approvals[nonce] for nonce in sorted(self._account_approvals.get(account, ()))]

    def _order(self, key: bytes) -> OrderRecord | None:
        order = self.orders.get(key)
        if order is not None:
            return order
        closed, known = self._closed.get(key), self._known.get(key)
        ticket = known if closed is None else closed[1]
        if isinstance(ticket, Ticket) and (closed or ticket.reason is None or key in self._leaving_now()):
            return self._unfold(ticket)
        return None

    def _known_order(self, key: bytes) -> OrderRecord:
        order = self._order(key)
        assert order is not None
        return order

    def _leaving_now(self) -> frozenset[bytes]:
        """Of these the engine says that they are closed, and here they are open until their turn comes."""
        if self._leaving is None:
            assert self._message is not None
            events, taken = self._message.events, self._message.taken
            told = [from_hex(event.digest) for event in events if isinstance(event, OrderClosed)]
            effects = [] if taken is None else taken.effects
            self._leaving = frozenset([*told, *(effect[1].key for effect in effects if isinstance(effect, tuple))])
        return self._leaving

    def _unfold(self, ticket: Ticket) -> OrderRecord:
        """Its record. What the engine did since is left out: it is yet to come."""
        key, order = ticket.key, OrderRecord.accepted(ticket.accepted)
        sums, closed = self._sums.pop(key, None), self._closed.get(key)
        if sums is not None:
            lots, cost, fee, at = sums
            order.move(Lots(lots), cost, fee, at)
        if closed is None:
            self.open_orders.setdefault(order.account, {})[key] = order
        else:
            assert ticket.reason is not None
            order.close(ticket.reason, closed[0])
        self.orders[key] = order
        return order

    # --- the engine's own objects ---

    def _take(self, taken: Taken, at: int, changes: Changes) -> None:
        """What the events of the same would do."""
        self._known, self._owners = taken.known, taken.accounts
        orders, watched = self.orders, self.watched
        for effect in taken.effects:
            if isinstance(effect, Ticket):
                if watched and effect.trader.account.address in watched:
                    self._accept(effect.accepted, changes)
            elif isinstance(effect, tuple):
                ticket = effect[1]
                key, address = ticket.key, ticket.trader.account.address
                if key in orders or address in watched:
                    self._apply_event(event_of(effect), at, changes)
                else:
                    self._keep_closed(address, key, at, ticket)
            elif isinstance(effect, Fill) and effect.maker is not None:
                self._match_tickets(effect, effect.maker, at, changes)
            else:
                self._apply_event(event_of(effect), at, changes)
        self._take_levels(taken.levels, changes)
        self._take_balances(taken.balances, changes)

    def _take_levels(self, levels: list[tuple[int, int, int, int]], changes: Changes) -> None:
        markets, books = self.markets, changes.books
        for market, side, price, size in levels:
            book_side = markets[market].sides[side]
            book_side.changed[price] = size
            book_side.is_sorted = False
            books[market] = None

    def _take_balances(self, balances: list[Balance], changes: Changes) -> None:
        known, watched = self.balances, self.watched
        for balance in balances:
            account = balance.account
            theirs = known.get(account)
            if theirs is None:
                self._open_account(account, changes)
                theirs = known[account] = {}
            theirs[balance.token] = balance
            if account in watched:
                sums = balance.settled, balance.funds, balance.taken, balance.owed, balance.leaving
                changes.kept.append(Kept(balance, *sums))

    def _match_tickets(self, fill: Fill, maker: Ticket, at: int, changes: Changes) -> None:
        """`_match`, of two orders of which nobody may want a record."""
        number, taker, orders, sums = fill.number, fill.taker, self.orders, self._sums
        market = taker.lane.market.market
        self._note_trade(fill, market, changes)
        self._fills[number] = fill
        for account in _accounts(fill):
            self._note_fill(account, number)
        is_told = False
        for ticket, fee in ((maker, fill.maker_fee), (taker, fill.taker_fee)):
            key, address = ticket.key, ticket.trader.account.address
            is_watched = address in self.watched
            is_told = is_told or is_watched
            if is_watched or key in orders:
                self._move_one(key, fill.size_lots, fill.notional, fee, at, changes)
                continue
            known = sums.get(key)
            if known is None:
                sums[key] = [fill.size_lots, fill.notional, fee, at]
            else:
                known[0] += fill.size_lots
                known[1] += fill.notional
                known[2] += fee
                known[3] = at
        if is_told:
            changes.fills[number] = self.fill(number)

    # --- events ---

    def _apply_event(self, event: AnyEvent, at: int, changes: Changes) -> None:
        match event:
            case LevelChanged(market=market, side=side, price_ticks=price, size_lots=size):
                self._level(market, side, price, size, changes)
            case BalanceChanged(account=account):
                self._open_account(account, changes)
                self.balances.setdefault(account, {})[event.token] = event
                if account in self.watched:
                    changes.balances[account, event.token] = event
            case FillSettled() | BatchClosed() | FillRefused() | FillTakenBack() | AmmFillImproved():
                self._settle(event, at, changes)
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
        self.markets[market].sides[side].set(price, size)
        changes.books[market] = None

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
        order, key = OrderRecord.accepted(event), from_hex(event.digest)
        self.orders[key] = order
        self.open_orders.setdefault(event.account, {})[key] = order
        if event.client_order_id:
            self.client_orders[event.account, event.client_order_id] = event.digest
        self._tell_order(key, order, changes)

    def _tell_order(self, key: bytes, order: OrderRecord, changes: Changes) -> None:
        if order.account in self.watched:
            changes.orders[key] = order

    def _tell_fill(self, fill: FillRecord, changes: Changes) -> None:
        if any(account in self.watched for account in fill.accounts):
            changes.fills[fill.fill] = fill

    def _change(self, event: OrderAmended | OrderTriggered, at: int, changes: Changes) -> None:
        order = self.order(event.digest)
        if order is None or order.reason:
            return
        if isinstance(event, OrderAmended):
            order.amend(event, at)
        else:
            order.trigger(at)
        self._tell_order(from_hex(event.digest), order, changes)

    def _match(self, event: FillMatched | AmmFillMatched, at: int, changes: Changes) -> None:
        view = self.markets[event.market]
        trade: Trade
        if isinstance(event, FillMatched):
            fill, trade = FillRecord.matched(event, view.market), event
        else:
            fill = trade = FillRecord.matched_by_pair(event, view.market)
            view.undecided.add(event.fill)
        self._note_trade(trade, event.market, changes)
        self._fills[event.fill] = fill
        for account in fill.accounts:
            self._note_fill(account, event.fill)
        self._tell_fill(fill, changes)
        self._move(fill, 1, at, changes)

    def _note_trade(self, trade: Trade | Fill, market: int, changes: Changes) -> None:
        self.markets[market].trades.append(trade)
        trades = changes.trades.get(market)
        if trades is None:
            changes.trades[market] = [trade]
        else:
            trades.append(trade)

    def _note_fill(self, account: Address, number: int) -> None:
        numbers = self.account_fills.get(account)
        if numbers is None:
            numbers = self.account_fills[account] = deque()
        numbers.append(number)

    def _move(self, fill: FillRecord, sign: int, at: int, changes: Changes) -> None:
        """Adds the fill to both orders, or takes it back."""
        size, notional = sign * fill.size_lots, sign * fill.notional
        for digest, fee in ((fill.maker_digest, fill.maker_fee), (fill.taker_digest, fill.taker_fee)):
            if digest:  # a pair has none
                self._move_one(from_hex(digest), size, notional, sign * fee, at, changes)

    def _move_one(self, key: bytes, size: int, notional: int, fee: int, at: int, changes: Changes) -> None:
        order = self._order(key)
        if order is not None:
            order.move(Lots(size), notional, fee, at)
            self._tell_order(key, order, changes)

    def _close(self, event: OrderClosed, at: int, changes: Changes) -> None:
        key = from_hex(event.digest)
        order = self._order(key)
        if order is None or self.open_orders.get(event.account, {}).pop(key, None) is None:
            return
        order.close(event.reason, at)
        self._tell_order(key, order, changes)
        self._keep_closed(event.account, key, at)

    def _keep_closed(self, account: Address, key: bytes, at: int, ticket: Ticket | None = None) -> None:
        closed = self.closed_orders.get(account)
        if closed is None:
            closed = self.closed_orders[account] = deque()
        closed.append(key)
        self._closed[key] = at, ticket

    def _settle(
        self,
        event: BatchClosed | FillSettled | FillRefused | FillTakenBack | AmmFillImproved,
        at: int,
        changes: Changes,
    ) -> None:
        if isinstance(event, BatchClosed):
            self._close_batch(event, changes)
            return
        number = event.fill
        known = self._fills.get(number)
        if known is None:
            return
        if isinstance(known, Fill) and isinstance(event, FillSettled) and not self._is_watched(known):
            self._settled[number] = event
            return
        fill = self.fill(number)
        fill.advance(event)
        self._tell_fill(fill, changes)
        if isinstance(event, FillSettled | FillRefused):
            self.markets[fill.market].undecided.discard(number)
        if isinstance(event, FillRefused):
            self._move(fill, -1, at, changes)

    def _close_batch(self, event: BatchClosed, changes: Changes) -> None:
        self._batches.append(event)
        for number in range(event.first, event.last + 1):
            known = self._fills.get(number)
            if isinstance(known, FillRecord):
                known.advance(event)
                self._tell_fill(known, changes)
            elif known is not None and self._is_watched(known):
                changes.fills[number] = self.fill(number)

    def _is_watched(self, fill: Fill) -> bool:
        return any(account in self.watched for account in _accounts(fill))

    def _forget(self) -> None:
        while len(self._fills) > FILLS_MAX:
            self._forget_fill(*self._fills.popitem(last=False))
        while len(self._closed) > CLOSED_ORDERS_MAX:
            key, (_, ticket) = self._closed.popitem(last=False)
            order = self.orders.pop(key, None)
            if order is not None:
                account = order.account
            else:
                assert ticket is not None
                account = ticket.trader.account.address
                self._sums.pop(key, None)
            closed = self.closed_orders[account]
            closed.popleft()
            if not closed:
                del self.closed_orders[account]
            if order is not None and self.client_orders.get((account, order.client_order_id)) == order.digest:
                del self.client_orders[account, order.client_order_id]

    def _forget_fill(self, number: int, fill: AnyFill) -> None:
        if isinstance(fill, FillRecord):
            self.markets[fill.market].undecided.discard(number)
            accounts = fill.accounts
        else:
            self._settled.pop(number, None)
            accounts = _accounts(fill)
        while self._batches and self._batches[0].last <= number:
            self._batches.popleft()
        for account in accounts:
            numbers = self.account_fills[account]
            assert numbers.popleft() == number
            if not numbers:
                del self.account_fills[account]


def _accounts(fill: Fill) -> set[Address]:
    """Whose fill it is."""
    return {ticket.trader.account.address for ticket in fill.tickets}
