"""Two users of one live venue: no id of one is ever shown to the other, whatever is asked, and however.

Over the real sequencer, projector, publisher and gateway. What is public (books, trades) has no ids of orders, accounts
or names at all; and an order of another is answered exactly as one that never was. Receipts and proofs are for whoever
names the order's id. Which routes, parameters and channels there are is read from what the venue says of itself: one
that is not thought of here fails.
"""

import asyncio
import contextlib
import itertools
import json
import re
import time
from collections.abc import Callable
from functools import partial

import httpx
import pytest
import pytest_asyncio
from conftest import KEYS, run_real_venue
from test_order_types import refused
from test_stream import Socket
from websockets.asyncio.client import connect

from offchain.client import Refused, Ticket
from offchain.domain.keccak import keccak
from offchain.gateway.channels import PRIVATE_CHANNELS
from offchain.projector.proofs import verify_proof

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOTHING = "0x" + "00" * 32
PLAIN = ("/v1/ws", "/metrics", "/livez", "/readyz")
"""Not JSON, or with nothing of any user."""


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
        "sequence": str(resting.order.seq),
        "waiting": waiting.order.id,
        "gone": gone.order.id,
        "name": f"{name}-rests",
        "name of gone": f"{name}-gone",
        "nonce": resting.order.nonce,
        "relayed": (await client.deposit("5", nonce=0)).id,
        "agent": await agent_of(client),
        "session": (await client.login())[0],
        "address": client.address,
        "protection": "77777",
    }


async def agent_of(client) -> str:
    """One that the relay was asked to register."""
    agent = "0x" + keccak(client.address.encode()).hex()[:40]
    await client.register_agent(agent, notional=1, expiry=int(time.time()) + 600)
    return agent


async def trade(alice, bob) -> list[str]:
    """One fill between the two; the ids of both orders."""
    maker = await alice.place("BTC-USDC", "sell", "60000", "0.01", client_order_id="alice-makes")
    taker = await bob.place("BTC-USDC", "buy", "60000", "0.01", time_in_force="IOC", client_order_id="bob-takes")
    assert taker.order.status == "closed"
    return [maker.order.id, taker.order.id]


def path_values(own: dict[str, str], foreign: dict[str, str], path: str) -> dict[str, list[str]]:
    """What a curious user tries in the path."""
    orders = [foreign["resting"], foreign["gone"], foreign["waiting"]]
    names = {"/v1/orders/by-client-id/{id}": [foreign["name"], foreign["name of gone"]]}
    names |= {"/v1/proofs/{id}": [own["gone"]], "/v1/vault/deposits/{id}": [foreign["relayed"]]}
    return {
        "symbol": ["BTC-USDC"],
        "number": ["0", "1"],
        "sequence": [foreign["sequence"]],
        "protection": ["3"],
        "key": [foreign["session"]],
        "id": names.get(path, orders),
    }


def query_values(own: dict[str, str]) -> dict[str, list[str]]:
    return {
        "status": ["open", "closed"],
        "symbol": ["BTC-USDC"],
        "cursor": ["100000"],
        "limit": ["1000"],
        "depth": ["1000"],
        "side": ["buy"],
        "size": ["0.01"],
        "amount": ["10"],
        "subaccount": ["0", "7"],
        "id": [own["resting"], NOTHING],
    }


def paths_of(path: str, values: dict[str, list[str]]) -> list[str]:
    names = re.findall(r"\{(\w+)\}", path)
    found = []
    for chosen in itertools.product(*(values[name] for name in names)):
        found.append(path)
        for name, value in zip(names, chosen, strict=True):
            found[-1] = found[-1].replace("{" + name + "}", value)
    return found


def queries_of(operation: dict, values: dict[str, list[str]]) -> list[str]:
    """Each parameter given or not, in every way together."""
    names = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
    combined = itertools.product(*([None, *values[name]] for name in names))
    return [
        "&".join(f"{name}={value}" for name, value in zip(names, chosen, strict=True) if value is not None)
        for chosen in combined
    ]


async def operations(client, *, reads: bool) -> dict[str, tuple[str, str, dict]]:
    """(method, path, operation) by name, as the venue describes itself."""
    paths = (await ask(client, "GET", "/v1/openapi.json", is_private=False)).json()["paths"]
    return {
        f"{method.upper()} {path}": (method.upper(), path, operation)
        for path, of in paths.items()
        for method, operation in of.items()
        if path not in PLAIN and (method == "get") is reads
    }


