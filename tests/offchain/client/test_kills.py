"""kill -9 of gateway, sequencer and projector under a client that trades and listens: nothing lost, nothing twice."""

# ruff: noqa: ASYNC110  (other processes are waited for by looking)

import asyncio
import random

import pytest
from gateway_venues import KEYS, run_served_venue

from offchain.client import HooatsClient, LiveAccount, LocalBook, Placed, Ticket, follow_book

SEED = 5
KILLS = 8
PAIRS = 150


async def trade(alice: HooatsClient, bob: HooatsClient, number: int) -> list[Placed]:
    """A resting order of Alice, and one of Bob that takes half of every second one."""
    price = str(50_000 + number)
    made = await alice.place("BTC-USDC", "sell", price, "0.002", client_order_id=f"maker-{number}")
    if number % 2:
        return [made]
    tickets = [Ticket(symbol="BTC-USDC", side="buy", price=price, size="0.001", time_in_force="IOC")]
    (taken,) = await bob.place_all(tickets)
    assert isinstance(taken, Placed), taken
    return [made, taken]


async def follow(client: HooatsClient, symbol: str, kept: list[LocalBook]) -> None:
    async for book in follow_book(client, symbol):
        kept[:] = [book]


@pytest.mark.timeout(240)
async def test_a_client_survives_kills_of_every_process() -> None:
    chance = random.Random(SEED)
    async with run_served_venue(KEYS[:2]) as venue:
        options = {"retry_seconds": 90.0, "timeout_seconds": 5.0}
        async with (
            HooatsClient(venue.url, KEYS[0], **options) as alice,
            HooatsClient(venue.url, KEYS[1], **options) as bob,
            LiveAccount(alice) as account,
        ):
            books: list[LocalBook] = []
            reader = asyncio.create_task(follow(alice, "BTC-USDC", books))
            gate = asyncio.Semaphore(4)

            async def one(number: int) -> list[Placed]:
                async with gate:
                    return await trade(alice, bob, number)

            flow = asyncio.gather(*(one(number) for number in range(PAIRS)))
            names = ["gateway", "sequencer", "projector", "publisher"]
            for kill in range(KILLS):
                await asyncio.sleep(chance.uniform(0.1, 0.8))
                await venue.kill(names[kill] if kill < len(names) else chance.choice(names))
            placed = [answer for pair in await flow for answer in pair]
            await venue.ready()
            await compare(alice, account, books, placed)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            assert account._stream.connections > 1, "the stream was cut, too"


async def compare(alice: HooatsClient, account: LiveAccount, books: list[LocalBook], placed: list[Placed]) -> None:
    """What the streams made of it, what was answered, and what REST says."""
    mine = [answer.order.id for answer in placed if answer.order.account == alice.address]
    assert len({answer.order.seq for answer in placed}) == len(placed), "each was sequenced once"
    rest = {order.id: order for order in await alice.orders(limit=1000)}
    assert set(rest) | {order.id for order in await alice.orders("closed", limit=1000)} == set(mine)
    await account.wait(
        lambda: (
            {key: row.filled for key, row in account.orders.items()} == {key: row.filled for key, row in rest.items()}
        ),
        20,
    )
    fills = {(fill.id, fill.order) for fill in await alice.fills(limit=1000)}
    assert len(fills) == PAIRS // 2
    await account.wait(lambda: set(account.fills) == fills, 20)
    balances = {row.address: (row.total, row.held) for row in (await alice.balances()).values()}
    await account.wait(lambda: {key: (row.total, row.held) for key, row in account.balances.items()} == balances, 20)
    book = await alice.book("BTC-USDC", depth=1000)
    async with asyncio.timeout(20):
        while not books or books[0].levels("asks") != book["asks"] or books[0].levels("bids") != book["bids"]:
            await asyncio.sleep(0.05)
    for number in range(0, PAIRS, 10):
        assert (await alice.order_by_client_id(f"maker-{number}")).id in mine
