"""Deposits by permit and agents, asked of the relay: who signed, once, and what came of it."""

# ruff: noqa: ASYNC110  (other processes are waited for by looking)

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from conftest import KEYS, Running, run_real_venue
from real_venue import CHAIN_ID, QUOTE, SETTLEMENT, VAULT, RealVenue

from offchain.client import HooatsClient, Refused
from offchain.client.orders import Signer
from offchain.domain import eip712
from offchain.domain.chainlog import AgentRegistered, Deposited
from offchain.domain.event import RelayRequested
from offchain.domain.units import Address, from_hex
from offchain.storage.ops import Ops

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALICE, NEWCOMER, OTHER, THIRD = (Signer(key) for key in (KEYS[0], b"\x91" * 32, b"\x92" * 32, b"\x93" * 32))
DOMAIN = eip712.separator_of("USD Coin", "2", CHAIN_ID, QUOTE)
AGENT = Address("0x" + "e7" * 20)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relayed() -> AsyncIterator[tuple[RealVenue, Running]]:
    async with run_real_venue(permit_name="USD Coin", permit_version="2") as found:
        yield found


def permit(signer: Signer, amount: int = 7, nonce: int = 0, **changes: Any) -> dict[str, Any]:
    deadline = int(time.time()) + 600
    terms = {"account": signer.address, "amount": str(amount), "nonce": nonce, "deadline": deadline} | changes
    signed = eip712.permit_digest(DOMAIN, signer.address, VAULT, amount * 10**6, nonce, terms["deadline"])
    return {"signature": signer.sign(signed)} | terms


async def post(venue: Running, path: str, body: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient(base_url=venue.url) as http:
        headers = {"content-type": "application/json"}
        return await http.post(path, content=msgspec.json.encode(body), headers=headers)


async def ended(client: HooatsClient, id: str) -> str:
    async with asyncio.timeout(10):
        while (found := await client.deposit_status(id)).status == "pending":
            await asyncio.sleep(0.02)
    return found.status


async def test_a_deposit_of_a_newcomer_is_asked_for_once_and_credited(relayed) -> None:
    processes, venue = relayed
    body = permit(NEWCOMER)
    first = (await post(venue, "/v1/vault/deposit", body)).json()
    assert (first["deposit"]["status"], first["deposit"]["amount"], first["replayed"]) == ("pending", "7", False)
    short = body | {"signature": "0x" + eip712.compact(from_hex(body["signature"])).hex()}
    again = [(await post(venue, "/v1/vault/deposit", what)).json() for what in (body, short)]
    assert again == [first | {"replayed": True}] * 2, "also in the other form of its signature"
    processes.observe(Deposited, account=NEWCOMER.address, token=QUOTE, amount=7 * 10**6, balance=7 * 10**6)
    async with venue.client(b"\x91" * 32) as client:
        assert await ended(client, first["deposit"]["id"]) == "credited"
        assert (await client.deposit_status(first["deposit"]["id"])).transaction == "0x" + "00" * 32
        assert (await client.balances())["USDC"].total == "7"
    after = (await post(venue, "/v1/vault/deposit", body)).json()
    assert (after["replayed"], after["deposit"]["status"]) == (True, "credited")


async def test_the_outbox_has_what_was_signed(relayed) -> None:
    processes, venue = relayed
    body = permit(OTHER, 9)
    seq = (await post(venue, "/v1/vault/deposit", body)).json()["deposit"]["seq"]
    ops = Ops(processes.ops_url)
    try:
        async with asyncio.timeout(10):
            while (row := ops.outbox_row("relay", seq)) is None:
                await asyncio.sleep(0.02)
    finally:
        ops.close()
    request = msgspec.json.decode(row.payload, type=RelayRequested).request
    assert (request.account, request.amount, request.signature) == (OTHER.address, 9_000_000, body["signature"])


async def test_of_two_at_once_one_is_asked_for(relayed) -> None:
    _, venue = relayed
    body = permit(THIRD)
    answers = [found.json() for found in await asyncio.gather(*(post(venue, "/v1/vault/deposit", body) for _ in "abc"))]
    assert sum(not answer["replayed"] for answer in answers) == 1
    assert len({answer["deposit"]["seq"] for answer in answers}) == 1


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"signature": "0x" + "00" * 65}, "INVALID_SIGNATURE", None),
        ({"account": ALICE.address}, "WRONG_SIGNER", None),
        ({"amount": "8"}, "WRONG_SIGNER", None),
        ({"nonce": 1}, "WRONG_SIGNER", None),
        ({"amount": 7}, "INVALID_FIELD", "amount"),
        ({"nonce": 2**256}, "INVALID_FIELD", "nonce"),
    ],
)
async def test_what_the_owner_did_not_sign_is_not_sequenced(relayed, changes, code, field) -> None:
    _, venue = relayed
    before = venue.gateway.upstream.newest
    error = (await post(venue, "/v1/vault/deposit", permit(NEWCOMER) | changes)).json()["error"]
    assert (error["code"], error["data"].get("field")) == (code, field)
    assert venue.gateway.upstream.newest == before


