"""The WebSocket: snapshots and deltas, resuming, logins, order entry, and what bounds one connection."""

import asyncio
import contextlib
import json

import pytest
from conftest import KEYS
from gateway_stub import Deposit, Level
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from offchain.client import LocalBook, Ticket
from offchain.client.orders import Signer
from offchain.domain.limits import FRAME_BYTES_MAX, SUBSCRIPTIONS_PER_CONNECTION_MAX
from offchain.gateway import stream
from offchain.gateway.settings import RateSettings
from offchain.security.limits import Rate

ALICE = Signer(KEYS[0])


class Socket:
    """One connection with its received messages."""

    def __init__(self, socket) -> None:
        self.socket = socket

    async def send(self, **request) -> None:
        await self.socket.send(json.dumps(request))

    async def next(self, seconds: float = 5.0) -> dict:
        async with asyncio.timeout(seconds):
            return json.loads(await self.socket.recv())

    async def ask(self, **request) -> dict:
        """The answer to this request; other messages before it are dropped."""
        await self.send(**request)
        while True:
            message = await self.next()
            if "op" in message:
                return message

    async def subscribe(self, channel: str, **more) -> list[dict]:
        """The answer and the message after it."""
        answer = await self.ask(op="subscribe", channel=channel, **more)
        assert answer["ok"], answer
        return answer

    async def login(self, client) -> dict:
        key, timestamp, sign = await client.sign_request(b"GET/v1/ws")
        return await self.ask(op="login", key=key, timestamp=timestamp, sign=sign)

    async def refused(self, **request) -> str:
        answer = await self.ask(**request)
        assert not answer["ok"]
        return answer["error"]["code"]


@contextlib.asynccontextmanager
async def open_socket(venue, **options):
    url = "ws" + venue.url.removeprefix("http") + "/v1/ws"
    async with connect(url, compression=None, **options) as socket:
        yield Socket(socket)


async def test_snapshot_then_deltas_equal_the_rest_book(venue) -> None:
    """At every sequence: same levels, same checksum."""
    async with open_socket(venue) as socket, venue.client(None) as client:
        last = venue.sequencer.publish(Level(610_000, 5), Level(620_000, 7, side=1))
        await venue.wait(lambda: venue.publisher.model.sequence == last)
        await socket.subscribe("book:BTC-USDC")
        book = LocalBook()
        assert book.apply(await socket.next())
        for step in range(90):
            bid, ask = Level(600_000 + (step % 30) * 7919 % 40, step % 5), Level(630_000 - step % 9, step % 4, side=1)
            change = ask if step % 2 else bid
            if not change.size and (change.side, change.price) not in venue.sequencer.resting:
                continue
            sequence = venue.sequencer.publish(change)
            message = await socket.next()
            assert (message["type"], message["seq"]) == ("delta", sequence)
            assert book.apply(message), "nothing is missing and the checksum fits"
            if step % 6 == 0:
                rest = await client.book("BTC-USDC", depth=1000)
                assert rest["seq"] == book.sequence
                assert (rest["bids"], rest["asks"]) == (book.levels("bids"), book.levels("asks"))
                assert rest["checksum"] == book.checksum()


async def test_prev_seq_is_the_channel_s_previous_message(venue) -> None:
    async with open_socket(venue) as socket:
        await socket.subscribe("book:BTC-USDC")
        snapshot = await socket.next()
        first = venue.sequencer.publish(Level(610_000, 5))
        venue.sequencer.publish(Deposit(ALICE.address))
        second = venue.sequencer.publish(Level(610_000, 6))
        messages = [await socket.next(), await socket.next()]
        assert [(m["prevSeq"], m["seq"]) for m in messages] == [(snapshot["seq"], first), (first, second)]


async def test_bbo_only_when_the_top_changes(venue) -> None:
    async with open_socket(venue) as socket:
        await socket.subscribe("bbo:BTC-USDC")
        assert (await socket.next())["bid"] is None
        venue.sequencer.publish(Level(610_000, 5))
        venue.sequencer.publish(Level(600_000, 5))
        venue.sequencer.publish(Level(620_000, 5, side=1))
        first, second = await socket.next(), await socket.next()
        assert (first["bid"], first["ask"]) == (["61000", "0.0005"], None)
        assert (second["bid"], second["ask"]) == (["61000", "0.0005"], ["62000", "0.0005"])


