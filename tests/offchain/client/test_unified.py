"""The adapter in ccxt's shape: its structures and errors are ccxt's, and what it says is what REST says."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from gateway_venues import KEYS

from offchain.client.failures import ExchangeUnreachable, Refused
from offchain.client.unified import Hooats, errors
from offchain.client.unified.shapes import iso

SHAPES = json.loads((Path(__file__).parent / "ccxt_shapes.json").read_text())
OTHER = {
    "Order": set(),
    "Trade": set(),
    "Ticker": set(),
    "OrderBook": set(),
    # Of prediction markets and of single exchanges.
    "MarketInterface": {"stock", "prediction", "baseName", "id2", "instIdCode", "tiers", "market", "marketType"}
    | {"executionModel", "collateral", "resolved", "resolvedOutcome", "outcomes"},
    "CurrencyInterface": {"fees", "valueScale"},
}
"""Fields of ccxt's structures that this venue has nothing for."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


def exchange_of(venue, key: bytes | None = KEYS[0], **config) -> Hooats:
    return Hooats({"apiUrl": venue.url, "privateKey": "0x" + key.hex() if key else None, "number": str} | config)


async def rest(venue, client, path: str) -> dict:
    """The venue's own words."""
    key, timestamp, sign = await client.sign_request(b"GET" + path.encode())
    headers = {"HOOATS-KEY": key, "HOOATS-TIMESTAMP": str(timestamp), "HOOATS-SIGN": sign}
    async with httpx.AsyncClient(base_url=venue.url) as http:
        return (await http.get(path, headers=headers)).json()


def has_shape(found: dict, name: str) -> None:
    expected = set(SHAPES["structures"][name])
    assert expected - set(found) <= OTHER[name], name
    assert set(found) - expected <= {"info"}, name


# --- errors ---


async def test_exceptions_have_ccxt_s_names_and_parents() -> None:
    for name, kind in errors.CLASSES.items():
        parent = SHAPES["errors"][name]
        assert kind.__bases__[0].__name__ == (parent or "Exception"), name


async def test_every_code_of_the_venue_becomes_its_class(real) -> None:
    _, venue = real
    async with exchange_of(venue, None) as exchange:
        await exchange.load_markets()
        async with httpx.AsyncClient(base_url=venue.url) as http:
            rows = (await http.get("/v1/capabilities")).json()["errors"]
        for code, row in rows.items():
            error = errors.translated(Refused(code, "words", {"a": 1}), exchange._classes)
            assert (type(error).__name__, error.code, error.data) == (row["ccxt"], code, {"a": 1})
    unsent = errors.translated(ExchangeUnreachable("away", is_sent=False), {})
    assert type(unsent) is errors.ExchangeNotAvailable, "certainly not executed"
    assert type(errors.translated(ExchangeUnreachable("gone", digest="0x1"), {})) is errors.RequestTimeout


async def test_refusals_are_ccxt_s_exceptions(real) -> None:
    _, venue = real
    async with exchange_of(venue) as exchange:
        with pytest.raises(errors.BadSymbol):
            await exchange.fetch_order_book("NOPE/USDC")
        with pytest.raises(errors.InsufficientFunds):
            await exchange.create_order("BTC/USDC", "limit", "buy", "100", "1000000")
        with pytest.raises(errors.OrderNotFound):
            await exchange.fetch_order("0x" + "00" * 32)
        with pytest.raises(errors.ArgumentsRequired):
            await exchange.create_order("BTC/USDC", "market", "buy", "1")
        with pytest.raises(errors.InvalidOrder):
            await exchange.create_order("BTC/USDC", "limit", "buy", "0.00001", "1")
        with pytest.raises(errors.NotSupported):
            await exchange.create_order("BTC/USDC", "limit", "buy", "1", "1", {"unheardOf": 1})
        await exchange.create_order("BTC/USDC", "limit", "buy", "0.01", "5", {"clientOrderId": "dup"})
        with pytest.raises(errors.DuplicateOrderId):
            await exchange.create_order("BTC/USDC", "limit", "buy", "0.02", "5", {"clientOrderId": "dup"})
        with pytest.raises(errors.OrderImmediatelyFillable):
            await exchange.create_order("BTC/USDC", "limit", "sell", "0.01", "4", {"timeInForce": "PO"})
        await exchange.cancel_all_orders()
    async with exchange_of(venue, None) as exchange:
        with pytest.raises(errors.AuthenticationError):
            await exchange.fetch_balance()
    async with Hooats({"apiUrl": "http://127.0.0.1:9", "timeout": 100}) as exchange:
        with pytest.raises(errors.ExchangeNotAvailable):
            await exchange.load_markets()


