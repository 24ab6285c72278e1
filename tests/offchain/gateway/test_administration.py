"""Operators: who may, what is checked where, and the channels that tell of it."""

import pytest
from conftest import KEYS

from offchain.client import Refused
from offchain.client.orders import Signer

pytestmark = pytest.mark.asyncio
TERMS = {
    "synth": "hETH",
    "name": "HOOATS Ether",
    "lotSize": "0.001",
    "tickSize": "0.01",
    "ceiling": "1000",
    "initialPercent": 150,
    "maintenancePercent": 130,
    "bonusPercent": 10,
    "quorum": 1,
    "maxAgeSeconds": 600,
    "maxMovePpmPerMinute": 100_000,
}


async def refused(attempt) -> Refused:
    with pytest.raises(Refused) as caught:
        await attempt
    return caught.value


async def test_a_market_is_asked_for_listed_opened_and_delisted(engine_venue) -> None:
    stub = engine_venue.sequencer
    async with engine_venue.client() as operator:
        requested = await operator.create_market("ETH-USDC", TERMS)
        assert (requested["market"], requested["quoteAtomsPerTickLot"], requested["by"]) == (2, "10", operator.address)
        assert (await operator.market_states())["ETH-USDC"] == "REQUESTED"
        twice = await refused(operator.create_market("ETH-USDC", TERMS))
        assert (twice.code, twice.status) == ("MARKET_EXISTS", 409)
        units = {"base_atoms_per_lot": 10**15, "quote_atoms_per_tick_lot": 10}
        stub.list_market(market=2, symbol="ETH-USDC", base_token="0x" + "66" * 20, **units)
        await engine_venue.wait(lambda: "ETH-USDC" in engine_venue.publisher.model.symbols)
        assert (await operator.venue())["requested"] == []
        for action, state in (
            ("pause", "PAUSED"),
            ("post_only", "POST_ONLY"),
            ("cancel_only", "CANCEL_ONLY"),
            ("resume", "ACTIVE"),
            ("delist", "DELISTED"),
        ):
            assert (await operator.set_market_state("ETH-USDC", action))["state"] == state
        gone = await refused(operator.set_market_state("ETH-USDC", "resume"))
        assert (gone.code, gone.status) == ("MARKET_DELISTED", 409)


async def test_a_stranger_writes_nothing(engine_venue) -> None:
    stub = engine_venue.sequencer
    async with engine_venue.client(KEYS[1]) as trader:
        before = stub.sequence
        for attempt in (trader.create_market("ETH-USDC", TERMS), trader.set_market_state("BTC-USDC", "pause")):
            answer = await refused(attempt)
            assert (answer.code, answer.status) == ("NOT_AN_OPERATOR", 403)
        assert stub.sequence == before
        with pytest.raises(Refused, match="operator"):
            await anext(trader.stream(["admin:BTC-USDC"]))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"synth": None}, "synth"),
        ({"lotSize": "0"}, "lotSize"),
        ({"lotSize": "1e3"}, "lotSize"),
        ({"tickSize": "0.0000001"}, "tickSize"),
        ({"ceiling": "-1"}, "ceiling"),
        ({"initialPercent": 130}, "initialPercent"),
        ({"bonusPercent": 30}, "bonusPercent"),
        ({"quorum": 0}, "quorum"),
        ({"maxAgeSeconds": 99_999}, "maxAgeSeconds"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_term_is_named(engine_venue, change, field) -> None:
    async with engine_venue.client() as operator:
        answer = await refused(operator.create_market("ETH-USDC", TERMS | change))
        assert (answer.status, answer.data["field"]) == (400, field)


async def test_terms_belong_to_create(engine_venue) -> None:
    async with engine_venue.client() as operator:
        body = {"action": "pause", "symbol": "BTC-USDC", "lotSize": "1"}
        answer = await refused(operator._send("POST", "/v1/admin/markets", body, session=True))
        assert answer.data["field"] == "lotSize"


async def test_channels_tell_who_did_it(engine_venue) -> None:
    async with engine_venue.client() as operator:
        life, venue = operator.stream(["admin:BTC-USDC"]), operator.stream(["venue"])
        assert ((await anext(life))["state"], (await anext(venue))["markets"]) == ("ACTIVE", {"BTC-USDC": "ACTIVE"})
        await operator.set_market_state("BTC-USDC", "pause")
        told = await anext(life)
        assert told["events"] == [{"kind": "state", "state": "PAUSED", "by": Signer(KEYS[0]).address}]
        assert (await anext(venue))["markets"] == {"BTC-USDC": "PAUSED"}
        await life.aclose()
        await venue.aclose()


async def test_a_market_that_is_not_wanted_any_more(engine_venue) -> None:
    stub = engine_venue.sequencer
    async with engine_venue.client() as operator, engine_venue.client(KEYS[1]) as trader:
        for symbol in ("ETH-USDC", "BTC-USDC"):
            assert (await refused(operator.withdraw_market(symbol))).code == "UNKNOWN_MARKET"
        first = await operator.create_market("ETH-USDC", TERMS)
        assert (await refused(trader.withdraw_market("ETH-USDC"))).code == "NOT_AN_OPERATOR"
        await operator.withdraw_market("ETH-USDC")
        assert (await operator.venue())["requested"] == []
        assert (await refused(operator.withdraw_market("ETH-USDC"))).code == "UNKNOWN_MARKET"
        again = await operator.create_market("ETH-USDC", TERMS)
        assert again["market"] == first["market"] + 1, "the list keeper may be at work on the first"
        units = {"base_atoms_per_lot": 10**15, "quote_atoms_per_tick_lot": 10}
        stub.list_market(market=again["market"], symbol="ETH-USDC", base_token="0x" + "66" * 20, **units)
        await engine_venue.wait(lambda: "ETH-USDC" in engine_venue.publisher.model.symbols)
        assert (await refused(operator.withdraw_market("ETH-USDC"))).code == "UNKNOWN_MARKET"


async def test_a_fill_that_sinks_its_batch_is_taken_back(engine_venue) -> None:
    async with engine_venue.client() as operator, engine_venue.client(KEYS[1]) as trader:
        await trader.place("BTC-USDC", "sell", "100", "0.02")
        await operator.place("BTC-USDC", "buy", "100", "0.01", time_in_force="IOC")
        assert (await refused(trader.take_back_fill(1, "mine"))).code == "NOT_AN_OPERATOR"
        assert (await refused(operator.take_back_fill(2, "no such"))).code == "UNKNOWN_FILL"
        for reason in ("", "x" * 201, "a\nb"):
            assert (await refused(operator.take_back_fill(1, reason))).data["field"] == "reason"
        assert await operator.take_back_fill(1, "its signature does not recover on chain") == ["1"]
        twice = await refused(operator.take_back_fill(1, "again"))
        assert (twice.code, twice.data["field"]) == ("INVALID_PARAMETER", "fill")
    (fill,) = engine_venue.sequencer.engine.batches.unsettled.values()
    assert fill.is_taken_back