async def test_resume_from_a_sequence(venue) -> None:
    """What was missed comes, exactly; the book is as if the connection had never been lost."""
    book = LocalBook()
    async with open_socket(venue) as socket:
        await socket.subscribe("book:BTC-USDC")
        book.apply(await socket.next())
        venue.sequencer.publish(Level(610_000, 5))
        book.apply(await socket.next())
    missed = [venue.sequencer.publish(Level(610_000 + n, 1)) for n in range(5)]
    await venue.wait(lambda: venue.publisher.model.sequence == missed[-1])
    async with open_socket(venue) as socket:
        await socket.subscribe("book:BTC-USDC", **{"from": book.sequence})
        messages = [await socket.next() for _ in missed]
        assert [m["seq"] for m in messages] == missed
        assert all(book.apply(message) for message in messages)
        live = venue.sequencer.publish(Level(1, 1))
        assert book.apply(await socket.next())
        assert book.sequence == live


async def test_resume_beyond_the_ring_gives_a_snapshot(start_venue) -> None:
    async with start_venue(ring_commands=3) as venue, open_socket(venue) as socket:
        for n in range(10):
            last = venue.sequencer.publish(Level(610_000 + n, 1))
        await venue.wait(lambda: venue.publisher.model.sequence == last)
        for old in (0, last - 4, last + 100):
            await socket.subscribe("book:BTC-USDC", **{"from": old})
            assert (await socket.next())["type"] == "snapshot"
        await socket.subscribe("book:BTC-USDC", **{"from": last - 3})
        assert [(await socket.next())["seq"] for _ in range(3)] == [last - 2, last - 1, last]


@pytest.mark.parametrize("more", [0, 20])
async def test_another_journal_starts_from_a_snapshot(venue, more) -> None:
    """The sequencer comes back with a shorter or a longer one: every channel gets a snapshot."""
    async with open_socket(venue) as socket:
        last = venue.sequencer.publish(*[Level(610_000, 5)] * 5)
        await venue.wait(lambda: venue.publisher.model.sequence == last)
        await socket.subscribe("book:BTC-USDC")
        await socket.next()
        await venue.sequencer.stop()
        venue.sequencer.begin([])
        last = venue.sequencer.publish(Level(599_999, 3))
        venue.sequencer.publish(*[Deposit(ALICE.address)] * more)
        await venue.sequencer.start()
        message = await socket.next()
        assert (message["type"], message["seq"], message["bids"]) == ("snapshot", last, [["59999.9", "0.0003"]])


# --- private ---


async def test_private_channels_need_a_login(venue) -> None:
    async with open_socket(venue) as socket, venue.client() as client:
        for channel in ("orders", "fills", "balances"):
            assert await socket.refused(op="subscribe", channel=channel) == "UNAUTHENTICATED"
        assert (await socket.login(client))["account"] == ALICE.address
        await socket.subscribe("balances")
        snapshot = await socket.next()
        assert (snapshot["type"], snapshot["balances"][0]["settled"]) == ("snapshot", "1000000")


async def test_another_account_s_messages_never_arrive(venue) -> None:
    async with open_socket(venue) as socket, venue.client() as alice, venue.client(KEYS[1]) as bob:
        await socket.login(alice)
        for channel in ("orders", "balances"):
            await socket.subscribe(channel)
            await socket.next()
        await bob.place("BTC-USDC", "buy", "1", "0.01")
        venue.sequencer.publish(Deposit(Signer(KEYS[1]).address))
        mine = await alice.place("BTC-USDC", "buy", "2", "0.01")
        message = await socket.next()
        assert (message["channel"], [order["id"] for order in message["orders"]]) == ("orders", [mine.order.id])
        assert await socket.refused(op="subscribe", channel=f"orders@{Signer(KEYS[1]).address}") == "NOT_FOUND"


async def test_login_is_checked(venue) -> None:
    async with open_socket(venue) as socket, venue.client() as alice, venue.client(KEYS[1]) as bob:
        key, timestamp, sign = await alice.sign_request(b"GET/v1/ws")
        assert await socket.refused(op="login", key=key, timestamp=timestamp, sign="00" * 32) == "UNAUTHENTICATED"
        assert await socket.refused(op="login", key=key, timestamp=timestamp + 1, sign=sign) == "UNAUTHENTICATED"
        assert (await socket.ask(op="login", key=key, timestamp=timestamp, sign=sign))["ok"]
        assert await socket.refused(op="login", key=key, timestamp=timestamp, sign=sign) == "REPLAYED"
        assert not (await socket.login(bob))["ok"], "one connection, one account"


async def test_an_expired_session_ends_the_connection(venue) -> None:
    async with open_socket(venue) as socket, venue.client(session_seconds=2) as client:
        client._session = await client._new_session(client._now_millis() // 1000)
        client._session["expiresAt"] += 10**6
        await socket.login(client)
        await socket.subscribe("orders")
        await socket.next()
        with pytest.raises(ConnectionClosed) as closed:
            await socket.next(4)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "session expired")


# --- order entry ---


