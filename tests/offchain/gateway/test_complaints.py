"""What users of other venues complain about, by the numbers of a survey of their issue trackers, and that it cannot
happen here.

| number | complaint | here |
|---|---|---|
| 1, 11, 16, 17 | streams that do not come back, fall silent, cross, miss orders | `seq`, heartbeats, checksums |
| 2 | no TWAP in the SDK | not a type of this venue: it is a trading program's business |
| 3, 6, 7 | errors that do not say what would be right, in several shapes | nearest value, digest, one shape |
| 4, 13 | no timeouts, hidden polling | both are the caller's to set; streams ask nothing |
| 5, 14 | nonces that collide or must arrive in order | one per slot, no order across slots |
| 8, 18, 20, 27, 28, 29 | orders that are unknown, stuck, orphaned or doubled | the digest is the name, at once |
| 9, 10, 15 | rules that change silently, fields that are ignored | venue channel; what is not understood is refused |
| 12 | few levels, seldom | every change of every level |
| 19 | no entry with take-profit and stop in one request | one batch, all of it or nothing |
| 21, 22, 24 | too few orders, refused for no reason, never told why | published limits; reasons |
| 23, 25, 26 | cancelled and filled, no stream of fills, limits broken by netting | sequenced cancels, streams |
"""

import asyncio
import random
import time

import httpx
import msgspec
import pytest
from conftest import KEYS
from gateway_stub import Level as level
from test_stream import open_socket

from offchain.client import ExchangeUnreachable, HooatsClient, LiveAccount, LocalBook, Placed, Refused, Ticket
from offchain.client.orders import Signer, sign_order
from offchain.client.unified import Hooats
from offchain.client.unified.errors import InsufficientFunds
from offchain.domain.command import SetVenueState
from offchain.domain.eip712 import domain_separator
from offchain.domain.market import MarketState

DOES_NOT_APPLY = {2: "TWAP is not a type of this venue"}
ALICE, BOB = Signer(KEYS[0]), Signer(KEYS[1])


async def refused(attempt) -> Refused:
    with pytest.raises(Refused) as caught:
        await attempt
    return caught.value


def cut(venue) -> None:
    """Every stream of the gateway."""
    for subscribers in list(venue.gateway.hub._subscribers.values()):
        for outbox in list(subscribers):
            if not outbox.overflowed.done():
                outbox.overflowed.set_result(0)


def test_every_complaint_has_a_test_or_a_reason() -> None:
    tested = {int(name.split("_")[2]) for name in globals() if name.startswith("test_complaint_")}
    assert tested | set(DOES_NOT_APPLY) == set(range(1, 30))
    assert tested.isdisjoint(DOES_NOT_APPLY)


async def test_complaint_01_a_stream_reconnects_and_subscribes_again(venue) -> None:
    """Without the user's help, and every channel says which message is a snapshot."""
    async with venue.client() as client:
        stream = client.stream(["book:BTC-USDC", "trades:BTC-USDC", "venue", "orders", "fills", "balances"])
        assert {(await anext(stream))["type"] for _ in range(6)} == {"snapshot"}
        cut(venue)
        venue.sequencer.publish(level(600_000, 1))
        async with asyncio.timeout(10):
            message = await anext(stream)
        assert (message["type"], message["channel"], stream.connections) == ("delta", "book:BTC-USDC", 2)
        await stream.aclose()


async def test_complaint_03_a_price_off_tick_is_refused_with_the_nearest_valid_one(venue) -> None:
    async with venue.client() as client:
        market = (await client.markets())["BTC-USDC"]
        assert market.tick_size == "0.1", "a plain number, not a count of significant figures"
        signed = await client.sign(Ticket(symbol="BTC-USDC", side="buy", price="117365.5", size="0.01"))
        error = await refused(client._send("POST", "/v1/orders", signed.body | {"price": "117365.55"}))
        assert (error.code, error.data["nearest"]) == ("INVALID_PRICE", "117365.6")
    async with Hooats({"apiUrl": venue.url}) as exchange:
        await exchange.load_markets()
        assert exchange.price_to_precision("BTC/USDC", 117365.55) == "117365.6", "and the adapter rounds"


