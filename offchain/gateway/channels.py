"""Channels of the stream: what commands meant for each channel, kept for a while so that a reader can resume.

    book:SYM bbo:SYM trades:SYM pool:SYM mark:SYM venue
    for a logged-in account orders fills balances protections, for operators admin:SYM

Changes are gathered until `flush` makes at most one message of each channel. A message carries `seq`, the journal
sequence of the last group of commands that it includes, and `prevSeq`, the `seq` of the channel's previous message; a
snapshot carries the `seq` that the next delta names. States (book, bbo, pool, mark, venue) are told as they are in the
end, of all else nothing is left out. Invariant: a reader that holds `seq` >= `prevSeq` has missed nothing, and may have
had a part of the message: of what is listed only the rest is sent. Rendering waits until somebody reads.

Private channels are kept of accounts that somebody reads, or did `ring_commands` commands ago, and of all accounts
while the first `ring_commands` commands pass: who comes later with an older sequence gets a snapshot.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from offchain.domain.event import PoolChanged, SubaccountChanged
from offchain.domain.market import Market
from offchain.domain.units import Address
from offchain.engine.fills import Fill
from offchain.gateway import present
from offchain.gateway.directory import MarketView, Sizes, best_prices, trade_of
from offchain.gateway.present import CHECKSUM_LEVELS, Levels, Tokens
from offchain.gateway.readmodel import Changes, Everybody, ReadModel
from offchain.gateway.records import Kept

BOOK, BBO, TRADES, POOL, MARK, VENUE, ADMIN = "book", "bbo", "trades", "pool", "mark", "venue", "admin"
ORDERS, FILLS, BALANCES, PROTECTIONS = "orders", "fills", "balances", "protections"
MARKET_CHANNELS = (BOOK, BBO, TRADES, POOL, MARK)
PRIVATE_CHANNELS = (ORDERS, FILLS, BALANCES, PROTECTIONS)
CONFLATED = (BOOK, BBO, POOL, MARK)
"""A slow reader gets the present state of these instead of every step."""
SNAPSHOT_TRADES = 50
SNAPSHOT_FILLS = 100
BOOK_DEPTH = 1_000

_encode = msgspec.json.Encoder().encode


class Channel(NamedTuple):
    """`name` as on the wire; `account` is set for private channels."""

    name: str
    account: Address | None = None

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]

    @property
    def is_private(self) -> bool:
        return self.account is not None


Render = Callable[[int], dict[str, Any]]
"""What a message says to a reader who has everything up to this sequence."""


class Update:
    """One message of one channel; `text` is rendered once, for all readers."""

    __slots__ = ("_render", "_text", "at", "previous", "sequence")

    def __init__(self, sequence: int, previous: int, at: int, render: Render) -> None:
        self.sequence = sequence
        self.previous = previous
        self.at = at
        self._render = render
        self._text: str | None = None

    def text(self, channel: Channel, seen: int = 0) -> str:
        """`seen`: a reader has what there was up to here."""
        if seen > self.previous:
            return self._rendered(channel, seen)
        if self._text is None:
            self._text = self._rendered(channel, self.previous)
        return self._text

    def _rendered(self, channel: Channel, seen: int) -> str:
        head = {
            "channel": channel.name,
            "type": "delta",
            "seq": self.sequence,
            "prevSeq": self.previous,
            "timestamp": self.at,
        }
        return _encode(head | self._render(seen)).decode()


Updates = dict[Channel, Update]


class Gathered:
    """What has not been told of one channel: (sequence, item) in order, and the sequence of the last."""

    __slots__ = ("items", "sequence")

    def __init__(self) -> None:
        self.items: list[tuple[int, Any]] = []
        self.sequence = 0

    def add(self, sequence: int, item: Any) -> None:
        self.sequence = sequence
        self.items.append((sequence, item))


class ChannelLog:
    """Turns changes into updates, and remembers those of the last `ring_commands` commands."""

    def __init__(self, model: ReadModel, tokens: Tokens, ring_commands: int) -> None:
        self._model = model
        self._tokens = tokens
        self._ring: deque[tuple[int, Updates]] = deque()
        self._ring_commands = ring_commands
        self._last: dict[Channel, int] = {}
        self._gathered: dict[Channel, Gathered] = {}
        self._best: dict[int, Any] = {}
        self._private_channels: dict[str, dict[Address, Channel]] = {kind: {} for kind in PRIVATE_CHANNELS}
        """Each is made once: there are some for every order."""
        self._snapshots: dict[Channel, tuple[int, str]] = {}
        """Of channels that many read."""
        self._origin = 0
        self.base = 0
        """Resuming is possible from here on."""
        self._watched: dict[Address, int] | None = None
        """Accounts whose channels are kept, and since when; None: all are."""
        self._wanted: dict[Address, None] = {}
        """Accounts that somebody asked for, or read, since the last review."""
        self._review_at = 0

    def restart(self) -> None:
        """After a snapshot of the feed: nothing before it can be resumed."""
        for kept in (self._ring, self._last, self._gathered, self._snapshots):
            kept.clear()
        for view in self._model.markets.values():
            view.take_changes()
        self._best = {number: best_prices(view) for number, view in self._model.markets.items()}
        self.base = self._origin = self._model.sequence
        self._watched, self._model.watched = None, Everybody()
        self._wanted.clear()
        self._review_at = self._origin + self._ring_commands

    def watch(self, account: Address) -> None:
        """Somebody is about to read its channels."""
        self._wanted[account] = None
        if self._watched is not None and account not in self._watched:
            self._watched[account] = self._model.sequence
            self._last.update((Channel(kind, account), self._model.sequence) for kind in PRIVATE_CHANNELS)

    def review(self, read: Callable[[], Iterable[Address]]) -> None:
        """Now and then: gives up the accounts that nobody has read since the last time. `read`: those of now."""
        if self._model.sequence < self._review_at:
            return
        readers, known = dict.fromkeys(read()), self._watched
        kept = self._wanted | readers
        self._watched = {one: self._origin if known is None else known[one] for one in kept}
        self._model.watched = self._watched
        self._wanted = readers
        self._review_at = self._model.sequence + self._ring_commands
        for kind, channels in self._private_channels.items():
            for account in (channels.keys() | (known or {}).keys()) - kept.keys():
                channels.pop(account, None)
                self._last.pop(Channel(kind, account), None)

    def last(self, channel: Channel) -> int:
        """`seq` of the channel's last change, told or not; where the feed's snapshot stood if there was none since."""
        gathered = self._gathered.get(channel)
        return self._last.get(channel, self._origin) if gathered is None else gathered.sequence

    def is_told(self, channel: Channel) -> bool:
        """Whether its last message has everything."""
        if channel.kind == BBO:
            return Channel(f"{BOOK}:{channel.name.partition(':')[2]}") not in self._gathered
        return channel not in self._gathered

    def record(self, changes: Changes) -> None:
        """What the model has just applied."""
        model = self._model
        for number in changes.books:
            self._gather(BOOK, number, ())
        for number, trades in changes.trades.items():
            self._gather(TRADES, number, trades)
        for number, pool in changes.pools.items():
            self._gather(POOL, number, (pool,))
        for number in changes.marks:
            self._gather(MARK, number, ())
        for number, life in changes.life.items():
            self._add(Channel(f"{ADMIN}:{present.symbol_of(number, model)}"), life)
        if changes.venue:
            self._add(Channel(VENUE), ())
        sequence, watched = model.sequence, model.watched
        for order in changes.orders.values():
            self._gathered_of(ORDERS, order.account).add(sequence, order)
        for fill in changes.fills.values():
            for account in fill.accounts:
                if account in watched:
                    self._gathered_of(FILLS, account).add(sequence, fill)
        for balance in changes.balances.values():
            self._gathered_of(BALANCES, balance.account).add(sequence, (balance, model.terms.part_of(balance, 0)))
        for kept in changes.kept:
            self._gathered_of(BALANCES, kept.balance.account).add(sequence, kept)
        for part in changes.parts.values():
            if part.account in watched:
                self._gathered_of(BALANCES, part.account).add(sequence, part)
        for record in changes.protections.values():
            if record.terms.account in watched:
                self._gathered_of(PROTECTIONS, record.terms.account).add(sequence, record)

    def _gathered_of(self, kind: str, account: Address) -> Gathered:
        channel = self._private_channels[kind].get(account)
        if channel is None:
            channel = self._private_channels[kind][account] = Channel(kind, account)
        gathered = self._gathered.get(channel)
        if gathered is None:
            gathered = self._gathered[channel] = Gathered()
        return gathered

    def _gather(self, kind: str, number: int, items: Iterable[Any]) -> None:
        self._add(Channel(f"{kind}:{self._model.markets[number].market.symbol}"), items)

    def _add(self, channel: Channel, items: Iterable[Any]) -> None:
        gathered = self._gathered.get(channel)
        if gathered is None:
            gathered = self._gathered[channel] = Gathered()
        gathered.sequence = self._model.sequence
        for item in items:
            gathered.add(self._model.sequence, item)

    def flush(self) -> Updates:
        """What was recorded since the last time, one update for each channel."""
        model, updates = self._model, Updates()
        for channel, gathered in self._gathered.items():
            self._tell(updates, channel, gathered.sequence, self._render(channel, gathered))
            if channel.kind == BOOK:
                self._tell_best(updates, channel, gathered.sequence)
        self._gathered.clear()
        if updates:
            self._ring.append((model.sequence, updates))
        while self._ring and self._ring[0][0] <= model.sequence - self._ring_commands:
            self.base = self._ring.popleft()[0]
        return updates

    def _tell(self, updates: Updates, channel: Channel, sequence: int, render: Render) -> None:
        previous = self._last.get(channel, self._origin)
        updates[channel] = Update(sequence, previous, self._model.at, render)
        self._last[channel] = sequence
        self._snapshots.pop(channel, None)

    def _tell_best(self, updates: Updates, book: Channel, sequence: int) -> None:
        view = self._model.symbols[book.name.partition(":")[2]]
        number, best = view.market.market, best_prices(view)
        if self._best.get(number) != best:
            self._best[number] = best
            self._tell(updates, Channel(f"{BBO}:{view.market.symbol}"), sequence, _State(_bbo, view, best))

    def since(self, channel: Channel, sequence: int) -> list[Update] | None:
        """The channel's updates after `sequence`, as far as they were flushed, or None if only a snapshot can help."""
        if not max(self.base, self._kept_since(channel)) <= sequence <= self._model.sequence:
            return None
        found: list[Update] = []
        for last, updates in reversed(self._ring):
            if last <= sequence:
                break
            if channel in updates and updates[channel].sequence > sequence:
                found.append(updates[channel])
        return found[::-1]

    def _kept_since(self, channel: Channel) -> int:
        if channel.account is None or self._watched is None:
            return self.base
        return self._watched[channel.account]

    def snapshot(self, channel: Channel) -> tuple[int, str]:
        """(seq, text) of the channel's present state, of which everything is told."""
        assert self.is_told(channel)
        known = self._snapshots.get(channel)
        if known is not None:
            return known
        model, sequence = self._model, self.last(channel)
        head = {"channel": channel.name, "type": "snapshot", "seq": sequence, "timestamp": model.at}
        found = sequence, _encode(head | self._state(channel)).decode()
        if not channel.is_private and channel.kind != ADMIN:
            self._snapshots[channel] = found
        return found

    def _state(self, channel: Channel) -> dict[str, Any]:
        model, kind = self._model, channel.kind
        if kind == VENUE:
            return present.venue_json(model)
        if channel.account is not None:
            return self._private_state(kind, channel.account)
        symbol = channel.name.partition(":")[2]
        if kind == ADMIN:
            return present.life_json(symbol, model)
        view = model.symbols[symbol]
        if kind == BOOK:
            return present.book_json(view, BOOK_DEPTH)
        if kind == BBO:
            return _bbo(view, best_prices(view))
        if kind == POOL:
            return _pool(view.market, view.pool)
        if kind == MARK:
            return present.mark_json(view)
        return _trades(view, view.recent_trades(SNAPSHOT_TRADES)[::-1])

    def _private_state(self, kind: str, account: Address) -> dict[str, Any]:
        model = self._model
        if kind == ORDERS:
            open_orders = model.open_of(account)
            return {"orders": [present.order_json(order, model.markets[order.market].market) for order in open_orders]}
        if kind == FILLS:
            numbers = list(model.account_fills.get(account, ()))[-SNAPSHOT_FILLS:]
            return {"fills": self._fills(account, [model.fill(number) for number in numbers])}
        if kind == PROTECTIONS:
            return self._protections(model.terms.protections_of(account))
        rows: list[Any] = []
        for token, balance in model.balances_of(account).items():
            rows += [(balance, model.terms.part_of(balance, 0)), *model.terms.parts_of(account, token)]
        return self._balances(rows)

    def _render(self, channel: Channel, gathered: Gathered) -> Render:
        """What the message says, as of now."""
        model, kind, items = self._model, channel.kind, gathered.items
        if channel.account is not None:
            return _List(self._private, channel, items)
        if kind == VENUE:
            return _State(dict, present.venue_json(model))
        symbol = channel.name.partition(":")[2]
        if kind == ADMIN:
            return _List(_life, present.life_json(symbol, model), items)
        view = model.symbols[symbol]
        if kind == BOOK:
            top = view.bids.top(CHECKSUM_LEVELS), view.asks.top(CHECKSUM_LEVELS)
            return _State(_book_delta, view, view.take_changes(), top)
        if kind == POOL:
            return _State(_pool, view.market, items[-1][1])
        if kind == MARK:
            return _State(dict, present.mark_json(view))
        return _List(_trades, view, items)

    def _private(self, channel: Channel, records: list[Any]) -> dict[str, Any]:
        assert channel.account is not None
        if channel.kind == ORDERS:
            markets = self._model.markets
            return {"orders": [present.order_json(order, markets[order.market].market) for order in records]}
        if channel.kind == FILLS:
            return {"fills": self._fills(channel.account, records)}
        if channel.kind == PROTECTIONS:
            return self._protections(records)
        return self._balances([(one.event, one.event) if isinstance(one, Kept) else one for one in records])

    def _fills(self, account: Address, fills: list[Any]) -> list[dict[str, Any]]:
        markets = self._model.markets
        return [leg for fill in fills for leg in present.fill_json(fill, account, markets[fill.market].market)]

    def _balances(self, rows: list[Any]) -> dict[str, Any]:
        """Of balances with what sub-account 0 has of them, and of parts."""
        tokens = {token.address: token for token in self._tokens.all()}
        parts = [row for row in rows if isinstance(row, SubaccountChanged) and row.token in tokens]
        wholes = [row for row in rows if isinstance(row, tuple) and row[0].token in tokens]
        return {
            "balances": [present.balance_json(whole, tokens[whole.token], first) for whole, first in wholes],
            "subaccounts": [present.part_json(part, tokens[part.token]) for part in parts],
        }

    def _protections(self, records: list[Any]) -> dict[str, Any]:
        model, quote = self._model, self._tokens.all()[0]
        return {"protections": [present.protection_json(record, model, quote, model.at) for record in records]}


