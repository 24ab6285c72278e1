"""What a session says of its account beside its orders, and what operators say of accounts: over the real engine."""

import time

import pytest
from conftest import KEYS
from real_venue import OPENED
from test_order_types import follow, refused, ticket
from test_stream import open_socket

from offchain.client.orders import Signer
from offchain.domain.chainlog import BatchSettled
from offchain.domain.command import AdvanceTime, SetFees

ALICE, BOB = Signer(KEYS[0]).address, Signer(KEYS[1]).address
DAY = 24 * 60 * 60 * 1000


def settle(venue) -> None:
    """The chain settles fill 1."""
    venue.sequencer.at += OPENED.batch_interval_millis
    venue.sequencer.publish(AdvanceTime())
    venue.sequencer.observe(BatchSettled, first=1, last=1, refusals=())


# --- sub-accounts ---


async def test_money_moves_between_subaccounts_and_orders_use_their_own(engine_venue) -> None:
    async with engine_venue.client() as client:
        assert await client.subaccounts() == [] and (await client.balances(3)) == {}
        assert (await client.balances(0))["USDC"].total == "1000000"
        await client.transfer("USDC", "600", 0, 3)
        parts = {part.subaccount: part.free for part in await client.subaccounts()}
        assert parts == {0: "999400", 3: "600"}
        whole = (await client.balances())["USDC"]
        assert (whole.total, whole.withdrawable) == ("1000000", "999400"), "sub-account 0 pays what is withdrawn"
        placed = await client.place("BTC-USDC", "buy", "50000", "0.01", subaccount=3)
        assert placed.order.subaccount == (await client.order(placed.order.id)).subaccount == 3
        rows = [(await client.balances(number))["USDC"].held for number in (0, 3)]
        assert rows[0] == "0" and rows[1] == (await client.balances())["USDC"].held != "0"
        short = await refused(client.place("BTC-USDC", "buy", "50000", "0.01", subaccount=3))
        assert short.code == "INSUFFICIENT_BALANCE"
        left = (await client.balances(3))["USDC"].free
        assert short.data["free"] == left and float(left) < 100, "what this sub-account has, not the account"


@pytest.mark.parametrize(
    ("words", "code", "field"),
    [
        (("USDC", "0", 0, 1), "INVALID_FIELD", "amount"),
        (("USDC", "1", 2, 2), "INVALID_FIELD", "toSubaccount"),
        (("USDC", "1", 0, 256), "INVALID_FIELD", "toSubaccount"),
        (("USDC", "0.0000001", 0, 1), "INVALID_FIELD", "amount"),
        (("NOPE", "1", 0, 1), "UNKNOWN_TOKEN", None),
    ],
)
async def test_a_transfer_that_makes_no_sense_writes_nothing(engine_venue, words, code, field) -> None:
    async with engine_venue.client() as client:
        before = engine_venue.sequencer.sequence
        error = await refused(client.transfer(*words))
        assert (error.code, error.data.get("field")) == (code, field)
        assert engine_venue.sequencer.sequence == before


async def test_a_transfer_of_more_than_there_is_is_refused(engine_venue) -> None:
    async with engine_venue.client() as client, engine_venue.client(KEYS[3]) as stranger:
        error = await refused(client.transfer("USDC", "1", 5, 6))
        assert (error.code, error.data["subaccount"]) == ("INSUFFICIENT_BALANCE", 5)
        before = engine_venue.sequencer.sequence
        assert (await refused(stranger.transfer("USDC", "1", 0, 1))).code == "INSUFFICIENT_BALANCE"
        assert engine_venue.sequencer.sequence == before


