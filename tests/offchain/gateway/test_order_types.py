"""Every kind of order and every way to change one, over the wire: each once as it should be, once per refusal.

Over the real engine in the test's own process; `test_venue.py` has the same gateway over real processes.
"""

# ruff: noqa: ASYNC110  (timers and lost connections are waited for by looking)

import asyncio
import time

import httpx
import msgspec
import pytest
from conftest import KEYS
from real_venue import CHAIN_ID
from test_stream import open_socket

from keepers.marks import Mark, Marker
from offchain.chain.signing import SigningKey
from offchain.client import Refused, Ticket
from offchain.client.orders import Signer
from offchain.domain.command import PostMark, Reading, SetBand, SetTradeGroup
from offchain.storage.ops import Ops

ALICE, BOB = Signer(KEYS[0]).address, Signer(KEYS[1]).address


def ticket(side: str, price: str, size: str = "0.01", **fields) -> Ticket:
    return Ticket(symbol="BTC-USDC", side=side, price=price, size=size, **fields)


async def refused(attempt) -> Refused:
    with pytest.raises(Refused) as caught:
        await attempt
    return caught.value


def post_mark(venue, price: str) -> None:
    """As a poster would: ticks of 0.1."""
    reading = Reading("0x" + "99" * 20, int(float(price) * 10), int(time.time()))
    venue.sequencer.publish(PostMark(market=1, readings=(reading,)))


async def follow(venue) -> None:
    """The gateway has heard all that the engine knows."""
    await venue.wait(lambda: venue.gateway.model.sequence == venue.sequencer.sequence)


# --- conditional orders ---


async def test_a_stop_waits_for_the_mark(engine_venue) -> None:
    async with engine_venue.client() as client, engine_venue.client(KEYS[1]) as maker:
        bid = await maker.place("BTC-USDC", "buy", "48000", "0.5")
        stop = await client.place_ticket(ticket("sell", "47000", stop_loss_price="49000", immediate=True))
        found = await client.order(stop.order.id)
        assert (found.status, found.waiting, found.trigger_price, found.stop_loss_price) == (
            "open",
            True,
            "49000",
            "49000",
        )
        assert (found.take_profit_price, found.trigger_price_type, found.immediate) == (None, "mark", True)
        assert (await client.balances())["BTC"].held == "0", "it holds nothing while it waits"
        post_mark(engine_venue, "49500")
        assert (await client.order(stop.order.id)).waiting
        post_mark(engine_venue, "49000")
        await follow(engine_venue)
        done = await client.order(stop.order.id)
        assert (done.status, done.waiting, done.average, done.trigger_price) == ("closed", False, "48000", "49000")
        assert (await client.markets()) and (await client.listing())["BTC-USDC"][1].mark == "49000"
        await maker.cancel(bid.order.id)


async def test_a_take_profit_looks_at_the_last_price(engine_venue) -> None:
    async with engine_venue.client() as client, engine_venue.client(KEYS[1]) as other:
        wanted = ticket("sell", "52000", take_profit_price="52000", trigger_price_type="last", reduce_only=True)
        profit = await client.place_ticket(wanted)
        assert (profit.order.waiting, profit.order.take_profit_price, profit.order.reduce_only) == (True, "52000", True)
        await other.place("BTC-USDC", "buy", "52100", "0.01")
        async with engine_venue.client(KEYS[2]) as third:
            await third.place("BTC-USDC", "sell", "52100", "0.01", time_in_force="IOC")
        await follow(engine_venue)
        assert not (await client.order(profit.order.id)).waiting


