"""What the client signs is what every wallet would sign; its nonces never repeat."""

import httpx
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from offchain.client import HooatsClient, Order, Refused
from offchain.client.answers import convert
from offchain.client.orders import Nonces, Signer, Slots, Ticket, sign_order
from offchain.domain import eip712
from offchain.domain.errors import InvalidInput
from offchain.domain.market import Market

KEY = bytes(range(1, 33))
SETTLEMENT = "0x" + "22" * 20
MARKET = Market(
    market=3,
    symbol="BTC-USDC",
    base_token="0x" + "55" * 20,
    base_atoms_per_lot=10**14,
    quote_atoms_per_tick_lot=10,
    base_decimals=18,
    quote_decimals=6,
)
SEPARATOR = eip712.domain_separator(998, SETTLEMENT)


@given(
    side=st.sampled_from(["buy", "sell"]),
    kind=st.sampled_from(["limit", "market"]),
    tif=st.sampled_from(["GTC", "IOC", "FOK", "GTD"]),
    ticks=st.integers(1, 2**63 - 1),
    lots=st.integers(1, 2**40 - 1),
    nonce=st.integers(0, 2**64 - 1),
    expiry=st.integers(0, 2**40 - 1),
    fee=st.integers(-(2**31), 2**31 - 1),
    post_only=st.booleans(),
)
def test_signatures_equal_those_of_another_library(side, kind, tif, ticks, lots, nonce, expiry, fee, post_only) -> None:
    price, size = MARKET.format_price(ticks), MARKET.format_size(lots)
    ticket = Ticket(
        symbol="BTC-USDC",
        side=side,
        price=price,
        size=size,
        type=kind,
        time_in_force=tif,
        expiry=expiry,
        post_only=post_only,
    )
    signed = sign_order(ticket, MARKET, nonce, fee, SEPARATOR, Signer(KEY))
    template = eip712.typed_data_template(eip712.ORDER_TYPE, 998, SETTLEMENT)
    typed = encode_typed_data(full_message=template | {"message": eip712.order_message(signed.order)})
    theirs = Account.from_key(KEY).sign_message(typed)
    assert signed.body["signature"] == "0x" + theirs.signature.hex().removeprefix("0x")
    assert signed.digest == "0x" + theirs.message_hash.hex().removeprefix("0x")
    assert (signed.order.price_ticks, signed.order.size_lots) == (ticks, lots)


def test_address_equals_that_of_another_library() -> None:
    assert Signer(KEY).address == Account.from_key(KEY).address.lower()
    assert KEY.hex() not in repr(Signer(KEY))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5)), max_size=200))
def test_nonces_rise_in_every_slot_whatever_the_clock_does(steps) -> None:
    now, last = 1_700_000_000_000, {}
    nonces = Nonces(lambda: now)
    for slot, step in steps:
        now += step
        nonce = nonces.next(slot)
        assert nonce >> 48 == slot
        assert nonce > last.get(slot, 0)
        last[slot] = nonce


def test_slots_avoid_those_in_use() -> None:
    slots = Slots()
    slots.mark({1, 2, 4})
    assert [slots.take() for _ in range(3)] == [3, 5, 6]


@pytest.mark.parametrize(("price", "size"), [("1.23", "1"), ("1", "0.00001"), ("0", "1"), ("1", "0"), ("x", "1")])
def test_what_does_not_fit_the_grid_is_not_signed(price, size) -> None:
    ticket = Ticket(symbol="BTC-USDC", side="buy", price=price, size=size)
    with pytest.raises(InvalidInput):
        sign_order(ticket, MARKET, 1, 0, SEPARATOR, Signer(KEY))


# --- sent again ---


class Lossy(httpx.AsyncBaseTransport):
    """Answers with what was prepared; an exception is a lost answer."""

    def __init__(self, *answers: Exception | dict) -> None:
        self.answers = list(answers)
        self.bodies: list[bytes] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/v1/orders":
            return httpx.Response(200, json=KNOWN[request.url.path])
        self.bodies.append(await request.aread())
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(409, json=answer)


DEAD = {"ok": False, "error": {"code": "DEAD_NONCE", "message": "dead", "data": {}}, "requestId": ""}
POOR = {"ok": False, "error": {"code": "INSUFFICIENT_BALANCE", "message": "poor", "data": {}}, "requestId": ""}
KNOWN = {
    "/v1/venue": {"makerFeePpm": 0, "takerFeePpm": 0, "feeSchedule": None},
    "/v1/eip712": {
        "Order": {"domain": {"name": "HOOATS", "version": "1", "chainId": 998, "verifyingContract": SETTLEMENT}}
    },
    "/v1/markets": {
        "markets": [
            {"symbol": "BTC-USDC", "market": 3, "state": "ACTIVE", "makerFeePpm": 0, "takerFeePpm": 0}
            | {"baseToken": "0x" + "55" * 20, "baseDecimals": 18, "quoteDecimals": 6}
            | {"baseAtomsPerLot": str(10**14), "quoteAtomsPerTickLot": "10"}
        ]
    },
}


NOT_FOUND = Refused("ORDER_NOT_FOUND", "no such order", {}, 404)
FIELDS = {"clientOrderId": "", "timestamp": 1, "lastTradeTimestamp": 1, "lastUpdateTimestamp": 1, "symbol": "BTC-USDC"}
FIELDS |= {"type": "limit", "side": "buy", "price": "1", "amount": "0.01", "cost": "0.01", "average": "1"}
FIELDS |= {"filled": "0.01", "remaining": "0", "timeInForce": "IOC", "postOnly": False, "reason": "FILLED", "fee": None}
FIELDS |= {"account": "0x", "nonce": "1", "slot": 0, "expiry": 0, "seq": 7, "status": "closed"}


@pytest.mark.parametrize(
    ("answers", "known", "orders", "outcome"),
    [
        ((DEAD, DEAD, POOR), None, 3, "INSUFFICIENT_BALANCE"),
        ((httpx.ReadError("lost"), DEAD, POOR), NOT_FOUND, 2, "INSUFFICIENT_BALANCE"),
        ((httpx.ReadError("lost"), DEAD), "itself", 1, "closed"),
    ],
    ids=["overtaken", "lost and overtaken", "lost and executed"],
)
async def test_an_overtaken_order_is_signed_anew_unless_it_was_executed(
    monkeypatch, answers, known, orders, outcome
) -> None:
    """DEAD_NONCE after a lost answer may mean that the first time it was executed: then nothing new is sent."""
    transport = Lossy(*answers)

    async def order(self: HooatsClient, digest: str) -> Order:
        assert known is not None, "of an order whose first answer says that it was not executed nobody is asked"
        if isinstance(known, Refused):
            raise known
        return convert(FIELDS | {"id": digest}, Order)

    async def fills(self: HooatsClient, **_) -> list:
        return []

    monkeypatch.setattr(HooatsClient, "order", order)
    monkeypatch.setattr(HooatsClient, "fills", fills)
    async with HooatsClient("http://127.0.0.1:9", KEY) as client:
        client._http._transport = transport
        try:
            result = (await client.place("BTC-USDC", "buy", "1", "0.01", time_in_force="IOC")).order.status
        except Refused as refused:
            result = refused.code
    assert result == outcome
    assert (len(transport.bodies), len(set(transport.bodies))) == (len(answers), orders)
