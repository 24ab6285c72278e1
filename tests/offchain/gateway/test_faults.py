"""INVALID_PARAMETER never comes without the field: over a real engine, and for every field that there is."""

import pytest
from conftest import KEYS
from test_administration import TERMS, refused

from offchain.client import Ticket
from offchain.domain.command import RequestApproval, RequestMarket
from offchain.domain.units import Address
from offchain.gateway import schema
from offchain.gateway.faults import REMEDIES, WIRE, fault_of

pytestmark = pytest.mark.asyncio
QUOTE, SYNTH, ZERO = Address("0x" + "44" * 20), Address("0x" + "55" * 20), Address("0x" + "00" * 20)
AT = 1_700_000_000_000


async def test_orders(engine_venue) -> None:
    async with engine_venue.client() as client:
        terms = {"symbol": "BTC-USDC", "side": "buy", "price": "1", "size": "0.01"}
        for field, changes in (
            ("expiry", {"time_in_force": "GTD"}),
            ("timeInForce", {"type": "market"}),
            ("postOnly", {"time_in_force": "IOC", "post_only": True}),
        ):
            error = await refused(client.place_signed(await client.sign(Ticket(**terms, **changes))))
            assert (error.code, error.data["field"]) == ("INVALID_PARAMETER", field), error
            assert field in error.message and error.remedy == REMEDIES[field]


async def test_countersignatures(engine_venue) -> None:
    async with engine_venue.client() as client:
        error = await refused(client.approval("lock", "BTC", "1"))
        assert (error.code, error.data["field"]) == ("INVALID_PARAMETER", "token")
        error = await refused(client.withdraw("BTC", "1", as_cxpt=True))
        assert (error.code, error.data["field"]) == ("INVALID_PARAMETER", "asCxpt")


@pytest.mark.parametrize(
    ("symbol", "terms", "field"),
    [
        ("DOGE", {}, "symbol"),
        ("doge-USDC", {}, "symbol"),
        ("DOGE-EUR", {}, "symbol"),
        ("DOGE-USDC", {"synth": "h D"}, "synth"),
        ("DOGE-USDC", {"name": " x"}, "name"),
        ("DOGE-USDC", {"name": "x\ny"}, "name"),
        ("DOGE-USDC", {"synth": "h\x1b[31m"}, "synth"),
    ],
)
async def test_markets(engine_venue, symbol, terms, field) -> None:
    async with engine_venue.client() as operator:
        error = await refused(operator.create_market(symbol, TERMS | terms))
        assert (error.code, error.data["field"]) == ("INVALID_PARAMETER", field)
        assert error.remedy == REMEDIES[field]


def request(**changes: object) -> RequestMarket:
    terms = {
        "symbol": "DOGE-USDC",
        "synth_symbol": "hDOGE",
        "synth_name": "Doge",
        "base_atoms_per_lot": 10**15,
        "quote_atoms_per_tick_lot": 10,
        "ceiling": 1,
        "initial_percent": 150,
        "maintenance_percent": 130,
        "bonus_percent": 10,
        "quorum": 1,
        "max_age_seconds": 600,
        "max_move_ppm_per_minute": 1,
        "by": QUOTE,
    }
    return RequestMarket(**(terms | changes))


@pytest.mark.parametrize("name", [name for name in RequestMarket.__struct_fields__ if name != "by"])
async def test_every_field_of_a_market_is_named(name) -> None:
    assert fault_of(request(), AT, QUOTE, 6, "USDC") == {}
    bad = fault_of(
        request(**{name: "" if ("s" in name and "symbol" in name) or "name" in name else 0}), AT, QUOTE, 6, "USDC"
    )
    assert bad["field"] == (WIRE.get(name) or schema.wire_name(name))
    assert bad["remedy"]


def approval(**changes: object) -> RequestApproval:
    terms = {
        "purpose": "withdraw",
        "account": QUOTE,
        "token": QUOTE,
        "amount": 1,
        "destination": QUOTE,
        "as_cxpt": False,
        "nonce": 1,
        "deadline": AT // 1000 + 60,
        "signature": "0x01",
        "signer": QUOTE,
    }
    return RequestApproval(**(terms | changes))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"purpose": "give"}, "purpose"),
        ({"as_cxpt": True, "token": SYNTH}, "asCxpt"),
        ({"destination": ZERO}, "destination"),
        ({"purpose": "lock", "token": SYNTH}, "token"),
        ({"purpose": "burn"}, "token"),
        ({"deadline": 2**39}, "deadline"),
    ],
)
async def test_every_field_of_a_countersignature_is_named(changes, field) -> None:
    assert fault_of(approval(), AT, QUOTE, 6, "USDC") == {}
    assert fault_of(approval(**changes), AT, QUOTE, 6, "USDC")["field"] == field


async def test_nobody_else_is_bothered(engine_venue) -> None:
    async with engine_venue.client(KEYS[1]) as trader:
        error = await refused(trader.create_market("DOGE", TERMS))
        assert (error.code, "field" in error.data) == ("NOT_AN_OPERATOR", False)