async def test_a_trailing_stop_follows_and_an_iceberg_hides(engine_venue) -> None:
    async with engine_venue.client() as client:
        post_mark(engine_venue, "50000")
        trail = await client.place_ticket(ticket("sell", "40000", stop_loss_price="49000", trailing_amount="1000"))
        post_mark(engine_venue, "51500")
        post_mark(engine_venue, "50400")
        await follow(engine_venue)
        done = await client.order(trail.order.id)
        assert (done.status, done.waiting, done.stop_loss_price) == ("open", False, "49000"), "50500 was reached"
        await client.cancel_all()
        await client.place_ticket(ticket("sell", "60000", "0.05", visible_size="0.01"))
        assert (await client.book("BTC-USDC"))["asks"] == [["60000", "0.01"]]
        assert (await client.orders())[0].amount == "0.05"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"stop_loss_price": "1", "take_profit_price": "2"}, "takeProfitPrice"),
        ({"stop_loss_price": "1", "post_only": True}, "stopLossPrice"),
        ({"stop_loss_price": "1", "time_in_force": "IOC"}, "stopLossPrice"),
        ({"take_profit_price": "1", "type": "market", "time_in_force": "IOC"}, "takeProfitPrice"),
        ({"take_profit_price": "1", "trailing_amount": "1"}, "trailingAmount"),
        ({"trailing_amount": "1"}, "trailingAmount"),
        ({"immediate": True}, "immediate"),
    ],
)
async def test_a_condition_that_makes_no_sense_is_named(engine_venue, fields, field) -> None:
    async with engine_venue.client() as client:
        error = await refused(client.place_ticket(ticket("buy", "1", **fields)))
        assert (error.code, error.data["field"]) == ("INVALID_FIELD", field)
        assert error.data["remedy"]
        assert engine_venue.sequencer.submissions == 0


async def test_refusals_of_conditional_orders(engine_venue) -> None:
    async with engine_venue.client() as client:
        off = await client.sign(ticket("sell", "47000", stop_loss_price="49000"))
        error = await refused(client._send("POST", "/v1/orders", off.body | {"stopLossPrice": "49000.05"}))
        assert (error.code, error.data["nearest"]) == ("INVALID_PRICE", "49000.1")
        error = await refused(client.place("BTC-USDC", "buy", "1", "0.01", reduce_only=True))
        assert (error.code, error.data["field"]) == ("INVALID_PARAMETER", "reduceOnly")
        error = await refused(client.place("BTC-USDC", "sell", "90000", "1000", reduce_only=True))
        assert error.code == "INSUFFICIENT_BALANCE"
        error = await refused(client.place_ticket(ticket("sell", "60000", parent=(9 << 48) + 1)))
        assert error.code == "ORDER_NOT_OPEN"
        for wrong, field in (({"visible_size": "0.001", "time_in_force": "IOC"}, "visibleSize"),):
            error = await refused(client.place_ticket(ticket("sell", "60000", **wrong)))
            assert (error.code, error.data["field"]) == ("INVALID_PARAMETER", field)
        engine_venue.sequencer.publish(SetBand(market=1, below_ppm=50_000, above_ppm=50_000))
        post_mark(engine_venue, "50000")
        error = await refused(client.place("BTC-USDC", "buy", "60000", "0.01"))
        assert (error.code, error.data["mark"]) == ("PRICE_OUT_OF_BAND", "50000")
        assert error.data["band"] == {"belowPpm": 50_000, "abovePpm": 50_000}


async def test_a_name_is_of_one_trigger(engine_venue) -> None:
    """Another one under it is another order, which must not be answered with the first result."""
    async with engine_venue.client() as client:
        stop = ticket("sell", "40000", stop_loss_price="45000", client_order_id="stop")
        first = await client.place_ticket(stop)
        again = await client.place_ticket(stop)
        assert (again.replayed, again.order.id) == (True, first.order.id)
        moved = msgspec.structs.replace(stop, stop_loss_price="44000")
        assert (await refused(client.place_ticket(moved))).code == "DUPLICATE_CLIENT_ORDER_ID"


