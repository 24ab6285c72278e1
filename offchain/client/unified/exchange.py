"""`Hooats`: ccxt's asynchronous interface, over `HooatsClient`.

Every method raises ccxt's exceptions (`errors`). An order that was not acknowledged is sent again unchanged until
`timeout` is over; RequestTimeout then says that its outcome is unknown, and names the digest to ask for.
"""

import time
from collections.abc import Awaitable, Sequence
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Self, TypeVar

import msgspec

from offchain.client.answers import Order, Placed
from offchain.client.failures import ExchangeUnreachable, Refused
from offchain.client.http import HooatsClient
from offchain.client.orders import Ticket
from offchain.client.unified import errors, shapes
from offchain.client.unified.conditional import Conditional, condition_of
from offchain.client.unified.watching import Watching
from offchain.domain.errors import ConfigurationError, InvalidInput

Json = dict[str, Any]
T = TypeVar("T")

HAS = (
    "cancelAllOrders",
    "cancelAllOrdersAfter",
    "cancelOrder",
    "cancelOrders",
    "createOrder",
    "createOrders",
    "createOrderWithTakeProfitAndStopLoss",
    "createPostOnlyOrder",
    "createReduceOnlyOrder",
    "createStopLossOrder",
    "createTakeProfitOrder",
    "createTrailingAmountOrder",
    "createTriggerOrder",
    "editOrder",
    "fetchBalance",
    "fetchClosedOrders",
    "fetchCurrencies",
    "fetchMarkets",
    "fetchMyTrades",
    "fetchOpenOrders",
    "fetchOrder",
    "fetchOrderBook",
    "fetchStatus",
    "fetchTicker",
    "fetchTime",
    "fetchTrades",
    "fetchTradingFee",
    "fetchTradingFees",
    "transfer",
    "watchBalance",
    "watchMyTrades",
    "watchOrderBook",
    "watchOrders",
    "watchTicker",
    "watchTrades",
    "withdraw",
)
_PAGE = 1_000