async def test_a_transfer_that_is_sent_again_moves_nothing(engine_venue) -> None:
    async with engine_venue.client() as client, open_socket(engine_venue) as socket:
        first = await client.transfer("USDC", "600", 0, 3, client_transfer_id="rent")
        again = await client.transfer("USDC", "600", 0, 3, client_transfer_id="rent")
        assert (again.replayed, again.seq, first.replayed) == (True, first.seq, False)
        error = await refused(client.transfer("USDC", "601", 0, 3, client_transfer_id="rent"))
        assert error.code == "DUPLICATE_CLIENT_TRANSFER_ID"
        await socket.login(client)
        moved = {"token": "USDC", "amount": "600", "fromSubaccount": 0, "toSubaccount": 3, "clientTransferId": "rent"}
        told = await socket.ask(op="transfer", transfer=moved)
        assert (told["replayed"], told["seq"]) == (True, first.seq)
        del moved["clientTransferId"]
        assert (await socket.ask(op="transfer", transfer=moved))["error"]["code"] == "MISSING_FIELD"
        assert (await refused(client.transfer("USDC", "1", 0, 3, client_transfer_id="a b"))).code == "INVALID_FIELD"
        assert (await client.balances(3))["USDC"].free == "600"


async def test_the_balances_channel_tells_of_parts(engine_venue) -> None:
    async with engine_venue.client() as client:
        stream = client.stream(["balances"])
        first = await anext(stream)
        assert first["subaccounts"] == [] and {row["token"] for row in first["balances"]} == {"USDC", "BTC"}
        await client.transfer("USDC", "600", 0, 3)
        told = await anext(stream)
        assert [(row["subaccount"], row["settled"]) for row in told["subaccounts"]] == [(0, "999400"), (3, "600")]
        assert [(row["settled"], row["withdrawable"]) for row in told["balances"]] == [("1000000", "999400")]
        await stream.aclose()
        again = await anext(client.stream(["balances"]))
        assert again["subaccounts"] == told["subaccounts"]


# --- protections ---


async def test_a_protection_trips_and_is_reset(engine_venue) -> None:
    async with engine_venue.client() as maker, engine_venue.client(KEYS[1]) as taker:
        assert (await refused(maker.place_ticket(ticket("buy", "50000", protected=True)))).code == "NO_PROTECTION"
        stream = maker.stream(["protections"])
        assert (await anext(stream))["protections"] == []
        done = await maker.set_protection(7, 60_000, amount_max="600", symbols=["BTC-USDC"])
        assert (done.number, done.amount_max, done.delta_max, done.symbols) == (7, "600", None, ["BTC-USDC"])
        quotes = [await maker.place_ticket(ticket("buy", str(price), protected=True)) for price in (50_000, 49_000)]
        plain = await maker.place_ticket(ticket("buy", "48000"))
        assert [one.order.protected for one in (*quotes, plain)] == [True, True, False]
        await taker.place("BTC-USDC", "sell", "50000", "0.005", time_in_force="IOC")
        assert (await maker.protections())[0].state == "ACTIVE"
        await taker.place("BTC-USDC", "sell", "49000", "0.013", time_in_force="IOC")
        ended = [await maker.order(one.order.id) for one in quotes]
        assert [(order.status, order.reason) for order in ended] == [("closed", "FILLED"), ("canceled", "PROTECTED")]
        assert (await maker.order(plain.order.id)).status == "open"
        (frozen,) = await maker.protections()
        assert (frozen.state, frozen.frozen_until) == ("FROZEN", None)
        assert frozen.tripped is not None and (frozen.tripped.amount, frozen.tripped.delta) == ("892", "892")
        assert (await refused(maker.place_ticket(ticket("buy", "47000", protected=True)))).code == "PROTECTION_FROZEN"
        await maker.reset_protection(7)
        again = await maker.place_ticket(ticket("buy", "47000", protected=True))
        await maker.remove_protection(7)
        assert await maker.protections() == [] and (await maker.order(again.order.id)).status == "open"
        assert (await refused(maker.reset_protection(7))).code == "NO_PROTECTION"
        told = [(await anext(stream))["protections"][0] for _ in range(4)]
        assert [row["state"] for row in told] == ["ACTIVE", "FROZEN", "ACTIVE", "REMOVED"]
        assert told[1]["tripped"]["amount"] == "892"
        await stream.aclose()


async def test_a_freeze_ends_by_itself(engine_venue) -> None:
    async with engine_venue.client() as maker, engine_venue.client(KEYS[1]) as taker:
        await maker.set_protection(0, 1_000, delta_max="1", freeze_millis=150)
        await maker.place_ticket(ticket("sell", "50000", "0.001", protected=True))
        await taker.place("BTC-USDC", "buy", "50000", "0.001", time_in_force="IOC")
        (frozen,) = await maker.protections()
        assert frozen.frozen_until is not None and frozen.tripped is not None and frozen.tripped.delta == "-50"
        await engine_venue.wait(lambda: time.time() * 1000 > frozen.frozen_until)
        assert (await maker.protections())[0].state == "ACTIVE"
        await maker.place_ticket(ticket("sell", "50000", "0.001", protected=True))