async def test_what_is_not_signed_needs_a_session(engine_venue) -> None:
    """Of the order's own account: whoever has seen a signed order must not place it otherwise than its owner wished."""
    async with engine_venue.client() as client, engine_venue.client(KEYS[1]) as other:
        signed = await client.sign(ticket("sell", "60000", visible_size="0.001"))
        error = await refused(client._send("POST", "/v1/orders", signed.body))
        assert error.code == "UNAUTHENTICATED" and error.data["digest"] == signed.digest
        error = await refused(other._send("POST", "/v1/orders", signed.body, session=True))
        assert error.code == "UNAUTHENTICATED"
        async with open_socket(engine_venue) as socket:
            answer = await socket.ask(op="order", order=signed.body)
            assert answer["error"]["code"] == "UNAUTHENTICATED"
        assert engine_venue.sequencer.submissions == 0
        assert (await client.place_signed(signed)).order.status == "open"


# --- linked orders, self-trade prevention ---


async def test_a_bracket_is_one_request(engine_venue) -> None:
    async with engine_venue.client() as client, engine_venue.client(KEYS[1]) as other:
        loss = ticket("sell", "47000", "0.02", stop_loss_price="48000", immediate=True)
        profit = ticket("sell", "52000", "0.02")
        entry, upper, lower = await client.bracket(ticket("buy", "50000", "0.02"), profit, loss)
        assert [one.order.waiting for one in (entry, upper, lower)] == [False, True, True]
        await other.place("BTC-USDC", "sell", "50000", "0.01", time_in_force="IOC")
        await client.cancel(entry.order.id)
        await follow(engine_venue)
        found = await client.order(upper.order.id), await client.order(lower.order.id)
        assert [(one.amount, one.waiting) for one in found] == [("0.01", False), ("0.01", True)], "what was bought"
        await other.place("BTC-USDC", "buy", "52000", "0.01")
        await follow(engine_venue)
        gone = await client.order(lower.order.id)
        assert ((await client.order(upper.order.id)).status, gone.status, gone.reason) == (
            "closed",
            "canceled",
            "LINKED",
        )


@pytest.mark.parametrize(
    ("mode", "makers", "taker"),
    [("EXPIRE_MAKER", 0, "open"), ("EXPIRE_TAKER", 1, "canceled"), ("EXPIRE_BOTH", 0, "canceled")],
)
async def test_self_trade_prevention(engine_venue, mode, makers, taker) -> None:
    async with engine_venue.client() as client:
        await client.place("BTC-USDC", "buy", "50000", "0.01")
        crossing = await client.place("BTC-USDC", "sell", "50000", "0.02", self_trade_prevention=mode)
        assert crossing.order.status == taker and crossing.fills == []
        assert len([order for order in await client.orders() if order.side == "buy"]) == makers


async def test_orders_of_one_group_do_not_meet(engine_venue) -> None:
    engine_venue.sequencer.publish(SetTradeGroup(accounts=(ALICE, BOB), group=7))
    async with engine_venue.client() as alice, engine_venue.client(KEYS[1]) as bob:
        await alice.place("BTC-USDC", "buy", "50000", "0.01")
        apart = await bob.place("BTC-USDC", "sell", "50000", "0.01")
        assert (apart.order.status, apart.fills) == ("open", [])
        await bob.cancel(apart.order.id)
        await alice.place("BTC-USDC", "buy", "50000", "0.01")
        together = await bob.place("BTC-USDC", "sell", "50000", "0.01", self_trade_prevention="NONE")
        assert len(together.fills) == 1, "if it says so"


async def test_bands_and_groups_are_the_operator_s_word(engine_venue) -> None:
    async with engine_venue.client() as operator, engine_venue.client(KEYS[1]) as other:
        assert (await refused(other.set_band("BTC-USDC", 1, 1))).code == "NOT_AN_OPERATOR"
        assert (await refused(other.set_group([BOB], 1))).code == "NOT_AN_OPERATOR"
        assert (await refused(operator.set_band("NOPE", 1, 1))).code == "UNKNOWN_MARKET"
        assert (await refused(operator.set_band("BTC-USDC", -1, 1))).code == "INVALID_FIELD"
        error = await refused(operator.set_group(["0x" + "77" * 20], 1))
        assert (error.code, error.data["field"]) == ("INVALID_FIELD", "accounts")
        await operator.set_group([ALICE, BOB], 3)
        assert {engine_venue.sequencer.engine.accounts[one].group for one in (ALICE, BOB)} == {3}
        await operator.set_band("BTC-USDC", 10_000, 20_000)
        assert (await other.listing())["BTC-USDC"][1].band == {"belowPpm": 10_000, "abovePpm": 20_000}


