"""The venue's answers as ccxt's structures: pure functions, every number by `number` (float, or str to stay exact)."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from offchain.client.answers import Balance, Fees, Fill, MarketAnswer, Order, Transfer
from offchain.domain.market import Market

Json = dict[str, Any]
Number = Callable[[str], Any]
_NO_RANGE = {"min": None, "max": None}


def to_symbol(native: str) -> str:
    """BTC-USDC to BTC/USDC."""
    return native.replace("-", "/", 1)


def to_native(symbol: str) -> str:
    return symbol.replace("/", "-", 1)


def iso(millis: int | None) -> str | None:
    """2026-11-21T20:53:50.123Z"""
    if millis is None:
        return None
    moment = datetime.fromtimestamp(millis // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{millis % 1000:03d}Z"


def market_of(market: Market, row: MarketAnswer, info: Json, number: Number) -> Json:
    """Fees are fractions: 0.0025 is 0.25 %. Spot: what is traded is in the Vault, and settles."""
    base, _, quote = market.symbol.partition("-")
    tick, lot = number(market.tick_size), number(market.lot_size)
    return {
        "id": market.symbol,
        "numericId": market.market,
        "lowercaseId": market.symbol.lower(),
        "uppercaseId": market.symbol,
        "symbol": to_symbol(market.symbol),
        "base": base,
        "quote": quote,
        "settle": None,
        "baseId": market.base_token,
        "quoteId": quote,
        "settleId": None,
        "type": "spot",
        "subType": None,
        **dict.fromkeys(("margin", "swap", "future", "option", "index", "contract"), False),
        "spot": True,
        **dict.fromkeys(("linear", "inverse", "quanto", "contractSize", "expiry", "expiryDatetime"), None),
        **dict.fromkeys(("strike", "optionType", "created"), None),
        "active": row.state in ("ACTIVE", "POST_ONLY"),
        "maker": number(_ppm(row.maker_fee_ppm)),
        "taker": number(_ppm(row.taker_fee_ppm)),
        "percentage": True,
        "tierBased": False,
        "feeSide": "quote",
        "precision": {"amount": lot, "price": tick, "cost": None, "base": None, "quote": None},
        "limits": {
            "amount": {"min": lot, "max": None},
            "price": {"min": tick, "max": None},
            "cost": _NO_RANGE,
            "leverage": _NO_RANGE,
        },
        "marginModes": {"cross": False, "isolated": False},
        "info": info,
    }


def order_of(order: Order, info: Json, number: Number) -> Json:
    fee = None if order.fee is None else {"cost": number(order.fee.cost), "currency": order.fee.currency}
    return {
        "id": order.id,
        "clientOrderId": order.client_order_id or None,
        "timestamp": order.timestamp,
        "datetime": iso(order.timestamp),
        "lastTradeTimestamp": order.last_trade_timestamp,
        "lastUpdateTimestamp": order.last_update_timestamp,
        "symbol": to_symbol(order.symbol),
        "type": order.type,
        "timeInForce": "PO" if order.post_only else order.time_in_force,
        "postOnly": order.post_only,
        "reduceOnly": bool(info.get("reduceOnly")),
        "side": order.side,
        "price": number(order.price),
        **{name: _maybe(info.get(name), number) for name in ("triggerPrice", "takeProfitPrice", "stopLossPrice")},
        "stopPrice": _maybe(info.get("triggerPrice"), number),
        "amount": number(order.amount),
        "filled": number(order.filled),
        "remaining": number(order.remaining),
        "cost": _maybe(order.cost, number),
        "average": _maybe(order.average, number),
        "status": order.status,
        "fee": fee,
        "fees": [] if fee is None else [fee],
        "trades": [],
        "marginMode": None,
        "leverage": None,
        "hedged": None,
        "info": info,
    }


def my_trade_of(fill: Fill, info: Json, number: Number) -> Json:
    rate = None if fill.fee.rate_ppm is None else number(_ppm(fill.fee.rate_ppm))
    fee = {"cost": number(fill.fee.cost), "currency": fill.fee.currency, "rate": rate}
    return {
        "id": fill.id,
        "order": fill.order,
        "timestamp": fill.timestamp,
        "datetime": iso(fill.timestamp),
        "symbol": to_symbol(fill.symbol),
        "type": None,
        "side": fill.side,
        "takerOrMaker": fill.taker_or_maker,
        "price": number(fill.price),
        "amount": number(fill.amount),
        "cost": number(fill.cost),
        "fee": fee,
        "fees": [fee],
        "info": info,
    }


def trade_of(row: Json, symbol: str, number: Number) -> Json:
    """A public trade; `side` is the taker's."""
    return {
        "id": row["id"],
        "order": None,
        "timestamp": row["timestamp"],
        "datetime": iso(row["timestamp"]),
        "symbol": symbol,
        "type": None,
        "side": row["side"],
        "takerOrMaker": None,
        "price": number(row["price"]),
        "amount": number(row["amount"]),
        "cost": number(row["cost"]),
        "fee": None,
        "fees": [],
        "info": row,
    }