class _State:
    """A call with its arguments, made when somebody reads the message; it says the same to everyone."""

    __slots__ = ("_arguments", "_function")

    def __init__(self, function: Callable[..., dict[str, Any]], *arguments: Any) -> None:
        self._function = function
        self._arguments = arguments

    def __call__(self, seen: int) -> dict[str, Any]:
        return self._function(*self._arguments)


class _List:
    """The same, of a list; a reader gets what it has not seen."""

    __slots__ = ("_function", "_items", "_subject")

    def __init__(
        self, function: Callable[[Any, list[Any]], dict[str, Any]], subject: Any, items: list[tuple[int, Any]]
    ) -> None:
        self._function = function
        self._subject = subject
        self._items = items

    def __call__(self, seen: int) -> dict[str, Any]:
        return self._function(self._subject, [item for sequence, item in self._items if sequence > seen])


def _life(state: dict[str, Any], events: list[Any]) -> dict[str, Any]:
    return state | {"events": [present.life_event_json(event) for event in events]}


def _book_delta(view: MarketView, changed: tuple[Sizes, Sizes], top: tuple[Levels, Levels]) -> dict[str, Any]:
    """Changed levels, the last word of each; size "0" removes."""
    market, (bids, asks) = view.market, changed
    checksum = present.book_checksum(market.format_levels(top[0]), market.format_levels(top[1]))
    return {
        "symbol": market.symbol,
        "bids": market.format_levels(bids.items()),
        "asks": market.format_levels(asks.items()),
        "checksum": checksum,
    }


def _pool(market: Market, pool: PoolChanged | None) -> dict[str, Any]:
    return {"symbol": market.symbol, "pool": present.pool_json(market, pool)}


def _bbo(view: MarketView, best: tuple[tuple[int, int] | None, tuple[int, int] | None]) -> dict[str, Any]:
    bid, ask = (view.market.format_levels([level])[0] if level else None for level in best)
    return {"symbol": view.market.symbol, "bid": bid, "ask": ask}


def _trades(view: MarketView, trades: list[Any]) -> dict[str, Any]:
    market = view.market
    if all(type(trade) is Fill for trade in trades):
        shown = present.matches_json(trades, market)
    else:
        shown = [present.trade_json(trade_of(trade), market) for trade in trades]
    return {"symbol": market.symbol, "trades": shown}