# --- amend ---


async def test_a_smaller_size_keeps_the_place_in_the_queue(engine_venue) -> None:
    async with engine_venue.client() as alice, engine_venue.client(KEYS[1]) as bob:
        first = (await alice.place("BTC-USDC", "sell", "50000", "0.05", client_order_id="mine")).order
        await bob.place("BTC-USDC", "sell", "50000", "0.05")
        async with engine_venue.client(KEYS[2]) as taker:
            await taker.place("BTC-USDC", "buy", "50000", "0.01", time_in_force="IOC")
            amended = await alice.amend(first.id, "0.02")
            assert (amended.amount, amended.filled, amended.remaining) == ("0.02", "0.01", "0.01")
            again = await alice._send("PATCH", f"/v1/orders/{first.id}", {"size": "0.02"}, session=True)
            assert again["replayed"] is True, "asked for again"
            by_name = "/v1/orders/by-client-id/mine"
            assert (await alice._send("PATCH", by_name, {"size": "0.015"}, session=True))["order"]["amount"] == "0.015"
            await taker.place("BTC-USDC", "buy", "50000", "0.01", time_in_force="IOC")
        done = await alice.order(first.id)
        assert (done.status, done.filled, done.amount) == ("closed", "0.015", "0.015"), "it was first in the queue"
        error = await refused(alice.amend(first.id, "0.01"))
        assert (error.code, error.data["order"]["status"]) == ("ORDER_NOT_OPEN", "closed")


async def test_refusals_of_amends(engine_venue) -> None:
    async with engine_venue.client() as alice, engine_venue.client(KEYS[1]) as bob:
        order = (await alice.place("BTC-USDC", "sell", "50000", "0.05")).order
        larger = await refused(alice.amend(order.id, "0.06"))
        assert (larger.code, larger.data["field"]) == ("INVALID_SIZE", "size") and "sign a new order" in str(
            larger.data["remedy"]
        )
        assert (await refused(alice.amend(order.id, "0.00001"))).code == "INVALID_SIZE"
        assert (await refused(bob.amend(order.id, "0.01"))).code == "ORDER_NOT_FOUND", "of another account"
        path = f"/v1/orders/{order.id}"
        assert (await refused(alice._send("PATCH", path, {}, session=True))).code == "MISSING_FIELD"
        assert (await refused(alice._send("PATCH", path, {"size": "0.01"}))).code == "UNAUTHENTICATED"
        elsewhere = await alice.sign(ticket("sell", "50001"))
        error = await refused(alice._send("PATCH", path, {"order": elsewhere.body}, session=True))
        assert (error.code, error.data["slot"]) == ("INVALID_SLOT", order.slot)
        assert (await alice.order(order.id)).amount == "0.05"


async def test_another_order_in_its_place(engine_venue) -> None:
    """It never opens a second order if the first was filled meanwhile."""
    async with engine_venue.client() as alice, engine_venue.client(KEYS[1]) as bob:
        order = (await alice.place("BTC-USDC", "sell", "50000", "0.05")).order
        moved = await alice.replace(order.id, ticket("sell", "50100", "0.07"))
        assert (moved.order.price, moved.order.amount, (await alice.order(order.id)).reason) == (
            "50100",
            "0.07",
            "REPLACED",
        )
        signed = await alice.sign(ticket("sell", "50200", slot=moved.order.slot))
        body, path = {"order": signed.body}, f"/v1/orders/{moved.order.id}"
        answers = [await alice._send("PATCH", path, body, session=True) for _ in range(2)]
        assert [answer["replayed"] for answer in answers] == [False, True], "by its digest"
        await bob.place("BTC-USDC", "buy", "50200", "0.01")
        late = await refused(alice.replace(answers[0]["order"]["id"], ticket("sell", "50300")))
        assert late.code == "ORDER_NOT_OPEN" and await alice.orders() == []
        next_one = await alice.place("BTC-USDC", "sell", "50400", "0.01", slot=order.slot)
        late = await refused(alice.replace(order.id, ticket("sell", "50300")))
        assert late.code == "ORDER_NOT_OPEN", "another order rests in its slot by now"
        assert [one.id for one in await alice.orders()] == [next_one.order.id]


