"""Channels of the stream: what each command meant for each channel, kept for a while so that a reader can resume.

    book:SYM bbo:SYM trades:SYM pool:SYM mark:SYM venue
    for a logged-in account orders fills balances, for operators admin:SYM

A message carries `seq`, the journal sequence of the last command it includes, and `prevSeq`, the `seq` of the channel's
previous message; a snapshot carries the `seq` that the next delta names. Invariant: messages are functions of the
journal alone, so any gateway can continue what another one began: a reader that holds `seq` >= `prevSeq` has missed
nothing. Rendering waits until somebody reads.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from offchain.domain.event import PoolChanged
from offchain.domain.market import Market
from offchain.domain.units import Address
from offchain.gateway import present
from offchain.gateway.present import CHECKSUM_LEVELS, Levels, Tokens
from offchain.gateway.readmodel import Changes, MarketView, ReadModel, best_prices

BOOK, BBO, TRADES, POOL, MARK, VENUE, ADMIN = "book", "bbo", "trades", "pool", "mark", "venue", "admin"
ORDERS, FILLS, BALANCES = "orders", "fills", "balances"
MARKET_CHANNELS = (BOOK, BBO, TRADES, POOL, MARK)
PRIVATE_CHANNELS = (ORDERS, FILLS, BALANCES)
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


class Update:
    """One message of one channel; `text` is rendered once, for all readers."""

    __slots__ = ("_render", "_text", "at", "previous", "sequence")

    def __init__(self, sequence: int, previous: int, at: int, render: Callable[[], dict[str, Any]]) -> None:
        self.sequence = sequence
        self.previous = previous
        self.at = at
        self._render: Callable[[], dict[str, Any]] | None = render
        self._text: str | None = None

    def text(self, channel: Channel) -> str:
        if self._text is None:
            assert self._render is not None
            head = {
                "channel": channel.name,
                "type": "delta",
                "seq": self.sequence,
                "prevSeq": self.previous,
                "timestamp": self.at,
            }
            self._text = _encode(head | self._render()).decode()
            self._render = None
        return self._text


Updates = dict[Channel, Update]


class ChannelLog:
    """Turns changes into updates, and remembers the last `ring_commands` commands."""

    def __init__(self, model: ReadModel, tokens: Tokens, ring_commands: int) -> None:
        self._model = model
        self._tokens = tokens
        self._ring: deque[tuple[int, Updates]] = deque()
        self._ring_commands = ring_commands
        self._last: dict[Channel, int] = {}
        self._best: dict[int, Any] = {}
        self._origin = 0
        self.base = 0
        """Resuming is possible from here on."""

    def restart(self) -> None:
        """After a snapshot of the feed: nothing before it can be resumed."""
        self._ring.clear()
        self._last.clear()
        self._best = {number: best_prices(view) for number, view in self._model.markets.items()}
        self.base = self._origin = self._model.sequence

    def last(self, channel: Channel) -> int:
        """`seq` of the channel's last message; where the feed's snapshot stood if there was none since."""
        return self._last.get(channel, self._origin)

    def record(self, changes: Changes) -> Updates:
        """The updates of the command that the model has just applied."""
        model, updates = self._model, Updates()
        for channel, render in self._renderers(changes):
            updates[channel] = Update(model.sequence, self.last(channel), model.at, render)
            self._last[channel] = model.sequence
        self._ring.append((model.sequence, updates))
        if len(self._ring) > self._ring_commands:
            self.base = self._ring.popleft()[0]
        return updates

    def since(self, channel: Channel, sequence: int) -> list[Update] | None:
        """The channel's updates after `sequence`, or None if only a snapshot can help."""
        if not self.base <= sequence <= self._model.sequence:
            return None
        start = len(self._ring) - (self._model.sequence - sequence)
        return [updates[channel] for _, updates in islice(self._ring, start, None) if channel in updates]

    def snapshot(self, channel: Channel) -> tuple[int, str]:
        """(seq, text) of the channel's present state."""
        model, sequence = self._model, self.last(channel)
        head = {"channel": channel.name, "type": "snapshot", "seq": sequence, "timestamp": model.at}
        return sequence, _encode(head | self._state(channel)).decode()

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
        trades = list(view.trades)[-SNAPSHOT_TRADES:]
        return {"symbol": view.market.symbol, "trades": [present.trade_json(trade, view.market) for trade in trades]}

    def _private_state(self, kind: str, account: Address) -> dict[str, Any]:
        model = self._model
        if kind == ORDERS:
            open_orders = model.open_orders.get(account, {}).values()
            return {"orders": [present.order_json(order, model.markets[order.market].market) for order in open_orders]}
        if kind == FILLS:
            numbers = list(model.account_fills.get(account, ()))[-SNAPSHOT_FILLS:]
            return {"fills": self._fills(account, [model.fills[number] for number in numbers])}
        return {"balances": self._balances(list(model.balances.get(account, {}).values()))}

    def _renderers(self, changes: Changes) -> list[tuple[Channel, Callable[[], dict[str, Any]]]]:
        model = self._model
        found: list[tuple[Channel, Callable[[], dict[str, Any]]]] = []
        for number, levels in changes.levels.items():
            view = model.markets[number]
            top = view.bids.top(CHECKSUM_LEVELS), view.asks.top(CHECKSUM_LEVELS)
            found.append((Channel(f"{BOOK}:{view.market.symbol}"), _Later(_book_delta, view, levels, top)))
            best = best_prices(view)
            if self._best.get(number) != best:
                self._best[number] = best
                found.append((Channel(f"{BBO}:{view.market.symbol}"), _Later(_bbo, view, best)))
        for number, trades in changes.trades.items():
            view = model.markets[number]
            found.append((Channel(f"{TRADES}:{view.market.symbol}"), _Later(_trades, view, trades)))
        for number, pool in changes.pools.items():
            market = model.markets[number].market
            found.append((Channel(f"{POOL}:{market.symbol}"), _Later(_pool, market, pool)))
        for number in changes.marks:
            view = model.markets[number]
            found.append((Channel(f"{MARK}:{view.market.symbol}"), _Later(dict, present.mark_json(view))))
        for number, life in changes.life.items():
            symbol = present.symbol_of(number, model)
            state = present.life_json(symbol, model) | {"events": [present.life_event_json(event) for event in life]}
            found.append((Channel(f"{ADMIN}:{symbol}"), _Later(dict, state)))
        if changes.venue:
            venue = present.venue_json(model)
            found.append((Channel(VENUE), lambda: venue))
        private: dict[Channel, list[Any]] = {}
        for order in changes.orders.values():
            private.setdefault(Channel(ORDERS, order.account), []).append(order)
        for fill in changes.fills.values():
            for account in fill.accounts:
                private.setdefault(Channel(FILLS, account), []).append(fill)
        for balance in changes.balances.values():
            private.setdefault(Channel(BALANCES, balance.account), []).append(balance)
        found.extend((channel, _Later(self._private, channel, records)) for channel, records in private.items())
        return found

    def _private(self, channel: Channel, records: list[Any]) -> dict[str, Any]:
        assert channel.account is not None
        if channel.kind == ORDERS:
            markets = self._model.markets
            return {"orders": [present.order_json(order, markets[order.market].market) for order in records]}
        if channel.kind == FILLS:
            return {"fills": self._fills(channel.account, records)}
        return {"balances": self._balances(records)}

    def _fills(self, account: Address, fills: list[Any]) -> list[dict[str, Any]]:
        markets = self._model.markets
        return [leg for fill in fills for leg in present.fill_json(fill, account, markets[fill.market].market)]

    def _balances(self, balances: list[Any]) -> list[dict[str, Any]]:
        tokens = {token.address: token for token in self._tokens.all()}
        return [present.balance_json(balance, tokens[balance.token]) for balance in balances if balance.token in tokens]


