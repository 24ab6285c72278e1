"""Trades with an AMM pair as the API tells them: order flag, fills, trades, pools, quotes, routed orders."""

import msgspec
import pytest
from conftest import KEYS

from offchain.client import Refused
from offchain.client.orders import Signer
from offchain.domain.amm import amount_in, amount_out
from offchain.domain.units import PPM
from offchain.gateway.readmodel import ReadModel
from offchain.storage.replica import FeedMessage

pytestmark = pytest.mark.asyncio
BASE_RESERVE, QUOTE_RESERVE = 10**19, 500_000 * 10**6
ALICE = Signer(KEYS[0]).address


async def refused(attempt) -> Refused:
    with pytest.raises(Refused) as caught:
        await attempt
    return caught.value


async def test_a_buy_from_the_pair(engine_venue) -> None:
    async with engine_venue.client() as client:
        placed = await client.place("BTC-USDC", "buy", "60000", "0.01", amm=True)
        promised = -(-amount_in(10**16, QUOTE_RESERVE, BASE_RESERVE) * (PPM + 1_000) // PPM)
        (fill,) = placed.fills
        assert (placed.order.status, placed.order.amm, placed.order.filled) == ("closed", True, "0.01")
        assert (fill.liquidity, fill.taker_or_maker, fill.surplus) == ("amm", "taker", None)
        assert fill.cost == f"{promised // 10**6}.{promised % 10**6:06}".rstrip("0")
        assert fill.price == f"{promised // 10**4}.{promised % 10**4:04}".rstrip("0")
        (trade,) = await client.trades("BTC-USDC")
        assert (trade["liquidity"], trade["priceRounding"], trade["cost"]) == ("amm", "down", fill.cost)
        assert "account" not in trade
        assert (await client.fills())[0] == fill
        busy = await refused(client.place("BTC-USDC", "buy", "60000", "0.01", amm=True))
        assert (busy.code, busy.status) == ("POOL_BUSY", 409)


async def test_a_price_that_does_not_come_out_even_is_rounded_down(engine_venue) -> None:
    async with engine_venue.client() as client:
        placed = await client.place("BTC-USDC", "sell", "1", "0.0003", amm=True)
        (fill,) = placed.fills
        given = amount_out(3 * 10**14, BASE_RESERVE, QUOTE_RESERVE) * (PPM - 1_000) // PPM
        whole, part = divmod(given * 10**12 * 10**18 // (3 * 10**14), 10**18)
        assert fill.price == f"{whole}.{part:018}".rstrip("0").rstrip(".")


async def test_settling_brings_the_surplus_and_frees_the_pair(engine_venue) -> None:
    stub, model = engine_venue.sequencer, engine_venue.publisher.model
    async with engine_venue.client() as client:
        await client.place("BTC-USDC", "buy", "60000", "0.01", amm=True)
        assert model.markets[1].undecided == {1}
        stub.settle_pair_fill(surplus=7 * 10**12)
        await engine_venue.wait(lambda: not model.markets[1].undecided)
        (fill,) = await client.fills()
        assert (fill.state, fill.tx_hash) == ("SETTLED", "0x" + "77" * 32)
        assert (fill.surplus.amount, fill.surplus.currency) == ("0.000007", "BTC")


async def test_a_refusal_by_the_pair_is_nobodys_fault(engine_venue) -> None:
    stub, model = engine_venue.sequencer, engine_venue.publisher.model
    async with engine_venue.client() as client:
        placed = await client.place("BTC-USDC", "buy", "60000", "0.01", amm=True)
        stub.settle_pair_fill(surplus=None)
        await engine_venue.wait(lambda: not model.markets[1].undecided)
        (fill,) = await client.fills()
        assert (fill.state, fill.reason) == ("REFUSED", "AMM")
        assert (await client.order(placed.order.id)).filled == "0"


async def test_an_order_for_the_pair_does_not_rest(engine_venue) -> None:
    async with engine_venue.client() as client:
        answer = await refused(client.place("BTC-USDC", "buy", "60000", "0.01", amm=True, time_in_force="GTC"))
        assert (answer.code, answer.data["field"]) == ("INVALID_FIELD", "amm")
        missed = await client.place("BTC-USDC", "buy", "1000", "0.01", amm=True)
        assert (missed.order.status, missed.order.reason) == ("canceled", "IMMEDIATE_REMAINDER")


async def test_pools_and_the_markets_list(engine_venue) -> None:
    async with engine_venue.client(None) as client:
        pool = (await client.pools())["BTC-USDC"]
        assert (pool.base, pool.quote, pool.price, pool.fee_ppm) == ("10", "500000", "50000", 3_000)
        answer = await client._get("/v1/pools/BTC-USDC")
        assert (answer["pool"]["base"], answer["busy"]) == ("10", False)


async def test_a_quote_splits_and_routing_trades_it(engine_venue) -> None:
    async with engine_venue.client(KEYS[1]) as maker, engine_venue.client() as taker:
        await maker.place("BTC-USDC", "sell", "50300", "0.05")
        await maker.place("BTC-USDC", "sell", "53000", "1")
        quoted = await taker.quote("BTC-USDC", "buy", "0.2")
        assert quoted.complete and quoted.filled == "0.2"
        assert quoted.book.size == "0.05" and quoted.book.limit == "50300"
        assert quoted.amm.size == "0.15"
        alone = await taker.quote("BTC-USDC", "buy", "0.05", limit="50300")
        assert float(alone.total) <= 50_300 * 0.05 * 1.0025
        routed = await taker.place_routed("BTC-USDC", "buy", "0.2")
        assert routed.book.order.filled == "0.05" and routed.amm.order.filled == "0.15"
        assert routed.amm.order.amm and not routed.book.order.amm
        again = await taker.quote("BTC-USDC", "buy", "0.2")
        assert again.amm_busy and again.amm is None and again.book.limit == "53000"


async def test_a_quote_of_an_amount(engine_venue) -> None:
    async with engine_venue.client(None) as client:
        bought = await client.quote("BTC-USDC", "buy", amount="1000")
        assert float(bought.total) <= 1000 and bought.complete
        sold = await client.quote("BTC-USDC", "sell", amount="1000")
        assert float(sold.total) >= 1000 and sold.complete
        nothing = await client.quote("BTC-USDC", "buy", "1", limit="10")
        assert (nothing.filled, nothing.complete, nothing.average) == ("0", False, None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("side=up&size=1", "side"),
        ("size=1", "side"),
        ("side=buy", "size"),
        ("side=buy&size=1&amount=1", "size"),
        ("side=buy&size=0.00001", "size"),
        ("side=buy&size=-1", "size"),
        ("side=buy&amount=x", "amount"),
        ("side=buy&size=1&limit=0.01", "limit"),
    ],
)
async def test_a_malformed_quote_names_the_field(engine_venue, query, field) -> None:
    async with engine_venue.client(None) as client:
        answer = await refused(client._get(f"/v1/quote/BTC-USDC?{query}"))
        assert (answer.status, answer.data["field"]) == (400, field)


async def test_the_pool_channel(engine_venue) -> None:
    async with engine_venue.client(None) as client:
        stream = client.stream(["pool:BTC-USDC"])
        first = await anext(stream)
        assert first["pool"]["price"] == "50000"
        engine_venue.sequencer.observe_pool(10**19, 600_000 * 10**6)
        assert (await anext(stream))["pool"]["price"] == "60000"
        await stream.aclose()


async def test_a_snapshot_knows_pools_and_operators(engine_venue) -> None:
    stub, followed = engine_venue.sequencer, engine_venue.publisher.model
    stub.observe_pool(3, 4)
    await engine_venue.wait(lambda: followed.sequence == stub.sequence)
    fresh = ReadModel()
    fresh.apply(FeedMessage(stub.sequence, 0, True, tuple(stub.engine.describe())))
    assert fresh.operators == followed.operators == (ALICE,)
    assert msgspec.structs.astuple(fresh.markets[1].pool) == msgspec.structs.astuple(followed.markets[1].pool)
