"""The publisher: windows that gather, sequences that are the same at every gateway, and what its death costs nobody."""

import asyncio
import contextlib
import json
import random
import tempfile
from pathlib import Path

import pytest
from conftest import KEYS, Running, run_gateway_here, run_publisher_here, settings_for
from gateway_stub import BASE, Deposit, Level, StubSequencer
from hypothesis import given, settings
from hypothesis import strategies as st
from test_readmodel import Mirror, command_of, steps
from test_stream import open_socket

from offchain.client import LocalBook
from offchain.client.failures import ExchangeUnreachable, Refused
from offchain.client.orders import Signer
from offchain.domain.order import Side
from offchain.gateway import news
from offchain.gateway.channels import Channel
from offchain.gateway.feed import WINDOW_COMMANDS

ALICE = Signer(KEYS[0])
BOOK = Channel("book:BTC-USDC")


class Gathering(Mirror):
    """Whose windows end when it is told so."""

    def apply(self, command, later: int = 1):
        before, self.log.flush = self.log.flush, dict
        try:
            return super().apply(command, later)
        finally:
            self.log.flush = before


def levels_of(engine, side: Side) -> list[list[str]]:
    """The engine's own book, in the wire's words."""
    book = engine.books[1]
    market = book.market
    found = [(level.price, level.size) for level in book.ladder(side).best_first()]
    return [[market.format_price(price), market.format_size(size)] for price, size in found]


@settings(max_examples=80)
@given(steps, st.lists(st.booleans(), min_size=50, max_size=50), st.integers(0, 50))
def test_snapshot_and_gathered_deltas_are_the_engine_s_book(flow, ends, joined) -> None:
    """However windows cut the flow: same levels and checksum after each, and what was traded comes once."""
    mirror, book, trades, told = Gathering(), None, [], 0
    for number, (step, is_end) in enumerate(zip(flow, ends, strict=False)):
        mirror.apply(command_of(step, mirror))
        if not is_end:
            continue
        updates = mirror.log.flush()
        for channel, update in updates.items():
            assert update.previous < update.sequence <= mirror.model.sequence, channel
            if channel.name == "trades:BTC-USDC":
                trades += [trade["id"] for trade in json.loads(update.text(channel))["trades"]]
        if book is not None and BOOK in updates:
            assert book.apply(json.loads(updates[BOOK].text(BOOK))), "no gap, and the checksum fits"
        elif book is None and number >= joined % 10:
            book = LocalBook()
            assert book.apply(json.loads(mirror.log.snapshot(BOOK)[1]))
        if book is not None:
            assert book.levels("bids") == levels_of(mirror.engine, Side.BUY)
            assert book.levels("asks") == levels_of(mirror.engine, Side.SELL)
        told = mirror.engine.batches.last_fill
    assert trades == [str(number + 1) for number in range(told)]


@settings(max_examples=60)
@given(steps, st.lists(st.booleans(), min_size=50, max_size=50), st.integers(0, 60))
def test_who_resumes_within_a_window_misses_and_repeats_nothing(flow, ends, where) -> None:
    mirror, fills = Gathering(), {}
    for step, is_end in zip(flow, ends, strict=False):
        mirror.apply(command_of(step, mirror))
        fills[mirror.model.sequence] = mirror.engine.batches.last_fill
        if is_end:
            mirror.log.flush()
    mirror.log.flush()
    here = min(where, mirror.model.sequence)
    seen = max((last for sequence, last in fills.items() if sequence <= here), default=0)
    channel = Channel("trades:BTC-USDC")
    told = [json.loads(update.text(channel, here)) for update in mirror.log.since(channel, here)]
    found = [trade["id"] for message in told for trade in message["trades"]]
    assert found == [str(number + 1) for number in range(seen, mirror.engine.batches.last_fill)]
    assert not told or told[0]["prevSeq"] <= here


@pytest.fixture
def chance() -> random.Random:
    return random.Random(5)


