"""What the client keeps of the venue by streams, against REST, while connections and snapshots come and go."""

import asyncio

import pytest
from gateway_stub import Deposit
from gateway_stub import Level as level
from gateway_venues import KEYS

from offchain.client import LiveAccount, LocalBook, Order, Refused, follow_book
from offchain.client.orders import Signer

ALICE = Signer(KEYS[0]).address


def cut(venue) -> None:
    """Every connection to the gateway, as a network would."""
    for subscribers in list(venue.gateway.hub._subscribers.values()):
        for outbox in list(subscribers):
            if not outbox.overflowed.done():
                outbox.overflowed.set_result(0)


async def test_an_account_follows_its_orders(start_venue) -> None:
    async with start_venue() as venue, venue.client() as client, LiveAccount(client) as account:
        assert (account.orders, account.is_connected) == ({}, True)
        placed = await client.place("BTC-USDC", "buy", "1", "0.01")
        await account.wait(lambda: placed.order.id in account.orders, 5)
        seen = await account.next()
        while not isinstance(seen, Order):
            seen = await account.next()
        assert seen.id == placed.order.id
        await client.cancel(placed.order.id)
        ended = await account.wait_closed(placed.order.id, 5)
        assert (ended.status, account.orders) == ("canceled", {})
        venue.sequencer.publish(Deposit(ALICE, amount=7_000_000))
        await account.wait(lambda: {row.settled for row in account.balances.values()} == {"1000007"}, 5)


async def test_an_order_that_ended_while_away_is_reconciled(start_venue) -> None:
    """The connection is lost, and cannot be resumed: the snapshot lacks the order, and REST says how it ended."""
    async with start_venue(ring_commands=2) as venue, venue.client() as client, LiveAccount(client) as account:
        kept, ended = [(await client.place("BTC-USDC", "buy", str(n), "0.01")).order.id for n in (1, 2)]
        await account.wait(lambda: len(account.orders) == 2, 5)
        cut(venue)
        await client.cancel(ended)
        for n in range(10):
            venue.sequencer.publish(level(600_000 + n, 1))
        assert (await account.wait_closed(ended, 10)).reason == "CANCELED"
        await account.wait(lambda: set(account.orders) == {kept}, 5)
        assert account._stream.connections == 2


async def test_a_cancel_may_be_repeated(start_venue) -> None:
    async with start_venue() as venue, venue.client() as client:
        placed = await client.place("BTC-USDC", "buy", "1", "0.01")
        first = await client.cancel(placed.order.id)
        assert await client.cancel(placed.order.id) == first
        with pytest.raises(Refused, match="ORDER_NOT_FOUND"):
            await client.cancel("0x" + "00" * 32)
        again = await client.place("BTC-USDC", "buy", "1", "0.01")
        await client.orders()
        venue.sequencer.lose_next = "after"
        assert (await client.cancel(again.order.id)).status == "canceled"


async def test_a_book_whose_checksum_differs_starts_again(start_venue, monkeypatch) -> None:
    async with start_venue() as venue, venue.client(None) as client:
        books = follow_book(client, "BTC-USDC")
        venue.sequencer.publish(level(610_000, 5))
        book = await anext(books)
        apply, refusals = LocalBook.apply, []

        def wrong_once(self, message) -> bool:
            if not refusals:
                refusals.append(message["seq"])
                return False
            return apply(self, message)

        monkeypatch.setattr(LocalBook, "apply", wrong_once)
        last = venue.sequencer.publish(level(620_000, 7, side=1))
        async with asyncio.timeout(5):
            again = await anext(books)
        assert (again is book, refusals, again.levels("asks")) == (True, [last], [["62000", "0.0007"]])
        await books.aclose()


async def test_a_refused_channel_is_said_and_not_tried_for_ever(start_venue) -> None:
    async with start_venue() as venue, venue.client(None) as client:
        stream = client.stream(["book:NOPE-USDC"])
        with pytest.raises(Refused, match="NOT_FOUND"):
            await asyncio.wait_for(anext(stream), 5)


@pytest.mark.timeout(120)
async def test_fills_and_their_states_survive_lost_connections(start_real_venue) -> None:
    """More fills than a snapshot holds happen while nobody listens; each is known once, as REST knows it."""
    async with (
        start_real_venue(ring_commands=50) as (_, venue),
        venue.client(KEYS[0]) as alice,
        venue.client(KEYS[1]) as bob,
        LiveAccount(alice) as account,
    ):
        await alice.place("BTC-USDC", "buy", "60000", "1")
        for _ in range(3):
            await bob.place("BTC-USDC", "sell", "60000", "0.001", time_in_force="IOC")
        await account.wait(lambda: len(account.fills) == 3, 10)
        # Away, and not back before all of this has happened.
        release = asyncio.Event()
        sign, alice.sign_request = alice.sign_request, lambda request: _after(release, sign, request)
        cut(venue)
        await venue.wait(lambda: len(venue.gateway.sockets) == 0)
        alice_rest = venue.client(KEYS[0])
        for _ in range(13):
            await asyncio.gather(
                *(bob.place("BTC-USDC", "sell", "60000", "0.001", time_in_force="IOC") for _ in range(10))
            )
        release.set()
        await account.wait(lambda: len(account.fills) == 133, 20)
        await account.wait(lambda: account.is_connected, 5)
        rest = await alice_rest.fills(limit=1000)
        assert {(fill.id, fill.order): fill.amount for fill in rest} == {
            name: fill.amount for name, fill in account.fills.items()
        }
        balances = {row.address: row for row in (await alice_rest.balances()).values()}
        await account.wait(lambda: account.balances == balances, 5)
        await alice_rest.close()


@pytest.mark.parametrize("known", [0, 1])
async def test_fills_that_no_snapshot_shows_are_asked_for(start_real_venue, known: int) -> None:
    """A gateway that has just started shows what it has seen itself: none of what it said before it was killed, and
    none of what it had no time to say."""
    async with (
        start_real_venue() as (_, venue),
        venue.client() as client,
        venue.client(KEYS[1]) as other,
        LiveAccount(client) as account,
    ):
        await client.place("BTC-USDC", "sell", "50000", "0.02")
        for count in range(2):
            await other.place("BTC-USDC", "buy", "50000", "0.01", time_in_force="IOC")
            await account.wait(lambda count=count: len(account.fills) == count + 1, 10)
        fills = dict(account.fills)
        for name in list(fills)[known:]:
            del account.fills[name]
        account._newest_fill = max((int(fill) for fill, _ in account.fills), default=-1)
        account._unsettled = {int(fill) for fill, _ in account.fills}
        await account._take({"channel": "fills", "type": "snapshot", "fills": []})
        assert set(account.fills) == set(fills)


async def _after(event: asyncio.Event, call, *arguments):
    await event.wait()
    return await call(*arguments)
