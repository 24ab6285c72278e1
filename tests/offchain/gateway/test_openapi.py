"""openapi.json is valid, lists what is served, and describes what is really answered."""

import asyncio
import json
import time

import httpx
import msgspec
import pytest
from conftest import KEYS
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from offchain.client import Refused, Ticket
from offchain.gateway.answers import ANSWERS
from offchain.gateway.failures import CCXT, STATUS
from offchain.gateway.openapi import openapi_json
from offchain.gateway.routes import ROUTES, Auth

SPEC = json.loads(json.dumps(openapi_json()))
REGISTRY = Registry().with_resource("", Resource(contents=SPEC, specification=DRAFT202012))


def operation_of(method: str, path: str) -> dict:
    """By a request's method and path, templates matched literally first."""
    if path in SPEC["paths"]:
        return SPEC["paths"][path][method.lower()]
    for template, operations in SPEC["paths"].items():
        parts, names = path.split("/"), template.split("/")
        if len(parts) == len(names) and all(n == p or n.startswith("{") for p, n in zip(parts, names, strict=True)):
            return operations[method.lower()]
    raise AssertionError(path)


def check(method: str, url: str, status: int, body: bytes, seen: set[str] | None = None) -> None:
    """An answer is one that the description names, and fits its schema."""
    operation = operation_of(method, url.partition("?")[0])
    responses = operation["responses"]
    assert str(status) in responses, (method, url, status, body)
    schema = responses[str(status)]["content"]["application/json"]["schema"]
    validator = Draft202012Validator(schema, registry=REGISTRY, _resolver=REGISTRY.resolver())
    found = [error.message for error in validator.iter_errors(json.loads(body))]
    assert not found, (method, url, found[:3], body[:500])
    if seen is not None and status < 400:
        seen.add(operation["operationId"])


def test_the_check_of_answers_itself() -> None:
    with pytest.raises(AssertionError):
        check("GET", "/v1/venue", 200, b"{}")
    good = {"symbol": "A-B", "trades": [], "seq": 1}
    check("GET", "/v1/trades/A-B", 200, json.dumps(good).encode())
    for bad in ({"trades": [{}]}, {"seq": "1"}, {"more": 1}):
        with pytest.raises(AssertionError):
            check("GET", "/v1/trades/A-B", 200, json.dumps(good | bad).encode())


def test_it_is_valid() -> None:
    errors = [error.message for error in OpenAPIV31SpecValidator(SPEC).iter_errors()]
    assert errors == []


def test_it_lists_every_route_with_its_parameters() -> None:
    for route in ROUTES:
        operation = SPEC["paths"][route.path][route.method.lower()]
        names = {parameter["name"] for parameter in operation.get("parameters", ())}
        assert names == {*route.query, *(part[1:-1] for part in route.path.split("/") if part.startswith("{"))}
        assert ("security" in operation) == (route.auth not in (Auth.NONE, Auth.SIGNATURE))
        assert ("requestBody" in operation) == (route.request is not None)
    assert set(ANSWERS) == {route.handler.__name__ for route in ROUTES}


def test_it_has_every_error_code_and_ccxt_s_class() -> None:
    code = SPEC["components"]["schemas"]["Problem"]["properties"]["code"]
    assert set(code["enum"]) == set(STATUS)
    assert code["x-ccxt"] == CCXT