@contextlib.asynccontextmanager
async def run_two(**changes):
    """One publisher, two gateways."""
    folder = Path(tempfile.mkdtemp(prefix="hooats-"))
    sequencer = StubSequencer(folder / "s", [Signer(key).address for key in KEYS[:3]])
    sequencer.publish(*(Deposit(Signer(key).address, BASE, 10**20) for key in KEYS[:3]))
    await sequencer.start()
    first = settings_for(folder)
    try:
        async with (
            run_publisher_here(first, **changes) as publisher,
            run_gateway_here(first) as (a, url_a),
            run_gateway_here(first) as (b, url_b),
        ):
            both = Running(sequencer, publisher, a, url_a), Running(sequencer, publisher, b, url_b)
            for one in both:
                await one.wait(one.gateway.trading.is_live)
            yield both
    finally:
        await sequencer.stop()


async def flow_of(sequencer, chance: random.Random, count: int) -> None:
    """Several groups within every window."""
    for _ in range(count):
        side = chance.randrange(2)
        price = 600_000 + chance.randrange(20) + 100 * side
        wanted = Level(price, chance.randrange(5), side)
        if wanted.size or (side, price) in sequencer.resting:
            sequencer.publish(wanted)
        await asyncio.sleep(chance.choice((0, 0, 0, 0.001)))


async def read_until(socket, sequence: int) -> list[dict]:
    found = []
    while not found or found[-1]["seq"] < sequence:
        message = await socket.next()
        if message.get("channel"):
            found.append(message)
    return found


async def test_every_gateway_tells_the_same_and_less_often_than_groups_come(chance) -> None:
    """A reader of either may go on at the other, in the middle of the flow."""
    async with run_two(window_millis=20) as (a, b), open_socket(a) as one, open_socket(b) as two:
        for socket in (one, two):
            await socket.subscribe("book:BTC-USDC")
        started, before = asyncio.get_running_loop().time(), a.sequencer.sequence
        await flow_of(a.sequencer, chance, 400)
        last = a.sequencer.publish(Level(1, 1))
        told, same = await read_until(one, last), await read_until(two, last)
        windows = (asyncio.get_running_loop().time() - started) / 0.02
        assert [m for m in told if m["type"] == "delta"] == [m for m in same if m["type"] == "delta"]
        assert len(told) <= windows + 2 and len(told) < (last - before) / 2, "gathered"
        middle, book = len(told) // 2, LocalBook()
        assert all(book.apply(message) for message in told[:middle])
        async with open_socket(b) as other:
            await other.subscribe("book:BTC-USDC", **{"from": book.sequence})
            later = await read_until(other, last)
            assert all(book.apply(message) for message in later)
        assert book.levels("bids") == levels_of(a.sequencer.engine, Side.BUY)
        assert book.levels("asks") == levels_of(a.sequencer.engine, Side.SELL)


async def test_nothing_is_encoded_for_nobody() -> None:
    async with run_two() as (a, _), open_socket(a) as one:
        await one.subscribe("bbo:BTC-USDC")
        last = a.sequencer.publish(Level(600_000, 1), Level(600_000, 2))
        await read_until(one, last)
        found = a.publisher.log.since(BOOK, last - 2)
        assert len(found) == 2 and all(update._text is None for update in found), "nobody reads the book"
        assert all(update._text for update in a.publisher.log.since(Channel("bbo:BTC-USDC"), last - 2))
        assert (await one.ask(op="unsubscribe", channel="bbo:BTC-USDC"))["ok"]
        await a.wait(lambda: not any(gateway._channels for gateway in a.publisher.gateways))


async def test_an_acknowledged_order_is_seen_at_every_gateway() -> None:
    async with run_two(window_millis=20) as (a, b), a.client() as here, b.client() as there:
        for price in range(5):
            placed = await here.place("BTC-USDC", "buy", str(50_000 + price), "0.01")
            assert (await there.order(placed.order.id)).status == "open"
            assert placed.order.id in [order.id for order in await there.orders()]
            cancelled = await there.cancel(placed.order.id)
            assert cancelled.status == "canceled"
            assert (await here.order(placed.order.id)).status == "canceled"