async def read_everything(client, own: dict[str, str], foreign: dict[str, str]) -> dict[str, list[str]]:
    """What was said, by operation, with the own session and the other's ids."""
    told: dict[str, list[str]] = {}
    for name, (method, path, operation) in (await operations(client, reads=True)).items():
        if path == "/v1/openapi.json":
            continue
        is_private = {} not in operation.get("security", [{}])
        for one in paths_of(path, path_values(own, foreign, path)):
            for query in queries_of(operation, query_values(own)):
                answer = await ask(client, method, one + ("?" + query if query else ""), is_private=is_private)
                assert answer.status_code not in (401, 405, 429) and answer.status_code < 500, (one, query, answer.text)
                told.setdefault(name, []).append(answer.text)
    return told


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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real():
    """With permits, so that there are relayed deposits to hide."""
    async with run_real_venue(permit_name="USD Coin", permit_version="2") as found:
        yield found


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


def shown(ids: dict[str, str], text: str, *, asked: str = "") -> list[str]:
    """Which of these ids are in an answer; those that were asked for tell nothing."""
    known = ("protection", "sequence")  # numbers that stand in other places, too
    return [what for what, one in ids.items() if what not in known and one in text and one not in asked]


async def test_nothing_that_is_read_has_an_id_of_the_other(real, both) -> None:
    alice, bob, of_alice, of_bob = await two(real, both)
    makes, takes = both["trade"]
    for reader, own, foreign, foreign_fill in ((alice, of_alice, of_bob, takes), (bob, of_bob, of_alice, makes)):
        await proof_of(reader, own["gone"])
        told = await read_everything(reader, own, foreign)
        assert set(told) == set(await operations(reader, reads=True)) - {"GET /v1/openapi.json"}
        everything = "\n".join(itertools.chain(*told.values()))
        assert own["resting"] in everything and own["gone"] in everything, "it does read"
        answered = [name for name, texts in told.items() if any('"error"' not in text for text in texts)]
        assert set(told) - set(answered) == {
            "GET /v1/orders/{id}",
            "GET /v1/orders/by-client-id/{id}",
            "GET /v1/receipts/{sequence}",
            "GET /v1/vault/deposits/{id}",
        }, "only what is another's is refused"
        for name, texts in told.items():
            for text in texts:
                assert shown({**foreign, "fill": foreign_fill}, text) == [], name