class _Later:
    """A call with its arguments, made when somebody reads the message."""

    __slots__ = ("_arguments", "_function")

    def __init__(self, function: Callable[..., dict[str, Any]], *arguments: Any) -> None:
        self._function = function
        self._arguments = arguments

    def __call__(self) -> dict[str, Any]:
        return self._function(*self._arguments)


def _book_delta(view: MarketView, levels: list[tuple[int, int, int]], top: tuple[Levels, Levels]) -> dict[str, Any]:
    """Changed levels, the last word of each; size "0" removes."""
    market = view.market
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for side, price, size in levels:
        sides[side][price] = size
    checksum = present.book_checksum(present.level_strings(market, top[0]), present.level_strings(market, top[1]))
    return {
        "symbol": market.symbol,
        "bids": present.level_strings(market, sides[0].items()),
        "asks": present.level_strings(market, sides[1].items()),
        "checksum": checksum,
    }


def _pool(market: Market, pool: PoolChanged | None) -> dict[str, Any]:
    return {"symbol": market.symbol, "pool": present.pool_json(market, pool)}


def _bbo(view: MarketView, best: tuple[tuple[int, int] | None, tuple[int, int] | None]) -> dict[str, Any]:
    bid, ask = (present.level_strings(view.market, [level])[0] if level else None for level in best)
    return {"symbol": view.market.symbol, "bid": bid, "ask": ask}


def _trades(view: MarketView, trades: list[Any]) -> dict[str, Any]:
    return {"symbol": view.market.symbol, "trades": [present.trade_json(trade, view.market) for trade in trades]}