async def test_orders_and_cancels(venue) -> None:
    async with open_socket(venue) as socket, venue.client() as client:
        signed = await client.sign(Ticket(symbol="BTC-USDC", side="buy", price="1", size="0.01"))
        placed = await socket.ask(op="order", id="a", order=signed.body)
        assert (placed["ok"], placed["id"], placed["order"]["id"]) == (True, "a", signed.digest)
        again = await socket.ask(op="order", id=2, order=signed.body)
        assert (again["id"], again["replayed"], again["receipt"]) == (2, True, placed["receipt"])
        more = [await client.sign(Ticket(symbol="BTC-USDC", side="buy", price=str(n), size="0.01")) for n in (2, 3)]
        several = await socket.ask(op="order", id=3, orders=[more[0].body, more[1].body | {"price": 1.0}])
        assert [result["ok"] for result in several["results"]] == [True, False]
        assert several["results"][1]["error"]["code"] == "INVALID_FIELD"
        assert await socket.refused(op="cancel", orderId=signed.digest) == "UNAUTHENTICATED"
        await socket.login(client)
        cancelled = await socket.ask(op="cancel", id=4, orderId=signed.digest)
        assert (cancelled["ok"], cancelled["order"]["status"]) == (True, "canceled")
        assert await socket.refused(op="cancel", orderId="0x" + "00" * 32) == "ORDER_NOT_FOUND"
        assert (await socket.ask(op="cancelAll"))["canceled"] == [more[0].digest]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("", "MALFORMED_JSON"),
        ("{", "MALFORMED_JSON"),
        ("[" * 20_000, "INVALID_FIELD"),
        ('{"op": "order", "order": ' + "[" * 20_000, "MALFORMED_JSON"),
        ("[]", "INVALID_FIELD"),
        ("{}", "MISSING_FIELD"),
        ('{"op": "sell"}', "INVALID_FIELD"),
        ('{"op": "ping", "extra": 1}', "UNKNOWN_FIELD"),
        ('{"op": "order"}', "MISSING_FIELD"),
        ('{"op": "order", "order": 7}', "INVALID_FIELD"),
        ('{"op": "order", "order": {}, "orders": []}', "MISSING_FIELD"),
        ('{"op": "subscribe", "channel": "book:NOPE"}', "NOT_FOUND"),
        ('{"op": "subscribe", "channel": "nope"}', "NOT_FOUND"),
        ('{"op": "subscribe", "channel": "book:BTC-USDC", "from": 1.5}', "INVALID_FIELD"),
        ('{"op": "subscribe", "channel": "book:BTC-USDC", "from": "1"}', "INVALID_FIELD"),
        ('{"op": "login", "key": "", "timestamp": 1, "sign": ""}', "UNAUTHENTICATED"),
        ('{"op": "cancel", "orderId": "x"}', "ORDER_NOT_FOUND"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_bad_frames_are_answered(shared_venue, frame, code) -> None:
    async with open_socket(shared_venue) as socket:
        await socket.socket.send(frame)
        answer = await socket.next()
        assert (answer["ok"], answer["error"]["code"]) == (False, code)
        assert (await socket.ask(op="ping", id=1))["ok"], "the connection lives on"


async def test_a_frame_over_the_limit_ends_the_connection(venue) -> None:
    async with open_socket(venue) as socket:
        await socket.socket.send("x" * (FRAME_BYTES_MAX + 1))
        with pytest.raises(ConnectionClosed) as closed:
            await socket.next()
        assert closed.value.rcvd.code == 1009


# --- bounds ---


async def test_subscriptions_are_limited(venue) -> None:
    async with open_socket(venue) as socket:
        channels = [f"{kind}:BTC-USDC" for kind in ("book", "bbo", "trades")] + ["venue"]
        assert len(channels) < SUBSCRIPTIONS_PER_CONNECTION_MAX
        import offchain.gateway.stream as module

        original, module.SUBSCRIPTIONS_PER_CONNECTION_MAX = module.SUBSCRIPTIONS_PER_CONNECTION_MAX, 2
        try:
            answers = [await socket.ask(op="subscribe", channel=channel) for channel in channels]
            assert [answer["ok"] for answer in answers] == [True, True, False, False]
            assert answers[2]["error"]["code"] == "TOO_MANY_SUBSCRIPTIONS"
            assert (await socket.ask(op="subscribe", channel=channels[0]))["ok"], "again is not another one"
            assert (await socket.ask(op="unsubscribe", channel=channels[0]))["ok"]
            assert (await socket.ask(op="subscribe", channel=channels[2]))["ok"]
        finally:
            module.SUBSCRIPTIONS_PER_CONNECTION_MAX = original


async def test_messages_per_second_are_limited(start_venue) -> None:
    rates = RateSettings(connection=Rate(5, 10))
    async with start_venue(rates=rates) as venue, open_socket(venue) as socket:
        for _ in range(80):
            await socket.send(op="ping")
        codes, closed = [], None
        try:
            while True:
                answer = await socket.next()
                codes.append(answer["ok"] or answer["error"]["code"])
        except ConnectionClosed as error:
            closed = error
        assert codes[:10] == [True] * 10
        assert "RATE_LIMITED" in codes
        assert closed.rcvd.code == 1008


async def test_connections_per_address_are_limited(start_venue) -> None:
    async with start_venue(connections_per_address_max=2) as venue, open_socket(venue) as first, open_socket(venue):
        with pytest.raises(InvalidStatus) as refused:
            async with open_socket(venue):
                pass
        assert refused.value.response.status_code == 429
        assert json.loads(refused.value.response.body)["error"]["code"] == "RATE_LIMITED"
        await first.socket.close()
        await venue.wait(lambda: len(venue.gateway.sockets) == 1)
        async with open_socket(venue) as third:
            assert (await third.ask(op="ping"))["ok"]


async def test_a_slow_reader_of_books_gets_the_present_state(start_venue) -> None:
    """It does not read for a while; then it gets a snapshot instead of every step, and goes on from there."""
    async with (
        start_venue(send_queue_max=128, window_millis=0) as venue,
        open_socket(venue, max_queue=1) as socket,
    ):
        await socket.subscribe("book:BTC-USDC")
        await flood(venue, 8_000)
        venue.sequencer.publish(Level(1, 9))
        book, snapshots = LocalBook(), 0
        while book.sequence != venue.sequencer.sequence:
            message = await socket.next()
            if message["type"] == "heartbeat":  # on a busy machine this takes a while
                continue
            snapshots += message["type"] == "snapshot"
            assert book.apply(message)
        assert snapshots >= 2
        assert book.levels("bids")[-1] == ["0.1", "0.0009"]
        venue.sequencer.publish(Level(1, 0))
        assert book.apply(await socket.next())


@pytest.mark.parametrize("patience", [stream.CLOSE_SECONDS, 0.05])
async def test_a_slow_reader_of_private_messages_is_closed_with_a_resume_token(
    start_venue, monkeypatch, patience
) -> None:
    """Also one who reads again only when the gateway has long been done with it."""
    monkeypatch.setattr(stream, "CLOSE_SECONDS", patience)
    async with start_venue(send_queue_max=128, window_millis=0) as venue, venue.client() as client:
        async with open_socket(venue, max_queue=1) as socket:
            await socket.login(client)
            await socket.subscribe("balances")
            start = await socket.next()
            await flood(venue, 8_000, lambda n: Deposit(ALICE.address))
            await venue.wait(lambda: not venue.gateway.hub._subscribers)
            await asyncio.sleep(patience + 0.1)
            assert len(venue.gateway.sockets) == 1, "it has its socket until it reads, or loses it"
            seen = start["seq"]
            ended = None
            while ended is None:
                try:
                    message = await socket.next(10)
                except ConnectionClosed as error:
                    ended = error
                else:
                    assert message["prevSeq"] == seen
                    seen = message["seq"]
        await venue.wait(lambda: not venue.gateway.sockets)
        closed = ended.rcvd
        assert closed is not None and closed.code == 1013
        token = int(closed.reason.rpartition(" ")[2])
        assert start["seq"] < token <= seen + 1
        async with open_socket(venue) as socket:
            await socket.login(client)
            await socket.subscribe("balances", **{"from": seen})
            while seen < venue.sequencer.sequence:
                message = await socket.next()
                assert (message["type"], message["prevSeq"]) == ("delta", seen)
                seen = message["seq"]


async def flood(venue, count: int, event=lambda n: Level(600_000 + n % 50, 1 + n % 7)) -> None:
    """More than a socket's buffers hold."""
    for n in range(count):
        venue.sequencer.publish(event(n))
        if n % 50 == 0:
            await asyncio.sleep(0)
    await venue.wait(lambda: venue.publisher.model.sequence == venue.sequencer.sequence, 60)


async def test_the_client_s_stream_resumes_by_itself(venue) -> None:
    """The gateway cuts the connection again and again; no message is missing, and none comes twice."""
    async with venue.client() as client:
        messages = client.stream(["book:BTC-USDC", "balances"])
        assert [(await anext(messages))["type"] for _ in range(2)] == ["snapshot"] * 2
        types = []
        for n in range(6):
            venue.sequencer.publish(Level(600_000 + n, 1))
            venue.sequencer.publish(Deposit(ALICE.address))
            for _ in range(2):
                async with asyncio.timeout(10):
                    types.append((await anext(messages))["type"])
            if n % 2 == 0:
                for outbox in list(next(iter(venue.gateway.hub._subscribers.values()))):
                    outbox.overflowed.set_result(0)
        assert types == ["delta"] * 12, "everything was resumed, nothing started again"
        await messages.aclose()