# --- many at once ---


async def test_all_of_a_batch_or_nothing(engine_venue) -> None:
    async with engine_venue.client() as client:
        old = [(await client.place("BTC-USDC", "sell", str(50_000 + n), "0.05")).order for n in range(3)]
        tickets = [ticket("buy", "40000"), ticket("buy", "41000", post_only=True)]
        done = await client.batch(tickets, cancels=[old[0].id], amends=[(old[1].id, "0.02")])
        assert [order.status for order in done.cancels] == ["canceled"]
        assert [order.amount for order in done.amends] == ["0.02"]
        assert [placed.order.status for placed in done.orders] == ["open", "open"]
        assert (await client.book("BTC-USDC"))["asks"] == [["50001", "0.02"], ["50002", "0.05"]]
        bad = [ticket("buy", "42000"), ticket("buy", "50001", post_only=True)]
        error = await refused(client.batch(bad, cancels=[old[2].id]))
        assert (error.code, error.data["item"], error.data["index"]) == ("POST_ONLY_WOULD_CROSS", "orders", 1)
        assert len(await client.orders()) == 4, "nothing of it happened"
        error = await refused(client.batch([ticket("buy", "1")], cancels=[old[0].id]))
        assert (error.code, error.data["item"], error.data["index"]) == ("ORDER_NOT_OPEN", "cancels", 0)
        error = await refused(client.batch(amends=[(old[2].id, "0.06")]))
        assert (error.code, error.data["item"]) == ("INVALID_SIZE", "amends")
        error = await refused(client.batch(cancels=["0x" + "00" * 32]))
        assert (error.code, error.data["item"]) == ("ORDER_NOT_FOUND", "cancels")


async def test_a_batch_that_is_sent_again(engine_venue) -> None:
    """It is answered with what it came to; nothing of it happens twice, or in part."""
    async with engine_venue.client() as client:
        old = (await client.place("BTC-USDC", "sell", "50000", "0.05")).order
        signed = [await client.sign(one) for one in (ticket("buy", "40000"), ticket("sell", "40000", post_only=True))]
        first = await refused(client.batch_signed(signed, [old.id], [], "all"))
        again = await refused(client.batch_signed(signed, [old.id], [], "all"))
        assert (first.code, again.code) == ("POST_ONLY_WOULD_CROSS", "BATCH_REFUSED")
        assert again.data["replayed"] is True and "Nothing of it was executed" in again.data["remedy"]
        assert "item" not in again.data and "sent before" in str(again), "no item is blamed that was not the one"
        await client.cancel_all(), await client.place("BTC-USDC", "sell", "60000", "0.05")
        later = await refused(client.batch_signed(signed, [], [], "all"))
        assert (later.code, later.data["replayed"]) == ("BATCH_REFUSED", True), "also when it could happen by now"
        assert len(await client.orders()) == 1
        await client.cancel_all()
        old = (await client.place("BTC-USDC", "sell", "50000", "0.05")).order
        crossing = [await client.sign(ticket("buy", price, post_only=True, slot=9)) for price in ("50001", "50000")]
        none = [await refused(client.batch_signed(crossing, [], [], "first")) for _ in range(2)]
        assert [error.code for error in none] == ["POST_ONLY_WOULD_CROSS", "BATCH_REFUSED"]
        assert (await client.order(old.id)).status == "open"
        good = [await client.sign(ticket("buy", "40000"))]
        results = [await client.batch_signed(good, [old.id], [], "all") for _ in range(2)]
        assert [result.replayed for result in results] == [False, True]
        assert [result.orders[0].order.id for result in results] == [good[0].digest] * 2
        more = [good[0], await client.sign(ticket("buy", "39000"))]
        mixed = await client.batch_signed(more, [], [], "all")
        assert mixed.orders[1].code == "BATCH_REFUSED" and len(await client.orders()) == 1, "not done in part"
        assert [(await client.batch(cancels=[good[0].digest])).replayed for _ in range(2)] == [False, True]


