"""Orders, cancels and withdrawals through the gateway, and what a trader learns when the sequencer goes away."""

import asyncio
import time

import httpx
import msgspec
import pytest
from conftest import KEYS
from gateway_stub import CHAIN_ID, SETTLEMENT, VAULT

from offchain.client import ExchangeUnreachable, Refused, Ticket
from offchain.client.orders import Signer
from offchain.domain import eip712
from offchain.gateway.settings import RateSettings
from offchain.gateway.trading import READ_YOUR_WRITES_SECONDS
from offchain.security.limits import Rate

ALICE, BOB = Signer(KEYS[0]), Signer(KEYS[1])
SEPARATOR = eip712.domain_separator(CHAIN_ID, SETTLEMENT)


async def test_place_read_cancel(venue) -> None:
    async with venue.client() as client:
        placed = await client.place("BTC-USDC", "buy", "61500.1", "0.01", client_order_id="mine")
        order = placed.order
        assert (order.status, order.filled, order.remaining, order.cost) == ("open", "0", "0.01", "0")
        assert (placed.receipt.order_hash, placed.receipt.seq) == (order.id, order.seq)
        assert [found.id for found in await client.orders()] == [order.id]
        assert (await client.order(order.id)).receipt.signature == placed.receipt.signature
        assert (await client.order_by_client_id("mine")).id == order.id
        assert (await client.book("BTC-USDC"))["bids"] == [["61500.1", "0.01"]]
        cancelled = await client.cancel(order.id)
        assert (cancelled.status, cancelled.reason) == ("canceled", "CANCELED")
        assert await client.orders() == []
        assert [found.id for found in await client.orders("closed")] == [order.id]
        assert (await client.book("BTC-USDC"))["bids"] == []


async def test_the_same_order_again_gets_the_first_result(venue) -> None:
    async with venue.client() as client:
        signed = await client.sign(Ticket(symbol="BTC-USDC", side="buy", price="1", size="0.01"))
        first, second = await client.place_signed(signed), await client.place_signed(signed)
    assert (first.replayed, second.replayed) == (False, True)
    assert (first.order.id, first.receipt) == (second.order.id, second.receipt)


async def test_orders_in_an_array_are_placed_together(venue) -> None:
    async with venue.client() as client:
        tickets = [Ticket(symbol="BTC-USDC", side="buy", price=str(50_000 + n), size="0.01") for n in range(20)]
        before = venue.sequencer.submissions
        placed = await client.place_all(tickets)
        assert venue.sequencer.submissions == before + 1
        assert [answer.order.price for answer in placed] == [ticket.price for ticket in tickets]
        assert len({answer.order.slot for answer in placed}) == 20
        assert set(await client.cancel_all()) == {answer.order.id for answer in placed}


async def test_open_orders_page_by_cursor(venue) -> None:
    async with venue.client() as client:
        for n in range(5):
            await client.place("BTC-USDC", "buy", str(100 + n), "0.01")
        assert [order.price for order in await client.orders(limit=2)] == ["104", "103", "102", "101", "100"]


async def test_a_stranger_s_orders_do_not_exist(venue) -> None:
    """BOLA: reading, cancelling, by id and by client order id."""
    async with venue.client() as alice, venue.client(KEYS[1]) as bob:
        placed = await alice.place("BTC-USDC", "buy", "1", "0.01", client_order_id="secret")
        attempts = [
            bob.order(placed.order.id),
            bob.cancel(placed.order.id),
            bob.order_by_client_id("secret"),
            bob.order("0x" + "00" * 32),
        ]
        answers = []
        for attempt in attempts:
            with pytest.raises(Refused) as refused:
                await attempt
            answers.append((refused.value.code, refused.value.status, refused.value.data))
        assert answers == [("ORDER_NOT_FOUND", 404, {})] * 4
        assert await bob.orders() == await bob.orders("closed") == await bob.fills() == []
        assert await bob.cancel_all() == []
        assert (await alice.order(placed.order.id)).status == "open"