class Checked(httpx.AsyncHTTPTransport):
    """Holds every answer to a client against the description."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        body = await response.aread()
        check(request.method, request.url.raw_path.decode(), response.status_code, body, self.seen)
        return response


def checked(client, transport: Checked):
    client._http._transport = transport
    return client


async def trade(client, other) -> None:
    """One of everything that trades."""
    await client.eip712()
    await client.capabilities()
    await client.venue()
    maker = await client.place("BTC-USDC", "sell", "50000.1", "0.02", client_order_id="spec")
    await other.place("BTC-USDC", "buy", "50000.1", "0.01", time_in_force="IOC")
    tickets = [Ticket(symbol="BTC-USDC", side="buy", price=price, size="0.01") for price in ("1", "2")]
    signed = [await client.sign(ticket) for ticket in tickets]
    bodies = [signed[0].body, signed[1].body | {"price": "1.05"}]
    await client._send("POST", "/v1/orders", bodies)
    await client.order(maker.order.id)
    await client.order_by_client_id("spec")
    await client.orders()
    await client.fills()
    await client.balances()
    await client.book("BTC-USDC", 5)
    await client.trades("BTC-USDC")
    await client.quote("BTC-USDC", "buy", "0.001")
    await client.amend(maker.order.id, "0.015")
    await client._send("PATCH", "/v1/orders/by-client-id/spec", {"size": "0.015"}, session=True)
    await client.replace(maker.order.id, Ticket(symbol="BTC-USDC", side="sell", price="51000", size="0.02"))
    named = Ticket(symbol="BTC-USDC", side="sell", price="52000", size="0.02", stop_loss_price="1", visible_size="0.01")
    waits = await client.place_ticket(msgspec.structs.replace(named, client_order_id="waits"))
    bodies = [(await client.sign(tickets[0])).body, {}]
    batch = {"mode": "each", "cancels": [waits.order.id, "x"], "amends": [], "orders": bodies}
    await client._send("POST", "/v1/orders/batch", batch, session=True)
    await client.place_ticket(msgspec.structs.replace(named, client_order_id="named"))
    await client.cancel_by_client_id("named")
    await client.cancel_all_after(60_000)
    await client.cancels_all_at()
    await client.agents()
    await client.transfer("USDC", "1", 0, 3)
    await client.balances()
    await client.balances(3)
    await client.set_protection(1, 1_000, amount_max="5", symbols=["BTC-USDC"])
    quote = await client.place("BTC-USDC", "buy", "40000", "0.001", subaccount=0, protected=True)
    await other.place("BTC-USDC", "sell", "40000", "0.001", time_in_force="IOC")
    assert (await client.order(quote.order.id)).protected and (await client.protections())[0].state == "FROZEN"
    await client.reset_protection(1)
    await client.remove_protection(1)
    await client.fees()
    await client.cancel((await client.orders())[0].id)
    await client.orders("closed")
    await client.cancel_all()
    await client.approval("lock", "USDC", "1")
    await client.withdraw("USDC", "1")


@pytest.mark.timeout(120)
async def test_real_answers_fit_their_schemas(engine_venue, start_real_venue) -> None:
    transport = Checked()
    async with engine_venue.client() as client, engine_venue.client(KEYS[1]) as other:
        checked(client, transport), checked(other, transport)
        await trade(client, other)
        for path in ("/v1/pools/BTC-USDC", "/v1/openapi.json", "/livez", "/readyz"):
            await client._get(path)
        terms = {"synth": "hETH", "name": "HOOATS Ether", "lotSize": "0.001", "tickSize": "0.01", "ceiling": "1000"}
        terms |= {"initialPercent": 150, "maintenancePercent": 130, "bonusPercent": 10, "quorum": 1}
        await client.create_market("ETH-USDC", terms | {"maxAgeSeconds": 600, "maxMovePpmPerMinute": 100_000})
        await client.market_states()
        await client.set_market_state("BTC-USDC", "pause")
        assert (await client.set_band("BTC-USDC", 50_000, 60_000))["band"] == {"belowPpm": 50_000, "abovePpm": 60_000}
        await client.set_group([client.address, other.address], 7)
        tier = {"volumeMin": "1000", "makerFeePpm": 500, "takerFeePpm": 2000}
        await client.set_fee_schedule([tier], [{"cxptMin": "1", "discountPpm": 100_000}])
        await client.observe_cxpt({client.address: "2.5"})
        await client.fees()
        await client.venue()
        await client.withdraw_market("ETH-USDC")
        number = (await client.fills())[0].id
        await client.take_back_fill(int(number), "a test of the description")
        await other.logout((await other.login())[0])
        await client.logout(everywhere=True)
        for method, path in (
            ("GET", "/v1/orders"),
            ("POST", "/v1/orders"),
            ("GET", "/v1/book/NOPE"),
            ("GET", "/v1/epochs/x"),
        ):
            with pytest.raises(Refused):
                await client._send(method, path, {} if method == "POST" else None)
    domain = {"permit_name": "USD Coin", "permit_version": "2"}
    async with start_real_venue(**domain) as (_, venue), venue.client() as client:
        checked(client, transport)
        assert "Permit" in await client.eip712()
        await client.deposit_status((await client.deposit("5", nonce=0)).id)
        await client.register_agent("0x" + "e7" * 20, notional=1, expiry=int(time.time()) + 600)
        placed = await client.place("BTC-USDC", "buy", "7", "0.01")
        deadline = time.monotonic() + 20
        while True:
            try:
                proof = await client.proof(placed.order.id)
                break
            except Refused:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
        await client.epoch(proof["header"]["epoch"])
        await client.group_receipt(placed.order.seq, placed.order.id)
    operations = {operation["operationId"] for path in SPEC["paths"].values() for operation in path.values()}
    assert operations - transport.seen == {"stream", "metrics"}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.asyncio(loop_scope="module")
async def test_a_refusal_of_every_route_fits_its_schema(shared_venue, route) -> None:
    """Without a session, without a body, and of things that are not there."""
    path = route.path
    for name, value in (
        ("symbol", "NOPE"),
        ("id", "0x" + "00" * 32),
        ("number", "x"),
        ("key", "none"),
        ("sequence", "x"),
    ):
        path = path.replace("{" + name + "}", value)
    async with httpx.AsyncClient(base_url=shared_venue.url) as http:
        headers = {"content-type": "application/json"}
        for body in (b"", b"{}", b"[", msgspec.json.encode({"unheardOf": 1})):
            if route.method == "GET" and body:
                continue
            response = await http.request(route.method, path, content=body, headers=headers)
            check(route.method, path, response.status_code, response.content)
