"""Two users of one live venue: no id of one is ever shown to the other, whatever is asked, and however.

Over the real sequencer, projector, publisher and gateway. What is public (books, trades) has no ids of orders, accounts
or names at all; and an order of another is answered exactly as one that never was.
"""

import contextlib
import json
from collections.abc import Callable
from functools import partial

import httpx
import pytest
from conftest import KEYS
from test_stream import Socket
from websockets.asyncio.client import connect

from offchain.client import Ticket
from offchain.gateway.channels import ADMIN, MARKET_CHANNELS, PRIVATE_CHANNELS, VENUE
from offchain.gateway.routes import ROUTES, Auth

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOTHING = "0x" + "00" * 32
FILLED_NAMES = {"symbol": "BTC-USDC", "number": "0", "sequence": "1", "protection": "3"}


async def live(client, name: str) -> dict[str, str]:
    """An order of every fate, with names, links, a sub-account, a protection and a session; and all of their ids."""
    await client.transfer("USDC", "5000", 0, 7)
    await client.set_protection(3, 1_000, amount_max="77777", symbols=["BTC-USDC"])
    resting = await client.place(
        "BTC-USDC", "buy", "1000.1", "0.01", client_order_id=f"{name}-rests", subaccount=7, protected=True
    )
    waits = Ticket(symbol="BTC-USDC", side="sell", price="900", size="0.01", stop_loss_price="901")
    waiting = await client.place_ticket(waits)
    gone = await client.place("BTC-USDC", "buy", "1000.2", "0.01", client_order_id=f"{name}-gone")
    await client.cancel(gone.order.id)
    await client.cancel_all_after(800_000)
    return {
        "resting": resting.order.id,
        "waiting": waiting.order.id,
        "gone": gone.order.id,
        "name": f"{name}-rests",
        "name of gone": f"{name}-gone",
        "nonce": resting.order.nonce,
        "session": (await client.login())[0],
        "address": client.address,
        "protection": "77777",
    }


async def trade(alice, bob) -> list[str]:
    """One fill between the two; the ids of both orders."""
    maker = await alice.place("BTC-USDC", "sell", "60000", "0.01", client_order_id="alice-makes")
    taker = await bob.place("BTC-USDC", "buy", "60000", "0.01", time_in_force="IOC", client_order_id="bob-takes")
    assert taker.order.status == "closed"
    return [maker.order.id, taker.order.id]


async def read_everything(client, ids: dict[str, str], told: list[str]) -> None:
    """Every route that reads, with the own session and the other's ids in the path; `told` gets what was said."""
    for route in ROUTES:
        if route.method != "GET" or route.path == "/v1/openapi.json" or "/proofs/" in route.path:
            continue
        for one in (ids["resting"], ids["gone"], ids["name"], ids["session"]):
            path = route.path.replace("{id}", one).replace("{key}", one)
            for name, value in FILLED_NAMES.items():
                path = path.replace("{" + name + "}", value)
            queries = [""]
            if "status" in route.query:
                queries = ["?status=open", "?status=closed&symbol=BTC-USDC", "?status=closed&limit=1000"]
            elif "cursor" in route.query:
                queries = ["", "?symbol=BTC-USDC&limit=1000"]
            elif "side" in route.query:
                queries = ["?side=buy&size=0.01"]
            elif "subaccount" in route.query:
                queries = ["", "?subaccount=7", "?subaccount=0"]
            for query in queries:
                is_private = route.auth is not Auth.NONE
                answer = await ask(client, "GET", path + query, is_private=is_private)
                told.append(answer.text)
            if "{id}" not in route.path:
                break


async def ask(client, method: str, path: str, body: object = None, *, is_private: bool = True) -> httpx.Response:
    content = b"" if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"} if content else {}
    if is_private:
        key, timestamp, sign = await client.sign_request(method.encode() + path.encode() + content)
        headers |= {"HOOATS-KEY": key, "HOOATS-TIMESTAMP": str(timestamp), "HOOATS-SIGN": sign}
    return await client._http.request(method, path, content=content, headers=headers)


def without_names(answer: httpx.Response, one: str) -> tuple[int, str]:
    """What an answer says besides the id that was asked for and the number of the request."""
    body = answer.json()
    body.pop("requestId", None)
    body.pop("seq", None)
    return answer.status_code, json.dumps(body).replace(one, "ID")


@pytest.fixture(scope="module")
def both() -> dict:
    return {}


async def two(real, both):
    """(alice, bob, alice's ids, bob's ids): made once."""
    _, venue = real
    if not both:
        alice, bob = venue.client(), venue.client(KEYS[1])
        both |= {"alice": alice, "bob": bob, "of alice": await live(alice, "alice"), "of bob": await live(bob, "bob")}
        both["trade"] = await trade(alice, bob)
    return both["alice"], both["bob"], both["of alice"], both["of bob"]


async def test_nothing_that_is_read_has_an_id_of_the_other(real, both) -> None:
    alice, bob, of_alice, of_bob = await two(real, both)
    makes, takes = both["trade"]
    for reader, own, foreign, foreign_fill in ((alice, of_alice, of_bob, takes), (bob, of_bob, of_alice, makes)):
        told: list[str] = []
        await read_everything(reader, foreign, told)
        everything = "\n".join(told)
        assert own["resting"] in everything and own["gone"] in everything, "it does read"
        for what, one in {**foreign, "fill": foreign_fill}.items():
            if what != "protection":
                assert one not in everything, (what, one)


