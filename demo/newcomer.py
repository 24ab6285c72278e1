"""A trader who has USDC and nothing to pay gas with: his deposit and his agent go on chain by the venue's relay.

Invariant: it is judged by what the exchange says of deposit, balance, agent and order, and by the chain's word that the
wallet never sent a transaction nor had a coin to pay for one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from demo.checks import wait
from demo.keys import Key
from demo.report import Report
from demo.stage import Stage
from demo.traders import USDC
from offchain.chain.contracts import Token
from offchain.chain.registry import Registry
from offchain.chain.wallet import Wallet
from offchain.client import HooatsClient, Placed, Refused, Ticket
from offchain.client.orders import Signer
from offchain.domain.units import Address

DEPOSIT = "100"
ALLOWANCE = 50 * USDC
"""What the agent may trade in all."""
AGENT_SECONDS = 24 * 3600
BID = Ticket(symbol="BTC-USDC", side="buy", price="1000", size="0.01")
"""Far from where anybody sells: it rests."""


class Newcomer:
    """`giver` gives him USDC; `agent` signs orders for him."""

    def __init__(self, stage: Stage, report: Report, registry: Registry, *, giver: Key, owner: Key, agent: Key) -> None:
        self._stage, self._report, self._registry = stage, report, registry
        self._giver, self._owner, self._agent = giver, owner, agent

    async def arrive(self) -> None:
        """Claims both: the deposit, and the agent whose order is taken."""
        await asyncio.to_thread(self._give)
        async with HooatsClient(self._stage.api_url, self._owner.secret) as client:
            await self._deposit(client)
            await self._appoint(client)

    def _give(self) -> None:
        atoms = int(DEPOSIT) * USDC
        giver = Wallet(self._stage.rpc_url, self._giver.secret)
        giver.transact(self._registry.quote_token, Token.mint, self._owner.address, atoms)

    async def _deposit(self, client: HooatsClient) -> None:
        begun = time.monotonic()
        asked = await client.deposit(DEPOSIT, nonce=0)

        async def is_over() -> bool:
            return (await client.deposit_status(asked.id)).status != "pending"

        await self._wait("the relayed deposit", is_over)
        status = (await client.deposit_status(asked.id)).status
        held = status == "credited" and (await client.balances())["USDC"].settled == DEPOSIT and self._paid_nothing()
        self._report.check("relayed_deposit", held, f"{status} after {time.monotonic() - begun:.1f} s")

    async def _appoint(self, client: HooatsClient) -> None:
        begun = time.monotonic()
        before = await self._place_by_agent(client)
        market = (await client.markets())[BID.symbol].market
        expiry = int(time.time()) + AGENT_SECONDS
        await client.register_agent(self._agent.address, notional=ALLOWANCE, expiry=expiry, markets=[market])

        async def is_registered() -> bool:
            return self._agent.address in [Address(one.agent) for one in await client.agents() if not one.revoked]

        await self._wait("the relayed agent", is_registered)
        seconds, after = time.monotonic() - begun, await self._place_by_agent(client)
        was_refused = isinstance(before, Refused) and before.code == "WRONG_SIGNER"
        is_taken = isinstance(after, Placed) and await self._rests(client, after.order.id)
        told = after.code if isinstance(after, Refused) else f"order {after.order.status}"
        held = was_refused and is_taken and self._paid_nothing()
        self._report.check("relayed_agent", held, f"after {seconds:.1f} s, {told}")

    async def _place_by_agent(self, client: HooatsClient) -> Placed | Refused:
        """The owner's order with the agent's signature."""
        signed = await client.sign(BID)
        signature = Signer(self._agent.secret).sign(bytes.fromhex(signed.digest[2:]))
        try:
            return await client.place_signed(signed._replace(body=signed.body | {"signature": signature}))
        except Refused as refused:
            return refused

    async def _rests(self, client: HooatsClient, order: str) -> bool:
        """By the owner's own session."""
        return [resting.id for resting in await client.orders(status="open")] == [order]

    def _paid_nothing(self) -> bool:
        """By the chain: no transaction sent, and no coin to send one with."""
        asked = ("eth_getTransactionCount", "eth_getBalance")
        return all(self._stage.rpc(method, self._owner.address, "latest") == "0x0" for method in asked)

    async def _wait(self, what: str, is_done: Callable[[], Awaitable[bool]]) -> None:
        await wait(self._stage, what, is_done, 60)
