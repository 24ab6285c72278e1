"""What needs no login: discovery, market data, probes."""

import re

import httpx
import pytest
from conftest import KEYS
from gateway_stub import CHAIN_ID, COMMITMENT, SETTLEMENT, VAULT, Level

from offchain.domain import eip712
from offchain.gateway.routes import ROUTES

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def get(venue, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=venue.url) as http:
        return await http.get(path)


async def test_openapi_lists_every_route(shared_venue) -> None:
    description = (await get(shared_venue, "/v1/openapi.json")).json()
    listed = {(method.upper(), path) for path, methods in description["paths"].items() for method in methods}
    served = {
        (method, route.path.replace(":path", ""))
        for route in shared_venue.gateway.routes
        for method in getattr(route, "methods", None) or {"GET"}
        if method != "HEAD"
    }
    assert listed == served
    references = set(re.findall(r"#/components/schemas/(\w+)", str(description)))
    assert references <= set(description["components"]["schemas"])
    assert {route.request.__name__ for route in ROUTES if route.request} <= references


async def test_operations_have_names_of_their_own() -> None:
    names = [route.handler.__name__ for route in ROUTES]
    assert len(set(names)) == len(names)
    assert all(route.summary for route in ROUTES)


async def test_templates_name_their_contracts(shared_venue) -> None:
    templates = (await get(shared_venue, "/v1/eip712")).json()
    contracts = {name: template["domain"]["verifyingContract"] for name, template in templates.items()}
    assert contracts == {
        "Order": SETTLEMENT,
        "Cancel": SETTLEMENT,
        "CancelAll": SETTLEMENT,
        "Agent": SETTLEMENT,
        "BulkOrder": SETTLEMENT,
        "Session": SETTLEMENT,
        "Withdraw": VAULT,
        "Approval": VAULT,
        "Receipt": COMMITMENT,
    }
    for name, template in templates.items():
        assert template["primaryType"] == name
        assert template["domain"]["chainId"] == CHAIN_ID
        fields = [field["name"] for field in template["types"][name]]
        assert set(template["fields"]) <= set(fields)
        inside = ",".join(f"{field['type']} {field['name']}" for field in template["types"][name])
        assert template["typeString"] == f"{name}({inside})"
    for name in ("Order", "Cancel", "CancelAll", "Session", "Withdraw"):
        assert set(templates[name]["fields"]) == {field["name"] for field in templates[name]["types"][name]}
    assert templates["Order"]["typeString"] == eip712.ORDER_TYPE


async def test_markets_have_exact_steps(shared_venue) -> None:
    (market,) = (await get(shared_venue, "/v1/markets")).json()["markets"]
    assert (market["tickSize"], market["lotSize"], market["base"], market["quote"]) == ("0.1", "0.0001", "BTC", "USDC")
    assert (market["makerFeePpm"], market["takerFeePpm"], market["state"]) == (2500, 2500, "ACTIVE")


async def test_book_depth(shared_venue) -> None:
    for price in range(20):
        last = shared_venue.sequencer.publish(Level(600_000 + price, 1))
    await shared_venue.wait(lambda: shared_venue.publisher.model.sequence == last)
    deep, shallow = [(await get(shared_venue, f"/v1/book/BTC-USDC?depth={n}")).json() for n in (100, 2)]
    assert len(deep["bids"]) >= 20
    assert shallow["bids"] == deep["bids"][:2]
    assert shallow["checksum"] == deep["checksum"], "over the top 10 whatever the depth"
    assert deep["seq"] == last


async def test_capabilities_map_every_error(shared_venue) -> None:
    capabilities = (await get(shared_venue, "/v1/capabilities")).json()
    assert capabilities["errors"]["INSUFFICIENT_BALANCE"] == {"status": 422, "ccxt": "InsufficientFunds"}
    assert capabilities["limits"]["bodyBytes"] == 65_536
    assert capabilities["contracts"]["vault"] == VAULT


async def test_probes_and_metrics(shared_venue) -> None:
    assert (await get(shared_venue, "/livez")).json() == {"live": True}
    ready = await get(shared_venue, "/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    text = (await get(shared_venue, "/metrics")).text
    assert "hooats_gateway_sequencer_live 1.0" in text and "hooats_gateway_publisher_live 1.0" in text
    assert 'hooats_gateway_requests_total{method="GET",route="/v1/markets",status="200"}' in text
    assert KEYS[0].hex() not in text


async def test_every_answer_has_a_request_id_of_its_own(shared_venue) -> None:
    answers = [await get(shared_venue, "/v1/markets") for _ in range(3)]
    assert len({answer.headers["hooats-request-id"] for answer in answers}) == 3


async def test_trades_and_venue(shared_venue) -> None:
    assert (await get(shared_venue, "/v1/trades/BTC-USDC")).json()["trades"] == []
    venue = (await get(shared_venue, "/v1/venue")).json()
    assert (venue["state"], venue["markets"]) == ("ACTIVE", {"BTC-USDC": "ACTIVE"})
    assert (await get(shared_venue, "/v1/epochs/1")).status_code == 404
    assert (await get(shared_venue, "/v1/epochs/x")).status_code == 400