async def test_a_cancel_waits_for_no_publisher_that_is_late(engine_venue) -> None:
    """It may be seconds behind under load; who wants out is answered from the acknowledgement."""
    async with engine_venue.client() as alice, engine_venue.client(KEYS[1]) as bob:
        whole, part = [await alice.place("BTC-USDC", "buy", price, "0.02", client_order_id=price) for price in "12"]
        engine_venue.sequencer.withhold()
        await bob.place("BTC-USDC", "sell", "2", "0.01")
        began = time.perf_counter()
        cancelled = await alice.cancel(whole.order.id)
        assert (cancelled.status, cancelled.filled, cancelled.cost) == ("canceled", "0", "0")
        assert (cancelled.id, cancelled.client_order_id, cancelled.reason) == (whole.order.id, "1", "CANCELED")
        cancelled = await alice.cancel_by_client_id("2")
        assert (cancelled.id, cancelled.status, cancelled.filled) == (part.order.id, "canceled", "0.01")
        assert (cancelled.remaining, cancelled.cost) == ("0.01", None), "what was paid only the publisher knows"
        again = await alice.cancel(part.order.id)
        assert (again.status, again.filled, again.reason) == ("canceled", "0.01", "CANCELED"), "a repeated one too"
        with pytest.raises(Refused, match="ORDER_NOT_FOUND"):
            await bob.cancel(whole.order.id)
        with pytest.raises(Refused, match="ORDER_NOT_FOUND"):
            await bob.cancel_by_client_id("1")
        assert time.perf_counter() - began < READ_YOUR_WRITES_SECONDS


async def test_a_publisher_that_keeps_up_again_is_waited_for_again(engine_venue) -> None:
    """Late is who was late, until he is seen to keep up; and nobody who wants out waits to find that out."""
    sequencer, gateway = engine_venue.sequencer, engine_venue.gateway
    async with engine_venue.client() as client:
        orders = [(await client.place("BTC-USDC", "buy", str(price), "0.01")).order for price in range(1, 5)]
        sequencer.withhold()
        await client.place("BTC-USDC", "buy", "9", "0.01")
        await client.cancel(orders[0].id)
        assert gateway.model.sequence < sequencer.sequence
        assert gateway.publications.patience(READ_YOUR_WRITES_SECONDS) == 0.0
        await sequencer.stop()
        await sequencer.start()
        await engine_venue.wait(lambda: gateway.trading.is_live() and gateway.model.sequence == sequencer.sequence)
        await client.cancel(orders[1].id)
        await engine_venue.wait(lambda: gateway.publications.patience(1.0) > 0)
        await client.cancel(orders[2].id)
        assert gateway.model.sequence == sequencer.sequence, "seen at once, everywhere"


async def test_nobody_waits_to_find_out_that_the_publisher_is_still_late(engine_venue, monkeypatch) -> None:
    """It tells of everything, but too late: no cancel pays for that knowledge."""
    publications, waited = engine_venue.gateway.publications, []
    patience, receive = publications.patience, publications._line._receive
    async with engine_venue.client() as client:
        tickets = [
            Ticket(symbol="BTC-USDC", side="buy", price=str(price), size="0.01", slot=price) for price in range(1, 23)
        ]
        orders = [placed.order for placed in await client.place_all(tickets)]
        later = asyncio.get_running_loop().call_later
        monkeypatch.setattr(publications._line, "_receive", lambda message: later(0.2, receive, message))
        monkeypatch.setattr(publications, "patience", lambda seconds: waited.append(patience(seconds)) or waited[-1])
        await client.place("BTC-USDC", "buy", "99", "0.01")
        for order in orders:
            assert (await client.cancel(order.id)).status == "canceled"
            await asyncio.sleep(0.05)
        assert waited == [0.0] * len(orders)


async def test_cancel_by_signature(venue) -> None:
    async with venue.client() as client, httpx.AsyncClient(base_url=venue.url) as http:
        order = (await client.place("BTC-USDC", "buy", "1", "0.01")).order

        async def attempt(signer: Signer, nonce: int) -> tuple[int, str]:
            digest = eip712.cancel_digest(SEPARATOR, ALICE.address, nonce)
            body = {"account": ALICE.address, "nonce": str(nonce), "signature": signer.sign(digest)}
            headers = {"content-type": "application/json"}
            content = msgspec.json.encode(body)
            answer = await http.request("DELETE", f"/v1/orders/{order.id}", content=content, headers=headers)
            return answer.status_code, answer.json().get("error", {}).get("code", "")

        assert await attempt(BOB, int(order.nonce)) == (401, "WRONG_SIGNER")
        assert await attempt(ALICE, int(order.nonce) + 1) == (400, "INVALID_FIELD")
        assert await attempt(ALICE, 0) == (400, "INVALID_FIELD"), "it would cancel any order, for whoever has seen it"
        assert await attempt(ALICE, int(order.nonce)) == (200, "")
        assert await attempt(ALICE, int(order.nonce)) == (409, "ORDER_NOT_OPEN")