async def test_the_first_order_that_may_enter(engine_venue) -> None:
    """A post-only order that slides: signed at several prices."""
    async with engine_venue.client() as client, engine_venue.client(KEYS[1]) as maker:
        await maker.place("BTC-USDC", "sell", "50000", "0.05")
        ladder = [ticket("buy", price, post_only=True, slot=9) for price in ("50001", "50000", "49999", "49998")]
        signed = [await client.sign(one) for one in ladder]
        for is_again in (False, True):
            found = await client.batch_signed(signed, [], [], "first")
            codes = [one.order.price if not isinstance(one, Refused) else one.code for one in found.orders]
            assert codes == ["BATCH_REFUSED", "BATCH_REFUSED", "49999", "BATCH_REFUSED"]
            assert found.replayed is is_again and len(await client.orders()) == 1


async def test_each_of_a_batch_for_itself(engine_venue) -> None:
    async with engine_venue.client() as client:
        old = (await client.place("BTC-USDC", "sell", "50000", "0.05")).order
        done = await client.batch(
            [ticket("buy", "40000"), ticket("buy", "40000", "100000")],
            cancels=["0x" + "00" * 32],
            amends=[(old.id, "0.01"), (old.id, "0.02")],
            mode="each",
        )
        assert done.cancels[0].code == "ORDER_NOT_FOUND" and done.amends[0].amount == "0.01"
        assert done.amends[1].code == "INVALID_SIZE"
        assert (done.orders[0].order.status, done.orders[1].code) == ("open", "INSUFFICIENT_BALANCE")


async def test_refusals_of_batches(engine_venue) -> None:
    async with engine_venue.client() as client, engine_venue.client(KEYS[1]) as other:
        foreign = await other.sign(ticket("buy", "40000"))
        for mode in ("all", "first"):
            error = await refused(client.batch_signed([foreign], [], [], mode))
            assert (error.code, error.data["index"]) == ("WRONG_SIGNER", 0)
        error = await refused(client.batch(mode="all"))
        assert error.code == "MISSING_FIELD"
        error = await refused(client.batch(cancels=["0x" + "00" * 32] * 101))
        assert (error.code, error.data["maximum"]) == ("TOO_MANY_ORDERS", 100)
        theirs = (await other.place("BTC-USDC", "buy", "40000", "0.01")).order
        assert (await refused(client.batch(cancels=[theirs.id]))).code == "ORDER_NOT_FOUND"


async def test_cancels_of_one_side(engine_venue) -> None:
    async with engine_venue.client() as client:
        bid = (await client.place("BTC-USDC", "buy", "40000", "0.01")).order.id
        ask = (await client.place("BTC-USDC", "sell", "60000", "0.01", client_order_id="ask")).order.id
        assert await client.cancel_all("BTC-USDC", side="buy") == [bid]
        assert [order.id for order in await client.orders()] == [ask]
        error = await refused(client.cancel_all(side="up"))
        assert (error.code, error.data["field"]) == ("INVALID_FIELD", "side")
        assert (await client.cancel_by_client_id("ask")).status == "canceled"
        assert (await refused(client.cancel_by_client_id("unheard-of"))).code == "ORDER_NOT_FOUND"


# --- the dead-man switch and lost connections ---