async def test_complaint_04_every_request_has_a_timeout() -> None:
    """Of a server that takes the connection and never answers."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with HooatsClient(f"http://127.0.0.1:{port}", timeout_seconds=0.2, retry_seconds=0.3) as client:
        began = time.monotonic()
        with pytest.raises(ExchangeUnreachable):
            await client.markets()
        assert time.monotonic() - began < 5
    server.close()


async def test_complaint_05_nonces_are_unique_under_concurrency(venue) -> None:
    async with venue.client() as client:
        answers = await asyncio.gather(*(client.place("BTC-USDC", "buy", "1", "0.01") for _ in range(60)))
        assert len({answer.order.nonce for answer in answers}) == 60


async def test_complaint_06_a_wrong_signature_is_answered_with_the_digest(venue) -> None:
    """And with the address that it recovers to, instead of a user who does not exist."""
    async with venue.client() as client:
        market = (await client.markets())["BTC-USDC"]
        ticket = Ticket(symbol="BTC-USDC", side="buy", price="1", size="0.01")
        wrong = domain_separator(1, venue.gateway.settings.settlement)
        signed = sign_order(ticket, market, client.nonces.next(1), 5_000, wrong, ALICE)
        error = await refused(client.place_signed(signed))
        right = sign_order(
            ticket, market, signed.order.nonce, 5_000, venue.gateway.settings.settlement_separator, ALICE
        )
        assert (error.code, error.data["digest"]) == ("WRONG_SIGNER", right.digest)
        assert error.data["account"] == ALICE.address
        assert error.data["recovered"] != ALICE.address


async def test_complaint_07_an_error_is_an_object_wherever_it_happens(venue) -> None:
    async with httpx.AsyncClient(base_url=venue.url) as http, open_socket(venue) as socket:
        headers = {"content-type": "application/json"}
        bodies = (b"", b"{}", b"[]x", b"null", b'"text"')
        found = [(await http.post("/v1/orders", content=body, headers=headers)).json() for body in bodies]
        found += [(await http.get(path)).json() for path in ("/nothing", "/v1/orders", "/v1/book/NOPE")]
        found += (await http.post("/v1/orders", content=b"[1, {}]", headers=headers)).json()
        found.append(await socket.ask(op="cancel", orderId="x"))
        for answer in found:
            assert answer["ok"] is False and set(answer["error"]) == {"code", "message", "data"}, answer
            assert isinstance(answer["error"]["data"], dict)


async def test_complaint_08_an_order_is_known_from_its_answer_on(engine_venue) -> None:
    """By both names, and what it filled is a number, also once it is closed."""
    async with engine_venue.client() as alice, engine_venue.client(KEYS[1]) as bob:
        for number in range(10):
            name = f"known-{number}"
            placed = await alice.place("BTC-USDC", "sell", "50000", "0.01", client_order_id=name)
            assert (await alice.order(placed.order.id)).filled == "0"
            assert (await alice.order_by_client_id(name)).id == placed.order.id
            await bob.place("BTC-USDC", "buy", "50000", "0.01", time_in_force="IOC")
            closed = await alice.order(placed.order.id)
            assert (closed.status, closed.filled, closed.remaining, closed.cost) == ("closed", "0.01", "0", "500")


async def test_complaint_09_the_state_of_the_venue_is_a_channel(venue) -> None:
    async with open_socket(venue) as socket, venue.client(None) as client:
        await socket.subscribe("venue")
        assert (await socket.next())["state"] == "ACTIVE"
        venue.sequencer.publish(SetVenueState(state=MarketState.POST_ONLY, reason="backlog"))
        message = await socket.next()
        assert (message["state"], message["reason"]) == ("POST_ONLY", "backlog")
        assert (await client.venue())["state"] == "POST_ONLY"


@pytest.mark.parametrize("field", ["vaultAddress", "subAccount", "subaccountId", "account_id", "reduce_only"])
async def test_complaint_10_a_field_that_is_not_understood_is_refused(venue, field) -> None:
    async with venue.client() as client:
        signed = await client.sign(Ticket(symbol="BTC-USDC", side="buy", price="1", size="0.01"))
        error = await refused(client._send("POST", "/v1/orders", signed.body | {field: "0x" + "11" * 20}))
        assert (error.code, error.data["field"]) == ("UNKNOWN_FIELD", field)
        assert await client.orders() == []


async def test_complaint_10_a_subaccount_is_a_number_and_is_signed(venue) -> None:
    """What is understood is never taken for another thing: no address for it, and no other number than was signed."""
    async with venue.client() as client:
        signed = await client.sign(Ticket(symbol="BTC-USDC", side="buy", price="1", size="0.01"))
        for value, code in (("0x" + "11" * 20, "INVALID_FIELD"), (256, "INVALID_FIELD"), (1, "WRONG_SIGNER")):
            error = await refused(client._send("POST", "/v1/orders", signed.body | {"subaccount": value}))
            assert error.code == code, value


async def test_complaint_11_a_silent_connection_is_noticed(venue, monkeypatch) -> None:
    """Heartbeats tell a quiet market from a dead line, and carry where the venue stands."""
    monkeypatch.setattr("offchain.gateway.stream.HEARTBEAT_SECONDS", 0.1)
    async with open_socket(venue) as socket:
        beat = await socket.next()
        assert (beat["type"], beat["seq"]) == ("heartbeat", venue.publisher.model.sequence)
    monkeypatch.setattr("offchain.gateway.stream.HEARTBEAT_SECONDS", 3600)
    monkeypatch.setattr("offchain.client.stream.SILENCE_SECONDS", 0.3)
    async with venue.client(None) as client:
        stream = client.stream(["book:BTC-USDC"])
        await anext(stream)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(1.2)
        assert stream.connections >= 2, "silence ends a connection, and another one is made"
        venue.sequencer.publish(level(600_000, 1))
        async with asyncio.timeout(5):
            assert (await waiting)["type"] == "delta"
        await stream.aclose()


async def test_complaint_12_every_change_of_every_level_is_sent(venue) -> None:
    async with open_socket(venue) as socket:
        await socket.subscribe("book:BTC-USDC")
        book = LocalBook()
        book.apply(await socket.next())
        sent = [venue.sequencer.publish(level(600_000 - n, 1 + n)) for n in range(300)]
        received = [await socket.next() for _ in sent]
        assert [message["seq"] for message in received] == sent
        assert all(book.apply(message) for message in received)
        assert len(book.levels("bids")) == 300


async def test_complaint_13_a_listening_client_asks_for_nothing(venue) -> None:
    """No hidden polling; budgets are published, and a refusal says when to come back."""

    def requests() -> float:
        registry = venue.gateway.metrics.registry
        return sum(
            sample.value
            for metric in registry.collect()
            for sample in metric.samples
            if sample.name == "hooats_gateway_requests_total"
        )

    async with venue.client() as client, LiveAccount(client) as account:
        before = requests()
        for number in range(20):
            venue.sequencer.publish(level(600_000 + number, 1))
        await asyncio.sleep(1)
        assert (requests(), account.is_connected) == (before, True)
        assert (await client.capabilities())["rates"]["account"]["perSecond"] > 0


async def test_complaint_14_orders_arrive_in_any_order(engine_venue) -> None:
    """No sequence of the account: slots are independent, and many orders go in one request."""
    async with engine_venue.client() as client:
        signed = [
            await client.sign(Ticket(symbol="BTC-USDC", side="buy", price=str(1 + n), size="0.001")) for n in range(60)
        ]
        random.Random(1).shuffle(signed)
        placed = await asyncio.gather(*(client.place_signed(one) for one in signed[:30]))
        bulk = await client.place_all_signed(signed[30:])
        assert {answer.order.status for answer in [*placed, *bulk]} == {"open"}


@pytest.mark.parametrize(
    "change",
    [{"type": "stop_market"}, {"type": "stop"}, {"triggerPx": "1"}, {"stopPrice": "1"}, {"tpsl": "sl"}],
    ids=lambda change: next(iter(change)),
)
async def test_complaint_15_a_condition_that_is_not_understood_places_nothing(venue, change) -> None:
    """Least of all a plain limit order that trades at once."""
    async with venue.client() as client:
        signed = await client.sign(Ticket(symbol="BTC-USDC", side="buy", price="1", size="0.01"))
        error = await refused(client._send("POST", "/v1/orders", signed.body | change))
        assert error.code in ("INVALID_FIELD", "UNKNOWN_FIELD")
        assert venue.sequencer.submissions == 0


async def test_complaint_15_a_stop_does_not_trade_before_its_price(engine_venue) -> None:
    """Although its limit crosses the book already; the adapter's stop-market order neither."""
    async with (
        engine_venue.client(KEYS[1]) as maker,
        Hooats({"apiUrl": engine_venue.url, "privateKey": "0x" + KEYS[0].hex(), "number": str}) as exchange,
    ):
        await maker.place("BTC-USDC", "buy", "48000", "0.5")
        stop = await exchange.create_order("BTC/USDC", "market", "sell", "0.01", "40000", {"stopLossPrice": "47000"})
        limit = await exchange.create_order("BTC/USDC", "limit", "sell", "0.01", "40000", {"triggerPrice": "47000"})
        assert [(order["status"], order["filled"], order["trades"]) for order in (stop, limit)] == [
            ("open", "0", [])
        ] * 2