async def test_a_cancel_at_the_very_instant_of_the_expiry_is_no_cancel(engine_venue) -> None:
    """Found open, and gone by its timer before the command: not answered as if the cancel had been what ended it."""
    async with engine_venue.client() as client:
        expiry = int(time.time()) + 60
        order = (await client.place("BTC-USDC", "buy", "1", "0.01", time_in_force="GTD", expiry=expiry)).order
        engine_venue.sequencer.at = expiry * 1000
        with pytest.raises(Refused) as refused:
            await client.cancel(order.id)
        assert refused.value.code == "ORDER_NOT_OPEN"
        assert (refused.value.data["order"]["status"], refused.value.data["order"]["reason"]) == ("expired", "EXPIRED")


def compact(signature: str) -> str:
    """ERC-2098: r, then s with the parity in its highest bit."""
    raw = bytes.fromhex(signature[2:])
    return "0x" + raw[:32].hex() + f"{int.from_bytes(raw[32:64], 'big') | (raw[64] - 27) << 255:064x}"


@pytest.mark.parametrize("first_form", [str, compact])
async def test_an_order_is_one_order_in_both_forms_of_its_signature(venue, first_form) -> None:
    """What is journaled has 65 bytes, whatever came; the second form gets the first result."""
    async with venue.client() as client:
        body = (await client.sign(Ticket(symbol="BTC-USDC", side="buy", price="1", size="0.01"))).body
    forms = {str: body["signature"], compact: compact(body["signature"])}
    first, other = forms.pop(first_form), next(iter(forms.values()))
    answers = []
    async with httpx.AsyncClient(base_url=venue.url) as http:
        for signature in (first, other):
            content = msgspec.json.encode(body | {"signature": signature})
            answer = await http.post("/v1/orders", content=content, headers={"content-type": "application/json"})
            answers.append(answer.json())
    assert [answer["replayed"] for answer in answers] == [False, True]
    assert answers[0]["order"]["id"] == answers[1]["order"]["id"]
    kept = venue.sequencer.placed[answers[0]["order"]["id"]]
    assert kept.signature.hex() == body["signature"][2:]


async def test_signed_cancels_in_64_bytes(venue) -> None:
    async with venue.client() as client, httpx.AsyncClient(base_url=venue.url) as http:
        order = (await client.place("BTC-USDC", "buy", "1", "0.01")).order
        headers = {"content-type": "application/json"}
        digest = eip712.cancel_digest(SEPARATOR, ALICE.address, int(order.nonce))
        body = {"account": ALICE.address, "nonce": order.nonce, "signature": compact(ALICE.sign(digest))}
        one = await http.request("DELETE", f"/v1/orders/{order.id}", content=msgspec.json.encode(body), headers=headers)
        assert one.status_code == 200, one.text
        order = (await client.place("BTC-USDC", "buy", "1", "0.01")).order
        floor = time.time_ns() // 1_000_000
        signature = compact(ALICE.sign(eip712.cancel_all_digest(SEPARATOR, ALICE.address, floor)))
        body = {"account": ALICE.address, "floor": floor, "signature": signature}
        answer = await http.request("DELETE", "/v1/orders", content=msgspec.json.encode(body), headers=headers)
        assert answer.json()["canceled"] == [order.id]


async def test_cancel_all_by_signature(venue) -> None:
    async with venue.client() as client, httpx.AsyncClient(base_url=venue.url) as http:
        order = (await client.place("BTC-USDC", "buy", "1", "0.01")).order
        floor = time.time_ns() // 1_000_000
        signature = ALICE.sign(eip712.cancel_all_digest(SEPARATOR, ALICE.address, floor))
        body = msgspec.json.encode({"account": ALICE.address, "floor": floor, "signature": signature})
        answer = await http.request("DELETE", "/v1/orders", content=body, headers={"content-type": "application/json"})
        assert answer.json()["canceled"] == [order.id]


# --- money ---