@pytest.mark.asyncio(loop_scope="module")
async def test_everything_is_cancelled_after_a_silence(real) -> None:
    """Timers fire by the sequencer's own clock."""
    _, venue = real
    async with venue.client() as client:
        placed = await client.place("BTC-USDC", "buy", "40000", "0.01")
        batch = [await client.sign(ticket("buy", price)) for price in ("40001", "40002")]
        answers = [await client.batch_signed(batch, [], [], "all") for _ in range(2)]
        assert [answer.replayed for answer in answers] == [False, True] and len(await client.orders()) == 3
        assert [one.receipt for one in answers[0].orders] == [one.receipt for one in answers[1].orders]
        deadline = await client.cancel_all_after(60_000)
        assert deadline == await client.cancels_all_at() and deadline > time.time() * 1000 + 50_000
        assert await client.cancel_all_after(0) is None and await client.cancels_all_at() is None
        await client.cancel_all_after(1_000)
        async with asyncio.timeout(10):
            while (await client.order(placed.order.id)).status == "open":
                await asyncio.sleep(0.05)
        assert (await client.order(placed.order.id)).reason == "TIMED_OUT"
        for wrong in (1, 999, 900_001, -1):
            error = await refused(client.cancel_all_after(wrong))
            assert (error.code, error.data["field"]) == ("INVALID_FIELD", "timeout")


async def test_orders_of_a_lost_connection(engine_venue) -> None:
    """That asked for it; those of any other connection stay."""
    async with engine_venue.client() as client:
        for enabled, reason in ((False, None), (True, "DISCONNECTED")):
            order = (await client.place("BTC-USDC", "buy", "40000", "0.01")).order
            async with open_socket(engine_venue) as socket:
                early = await socket.ask(op="cancelOnDisconnect")
                assert early["error"]["code"] == "UNAUTHENTICATED"
                key, timestamp, sign = await client.sign_request(b"GET/v1/ws")
                await socket.ask(op="login", key=key, timestamp=timestamp, sign=sign)
                assert (await socket.ask(op="cancelOnDisconnect", enabled=enabled))["enabled"] is enabled
            async with asyncio.timeout(5):
                while (await client.order(order.id)).reason != reason:
                    await asyncio.sleep(0.02)


# --- the same over the socket ---


async def test_the_ops_of_the_stream(engine_venue) -> None:
    async with engine_venue.client() as client, open_socket(engine_venue) as socket:
        assert (await socket.ask(op="batch", batch={"cancels": []}))["error"]["code"] == "UNAUTHENTICATED"
        key, timestamp, sign = await client.sign_request(b"GET/v1/ws")
        await socket.ask(op="login", key=key, timestamp=timestamp, sign=sign)
        hidden = await client.sign(ticket("sell", "60000", "0.05", visible_size="0.01"))
        placed = await socket.ask(op="order", order=hidden.body)
        assert placed["order"]["status"] == "open"
        amended = await socket.ask(op="amend", orderId=hidden.digest, size="0.04")
        assert amended["order"]["amount"] == "0.04"
        signed = [await client.sign(ticket("buy", price)) for price in ("40000", "40001")]
        bodies = {"orders": [one.body for one in signed], "cancels": [hidden.digest]}
        batch = await socket.ask(op="batch", batch=bodies)
        assert (batch["ok"], [item["ok"] for item in batch["orders"]]) == (True, [True, True])
        again = await socket.ask(op="batch", batch=bodies)
        assert again["replayed"] is True
        wrong = await socket.ask(op="amend", orderId=signed[0].digest)
        assert wrong["error"]["code"] == "MISSING_FIELD"
        assert (await socket.ask(op="cancelAll", side="sell"))["canceled"] == []
        assert (await socket.ask(op="cancelAllAfter"))["error"]["code"] == "MISSING_FIELD"
        assert (await socket.ask(op="cancelAllAfter", timeout=60_000))["deadline"]
        assert len((await socket.ask(op="cancelAll", side="buy"))["canceled"]) == 2


async def test_marks_are_a_channel(engine_venue) -> None:
    async with open_socket(engine_venue) as socket:
        await socket.subscribe("mark:BTC-USDC")
        assert (await socket.next())["mark"] is None
        post_mark(engine_venue, "50000.5")
        message = await socket.next()
        assert (message["mark"], message["type"], message["symbol"]) == ("50000.5", "delta", "BTC-USDC")
        assert message["markTimestamp"] <= message["timestamp"]