# --- shapes and values ---


async def test_markets_and_currencies(real) -> None:
    _, venue = real
    async with exchange_of(venue) as exchange, httpx.AsyncClient(base_url=venue.url) as http:
        markets = await exchange.load_markets()
        rows = {row["symbol"]: row for row in (await http.get("/v1/markets")).json()["markets"]}
        assert {market["id"] for market in markets.values()} == set(rows)
        for market in markets.values():
            has_shape(market, "MarketInterface")
            row = rows[market["id"]]
            assert (market["precision"]["price"], market["precision"]["amount"]) == (row["tickSize"], row["lotSize"])
            assert (market["maker"], market["taker"]) == ("0.001", "0.0025")
            assert (market["active"], market["spot"], market["symbol"]) == (True, True, row["symbol"].replace("-", "/"))
            assert set(market["limits"]) <= set(SHAPES["structures"]["MarketLimits"])
            assert set(market["precision"]) == set(SHAPES["structures"]["Precision"])
        for currency in exchange.currencies.values():
            has_shape(currency, "CurrencyInterface")
        assert exchange.currencies["USDC"]["precision"] == "0.000001"
        assert exchange.features["spot"]["createOrders"]["max"] == 100
        assert (await exchange.fetch_status())["status"] == "ok"
        assert await exchange.fetch_time() > 1_700_000_000_000


async def test_numbers_are_floats_unless_asked_otherwise(real) -> None:
    _, venue = real
    async with exchange_of(venue, number=float) as exchange:
        await exchange.load_markets()
        order = await exchange.create_order("BTC/USDC", "limit", "buy", 0.0123456, 61500.17)
        assert (order["amount"], order["price"]) == (0.0123, 61500.2), "lots down, ticks to the nearest"
        assert exchange.amount_to_precision("BTC/USDC", 1e-4) == "0.0001"
        await exchange.cancel_order(order["id"])


async def test_conditions_are_those_of_rest(real) -> None:
    """Each in ccxt's words, and as the venue tells it."""
    _, venue = real
    async with exchange_of(venue) as exchange:
        market = ("BTC/USDC", "market", "sell", "0.01", "40000")
        limit = ("BTC/USDC", "limit", "buy", "0.01", "90000")
        profit, stop = {"takeProfitPrice": "45000"}, {"stopLossPrice": "95000", "triggerPriceType": "last"}
        for made, name, price in (
            (await exchange.create_trigger_order(*market, "45000"), "stopLossPrice", "45000"),
            (await exchange.create_order(*limit, profit), "takeProfitPrice", "45000"),
            (await exchange.create_order(*limit, stop), "stopLossPrice", "95000"),
            (
                await exchange.create_order(*limit, {"stopPrice": "45000", "triggerDirection": "down"}),
                "takeProfitPrice",
                "45000",
            ),
            (await exchange.create_stop_loss_order(*market, "45000"), "stopLossPrice", "45000"),
            (await exchange.create_take_profit_order(*limit, "45000"), "takeProfitPrice", "45000"),
            (await exchange.create_trailing_amount_order(*market, "500", "45000"), "stopLossPrice", "45000"),
        ):
            has_shape(made, "Order")
            raw = await rest(venue, exchange.client, f"/v1/orders/{made['id']}")
            fetched = await exchange.fetch_order(made["id"])
            assert fetched[name] == raw[name] == fetched["triggerPrice"] == raw["triggerPrice"] == price
            assert fetched["status"] == "open" and raw["waiting"] is True
            assert raw["immediate"] is (raw["side"] == "sell"), "a market order takes what there is, then"
        reduced = await exchange.create_reduce_only_order("BTC/USDC", "limit", "sell", "0.01", "90000")
        assert (reduced["reduceOnly"], (await exchange.fetch_order(reduced["id"]))["reduceOnly"]) == (True, True)
        for wrong in (
            {"stopLossPrice": "1", "takeProfitPrice": "2"},
            {"triggerDirection": "up"},
            {"triggerPrice": "1", "triggerDirection": "sideways"},
        ):
            with pytest.raises(errors.InvalidOrder):
                await exchange.create_order(*limit, wrong)
        with pytest.raises(errors.ArgumentsRequired):
            await exchange.create_trigger_order(*limit)
        await exchange.cancel_all_orders()