async def test_withdrawal_is_countersigned_once(venue) -> None:
    async with venue.client() as client:
        approval = await client.withdraw("USDC", "12.5")
        assert (approval.purpose, approval.amount_atoms, approval.destination) == (
            "withdraw",
            "12500000",
            ALICE.address,
        )
        assert approval.signature == "0x" + "cd" * 65
    before = venue.sequencer.submissions
    body = withdrawal_body()
    first, second = [await post_withdrawal(venue, body) for _ in range(2)]
    assert (first.json()["replayed"], second.json()["replayed"]) == (False, True)
    assert first.json()["approval"] == second.json()["approval"]
    assert venue.sequencer.submissions == before + 1
    again = await post_withdrawal(venue, body | {"signature": compact(body["signature"])})
    assert again.json()["replayed"] and again.json()["approval"] == first.json()["approval"]
    assert venue.sequencer.submissions == before + 1


def withdrawal_body(signer: Signer = ALICE, **changes) -> dict:
    withdrawal = eip712.Withdrawal(
        ALICE.address, "0x" + "44" * 20, 5_000_000, BOB.address, False, 77, int(time.time()) + 60
    )
    digest = eip712.withdraw_digest(eip712.domain_separator(CHAIN_ID, VAULT), withdrawal)
    return {
        "account": ALICE.address,
        "token": "USDC",
        "amount": "5",
        "destination": BOB.address,
        "nonce": 77,
        "deadline": withdrawal.deadline,
        "signature": signer.sign(digest),
    } | changes