async def proof_of(client, digest: str) -> dict:
    """Once its epoch is closed."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(Refused):
                return await client.proof(digest)
            await asyncio.sleep(0.7)


async def test_evidence_is_for_whoever_names_the_order(real, both) -> None:
    """Sequences can be counted through; ids cannot. Whoever was given one can prove its order, without any session."""
    _, bob, of_alice, of_bob = await two(real, both)
    place, digest = int(of_alice["sequence"]), of_alice["resting"]
    never = await refused(bob.group_receipt(10**9, digest))
    wrong = await refused(bob.group_receipt(place, of_bob["resting"]))
    assert (wrong.code, wrong.data, wrong.message) == (never.code, never.data, never.message)
    assert never.code == "NOT_FOUND"
    assert (await refused(bob._get(f"/v1/receipts/{place}"))).code == "MISSING_FIELD"
    assert (await bob.group_receipt(place, digest))["orderHash"] == digest
    proof = await proof_of(bob, digest)
    assert proof["leaf"] == [place, digest] and all(finding.ok for finding in verify_proof(proof))
    siblings = json.dumps([proof["proof"], proof["groupReceipt"]["proof"]])
    assert of_bob["resting"] not in siblings and of_bob["gone"] not in siblings


def writes(own: dict[str, str], foreign: dict[str, str], order: dict, account: str) -> dict[str, dict | None]:
    """By operation: a body with the other's ids and address wherever it takes any."""
    signed = {"account": account, "signature": "0x" + "11" * 65}
    soon = int(time.time()) + 300
    ends = {"fromSubaccount": 7, "toSubaccount": 0}
    withdrawal = {"token": "USDC", "amount": "1", "destination": account}
    terms = {"expiry": soon, "notional": "1", "nonce": "1", "deadline": soon}
    return {
        "POST /v1/orders": {**order, "account": account},
        "DELETE /v1/orders": None,
        "POST /v1/orders/batch": {"mode": "each", "cancels": [foreign["resting"], foreign["gone"]], "orders": []},
        "POST /v1/orders/cancel-all-after": {"timeout": 700_000},
        "PATCH /v1/orders/by-client-id/{id}": {"size": "0.005"},
        "DELETE /v1/orders/by-client-id/{id}": None,
        "PATCH /v1/orders/{id}": {"size": "0.005"},
        "DELETE /v1/orders/{id}": None,
        "POST /v1/transfers": {"clientTransferId": "x", "token": "USDC", "amount": "1", **ends},
        "PUT /v1/protections/{protection}": {"windowMillis": 900, "deltaMax": "5"},
        "DELETE /v1/protections/{protection}": None,
        "POST /v1/protections/{protection}/reset": None,
        "POST /v1/sessions": {**signed, "issuedAt": soon - 300, "expiry": soon},
        "DELETE /v1/sessions/{key}": None,
        "DELETE /v1/sessions": None,
        "POST /v1/vault/withdraw": {**signed, **withdrawal, "nonce": "1", "deadline": soon},
        "POST /v1/vault/deposit": {**signed, "amount": "5", "nonce": "0", "deadline": soon},
        "POST /v1/agents": {**signed, "agent": foreign["agent"], **terms},
        "POST /v1/vault/approvals": {"purpose": "withdraw", **withdrawal, "nonce": "1", "deadline": soon},
        "POST /v1/admin/markets": {"action": "pause", "symbol": "BTC-USDC"},
        "POST /v1/admin/bands": {"symbol": "BTC-USDC", "belowPpm": 1, "abovePpm": 1},
        "POST /v1/admin/groups": {"accounts": [account], "group": 1},
        "POST /v1/admin/fees": {"tiers": []},
        "POST /v1/admin/cxpt": {"accounts": [{"account": account, "amount": "1"}]},
        "POST /v1/admin/fills": {"fill": 1, "reason": "curious"},
    }


async def test_nothing_that_is_written_shows_or_touches_what_is_the_other_s(real, both) -> None:
    alice, bob, of_alice, of_bob = await two(real, both)
    order = (await bob.sign(Ticket(symbol="BTC-USDC", side="buy", price="901", size="0.01", slot=10))).body
    bodies, before = writes(of_bob, of_alice, order, alice.address), await what_stands(alice)
    found = await operations(bob, reads=False)
    assert set(bodies) == set(found), "think of each"
    for name, (method, path, _) in found.items():
        for one in paths_of(path, path_values(of_bob, of_alice, path)):
            answer = await ask(bob, method, one, bodies[name])
            assert answer.status_code < 500 and answer.status_code not in (405, 429), (name, answer.text)
            assert shown(of_alice, answer.text, asked=one + json.dumps(bodies[name])) == [], (name, answer.text)
    assert await what_stands(alice) == before
    await restore(bob)


async def what_stands(client) -> list:
    orders = sorted((order.id, order.status, order.amount) for order in await client.orders())
    parts = sorted((part.subaccount, part.free) for part in await client.subaccounts())
    protections = [(one.number, one.amount_max, one.state) for one in await client.protections()]
    venue = await client.venue()
    return [orders, parts, protections, await client.cancels_all_at(), venue["markets"], venue.get("fees")]


async def restore(client) -> None:
    """A session again, and the protection as it was."""
    client._session = None
    await client.login()
    await client.set_protection(3, 1_000, amount_max="77777", symbols=["BTC-USDC"])


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
    channels = [one.replace("SYMBOL", "BTC-USDC") for one in (await bob.capabilities())["channels"]]
    assert {one.partition(":")[0] for one in channels} > {*PRIVATE_CHANNELS, "admin", "book"}
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
            answer = await ask(op="subscribe", channel=channel)
            if channel.startswith("admin"):
                assert answer["error"]["code"] == "NOT_AN_OPERATOR"
            else:
                assert answer["ok"], channel
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
        assert shown({**of_alice, "later": new.order.id, "its name": "alice-later"}, everything) == []
        for kind in PRIVATE_CHANNELS:
            assert f'"channel": "{kind}"' in everything, kind