class Hooats(Conditional, Watching):
    """`config`: apiUrl, privateKey (0x-hex; not for public data), walletAddress (whose orders, if the key is that of an
    agent), timeout (milliseconds, of retries too)."""

    id = "hooats"
    name = "HOOATS"
    countries: tuple[str, ...] = ()
    has: Json = dict.fromkeys(HAS, True) | {"CORS": None, "spot": True, "margin": False, "swap": False, "option": False}
    timeframes: Json | None = None

    def __init__(self, config: Json | None = None) -> None:
        config = config or {}
        key = config.get("privateKey")
        raw = bytes.fromhex(key.removeprefix("0x")) if key else None
        self.timeout: int = config.get("timeout", 15_000)
        self.number: shapes.Number = config.get("number", float)
        url, account = config.get("apiUrl", "http://127.0.0.1:8080"), config.get("walletAddress") or None
        self.client = HooatsClient(url, raw, account=account, retry_seconds=self.timeout / 1000)
        self.markets: dict[str, Json] = {}
        self.symbols: list[str] = []
        self.currencies: dict[str, Json] = {}
        self.features: Json = {}
        self._classes: dict[str, str] = {}
        super().__init__(self.client)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self.stop_watching()
        await self.client.close()

    # --- what there is ---

    async def load_markets(self, reload: bool = False) -> dict[str, Json]:
        """By symbol; asked once."""
        if not self.markets or reload:
            capabilities = await self.guard(self.client.capabilities())
            self._classes = {code: row["ccxt"] for code, row in capabilities["errors"].items()}
            self.features = capabilities["features"]
            self.markets = {market["symbol"]: market for market in await self.fetch_markets()}
            self.symbols = sorted(self.markets)
            self.currencies = await self.fetch_currencies()
        return self.markets

    async def fetch_markets(self, params: Json | None = None) -> list[Json]:
        found = await self.guard(self.client.listing())
        return [shapes.market_of(market, row, msgspec.to_builtins(row), self.number) for market, row in found.values()]

    async def fetch_currencies(self, params: Json | None = None) -> dict[str, Json]:
        tokens = await self.guard(self.client.tokens())
        return {
            code: shapes.currency_of(code, address, decimals, self.number)
            for code, (address, decimals) in tokens.items()
        }

    async def fetch_status(self, params: Json | None = None) -> Json:
        """`maintenance` while the venue takes less than every order."""
        venue = await self.guard(self.client.venue())
        status = "ok" if venue["state"] == "ACTIVE" else "maintenance"
        return {"status": status, "updated": venue["timestamp"], "eta": None, "url": None, "info": venue}

    async def fetch_time(self, params: Json | None = None) -> int:
        """Of the venue's last command."""
        answer: int = (await self.guard(self.client.venue()))["timestamp"]
        return answer

    async def fetch_order_book(self, symbol: str, limit: int | None = None, params: Json | None = None) -> Json:
        native = await self.native(symbol)
        book = await self.guard(self.client.book(native, limit or 100))
        return shapes.book_of(symbol, book["bids"], book["asks"], book["seq"], self.number)

    async def fetch_ticker(self, symbol: str, params: Json | None = None) -> Json:
        native = await self.native(symbol)
        book = await self.guard(self.client.book(native, 1))
        trades = await self.guard(self.client.trades(native, 1))
        return shapes.ticker_of(symbol, book["bids"], book["asks"], trades[0] if trades else None, self.number)

    async def fetch_trades(
        self, symbol: str, since: int | None = None, limit: int | None = None, params: Json | None = None
    ) -> list[Json]:
        """Oldest first."""
        native = await self.native(symbol)
        rows = await self.guard(self.client.trades(native, _PAGE if since is not None else limit or 100))
        found = [shapes.trade_of(row, symbol, self.number) for row in reversed(rows)]
        return _since(found, since, limit)

    # --- orders ---

    async def create_order(
        self,
        symbol: str,
        type: str,
        side: str,
        amount: Any,
        price: Any = None,
        params: Json | None = None,
    ) -> Json:
        """`price` of a market order is the worst that is acceptable. `params`: timeInForce, postOnly, clientOrderId,
        slot (a newer order in a slot replaces the one before it), expiry (unix seconds), maxFeePpm, amm; reduceOnly,
        triggerPrice (with triggerDirection), stopLossPrice, takeProfitPrice, triggerPriceType (mark or last);
        trailingAmount, icebergAmount, selfTradePrevention, parent, other (nonces); subaccount, protected. With
        takeProfit and stopLoss, each {triggerPrice, price}, it is a bracket: all of it in one request, and the order of
        the entry is answered."""
        params = dict(params or {})
        attached = {name: params.pop(name) for name in ("takeProfit", "stopLoss") if params.get(name) is not None}
        ticket = await self._ticket(symbol, type, side, amount, price, params)
        if not attached:
            return self._order(await self.guard(self.client.place_ticket(ticket)))
        exits = [await self._exit(symbol, side, amount, name, wanted) for name, wanted in attached.items()]
        return self._order((await self.guard(self.client.with_exits(ticket, exits)))[0])

    async def _exit(self, symbol: str, side: str, amount: Any, name: str, wanted: Json) -> Ticket:
        """What waits for the entry. Without a price of its own a take-profit has that of its trigger; a stop needs one,
        because by then the market is beyond its trigger."""
        unknown = sorted(set(wanted) - {"triggerPrice", "price", "type", "triggerPriceType"})
        if unknown or wanted.get("triggerPrice") is None:
            raise errors.ArgumentsRequired(f"{name} takes triggerPrice, price and triggerPriceType")
        opposite = "sell" if side == "buy" else "buy"
        trigger, price = wanted["triggerPrice"], wanted.get("price")
        if price is None and name == "stopLoss":
            raise errors.ArgumentsRequired("a stop has a worst price here: name it as price")
        price = trigger if price is None else price
        params = {"takeProfitPrice" if name == "takeProfit" else "stopLossPrice": trigger}
        if wanted.get("triggerPriceType"):
            params["triggerPriceType"] = wanted["triggerPriceType"]
        return await self._ticket(symbol, wanted.get("type") or "limit", opposite, amount, price, params)

    async def edit_order(
        self,
        id: str,
        symbol: str,
        type: str,
        side: str,
        amount: Any = None,
        price: Any = None,
        params: Json | None = None,
    ) -> Json:
        """`amount` is the whole amount, with what has filled. A smaller one at the same price keeps the place in the
        queue; anything else is another order, with an id of its own, in place of this one: if this one is not open any
        more there is none."""
        await self.load_markets()
        order = await self.guard(self.client.order(await self._id(id, params)))
        params = {name: value for name, value in (params or {}).items() if name != "clientOrderId"}
        size = self.amount_to_precision(symbol, order.amount if amount is None else amount)
        exact = self.price_to_precision(symbol, order.price if price is None else price)
        if side != order.side or await self.native(symbol) != order.symbol:
            raise errors.InvalidOrder("an order keeps its side and its market")
        if exact == order.price and not params and Decimal(size) <= Decimal(order.amount):
            return self._shaped(await self.guard(self.client.amend(order.id, size)))
        left = Decimal(size) - Decimal(order.filled)
        if left <= 0:
            raise errors.InvalidOrder(f"{order.filled} of it has filled already")
        ticket = await self._ticket(symbol, type, side, left, exact, _kept(order) | params)
        return self._order(await self.guard(self.client.replace(order.id, ticket)))

    async def create_orders(self, orders: Sequence[Json], params: Json | None = None) -> list[Json]:
        """One request. What was refused is an order of status rejected, with the error in `info`."""
        tickets = [
            await self._ticket(
                row["symbol"], row["type"], row["side"], row["amount"], row.get("price"), row.get("params") or {}
            )
            for row in orders
        ]
        results = await self.guard(self.client.place_all(tickets))
        return [
            self._order(result) if isinstance(result, Placed) else _rejected(row, result)
            for row, result in zip(orders, results, strict=True)
        ]

    async def cancel_order(self, id: str, symbol: str | None = None, params: Json | None = None) -> Json:
        """By the venue's id, or by `clientOrderId` in `params`."""
        await self.load_markets()
        return self._shaped(await self.guard(self.client.cancel(await self._id(id, params))))

    async def cancel_orders(
        self, ids: Sequence[str], symbol: str | None = None, params: Json | None = None
    ) -> list[Json]:
        """One request, each for itself: what could not be cancelled has the error in `info`."""
        await self.load_markets()
        done = await self.guard(self.client.batch(cancels=ids, mode="each"))
        return [
            self._shaped(result) if isinstance(result, Order) else _rejected({"id": one}, result) | {"id": one}
            for one, result in zip(ids, done.cancels, strict=True)
        ]

    async def cancel_all_orders(self, symbol: str | None = None, params: Json | None = None) -> list[Json]:
        """`params`: side."""
        native = None if symbol is None else await self.native(symbol)
        await self.load_markets()
        cancelled = await self.guard(self.client.cancel_all(native, (params or {}).get("side")))
        return [{"id": digest, "info": {"id": digest}} for digest in cancelled]

    async def cancel_all_orders_after(self, timeout: int, params: Json | None = None) -> Json:  # noqa: ASYNC109
        """All orders are cancelled so many milliseconds from now, unless it is called again before; 0: never mind."""
        await self.load_markets()
        return {"info": {"deadline": await self.guard(self.client.cancel_all_after(timeout))}}

    async def fetch_order(self, id: str, symbol: str | None = None, params: Json | None = None) -> Json:
        await self.load_markets()
        return self._shaped(await self.guard(self.client.order(await self._id(id, params))))

    async def fetch_open_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Json | None = None
    ) -> list[Json]:
        """Oldest first."""
        return await self._orders("open", symbol, since, limit)

    async def fetch_closed_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Json | None = None
    ) -> list[Json]:
        """Also cancelled and expired ones; the last 1,000 of them, oldest first."""
        return await self._orders("closed", symbol, since, limit)

    async def fetch_my_trades(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Json | None = None
    ) -> list[Json]:
        """Oldest first."""
        native = None if symbol is None else await self.native(symbol)
        await self.load_markets()
        fills, cursor = [], ""
        while True:
            page = await self.guard(self.client.fills(native, _PAGE, cursor))
            fills += page
            if since is None or len(page) < _PAGE or page[-1].timestamp < since:
                break
            cursor = page[-1].id
        found = [shapes.my_trade_of(fill, msgspec.to_builtins(fill), self.number) for fill in reversed(fills)]
        return _since(found, since, limit)

    # --- money ---

    async def fetch_balance(self, params: Json | None = None) -> Json:
        """`params`: subaccount (a number), else of the account as a whole."""
        await self.load_markets()
        rows = await self.guard(self.client.balances((params or {}).get("subaccount")))
        info = {code: msgspec.to_builtins(row) for code, row in rows.items()}
        return shapes.balance_of(rows.items(), info, self.number)

    async def transfer(
        self, code: str, amount: Any, fromAccount: Any, toAccount: Any, params: Json | None = None
    ) -> Json:
        """Between sub-accounts, named by their numbers. `params`: clientTransferId, with which the same again, where
        the outcome is unknown (RequestTimeout), moves nothing."""
        await self.load_markets()
        exact, ends = self._plain(amount, "amount"), (str(fromAccount), str(toAccount))
        if not all(end.isascii() and end.isdigit() for end in ends):
            raise errors.BadRequest("sub-accounts are named by their numbers")
        name = str((params or {}).get("clientTransferId", ""))
        moving = self.client.transfer(code, exact, int(ends[0]), int(ends[1]), client_transfer_id=name)
        return shapes.transfer_of(await self.guard(moving), code, exact, ends, self.number)

    async def fetch_trading_fee(self, symbol: str, params: Json | None = None) -> Json:
        """The account's own: the same in every market."""
        await self.native(symbol)
        return shapes.trading_fee_of(symbol, await self.guard(self.client.fees()), self.number)

    async def fetch_trading_fees(self, params: Json | None = None) -> dict[str, Json]:
        await self.load_markets()
        fees = await self.guard(self.client.fees())
        return {symbol: shapes.trading_fee_of(symbol, fees, self.number) for symbol in self.symbols}

    async def withdraw(
        self, code: str, amount: Any, address: str, tag: str | None = None, params: Json | None = None
    ) -> Json:
        """Signed by the owner, countersigned by the venue, sent by its relay."""
        await self.load_markets()
        exact = self._plain(amount, "amount")
        approval = await self.guard(self.client.withdraw(code, exact, destination=address))
        return {
            "id": approval.nonce,
            "txid": None,
            "timestamp": None,
            "datetime": None,
            "address": address,
            "type": "withdrawal",
            "amount": self.number(approval.amount),
            "currency": code,
            "status": "pending",
            "fee": None,
            "info": msgspec.to_builtins(approval),
        }

    # --- precision ---

    def price_to_precision(self, symbol: str, price: Any) -> str:
        """The nearest multiple of the tick."""
        return _on_grid(self._plain(price, "price"), str(self.market(symbol)["info"]["tickSize"]), ROUND_HALF_UP)

    def amount_to_precision(self, symbol: str, amount: Any) -> str:
        """The multiple of the lot below."""
        return _on_grid(self._plain(amount, "amount"), str(self.market(symbol)["info"]["lotSize"]), ROUND_DOWN)

    def market(self, symbol: str) -> Json:
        """After `load_markets`."""
        if symbol not in self.markets:
            raise errors.BadSymbol(f"hooats does not have market symbol {symbol}")
        return self.markets[symbol]

    async def native(self, symbol: str) -> str:
        await self.load_markets()
        native: str = self.market(symbol)["id"]
        return native

    # --- shared ---

    async def guard(self, answer: Awaitable[T]) -> T:
        """In ccxt's exceptions."""
        try:
            return await answer
        except (Refused, ExchangeUnreachable) as error:
            raise errors.translated(error, self._classes) from error
        except ConfigurationError as error:
            raise errors.AuthenticationError(str(error)) from error
        except InvalidInput as error:
            raise errors.BadRequest(str(error)) from error

    async def _ticket(self, symbol: str, kind: str, side: str, amount: Any, price: Any, params: Json) -> Ticket:
        native = await self.native(symbol)
        if price is None:
            raise errors.ArgumentsRequired("a market order has a worst price here: name it as price")
        condition = condition_of(side, params := dict(params))
        unknown = sorted(name for name in params if name not in _PARAMS)
        if unknown:
            raise errors.NotSupported(f"no such parameter here: {', '.join(unknown)}")
        size, exact = self.amount_to_precision(symbol, amount), self.price_to_precision(symbol, price)
        if "0" in (size, exact):
            raise errors.InvalidOrder(f"{'amount' if size == '0' else 'price'} is below the smallest step")
        fields: Json = {"symbol": native, "type": kind, "side": side, "size": size, "price": exact}
        fields |= {_PARAMS[name]: value for name, value in params.items()}
        for name, value in condition.items():
            fields[name] = self.price_to_precision(symbol, value)
        if fields.get("trailing_amount") is not None:
            fields["trailing_amount"] = self.price_to_precision(symbol, fields["trailing_amount"])
        if fields.get("visible_size") is not None:
            fields["visible_size"] = self.amount_to_precision(symbol, fields["visible_size"])
        if condition and kind == "market":
            # On chain it is a limit order with the worst price, which takes what there is once its trigger came.
            fields |= {"type": "limit", "immediate": True}
            kind = "limit"
        if fields.get("time_in_force") == "PO":
            fields |= {"time_in_force": "GTC", "post_only": True}
        if (fields.get("amm") or kind == "market") and "time_in_force" not in fields:
            fields["time_in_force"] = "IOC"
        try:
            return msgspec.convert(fields, Ticket)
        except msgspec.ValidationError as error:
            raise errors.InvalidOrder(str(error)) from None

    async def _orders(self, status: str, symbol: str | None, since: int | None, limit: int | None) -> list[Json]:
        native = None if symbol is None else await self.native(symbol)
        await self.load_markets()
        found = await self.guard(self.client.orders(status, native, _PAGE))
        return _since([self._shaped(order) for order in reversed(found)], since, limit)

    async def _id(self, id: str, params: Json | None) -> str:
        name = (params or {}).get("clientOrderId")
        return id if name is None else (await self.guard(self.client.order_by_client_id(name))).id

    def _order(self, placed: Placed) -> Json:
        order = self._shaped(placed.order)
        order["trades"] = [shapes.my_trade_of(fill, msgspec.to_builtins(fill), self.number) for fill in placed.fills]
        order["info"] |= {"receipt": msgspec.to_builtins(placed.receipt), "replayed": placed.replayed}
        return order

    def _shaped(self, order: Order) -> Json:
        return shapes.order_of(order, msgspec.to_builtins(order), self.number)

    def _plain(self, value: Any, name: str) -> str:
        """A number in any form as a plain decimal. Floats by their shortest form, as ccxt takes them."""
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            raise errors.InvalidOrder(f"{name} is not a number: {value!r}") from None
        if not number.is_finite() or number < 0:
            raise errors.InvalidOrder(f"{name} is out of range: {value!r}")
        return _canonical(number)

    def milliseconds(self) -> int:
        return time.time_ns() // 1_000_000