def _batch(items: Callable[[str], dict], mode: str, one: str) -> tuple[str, str, dict]:
    return "POST", "/v1/orders/batch", {"mode": mode, **items(one)}


async def test_an_order_of_the_other_is_answered_as_one_that_never_was(real, both) -> None:
    """By id and by name; read, cancelled, amended, replaced, alone and in batches of every mode."""
    alice, bob, of_alice, _ = await two(real, both)
    order = (await bob.sign(Ticket(symbol="BTC-USDC", side="buy", price="900", size="0.01", slot=9))).body
    by_id = [
        lambda one: ("GET", f"/v1/orders/{one}", None),
        lambda one: ("DELETE", f"/v1/orders/{one}", None),
        lambda one: ("PATCH", f"/v1/orders/{one}", {"size": "0.005"}),
        lambda one: ("PATCH", f"/v1/orders/{one}", {"order": order}),
        lambda one: ("DELETE", f"/v1/sessions/{one}", None),
    ]
    unsigned = {**order, "signature": "0x"}
    for mode in ("all", "first", "each"):
        by_id.append(partial(_batch, lambda one: {"cancels": [one], "orders": [order]}, mode))
        by_id.append(
            partial(_batch, lambda one: {"amends": [{"id": one, "size": "0.005"}], "orders": [unsigned]}, mode)
        )
    sent = 0
    for request in by_id:
        method, path, _ = request("")
        kinds = ("session",) if "sessions" in path else ("resting", "waiting", "gone")
        for kind in kinds:
            never = NOTHING if kind != "session" else of_alice[kind][:-4] + "AAAA"
            expected = without_names(await ask(bob, *request(never)), never)
            found = without_names(await ask(bob, *request(of_alice[kind])), of_alice[kind])
            if "each" in str(request("")[2]):
                # The order beside it is placed the first time, and answered again.
                expected, found = [(status, text.partition('"orders"')[0]) for status, text in (expected, found)]
                expected, found = [(s, t.replace("true", "?").replace("false", "?")) for s, t in (expected, found)]
            assert found == expected, (method, path, kind)
            sent += 1
    assert sent == 4 * 3 + 1 + 6 * 3
    for name in (of_alice["name"], of_alice["name of gone"]):
        for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"size": "0.005"})):
            found = without_names(await ask(bob, method, f"/v1/orders/by-client-id/{name}", body), name)
            expected = without_names(await ask(bob, method, "/v1/orders/by-client-id/nobody", body), "nobody")
            assert found == expected and found[0] == 404, (method, name)
    stands = [await alice.order(of_alice[kind]) for kind in ("resting", "waiting")]
    assert [(one.status, one.amount) for one in stands] == [("open", "0.01")] * 2


async def test_names_and_numbers_are_each_account_s_own(real, both) -> None:
    """Those of another are no conflict, and changing the own leaves the other's."""
    alice, bob, of_alice, _ = await two(real, both)
    same = await bob.place("BTC-USDC", "buy", "950", "0.01", client_order_id=of_alice["name"], slot=77)
    assert (await bob.order_by_client_id(of_alice["name"])).id == same.order.id
    assert (await alice.order_by_client_id(of_alice["name"])).id == of_alice["resting"]
    await bob.remove_protection(3)
    assert [one.number for one in await alice.protections()] == [3]
    await bob.cancel_all_after(0)
    assert await alice.cancels_all_at() is not None
    await bob.cancel_all()
    assert {order.id for order in await alice.orders()} >= {of_alice["resting"], of_alice["waiting"]}


async def test_no_channel_carries_an_id_of_the_other(real, both) -> None:
    """Snapshots, and deltas of what the other does meanwhile."""
    alice, bob, of_alice, _ = await two(real, both)
    channels = [*(f"{kind}:BTC-USDC" for kind in MARKET_CHANNELS), VENUE, *PRIVATE_CHANNELS]
    async with connect("ws" + bob.url.removeprefix("http") + "/v1/ws", compression=None) as raw:
        socket = Socket(raw)
        await socket.login(bob)
        told: list[str] = []

        async def ask(**request) -> dict:
            await socket.send(**request)
            while True:
                message = await socket.next()
                told.append(json.dumps(message))
                if "op" in message:
                    return message

        for channel in channels:
            assert (await ask(op="subscribe", channel=channel))["ok"], channel
        assert (await ask(op="subscribe", channel=f"{ADMIN}:BTC-USDC"))["error"]["code"] == "NOT_AN_OPERATOR"
        answers = []
        for op, more in (("cancel", {}), ("amend", {"size": "0.005"})):
            answers += [await ask(op=op, orderId=one, **more) for one in (of_alice["resting"], NOTHING)]
        assert {answer["error"]["code"] for answer in answers} == {"ORDER_NOT_FOUND"}
        assert answers[0] == answers[1] and answers[2] == answers[3]
        new = await alice.place("BTC-USDC", "sell", "61000", "0.01", client_order_id="alice-later", protected=True)
        taken = await bob.place("BTC-USDC", "buy", "61000", "0.005", time_in_force="IOC")
        await alice.transfer("USDC", "1", 0, 7)
        await alice.cancel(new.order.id)
        with contextlib.suppress(TimeoutError):
            while True:
                told.append(json.dumps(await socket.next(0.3)))
        everything = "\n".join(told)
        assert taken.order.id in everything and "61000" in everything, "it does listen"
        for one in (new.order.id, "alice-later", alice.address, *(v for k, v in of_alice.items() if k != "protection")):
            assert one not in everything, one
        for kind in PRIVATE_CHANNELS:
            assert f'"channel": "{kind}"' in everything, kind