async def post_withdrawal(venue, body: dict) -> httpx.Response:
    async with httpx.AsyncClient(base_url=venue.url) as http:
        headers = {"content-type": "application/json"}
        return await http.post("/v1/vault/withdraw", content=msgspec.json.encode(body), headers=headers)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signature": "0x" + "00" * 65}, "INVALID_SIGNATURE"),
        ({"amount": "6"}, "WRONG_SIGNER"),
        ({"destination": ALICE.address}, "WRONG_SIGNER"),
        ({"asCxpt": True}, "WRONG_SIGNER"),
        ({"token": "DOGE"}, "UNKNOWN_TOKEN"),
        ({"amount": "0"}, "INVALID_FIELD"),
        ({"amount": 5}, "INVALID_FIELD"),
        ({"amount": "0.0000001"}, "INVALID_FIELD"),
        ({"amount": str(2**128)}, "INVALID_FIELD"),
        ({"nonce": 2**256}, "INVALID_FIELD"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_withdrawals_that_the_owner_did_not_sign(shared_venue, changes, code) -> None:
    venue = shared_venue
    before = venue.sequencer.submissions
    answer = await post_withdrawal(venue, withdrawal_body(**changes))
    assert answer.json()["error"]["code"] == code
    assert venue.sequencer.submissions == before


async def test_approvals_of_lock_and_burn(venue) -> None:
    async with venue.client() as client:
        lock = await client.approval("lock", "USDC", "5")
        assert (lock.purpose, lock.account, lock.amount_atoms) == ("lock", ALICE.address, "5000000")
        with pytest.raises(Refused, match="has no destination"):
            await client.approval("burn", "BTC", "5", destination=BOB.address)


async def test_approvals_of_withdrawals_are_over_all_that_the_owner_sends(venue) -> None:
    async with venue.client() as client:
        first, second = [await client.approval("withdraw", "USDC", "5", destination=BOB.address) for _ in range(2)]
        assert (first.purpose, first.destination, first.as_cxpt) == ("withdraw", BOB.address, False)
        assert int(first.owner_nonce) < int(second.owner_nonce)
        assert first.owner_deadline > time.time()
        body = {"purpose": "withdraw", "token": "USDC", "amount": "5", "destination": BOB.address}
        with pytest.raises(Refused, match="deadline of its own"):
            await client._send("POST", "/v1/vault/approvals", body, session=True, retry=False)


# --- the sequencer goes away ---


async def test_orders_while_the_sequencer_is_away(venue) -> None:
    async with venue.client(retry_seconds=0) as client:
        signed = await client.sign(Ticket(symbol="BTC-USDC", side="buy", price="1", size="0.01", slot=1))
        seen = (await client.book("BTC-USDC"))["seq"]
        await venue.sequencer.stop()
        await venue.wait(lambda: not venue.gateway.trading.is_live())
        async with httpx.AsyncClient(base_url=venue.url) as http:
            assert (await http.get("/readyz")).status_code == 503
            assert (await http.get("/livez")).status_code == 200
            headers = {"content-type": "application/json"}
            answer = await http.post("/v1/orders", content=msgspec.json.encode(signed.body), headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "UNAVAILABLE")
        assert answer.json()["error"]["data"]["executed"] is False
        assert answer.headers["retry-after"] == "1"
        assert (await client.book("BTC-USDC"))["seq"] == seen, "market data stay, with their sequence"
        await venue.sequencer.start()
        await venue.wait(lambda: venue.gateway.trading.is_live())
        assert (await client.place_signed(signed)).replayed is False


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_unknown_outcome_says_so_and_is_safe_to_repeat(venue, moment) -> None:
    async with venue.client(retry_seconds=0) as client:
        signed = await client.sign(Ticket(symbol="BTC-USDC", side="buy", price="1", size="0.01", slot=1))
        venue.sequencer.lose_next = moment
        with pytest.raises(ExchangeUnreachable) as caught:
            await client.place_signed(signed)
        assert caught.value.digest == signed.digest
        await venue.wait(lambda: venue.gateway.trading.is_live())
        placed = await client.place_signed(signed)
        assert placed.replayed is (moment == "after")
        assert [order.id for order in await client.orders()] == [signed.digest]


async def test_unknown_outcome_on_the_wire(venue) -> None:
    async with venue.client() as client, httpx.AsyncClient(base_url=venue.url) as http:
        signed = await client.sign(Ticket(symbol="BTC-USDC", side="buy", price="1", size="0.01", slot=1))
        venue.sequencer.lose_next = "after"
        headers = {"content-type": "application/json"}
        answer = await http.post("/v1/orders", content=msgspec.json.encode(signed.body), headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "UNKNOWN")
        assert answer.json()["error"]["data"]["digest"] == signed.digest


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_the_client_repeats_by_itself(venue, moment) -> None:
    async with venue.client() as client:
        await client.markets()
        await client.orders()
        venue.sequencer.lose_next = moment
        placed = await client.place("BTC-USDC", "buy", "1", "0.01")
        assert len(await client.orders()) == 1
        venue.sequencer.lose_next = moment
        several = await client.place_all(
            [Ticket(symbol="BTC-USDC", side="buy", price=str(2 + n), size="0.01") for n in range(3)]
        )
        assert len(await client.orders()) == 4
        assert placed.order.id not in {answer.order.id for answer in several}


# --- budgets ---


async def test_accounts_have_budgets_and_cancels_their_own(start_venue) -> None:
    wide = Rate(1_000, 1_000)
    rates = RateSettings(address=wide, account=Rate(1, 3), cancel=Rate(1, 2), connection=wide)
    async with (
        start_venue(rates=rates) as venue,
        venue.client(retry_seconds=0) as client,
        venue.client(KEYS[1]) as other,
    ):
        orders = [(await client.place("BTC-USDC", "buy", "1", "0.01")).order for _ in range(3)]
        with pytest.raises(Refused) as refused:
            await client.place("BTC-USDC", "buy", "1", "0.01")
        assert (refused.value.code, refused.value.status) == ("RATE_LIMITED", 429)
        assert refused.value.data["limit"] == "account"
        assert 0 < refused.value.data["retryAfterMs"] <= 1000
        await client.cancel(orders[0].id)
        await client.cancel(orders[1].id)
        with pytest.raises(Refused, match="RATE_LIMITED"):
            await client.cancel(orders[2].id)
        await other.place("BTC-USDC", "buy", "1", "0.01")


async def test_addresses_have_budgets(start_venue) -> None:
    rates = RateSettings(address=Rate(1, 5))
    async with start_venue(rates=rates) as venue, httpx.AsyncClient(base_url=venue.url) as http:
        statuses = [(await http.get("/v1/markets")).status_code for _ in range(7)]
        assert statuses == [200] * 5 + [429] * 2
        limited = await http.get("/v1/markets")
        assert limited.headers["retry-after"] == "1"
        assert (await http.get("/livez")).status_code == 200, "probes are free"


async def test_many_at_once(venue) -> None:
    async with venue.client() as client:
        await client.markets()
        await client.orders()
        tickets = [Ticket(symbol="BTC-USDC", side="buy", price=str(1 + n), size="0.01") for n in range(60)]
        signed = [await client.sign(ticket) for ticket in tickets]
        placed = await asyncio.gather(*map(client.place_signed, signed))
        assert len({answer.receipt.seq for answer in placed}) == 60
        assert len(await client.orders(limit=50)) == 60