async def test_brackets_edits_and_mass_cancels(real) -> None:
    _, venue = real
    async with exchange_of(venue) as exchange:
        entry = ("BTC/USDC", "limit", "buy", "0.02", "40000")
        made = await exchange.create_order_with_take_profit_and_stop_loss(
            *entry, "50000", "39000", {"stopLossLimitPrice": "38000"}
        )
        assert (made["price"], made["status"]) == ("40000", "open")
        waiting = [order for order in await exchange.fetch_open_orders() if order["info"]["waiting"]]
        assert [(order["side"], order["triggerPrice"], order["price"]) for order in waiting] == [
            ("sell", "50000", "50000"),
            ("sell", "39000", "38000"),
        ]
        with pytest.raises(errors.ArgumentsRequired):
            await exchange.create_order(*entry, {"stopLoss": {"triggerPrice": "39000"}})
        smaller = await exchange.edit_order(made["id"], "BTC/USDC", "limit", "buy", "0.01", "40000")
        assert (smaller["id"], smaller["amount"]) == (made["id"], "0.01"), "the same order, in its place"
        other = await exchange.edit_order(made["id"], "BTC/USDC", "limit", "buy", "0.03", "39900")
        assert other["id"] != made["id"] and (other["amount"], other["price"]) == ("0.03", "39900")
        assert (await exchange.fetch_order(made["id"]))["status"] == "canceled"
        with pytest.raises(errors.OrderNotFound):
            await exchange.edit_order(made["id"], "BTC/USDC", "limit", "buy", "0.05", "39900")
        with pytest.raises(errors.InvalidOrder):
            await exchange.edit_order(other["id"], "BTC/USDC", "limit", "sell", "0.01", "39900")
        done = await exchange.cancel_orders([other["id"], "0x" + "00" * 32])
        assert [row["status"] for row in done] == ["canceled", "rejected"]
        assert done[1]["info"]["code"] == "ORDER_NOT_FOUND"
        deadline = (await exchange.cancel_all_orders_after(60_000))["info"]["deadline"]
        raw = await rest(venue, exchange.client, "/v1/orders/cancel-all-after")
        assert raw["deadline"] == deadline
        await exchange.cancel_all_orders_after(0)
        await exchange.create_order("BTC/USDC", "limit", "sell", "0.05", "90000", {"icebergAmount": "0.01"})
        assert (await exchange.fetch_order_book("BTC/USDC"))["asks"] == [["90000", "0.01"]]
        assert len(await exchange.cancel_all_orders(params={"side": "sell"})) == 1