async def test_complaint_16_the_book_is_never_crossed_or_stuck(engine_venue) -> None:
    """After every single message of a busy market."""
    chance = random.Random(7)
    async with engine_venue.client() as alice, engine_venue.client(KEYS[1]) as bob:
        async with open_socket(engine_venue) as socket:
            await socket.subscribe("book:BTC-USDC")
            book = LocalBook()
            assert book.apply(await socket.next())
            for _ in range(40):
                client, side = chance.choice((alice, bob)), chance.choice(("buy", "sell"))
                price = str(50_000 + chance.randrange(-10, 10))
                await client.place("BTC-USDC", side, price, "0.001")
            sequence = engine_venue.sequencer.sequence
            while book.sequence < engine_venue.publisher.log.last(_channel("book:BTC-USDC")):
                assert book.apply(await socket.next())
                bid, ask = book.levels("bids", 1), book.levels("asks", 1)
                assert not bid or not ask or float(bid[0][0]) < float(ask[0][0])
            assert engine_venue.sequencer.sequence == sequence
        rest = await alice.book("BTC-USDC", 1000)
        assert (book.levels("bids"), book.levels("asks")) == (rest["bids"], rest["asks"])


def _channel(name: str):
    from offchain.gateway.channels import Channel

    return Channel(name)