@pytest.mark.parametrize(
    ("number", "fields", "field"),
    [
        (32, {"amount_max": "1"}, "protection"),
        (0, {}, "amountMax"),
        (0, {"amount_max": "0"}, "amountMax"),
        (0, {"amount_max": "1", "delta_max": "-1"}, "deltaMax"),
        (0, {"amount_max": "1", "freeze_millis": 10**9}, "freezeMillis"),
        (0, {"amount_max": str(2**112)}, "amountMax"),
    ],
)
async def test_a_protection_that_makes_no_sense_is_named(engine_venue, number, fields, field) -> None:
    async with engine_venue.client() as client:
        before = engine_venue.sequencer.sequence
        error = await refused(client.set_protection(number, 1_000, **fields))
        assert error.data["field"] == field and engine_venue.sequencer.sequence == before
        assert (await refused(client.set_protection(0, 1_000, amount_max="1", symbols=["X"]))).code == "UNKNOWN_MARKET"


async def test_an_order_that_takes_at_once_is_not_protected(engine_venue) -> None:
    async with engine_venue.client() as client:
        error = await refused(client.place("BTC-USDC", "buy", "1", "0.01", time_in_force="IOC", protected=True))
        assert (error.code, error.data["field"]) == ("INVALID_PARAMETER", "protected") and error.data["remedy"]


async def test_the_same_over_the_websocket(engine_venue) -> None:
    async with engine_venue.client() as client, open_socket(engine_venue) as socket:
        await socket.login(client)
        limits = {"windowMillis": 1_000, "amountMax": "5"}
        done = await socket.ask(op="setProtection", number=2, protection=limits)
        assert (done["ok"], done["protection"]["amountMax"], done["protection"]["state"]) == (True, "5", "ACTIVE")
        assert (await socket.ask(op="resetProtection", number=2))["number"] == 2
        assert (await socket.ask(op="removeProtection", number=2))["ok"]
        moved = {"clientTransferId": "1", "token": "USDC", "amount": "5", "fromSubaccount": 0, "toSubaccount": 1}
        assert (await socket.ask(op="transfer", transfer=moved))["toSubaccount"] == 1
        missing = await socket.ask(op="resetProtection")
        assert (missing["ok"], missing["error"]["code"]) == (False, "MISSING_FIELD")
        assert (await client.balances(1))["USDC"].free == "5"


# --- fees ---

TIERS = [{"volumeMin": "100", "makerFeePpm": 500, "takerFeePpm": 2_000}]
DISCOUNTS = [{"cxptMin": "1", "discountPpm": 100_000}]


async def test_fees_follow_volume_and_cxpt(engine_venue) -> None:
    async with engine_venue.client() as operator, engine_venue.client(KEYS[1]) as trader:
        before = await trader.fees()
        assert (before.maker_fee_ppm, before.taker_fee_ppm, before.tier, before.next) == (1_000, 2_500, 0, None)
        assert before.schedule is None and (await trader.venue())["feeSchedule"] is None
        schedule = await operator.set_fee_schedule(TIERS, DISCOUNTS)
        assert schedule == {"tiers": TIERS, "discounts": DISCOUNTS} == (await trader.venue())["feeSchedule"]
        await operator.observe_cxpt({BOB: "1.5"})
        after = await trader.fees()
        assert (after.taker_fee_ppm, after.cxpt) == (2_500, "0") and after.next is not None
        assert after.next.volume_min == "100"
        await operator.place("BTC-USDC", "sell", "50000", "0.01")
        await trader.place("BTC-USDC", "buy", "50000", "0.01", time_in_force="IOC")
        settle(engine_venue)
        await follow(engine_venue)
        assert ((await trader.fees()).volume, (await trader.fees()).volume_today) == ("0", "500")