async def test_what_is_not_worth_its_gas_or_too_late_says_so(relayed) -> None:
    _, venue = relayed
    now = int(time.time())
    for body, field in (
        (permit(NEWCOMER, 4), "amount"),
        (permit(NEWCOMER, deadline=now + 30), "deadline"),
        (permit(NEWCOMER, deadline=now + 4_000), "deadline"),
    ):
        error = (await post(venue, "/v1/vault/deposit", body)).json()["error"]
        assert (error["code"], error["data"]["field"]) == ("INVALID_PARAMETER", field) and error["data"]["remedy"]


async def test_nobody_sees_anothers_deposit(relayed) -> None:
    _, venue = relayed
    id = (await post(venue, "/v1/vault/deposit", permit(OTHER, 11, 1))).json()["deposit"]["id"]
    async with venue.client(KEYS[0]) as alice:
        for wanted in (id, "0x" + "12" * 32, "nonsense"):
            with pytest.raises(Refused) as caught:
                await alice.deposit_status(wanted)
            assert caught.value.code == "NOT_FOUND"


async def test_the_client_deposits_and_registers(relayed) -> None:
    processes, venue = relayed
    async with venue.client(KEYS[0]) as alice:
        deposit = await alice.deposit("12.5", nonce=3)
        assert (deposit.status, deposit.amount_atoms, deposit.nonce) == ("pending", "12500000", "3")
        expiry = int(time.time()) + 9_000
        asked = await alice.register_agent(AGENT, notional=10**12, expiry=expiry, markets=[1])
        terms = {"agent": AGENT, "expiry": expiry, "notional": 10**12, "markets": (1,)}
        assert (asked.status, asked.agent, asked.markets) == ("pending", AGENT, [1])
        processes.observe(AgentRegistered, account=ALICE.address, **terms)
        async with asyncio.timeout(10):
            while AGENT not in [agent.agent for agent in await alice.agents()]:
                await asyncio.sleep(0.02)
        assert (await alice.register_agent(AGENT, notional=10**12, expiry=expiry, nonce=1)).status == "pending"
    async with venue.client(b"\x94" * 32) as stranger:
        with pytest.raises(Refused) as caught:
            await stranger.register_agent(AGENT, notional=1, expiry=expiry)
        assert caught.value.code == "INSUFFICIENT_BALANCE"


async def test_an_agent_that_the_account_did_not_sign_is_not_sequenced(relayed) -> None:
    _, venue = relayed
    expiry = deadline = int(time.time()) + 600
    separator = eip712.domain_separator(CHAIN_ID, SETTLEMENT)
    signed = eip712.agent_digest(separator, ALICE.address, eip712.AgentTerms(AGENT, expiry, 5, ()), 0, deadline)
    body = {"account": ALICE.address, "agent": AGENT, "expiry": expiry, "notional": 6, "nonce": 0, "deadline": deadline}
    before = venue.gateway.upstream.newest
    answer = await post(venue, "/v1/agents", body | {"signature": ALICE.sign(signed)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "WRONG_SIGNER")
    assert venue.gateway.upstream.newest == before


async def test_a_venue_whose_token_has_no_permits_says_so(shared_venue) -> None:
    answer = await post(shared_venue, "/v1/vault/deposit", permit(NEWCOMER))
    assert answer.json()["error"]["code"] == "UNSUPPORTED"