def book_of(symbol: str, bids: list[list[str]], asks: list[list[str]], nonce: int | None, number: Number) -> Json:
    """`nonce` is the venue's sequence. The venue stamps commands, not books: there is no timestamp."""
    return {
        "symbol": symbol,
        "bids": [[number(price), number(size)] for price, size in bids],
        "asks": [[number(price), number(size)] for price, size in asks],
        "timestamp": None,
        "datetime": None,
        "nonce": nonce,
    }


def ticker_of(symbol: str, bids: list[list[str]], asks: list[list[str]], last: Json | None, number: Number) -> Json:
    """Of the top of the book and the last trade; the venue keeps no daily statistics."""
    bid, ask = (levels[0] if levels else [None, None] for levels in (bids, asks))
    price = None if last is None else number(last["price"])
    unknown = ("high", "low", "vwap", "open", "previousClose", "change", "percentage", "average", "baseVolume")
    return {
        "symbol": symbol,
        "timestamp": None if last is None else last["timestamp"],
        "datetime": None if last is None else iso(last["timestamp"]),
        "bid": _maybe(bid[0], number),
        "bidVolume": _maybe(bid[1], number),
        "ask": _maybe(ask[0], number),
        "askVolume": _maybe(ask[1], number),
        "last": price,
        "close": price,
        **dict.fromkeys(unknown, None),
        **dict.fromkeys(("quoteVolume", "markPrice", "indexPrice"), None),
        "info": {} if last is None else last,
    }


def balance_of(rows: Iterable[tuple[str, Balance]], info: Any, number: Number) -> Json:
    """Per code free, used and total; also by these three."""
    parts: Json = {"info": info, "timestamp": None, "datetime": None, "free": {}, "used": {}, "total": {}}
    for code, row in rows:
        account = {"free": number(row.free), "used": number(row.used), "total": number(row.total)}
        parts[code] = account
        for name, amount in account.items():
            parts[name][code] = amount
    return parts


def transfer_of(done: Transfer, code: str, amount: str, ends: tuple[str, str], number: Number) -> Json:
    """Between sub-accounts."""
    names = {"fromAccount": ends[0], "toAccount": ends[1]}
    head = {
        "id": done.client_transfer_id,
        "timestamp": None,
        "datetime": None,
        "currency": code,
        "amount": number(amount),
    }
    return head | names | {"status": "ok", "info": msgspec.to_builtins(done)}


def trading_fee_of(symbol: str, fees: Fees, number: Number) -> Json:
    """Fractions; tiers and discounts are in them."""
    return {
        "symbol": symbol,
        "maker": number(_ppm(fees.maker_fee_ppm)),
        "taker": number(_ppm(fees.taker_fee_ppm)),
        "percentage": True,
        "tierBased": fees.schedule is not None,
        "info": msgspec.to_builtins(fees),
    }


def currency_of(code: str, address: str, decimals: int, number: Number) -> Json:
    return {
        "id": address,
        "code": code,
        "numericId": None,
        "name": code,
        "type": "crypto",
        "active": True,
        "deposit": True,
        "withdraw": True,
        "margin": False,
        "fee": None,
        "precision": number("0." + "0" * (decimals - 1) + "1" if decimals else "1"),
        "limits": {"amount": _NO_RANGE, "withdraw": _NO_RANGE, "deposit": _NO_RANGE},
        "networks": {},
        "info": {"address": address, "decimals": decimals},
    }


def _maybe(text: str | None, number: Number) -> Any:
    return None if text is None else number(text)


def _ppm(rate: int) -> str:
    """Millionths as a plain decimal."""
    sign = "-" if rate < 0 else ""
    return f"{sign}{abs(rate) // 10**6}.{abs(rate) % 10**6:06d}".rstrip("0").rstrip(".")