async def test_subaccounts_protected_orders_and_own_fees(real) -> None:
    _, venue = real
    async with exchange_of(venue, KEYS[2]) as exchange:
        moved = await exchange.transfer("USDC", "500", "0", "9", {"clientTransferId": "once"})
        again = await exchange.transfer("USDC", "500", "0", "9", {"clientTransferId": "once"})
        assert (moved["id"], moved["info"]["replayed"], again["info"]["replayed"]) == ("once", False, True)
        assert (moved["amount"], moved["fromAccount"], moved["toAccount"], moved["status"]) == ("500", "0", "9", "ok")
        with pytest.raises(errors.BadRequest):
            await exchange.transfer("USDC", "500", "spot", "9")
        with pytest.raises(errors.InsufficientFunds):
            await exchange.transfer("USDC", "500", "8", "9")
        part = await exchange.fetch_balance({"subaccount": 9})
        raw = await rest(venue, exchange.client, "/v1/balances?subaccount=9")
        assert part["USDC"]["free"] == raw["balances"][0]["free"] == "500"
        await exchange.client.set_protection(0, 1_000, amount_max="100")
        entry = ("BTC/USDC", "limit", "buy", "0.01", "4000")
        made = await exchange.create_order(*entry, params={"subaccount": 9, "protected": True})
        assert (made["info"]["subaccount"], made["info"]["protected"]) == (9, True)
        other = await exchange.edit_order(made["id"], "BTC/USDC", "limit", "buy", "0.01", "3900")
        assert (other["info"]["subaccount"], other["info"]["protected"]) == (9, True), "an edit keeps both"
        fee = await exchange.fetch_trading_fee("BTC/USDC")
        own = await rest(venue, exchange.client, "/v1/fees")
        assert (own["makerFeePpm"], own["takerFeePpm"]) == (1_000, 2_500)
        assert (fee["maker"], fee["taker"], fee["tierBased"]) == ("0.001", "0.0025", False)
        assert (await exchange.fetch_trading_fees())["BTC/USDC"] == fee
        await exchange.cancel_all_orders()
        await exchange.client.remove_protection(0)
        await exchange.transfer("USDC", "500", 9, 0)


async def test_orders_trades_and_balances_are_those_of_rest(real) -> None:
    _, venue = real
    async with exchange_of(venue) as alice, exchange_of(venue, KEYS[1]) as bob:
        maker = await alice.create_order("BTC/USDC", "limit", "sell", "0.02", "61500", {"clientOrderId": "unified-1"})
        has_shape(maker, "Order")
        assert (maker["status"], maker["filled"], maker["remaining"]) == ("open", "0", "0.02")
        taker = await bob.create_order("BTC/USDC", "market", "buy", "0.005", "62000")
        assert (taker["status"], taker["type"], taker["average"], taker["timeInForce"]) == (
            "closed",
            "market",
            "61500",
            "IOC",
        )
        (leg,) = taker["trades"]
        has_shape(leg, "Trade")
        assert (leg["cost"], leg["takerOrMaker"], leg["fee"]["rate"]) == ("307.5", "taker", "0.0025")

        raw = await rest(venue, alice.client, f"/v1/orders/{maker['id']}")
        fetched = await alice.fetch_order(maker["id"])
        same = ("id", "clientOrderId", "timestamp", "lastTradeTimestamp", "lastUpdateTimestamp", "side", "price")
        for name in (*same, "amount", "filled", "remaining", "cost", "average", "status", "postOnly", "reduceOnly"):
            assert fetched[name] == raw[name], name
        assert fetched["fee"] == {"cost": raw["fee"]["cost"], "currency": "USDC"}
        assert fetched["datetime"] == iso(raw["timestamp"])
        assert await alice.fetch_order("", params={"clientOrderId": "unified-1"}) == fetched
        assert [order["id"] for order in await alice.fetch_open_orders("BTC/USDC")] == [maker["id"]]

        mine = await alice.fetch_my_trades("BTC/USDC")
        legs = (await rest(venue, alice.client, "/v1/fills?symbol=BTC-USDC"))["fills"]
        assert [trade["id"] for trade in mine] == [row["id"] for row in reversed(legs)]
        for trade, row in zip(mine, reversed(legs), strict=True):
            has_shape(trade, "Trade")
            assert (trade["price"], trade["amount"], trade["cost"], trade["order"]) == (
                row["price"],
                row["amount"],
                row["cost"],
                row["order"],
            )
            assert trade["fee"]["cost"] == row["fee"]["cost"]
        assert await alice.fetch_my_trades("BTC/USDC", since=mine[-1]["timestamp"]) == mine[-1:]
        public = await alice.fetch_trades("BTC/USDC", limit=1)
        has_shape(public[0], "Trade")
        assert (public[0]["id"], public[0]["side"]) == (mine[-1]["id"], "buy")

        balance = await alice.fetch_balance()
        for row in (await rest(venue, alice.client, "/v1/balances"))["balances"]:
            assert balance[row["token"]] == {name: row[name] for name in ("free", "used", "total")}
            assert balance["total"][row["token"]] == row["total"]

        book = await alice.fetch_order_book("BTC/USDC")
        async with httpx.AsyncClient(base_url=venue.url) as http:
            answer = (await http.get("/v1/book/BTC-USDC")).json()
        has_shape(book, "OrderBook")
        assert (book["asks"], book["bids"], book["nonce"]) == (answer["asks"], answer["bids"], answer["seq"])
        ticker = await alice.fetch_ticker("BTC/USDC")
        has_shape(ticker, "Ticker")
        assert (ticker["ask"], ticker["bid"], ticker["last"]) == ("61500", None, "61500")

        cancelled = await alice.cancel_order(maker["id"], "BTC/USDC")
        assert cancelled["status"] == "canceled"
        (closed,) = await alice.fetch_closed_orders("BTC/USDC", limit=1)
        assert (closed["id"], closed["status"]) == (maker["id"], "canceled")