async def test_complaint_17_a_snapshot_has_every_order_that_rests(engine_venue) -> None:
    """Whatever its time in force, taken at any moment of a flow: it continues with the deltas as they come."""
    async with engine_venue.client() as client:
        later = int(time.time()) + 3600

        async def flow() -> None:
            for number in range(40):
                details = {"time_in_force": "GTD", "expiry": later} if number % 2 else {"post_only": True}
                await client.place("BTC-USDC", "buy", str(100 + number), "0.001", **details)

        async def look() -> LocalBook:
            async with open_socket(engine_venue) as socket:
                await socket.subscribe("book:BTC-USDC")
                book = LocalBook()
                while len(book.levels("bids")) < 40:
                    assert book.apply(await socket.next())
                return book

        looking = []
        task = asyncio.create_task(flow())
        for _ in range(5):
            looking.append(asyncio.create_task(look()))
            await asyncio.sleep(0.05)
        await task
        books = await asyncio.gather(*looking)
        rest = await client.book("BTC-USDC", 1000)
        assert all(book.levels("bids") == rest["bids"] for book in books)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_complaint_18_a_retried_order_is_one_order(engine_venue, moment) -> None:
    """The answer is lost, the client repeats itself: one order, and what it filled it filled once."""
    async with engine_venue.client() as alice, engine_venue.client(KEYS[1]) as bob:
        await alice.place("BTC-USDC", "sell", "50000", "0.05")
        await bob.markets()
        engine_venue.sequencer.lose_next = moment
        taken = await bob.place("BTC-USDC", "buy", "50000", "0.01", time_in_force="IOC")
        assert (taken.order.filled, len(await bob.fills())) == ("0.01", 1)


async def test_complaint_19_entry_take_profit_and_stop_in_one_request(engine_venue) -> None:
    """And if one of the three cannot be, none of them is."""
    config = {"apiUrl": engine_venue.url, "privateKey": "0x" + KEYS[0].hex(), "number": str}
    exits = {"takeProfit": {"triggerPrice": "52000"}, "stopLoss": {"triggerPrice": "48000", "price": "47000"}}
    async with Hooats(config) as exchange:
        entry = await exchange.create_order("BTC/USDC", "limit", "buy", "0.01", "50000", exits)
        found = await exchange.fetch_open_orders()
        assert [(order["side"], order["triggerPrice"]) for order in found] == [
            ("buy", None),
            ("sell", "52000"),
            ("sell", "48000"),
        ]
        assert found[0]["id"] == entry["id"]
        await exchange.cancel_order(entry["id"])
        assert await exchange.fetch_open_orders() == [], "what waited for it has nothing to sell"
        with pytest.raises(InsufficientFunds):
            await exchange.create_order("BTC/USDC", "limit", "buy", "1000", "50000", exits)
        assert await exchange.fetch_open_orders() == []