async def test_the_publisher_dies_while_a_client_streams(chance) -> None:
    """Reads say so, orders go on, and the stream continues where it was, from the journal."""
    folder = Path(tempfile.mkdtemp(prefix="hooats-"))
    sequencer = StubSequencer(folder / "s", [Signer(key).address for key in KEYS[:3]])
    await sequencer.start()
    settings = settings_for(folder)
    async with contextlib.AsyncExitStack() as lives:
        first = await lives.enter_async_context(run_publisher_here(settings, window_millis=20))
        gateway, url = await lives.enter_async_context(run_gateway_here(settings))
        venue = Running(sequencer, first, gateway, url)
        await venue.wait(gateway.trading.is_live)
        socket = await lives.enter_async_context(open_socket(venue))
        client = await lives.enter_async_context(venue.client(retry_seconds=0))
        await socket.login(client)
        await socket.subscribe("book:BTC-USDC")
        book, private = LocalBook(), []
        assert book.apply(await socket.next())
        await socket.subscribe("balances")
        private.append(await socket.next())
        await flow_of(sequencer, chance, 60)
        await first.close()
        await venue.wait(lambda: not gateway.publications.is_live)
        with pytest.raises((Refused, ExchangeUnreachable)) as away:
            await client.book("BTC-USDC")
        assert "UNAVAILABLE" in str(away.value) or "publisher" in str(away.value)
        async with open_socket(venue) as other:
            assert await other.refused(op="subscribe", channel="bbo:BTC-USDC") == "UNAVAILABLE"
        placed = await client.place("BTC-USDC", "buy", "1", "0.01", slot=1)
        assert placed.order.status == "open", "orders go on"
        beside, *many = [await client.place("BTC-USDC", "buy", "1", "0.01", slot=slot) for slot in (2, 3, 4)]
        many_ids = [one.order.id for one in many]
        assert (await client.cancel(beside.order.id)).status == "canceled", "so do cancels, by whichever name"
        results = await client.batch(cancels=[*many_ids, beside.order.id], mode="each")
        assert [(one.id, one.status) for one in results.cancels[:2]] == [(name, "canceled") for name in many_ids]
        assert results.cancels[2].code == "ORDER_NOT_OPEN"
        await flow_of(sequencer, chance, 60)
        sequencer.publish(Deposit(ALICE.address))
        await lives.enter_async_context(run_publisher_here(settings, window_millis=20))
        await venue.wait(lambda: gateway.publications.is_live)
        await flow_of(sequencer, chance, 60)
        last = sequencer.publish(Level(2, 1))
        while book.sequence < last:
            message = await socket.next()
            assert message.get("type") != "snapshot", "it goes on, and does not begin again"
            if message.get("channel") == "book:BTC-USDC":
                assert book.apply(message)
            elif message.get("channel") == "balances":
                assert message["prevSeq"] <= private[-1]["seq"] < message["seq"]
                private.append(message)
        assert book.levels("bids") == levels_of(sequencer.engine, Side.BUY)
        assert private[-1]["balances"][-1]["settled"] == "1000000.000001"
        assert (await client.order(placed.order.id)).status == "open"
    await sequencer.stop()