async def test_several_orders_are_answered_one_by_one(real) -> None:
    _, venue = real
    async with exchange_of(venue) as exchange:
        rows = [
            {"symbol": "ETH/USDC", "type": "limit", "side": "buy", "amount": "0.01", "price": str(10 + n)}
            for n in range(3)
        ]
        rows[1]["amount"] = "100000000"
        orders = await exchange.create_orders(rows)
        assert [order["status"] for order in orders] == ["open", "rejected", "open"]
        assert orders[1]["info"]["code"] == "INSUFFICIENT_BALANCE"
        assert {order["status"] for order in orders} <= set(SHAPES["statuses"])
        ids = {order["id"] for order in await exchange.cancel_all_orders("ETH/USDC")}
        assert ids == {orders[0]["id"], orders[2]["id"]}


async def test_what_is_watched_is_what_is_fetched(real) -> None:
    _, venue = real
    async with exchange_of(venue) as alice, exchange_of(venue, KEYS[1]) as bob, asyncio.timeout(30):
        await alice.watch_order_book("BTC/USDC")
        await alice.watch_balance()
        made = await alice.create_order("BTC/USDC", "limit", "sell", "0.02", "70000")
        (watched,) = await alice.watch_orders("BTC/USDC")
        assert watched["id"] == made["id"]
        has_shape(watched, "Order")
        book = await alice.watch_order_book("BTC/USDC")
        has_shape(book, "OrderBook")
        assert book == await alice.fetch_order_book("BTC/USDC")
        trades = asyncio.create_task(_until(alice.watch_trades, "BTC/USDC", "70000"))
        mine = asyncio.create_task(_until(alice.watch_my_trades, "BTC/USDC", "70000"))
        await bob.create_order("BTC/USDC", "limit", "buy", "0.001", "70000", {"timeInForce": "IOC"})
        (fetched,) = await alice.fetch_my_trades("BTC/USDC", limit=1)
        assert (await mine)["id"] == (await trades)["id"] == fetched["id"]
        ticker = await alice.watch_ticker("BTC/USDC")
        has_shape(ticker, "Ticker")
        assert (ticker["ask"], ticker["last"]) == ("70000", "70000")
        assert (await alice.watch_balance())["BTC"] == (await alice.fetch_balance())["BTC"]
        await alice.cancel_all_orders()


async def _until(watch, symbol: str, price: str) -> dict:
    while True:
        for trade in await watch(symbol):
            if trade["price"] == price:
                return trade


async def test_every_method_that_it_claims_is_there() -> None:
    for name, has in Hooats.has.items():
        if has is True and name != "spot":
            words = "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)
            assert callable(getattr(Hooats, words)), name