async def test_a_fee_cap_below_the_own_rates_names_them(engine_venue) -> None:
    """A tier or discount of the account, not what everybody pays."""
    async with engine_venue.client() as operator, engine_venue.client(KEYS[1]) as trader:
        await operator.set_fee_schedule(TIERS, DISCOUNTS)
        await operator.observe_cxpt({BOB: "1.5"})
        engine_venue.sequencer.at += DAY
        await operator.place("BTC-USDC", "sell", "60000", "0.01")
        await follow(engine_venue)
        error = await refused(trader.place("BTC-USDC", "buy", "1", "0.01", max_fee_ppm=100))
        assert (error.code, error.data["makerFeePpm"], error.data["takerFeePpm"]) == ("FEE_CAP_TOO_LOW", 900, 2_250)
        other = await refused(operator.place("BTC-USDC", "buy", "1", "0.01", max_fee_ppm=100))
        assert (other.data["makerFeePpm"], other.data["takerFeePpm"]) == (1_000, 2_500)


async def cap_of(client) -> int:
    return (await client.sign(ticket("buy", "1"))).body["maxFeePpm"]


async def test_an_order_without_a_cap_is_signed_for_the_own_rates(engine_venue) -> None:
    """Not for more than this account pays; and after a rise only what is signed next is signed for it."""
    async with engine_venue.client() as operator, engine_venue.client(KEYS[1]) as trader:
        assert await cap_of(trader) == 2_500, "without a schedule nobody has rates of its own"
        engine_venue.sequencer.publish(SetFees(maker_fee_ppm=3_000, taker_fee_ppm=4_000))
        await follow(engine_venue)
        assert (await refused(trader.place_ticket(ticket("buy", "1")))).code == "FEE_CAP_TOO_LOW"
        assert (await trader.place_ticket(ticket("buy", "1"))).order.status == "open"
        engine_venue.sequencer.publish(SetFees(maker_fee_ppm=5_000, taker_fee_ppm=5_000))
        await follow(engine_venue)
        (short,) = await trader.place_all([ticket("buy", "2")])
        assert short.code == "FEE_CAP_TOO_LOW" and await cap_of(trader) == 5_000
        assert (await trader.sign(ticket("buy", "1", max_fee_ppm=7_000))).body["maxFeePpm"] == 7_000
        await operator.set_fee_schedule(TIERS, DISCOUNTS)
        await operator.observe_cxpt({BOB: "1.5"})
        engine_venue.sequencer.at += DAY
        await operator.place("BTC-USDC", "sell", "60000", "0.01")
        await follow(engine_venue)
    async with engine_venue.client(KEYS[1]) as trader, engine_venue.client(KEYS[2]) as other:
        assert (await cap_of(trader), await cap_of(other)) == (4_500, 5_000)
        assert (await trader.place_ticket(ticket("buy", "3"))).order.status == "open"


async def test_what_only_operators_may(engine_venue) -> None:
    async with engine_venue.client() as operator, engine_venue.client(KEYS[1]) as trader:
        before = engine_venue.sequencer.sequence
        for attempt in (trader.set_fee_schedule(TIERS), trader.observe_cxpt({BOB: "1"})):
            assert (await refused(attempt)).code == "NOT_AN_OPERATOR"
        assert (await refused(operator.observe_cxpt({BOB: "1"}))).code == "UNSUPPORTED", "no schedule to count for"
        assert engine_venue.sequencer.sequence == before
        falling = await refused(operator.set_fee_schedule([*TIERS, *TIERS]))
        assert (falling.code, falling.data["field"]) == ("INVALID_PARAMETER", "tiers") and falling.data["remedy"]
        generous = [{**TIERS[0], "makerFeePpm": -2_400, "takerFeePpm": 2_400}]
        assert (await refused(operator.set_fee_schedule(generous, DISCOUNTS))).data["field"] == "tiers"
        twice = [*DISCOUNTS, *DISCOUNTS]
        assert (await refused(operator.set_fee_schedule(TIERS, twice))).data["field"] == "discounts"
        await operator.set_fee_schedule(TIERS)
        strange = await refused(operator.observe_cxpt({Signer(KEYS[3]).address: "1"}))
        assert strange.data["field"] == "accounts"
        assert await operator.set_fee_schedule([]) is None and (await trader.venue())["feeSchedule"] is None