async def test_complaint_20_no_order_ends_without_a_word(engine_venue) -> None:
    """Nor by an expiry that its owner did not sign."""
    async with engine_venue.client() as client, LiveAccount(client) as account:
        forever = await client.place("BTC-USDC", "buy", "1", "0.01")
        assert (forever.order.time_in_force, forever.order.expiry) == ("GTC", 0)
        replaced = await client.place("BTC-USDC", "buy", "2", "0.01", slot=9)
        await client.place("BTC-USDC", "buy", "3", "0.01", slot=9)
        await client.cancel(forever.order.id)
        assert (await account.wait_closed(replaced.order.id, 5)).reason == "REPLACED"
        assert (await account.wait_closed(forever.order.id, 5)).reason == "CANCELED"


async def test_complaint_21_a_maker_may_hold_and_place_many_orders(engine_venue) -> None:
    async with engine_venue.client() as client:
        await client.markets()
        began = time.monotonic()
        for start in range(0, 500, 100):
            tickets = [
                Ticket(symbol="BTC-USDC", side="buy", price=str(1 + start + n), size="0.0001") for n in range(100)
            ]
            assert all(isinstance(answer, Placed) for answer in await client.place_all(tickets))
        assert time.monotonic() - began < 60
        assert (await client.capabilities())["limits"]["openOrdersPerAccount"] >= 1_000
        assert len(await client.cancel_all()) == 500


async def test_complaint_22_an_order_larger_than_the_book_fills_in_part_and_rests(engine_venue) -> None:
    async with engine_venue.client() as alice, engine_venue.client(KEYS[1]) as bob:
        await alice.place("BTC-USDC", "sell", "50000", "0.01")
        large = await bob.place("BTC-USDC", "buy", "50000", "1")
        assert (large.order.status, large.order.filled, large.order.remaining) == ("open", "0.01", "0.99")


async def test_complaint_23_nothing_fills_after_its_cancel_was_answered(engine_venue) -> None:
    """A cancel has a place in the same sequence as every order: what comes later cannot meet what it ended."""
    async with engine_venue.client() as alice, engine_venue.client(KEYS[1]) as bob:
        for number in range(15):
            resting = await alice.place("BTC-USDC", "sell", "50000", "0.01")
            race = asyncio.create_task(bob.place("BTC-USDC", "buy", "50000", "0.01", time_in_force="IOC"))
            if number % 2:
                await asyncio.sleep(0)
            (ended,) = await asyncio.gather(alice.cancel(resting.order.id), return_exceptions=True)
            if isinstance(ended, Refused):
                assert ended.code == "ORDER_NOT_OPEN"
                assert ended.data["order"]["status"] == "closed", "it was filled before, and that is what is said"
                assert (await race).order.filled == "0.01"
            else:
                assert (ended.status, ended.filled) == ("canceled", "0")
                assert (await race).order.filled == "0"
            late = await bob.place("BTC-USDC", "buy", "50000", "0.01", time_in_force="IOC")
            assert late.order.filled == "0"


async def test_complaint_24_an_order_that_does_not_fill_says_why(engine_venue) -> None:
    async with engine_venue.client() as alice, engine_venue.client(KEYS[1]) as bob:
        nothing = await bob.place("BTC-USDC", "buy", "1", "0.01", time_in_force="IOC")
        assert nothing.order.status == "canceled" and nothing.order.reason
        killed = await bob.place("BTC-USDC", "buy", "1", "0.01", time_in_force="FOK")
        assert killed.order.status == "canceled" and killed.order.reason
        await alice.place("BTC-USDC", "sell", "50000", "0.01")
        error = await refused(bob.place("BTC-USDC", "buy", "50000", "0.01", post_only=True))
        assert (error.code, error.data["bbo"]) == ("POST_ONLY_WOULD_CROSS", [None, "50000"])
        poor = await refused(bob.place("BTC-USDC", "buy", "900000", "100"))
        assert (poor.code, poor.data["token"]) == ("INSUFFICIENT_BALANCE", "USDC") and poor.data["free"]


