"""GET /v1/capabilities has the shape of ccxt's `features`, and tells no more than what is taken."""

import json
from pathlib import Path

import httpx
import msgspec
from conftest import KEYS

from offchain.domain.order import TimeInForce
from offchain.gateway.failures import CCXT, STATUS
from offchain.gateway.settings import LIMITS

SHAPES = json.loads((Path(__file__).parents[1] / "client" / "ccxt_shapes.json").read_text())
OURS = {"FOK", "GTD", "GTC", "IOC", "PO"}


async def capabilities(venue) -> dict:
    async with httpx.AsyncClient(base_url=venue.url) as http:
        return (await http.get("/v1/capabilities")).json()


async def test_it_has_the_shape_of_ccxt_s_features(venue) -> None:
    spot = (await capabilities(venue))["features"]["spot"]
    assert set(spot) == set(SHAPES["features"])
    for method, keys in SHAPES["features"].items():
        if isinstance(spot[method], dict):
            # ccxt's older names for what is attached; `attachedStopLossTakeProfit` says it too.
            missing = set(keys) - set(spot[method]) - {"stopLoss", "takeProfit"}
            assert not missing, method
    assert set(spot["createOrder"]["timeInForce"]) == OURS == {tif.name for tif in TimeInForce} | {"PO"}


async def test_every_code_has_a_class_that_ccxt_knows(venue) -> None:
    """And only one of them leaves open whether something was executed."""
    errors = (await capabilities(venue))["errors"]
    assert set(errors) == set(STATUS) == set(CCXT)
    assert {entry["ccxt"] for entry in errors.values()} <= set(SHAPES["errors"])
    assert [code for code, entry in errors.items() if entry["ccxt"] == "RequestTimeout"] == ["UNKNOWN"]
    for code, entry in errors.items():
        assert (entry["status"] == 401) <= (entry["ccxt"] in ("AuthenticationError", "InvalidNonce")), code
        assert (entry["status"] == 429) <= (entry["ccxt"] == "RateLimitExceeded"), code


async def test_a_time_in_force_that_it_names_is_taken(venue) -> None:
    named = (await capabilities(venue))["features"]["spot"]["createOrder"]["timeInForce"]
    async with venue.client(KEYS[0]) as client:
        for name in named:
            details = {"post_only": True} if name == "PO" else {"time_in_force": name}
            if name == "GTD":
                details["expiry"] = 2**40 - 1
            assert (await client.place("BTC-USDC", "buy", "1", "0.01", **details)).order.id


async def test_numbers_are_those_in_force(venue) -> None:
    answer = await capabilities(venue)
    rates = msgspec.to_builtins(venue.gateway.settings.rates)
    assert {name: (rate["perSecond"], rate["burst"]) for name, rate in answer["rates"].items()} == {
        name: tuple(rates[name]) for name in LIMITS
    }
    assert all(isinstance(number, int) and number > 0 for number in answer["limits"].values())
