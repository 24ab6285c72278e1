"""A program with an agent's key and no other: it trades, cancels and reads for its account, and no more than that."""

import asyncio
import sys
import time

import pytest
from conftest import KEYS
from test_stream import open_socket

from offchain.client import HooatsClient, Refused
from offchain.client.orders import Signer
from offchain.client.unified import Hooats
from offchain.client.unified.errors import PermissionDenied
from offchain.domain.chainlog import AgentRegistered, AgentRevoked
from offchain.domain.errors import ConfigurationError, InvalidInput
from offchain.domain.limits import AGENT_UNLIMITED

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALICE = Signer(KEYS[0])
KEY = b"\x21" * 32
AGENT = Signer(KEY).address


async def register(processes, venue) -> None:
    terms = {"expiry": int(time.time()) + 3600, "notional": AGENT_UNLIMITED, "markets": ()}
    processes.observe(AgentRegistered, account=ALICE.address, agent=AGENT, **terms)
    await venue.wait(lambda: AGENT in venue.gateway.model.agents.get(ALICE.address, {}))


def acting(venue, key: bytes = KEY, account: str | None = ALICE.address) -> HooatsClient:
    return venue.client(key, account=account)


async def code_of(question) -> str:
    with pytest.raises(Refused) as refused:
        await question
    return refused.value.code


async def rest(stream) -> None:
    async for _ in stream:
        pass


async def test_a_program_with_an_agents_key(start_real_venue) -> None:
    async with start_real_venue() as (processes, venue), acting(venue) as agent, venue.client() as owner:
        assert await code_of(agent.balances()) == "WRONG_SIGNER", "it is none yet"
        await register(processes, venue)
        assert (agent.account, agent.address) == (ALICE.address, AGENT)
        placed = await agent.place("BTC-USDC", "buy", "40000", "0.01", client_order_id="mine")
        hidden = await agent.place("BTC-USDC", "buy", "39000", "0.1", visible_size="0.01")
        assert {order.id for order in await owner.orders()} == {placed.order.id, hidden.order.id}
        assert await agent.orders() == await owner.orders() and await agent.balances() == await owner.balances()
        assert (await agent.amend(hidden.order.id, "0.05")).amount == "0.05"
        assert (await agent.cancel(placed.order.id)).status == "canceled"
        quote = await owner.place("BTC-USDC", "buy", "41000", "0.01")
        assert (await agent.cancel(quote.order.id)).status == "canceled"
        assert len(await agent.cancel_all()) == 1
        stream = agent.stream(["orders"])
        assert (await asyncio.wait_for(anext(stream), 10))["channel"] == "orders"

        processes.observe(AgentRevoked, account=ALICE.address, agent=AGENT, effective_at=1)
        assert await code_of(asyncio.wait_for(rest(stream), 15)) == "SESSION_REVOKED"
        assert await code_of(agent.balances()) == "SESSION_REVOKED"
        await owner.balances()


async def test_what_is_for_the_owner_alone(start_real_venue) -> None:
    async with start_real_venue() as (processes, venue), acting(venue) as agent, venue.client() as owner:
        await register(processes, venue)
        before = await owner.balances()
        assert await code_of(agent.transfer("USDC", "1", 0, 1)) == "AGENT_NOT_ENTITLED"
        assert await code_of(agent.approval("withdraw", "USDC", "1")) == "AGENT_NOT_ENTITLED"
        assert await code_of(agent.set_group([ALICE.address], 1)) == "AGENT_NOT_ENTITLED"
        assert await code_of(agent.logout(everywhere=True)) == "AGENT_NOT_ENTITLED"
        assert await code_of(agent.logout((await owner.login())[0])) == "NOT_FOUND"
        async with open_socket(venue) as socket:
            assert (await socket.login(agent))["account"] == ALICE.address
            transfer = {"token": "USDC", "amount": "1", "fromSubaccount": 0, "toSubaccount": 1, "clientTransferId": "t"}
            assert await socket.refused(op="transfer", transfer=transfer) == "AGENT_NOT_ENTITLED"
            assert await socket.refused(op="subscribe", channel="admin:BTC-USDC") == "AGENT_NOT_ENTITLED"
        for question in (
            agent.withdraw("USDC", "1"),
            agent.deposit("1", nonce=0),
            agent.register_agent("0x" + "11" * 20, notional=1, expiry=2**39),
        ):
            with pytest.raises(ConfigurationError, match="signed by the account itself"):
                await question
        assert await owner.balances() == before
        await agent.logout()
        assert await code_of(agent.balances()) == "SESSION_REVOKED"


async def test_a_connection_stays_with_the_key_that_logged_in(start_real_venue) -> None:
    """What the owner subscribed to may not be for an agent, nor outlive the owner's session."""
    async with start_real_venue() as (processes, venue), acting(venue) as agent, venue.client() as owner:
        await register(processes, venue)
        for first, second in ((owner, agent), (agent, owner)):
            async with open_socket(venue) as socket:
                assert (await socket.login(first))["ok"]
                answer = await socket.login(second)
                assert (answer["ok"], answer.get("error", {}).get("code")) == (False, "UNAUTHENTICATED")
                assert (await socket.login(first))["ok"]


async def test_nobody_elses_agent(start_real_venue) -> None:
    """A key is an agent of the accounts that registered it, and of no other."""
    other = Signer(KEYS[1]).address
    async with start_real_venue() as (processes, venue), acting(venue, account=other) as agent:
        await register(processes, venue)
        assert await code_of(agent.balances()) == "WRONG_SIGNER"
        assert await code_of(agent.place("BTC-USDC", "buy", "40000", "0.01")) == "WRONG_SIGNER"
        async with acting(venue, KEYS[2]) as stranger:
            assert await code_of(stranger.balances()) == "WRONG_SIGNER"


async def test_in_ccxts_words(start_real_venue) -> None:
    async with start_real_venue() as (processes, venue):
        await register(processes, venue)
        config = {"apiUrl": venue.url, "privateKey": "0x" + KEY.hex(), "walletAddress": ALICE.address}
        async with Hooats(config) as exchange:
            order = await exchange.create_order("BTC/USDC", "limit", "buy", 0.01, 40000)
            assert (await exchange.cancel_order(order["id"], "BTC/USDC"))["status"] == "canceled"
            with pytest.raises(PermissionDenied):
                await exchange.transfer("USDC", 1, "0", "1")


async def test_on_the_command_line(start_real_venue, tmp_path) -> None:
    key = tmp_path / "agent.key"
    key.write_text("0x" + KEY.hex())
    flags = ("--key", str(key), "--account", ALICE.address)
    async with start_real_venue() as (processes, venue):
        await register(processes, venue)
        command = (sys.executable, "-m", "offchain.cli", "order", "place", "BTC-USDC", "buy", "0.01", "40000", *flags)
        process = await asyncio.create_subprocess_exec(*command, "--api", venue.url, stdout=asyncio.subprocess.PIPE)
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        async with venue.client() as owner:
            (resting,) = await owner.orders()
        assert f"open, 0 of 0.01 filled; {resting.id}" in output.decode()


async def test_an_account_that_is_none() -> None:
    with pytest.raises(InvalidInput, match="account is not an address"):
        HooatsClient("http://127.0.0.1:1", KEY, account="alice")