async def test_complaint_25_fills_and_orders_are_streamed(engine_venue) -> None:
    async with engine_venue.client() as alice, engine_venue.client(KEYS[1]) as bob, LiveAccount(alice) as account:
        resting = await alice.place("BTC-USDC", "sell", "50000", "0.01")
        await bob.place("BTC-USDC", "buy", "50000", "0.004", time_in_force="IOC")
        await account.wait(lambda: len(account.fills) == 1, 5)
        await account.wait(lambda: account.orders[resting.order.id].filled == "0.004", 5)
        (fill,) = account.fills.values()
        assert (fill.order, fill.amount, fill.taker_or_maker) == (resting.order.id, "0.004", "maker")


async def test_complaint_26_no_fill_is_worse_than_its_limit(engine_venue) -> None:
    """Of a random flow of both sides, orders that replace each other among them. What settles is held to it by the
    contract (tests/forge/SettlementTwin.t.sol)."""
    chance = random.Random(26)
    async with engine_venue.client() as alice, engine_venue.client(KEYS[1]) as bob:
        limits = {}
        for _ in range(80):
            client, side = chance.choice((alice, bob)), chance.choice(("buy", "sell"))
            price, size = 50_000 + chance.randrange(-20, 20), f"0.00{chance.randrange(1, 9)}"
            placed = await client.place("BTC-USDC", side, str(price), size, slot=chance.randrange(1, 9))
            limits[placed.order.id] = side, price
        legs = [*await alice.fills(limit=1000), *await bob.fills(limit=1000)]
        assert len(legs) > 40
        for leg in legs:
            side, price = limits[leg.order]
            assert float(leg.price) <= price if side == "buy" else float(leg.price) >= price
            fee = float(leg.cost) * leg.fee.rate_ppm / 1e6
            assert float(leg.fee.cost) == pytest.approx(fee, abs=1e-6)


async def test_complaint_27_a_bot_that_comes_back_finds_all_its_orders(engine_venue) -> None:
    """No orphans: every open order is listed, with the bot's own name for it."""
    async with engine_venue.client() as before:
        for number in range(25):
            await before.place("BTC-USDC", "buy", str(1 + number), "0.01", client_order_id=f"mine-{number}")
    async with engine_venue.client() as after:
        found = await after.orders(limit=10)
        assert {order.client_order_id for order in found} == {f"mine-{number}" for number in range(25)}
        again = await after.place("BTC-USDC", "buy", "3", "0.01")
        assert len(await after.orders()) == 26, "a slot in use is not taken by a new order"
        assert set(await after.cancel_all()) == {order.id for order in found} | {again.order.id}


async def test_complaint_28_balances_and_partial_fills_add_up(engine_venue) -> None:
    """After every step free + used = total, and an order's filled + remaining = amount."""
    async with engine_venue.client() as alice, engine_venue.client(KEYS[1]) as bob:
        resting = await alice.place("BTC-USDC", "sell", "50000", "0.01")
        for _ in range(4):
            await bob.place("BTC-USDC", "buy", "50000", "0.002", time_in_force="IOC")
            order = await alice.order(resting.order.id)
            assert int(float(order.filled) * 10**4 + 0.5) + int(float(order.remaining) * 10**4 + 0.5) == 100
            for client in (alice, bob):
                for row in (await client.balances()).values():
                    assert float(row.free) + float(row.used) == pytest.approx(float(row.total))
        async with Hooats({"apiUrl": engine_venue.url, "privateKey": KEYS[0].hex()}) as exchange:
            (order,) = await exchange.fetch_open_orders()
            assert (order["filled"], order["remaining"], order["status"]) == (0.008, 0.002, "open")


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_complaint_29_an_ambiguous_failure_can_be_settled(venue, moment) -> None:
    """The exchange says UNKNOWN and names the digest. Asking tells, and so does sending the same bytes again."""
    async with venue.client(retry_seconds=0) as client:
        await client.orders()
        signed = await client.sign(Ticket(symbol="BTC-USDC", side="buy", price="1", size="0.01", client_order_id="one"))
        venue.sequencer.lose_next = moment
        async with httpx.AsyncClient(base_url=venue.url) as http:
            headers = {"content-type": "application/json"}
            answer = await http.post("/v1/orders", content=msgspec.json.encode(signed.body), headers=headers)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["data"]["digest"]) == (503, "UNKNOWN", signed.digest)
        await venue.wait(lambda: venue.gateway.trading.is_live())
        found = [order.id for order in await client.orders()]
        assert found == ([signed.digest] if moment == "after" else [])
        placed = await client.place_signed(signed)
        assert (placed.order.id, placed.replayed) == (signed.digest, moment == "after")
        assert [order.id for order in await client.orders()] == [signed.digest]