@pytest.mark.asyncio(loop_scope="module")
async def test_what_a_poster_says_moves_stops_in_a_real_node(real) -> None:
    """From the price keeper's word in the database to an order of the book; what nobody signed moves nothing."""
    processes, venue = real
    ops, separator = Ops(processes.ops_url), venue.gateway.settings.settlement_separator
    marker = Marker(ops, SigningKey(b"\x09" * 32, CHAIN_ID), separator)
    marker.find_markets()
    assert [market.market for market in marker.markets] == [1, 2]
    async with venue.client(KEYS[2]) as client:
        stop = (await client.place_ticket(ticket("sell", "70000", "0.03", stop_loss_price="60000"))).order
        forged = Reading(marker._key.address, 500_000, int(time.time()), "0x" + "11" * 65)
        ops.put_marks([(1, forged)])
        marker.say([Mark(2, 20_000, int(time.time()))])
        async with asyncio.timeout(10):
            while (await client.listing())["ETH-USDC"][1].mark != "200":
                await asyncio.sleep(0.02)
        assert (await client.listing())["BTC-USDC"][1].mark is None and (await client.order(stop.id)).waiting
        marker.say([Mark(1, 600_000, int(time.time()))])
        async with asyncio.timeout(10):
            while (await client.order(stop.id)).waiting:
                await asyncio.sleep(0.02)
        assert (await client.listing())["BTC-USDC"][1].mark == "60000"
        assert (await client.order(stop.id)).status == "open", "it rests at its limit"
        assert (await client.cancel(stop.id)).reason == "CANCELED"
        async with asyncio.timeout(10):
            while (row := await venue.gateway.past.order(stop.id)) is None or row.reason != "CANCELED":
                await asyncio.sleep(0.02)
        told = await client.order(stop.id)
        assert (row.trigger_ticks, row.size_lots, told.trigger_price) == (600_000, 300, "60000"), "so does the history"
    ops.close()


async def test_two_users_never_see_each_other_s_orders(engine_venue) -> None:
    """Whatever one asks for with the other's ids, it is as if they did not exist."""
    async with engine_venue.client() as alice, engine_venue.client(KEYS[1]) as bob:
        order = (await alice.place("BTC-USDC", "sell", "60000", "0.05", client_order_id="private")).order
        stranger = "0x" + "00" * 32
        for method, path, body in (
            ("GET", "/v1/orders/{}", None),
            ("DELETE", "/v1/orders/{}", None),
            ("PATCH", "/v1/orders/{}", {"size": "0.01"}),
        ):
            told = [
                await refused(bob._send(method, path.format(id), body, session=True)) for id in (order.id, stranger)
            ]
            assert (told[0].code, told[0].message, told[0].data) == (told[1].code, told[1].message, told[1].data)
        for request in ({"cancels": ["{}"]}, {"amends": [{"id": "{}", "size": "0.01"}]}):
            for mode in ("all", "each"):
                texts = [
                    msgspec.json.encode(request | {"mode": mode}).replace(b"{}", id.encode())
                    for id in (order.id, stranger)
                ]
                answers = [await post(engine_venue, bob, "/v1/orders/batch", text) for text in texts]
                for answer in answers:
                    answer.pop("requestId", None)
                assert answers[0] == answers[1]
        assert (await refused(bob.cancel_by_client_id("private"))).code == "ORDER_NOT_FOUND"
        assert (await alice.order(order.id)).amount == "0.05"


async def post(venue, client, path: str, content: bytes) -> dict:
    key, timestamp, sign = await client.sign_request(b"POST" + path.encode() + content)
    headers = {"HOOATS-KEY": key, "HOOATS-TIMESTAMP": str(timestamp), "HOOATS-SIGN": sign}
    async with httpx.AsyncClient(base_url=venue.url) as http:
        answer = await http.post(path, content=content, headers=headers | {"content-type": "application/json"})
        return answer.json()