async def test_a_publisher_without_what_was_missed_begins_again(chance) -> None:
    folder = Path(tempfile.mkdtemp(prefix="hooats-"))
    sequencer = StubSequencer(folder / "s", [ALICE.address])
    await sequencer.start()
    settings = settings_for(folder)
    async with contextlib.AsyncExitStack() as lives:
        first = await lives.enter_async_context(run_publisher_here(settings))
        gateway, url = await lives.enter_async_context(run_gateway_here(settings))
        venue = Running(sequencer, first, gateway, url)
        await venue.wait(gateway.trading.is_live)
        socket = await lives.enter_async_context(open_socket(venue))
        await socket.subscribe("book:BTC-USDC")
        await socket.next()
        await first.close()
        await flow_of(sequencer, chance, 50)
        last = sequencer.publish(Level(600_000, 9))
        await lives.enter_async_context(run_publisher_here(settings, ring_commands=5))
        message = await socket.next()
        assert (message["type"], message["seq"]) == ("snapshot", last)
    await sequencer.stop()


async def test_a_publisher_may_greet_before_the_gateway_looks(monkeypatch) -> None:
    """On a busy machine the greeting is there before the coroutine that connects goes on."""
    loop = asyncio.get_running_loop()
    connect = loop.create_unix_connection

    async def connect_late(*arguments, **options):
        connected = await connect(*arguments, **options)
        await asyncio.sleep(0.05)
        return connected

    monkeypatch.setattr(loop, "create_unix_connection", connect_late)
    async with run_two() as both:
        for one in both:
            await one.wait(lambda one=one: one.gateway.publications.is_live)


async def test_every_loss_of_the_publisher_is_told_and_mended(caplog) -> None:
    folder = Path(tempfile.mkdtemp(prefix="hooats-"))
    sequencer = StubSequencer(folder / "s", [ALICE.address])
    await sequencer.start()
    settings = settings_for(folder)
    async with run_gateway_here(settings) as (gateway, url):
        for _ in range(3):
            async with run_publisher_here(settings) as publisher:
                venue = Running(sequencer, publisher, gateway, url)
                await venue.wait(lambda: gateway.publications.is_live)
            await venue.wait(lambda: not gateway.publications.is_live)
    await sequencer.stop()
    assert [record.getMessage() for record in caplog.records].count("the publisher is lost") == 3


async def test_a_gateway_that_does_not_read_is_dropped(monkeypatch) -> None:
    monkeypatch.setattr("offchain.gateway.publisher.UNSENT_BYTES_MAX", 20_000)
    async with run_two() as (a, _), open_socket(a) as one:
        await one.subscribe("book:BTC-USDC")
        (line,) = [gateway for gateway in a.publisher.gateways if gateway._channels]
        transport = a.gateway.publications._line.transport
        transport.pause_reading()
        much = news.encode(news.Updates(a.publisher.model.sequence, 1, [("book:NOBODY-READS", None, 1, "x" * 10**5)]))
        while line in a.publisher.gateways:
            line.send(much)
        await a.wait(lambda: line not in a.publisher.gateways)
        transport.resume_reading()
        await a.wait(lambda: len(a.publisher.gateways) == 2)
        book = LocalBook()
        last = a.sequencer.publish(Level(1, 1))
        for message in await read_until(one, last):
            assert book.apply(message), "its reader misses nothing"


async def test_who_waits_for_a_command_is_not_kept_until_the_window_ends(start_venue) -> None:
    """A burst is applied together when its window ends; a few are applied as they come, and what somebody waits for."""
    async with start_venue(window_millis=3_000) as venue:
        sequencer, model = venue.sequencer, venue.publisher.model
        sequencer.publish(Level(600_000, 1))
        await venue.wait(lambda: model.sequence == sequencer.sequence, 1)
        for n in range(WINDOW_COMMANDS):
            sequencer.publish(Level(600_000 + n, 2))
        await venue.wait(lambda: model.sequence == sequencer.sequence, 1)
        sequencer.publish(Level(600_001, 3))
        await asyncio.sleep(0.3)
        assert model.sequence == sequencer.sequence - 1
        assert await venue.gateway.publications.reached(sequencer.sequence, 1)
        sequencer.publish(Level(600_001, 4))
        await asyncio.sleep(0.3)
        assert model.sequence == sequencer.sequence - 1
        await venue.wait(lambda: model.sequence == sequencer.sequence)