_PARAMS = {
    "timeInForce": "time_in_force",
    "postOnly": "post_only",
    "clientOrderId": "client_order_id",
    "slot": "slot",
    "expiry": "expiry",
    "maxFeePpm": "max_fee_ppm",
    "amm": "amm",
    "reduceOnly": "reduce_only",
    "triggerPriceType": "trigger_price_type",
    "trailingAmount": "trailing_amount",
    "icebergAmount": "visible_size",
    "selfTradePrevention": "self_trade_prevention",
    "parent": "parent",
    "other": "other",
    "subaccount": "subaccount",
    "protected": "protected",
}


def _on_grid(value: str, step: str, rounding: str) -> str:
    """A multiple of `step`."""
    steps = (Decimal(value) / Decimal(step)).to_integral_value(rounding)
    return _canonical(steps * Decimal(step))


def _canonical(number: Decimal) -> str:
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _since(rows: list[Json], since: int | None, limit: int | None) -> list[Json]:
    """ccxt's rule: with `since` the first `limit` after it, without the last `limit`."""
    if since is not None:
        rows = [row for row in rows if row["timestamp"] >= since]
        return rows[:limit] if limit else rows
    return rows[-limit:] if limit else rows


def _kept(order: Order) -> Json:
    """What an order that takes the place of this one has of it, unless it is said otherwise."""
    kept: Json = {"postOnly": order.post_only, "reduceOnly": order.reduce_only}
    kept |= {"subaccount": order.subaccount, "protected": order.protected}
    if order.expiry:
        kept |= {"timeInForce": order.time_in_force, "expiry": order.expiry}
    for name, price in (("stopLossPrice", order.stop_loss_price), ("takeProfitPrice", order.take_profit_price)):
        if price is not None:
            kept |= {name: price, "triggerPriceType": order.trigger_price_type}
    return kept


def _rejected(row: Json, refused: Refused) -> Json:
    fields = ("symbol", "type", "side", "amount", "price")
    order = {name: row.get(name) for name in fields}
    digest = refused.data.get("digest")
    info = {"code": refused.code, "message": refused.message, "data": refused.data}
    return order | {"id": digest, "status": "rejected", "info": info}
