"""What keeps one client from hurting the others: budgets, bans, connections, stalled sockets; all over real sockets."""

# ruff: noqa: ASYNC110  (other processes are waited for by looking)

import asyncio
import contextlib
import json
import os
import socket
from pathlib import Path

import httpx
import msgspec
import pytest
from conftest import GENEROUS, KEYS
from gateway_stub import Level as level
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from offchain.client import Refused
from offchain.client.orders import Signer
from offchain.gateway import bounds
from offchain.gateway.failures import ApiError
from offchain.gateway.ingress import Crowd, Ingress, Proxies, network_of
from offchain.gateway.metrics import Metrics
from offchain.gateway.settings import LIMITS, RateSettings
from offchain.security.limits import BanTerms, Rate

ALICE = Signer(KEYS[0]).address
SECOND = 1_000_000_000


def rates(**changes) -> RateSettings:
    return RateSettings(**(dict.fromkeys(LIMITS, GENEROUS) | changes))


class Clock:
    """Stands in for the monotonic clock of the ingress."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 10**15
        monkeypatch.setattr("offchain.gateway.ingress.time.monotonic_ns", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def refused(call) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call()
    assert caught.value.status == 429
    assert int(caught.value.headers["Retry-After"]) * 1000 >= caught.value.data["retryAfterMs"] > 0
    return caught.value


# --- budgets ---


@pytest.mark.parametrize(
    ("field", "name", "take"),
    [
        ("address", "address", lambda ingress: ingress.take_address("1.2.3.4", 1)),
        ("address_cancel", "addressCancel", lambda ingress: ingress.take_address("1.2.3.4", 1, is_cancel=True)),
        ("account", "account", lambda ingress: ingress.take_account(ALICE)),
        ("cancel", "cancel", lambda ingress: ingress.take_cancel(ALICE)),
        ("handshake", "handshake", lambda ingress: ingress.take_handshake("1.2.3.4")),
        ("everyone", "everyone", lambda ingress: ingress.take_address(f"1.2.3.{next(counter)}", 1)),
        (
            "everyone_cancel",
            "everyoneCancel",
            lambda ingress: ingress.take_address(f"1.2.3.{next(counter)}", 1, is_cancel=True),
        ),
    ],
)
def test_every_budget_ends_and_says_when_it_is_back(clock, field, name, take) -> None:
    ingress = Ingress(rates(**{field: Rate(2, 3)}), Metrics())
    for _ in range(3):
        take(ingress)
    error = refused(lambda: take(ingress))
    assert error.data == {"limit": name, "perSecond": 2, "retryAfterMs": 500, "banned": False}
    clock.now += SECOND // 2
    take(ingress)
    refused(lambda: take(ingress))


counter = iter(range(10**6))


def test_what_everyone_s_budget_refuses_costs_the_address_nothing(clock) -> None:
    ingress = Ingress(rates(everyone=Rate(1, 1), address=Rate(1, 2)), Metrics())
    ingress.take_address("1.1.1.1", 1)
    for _ in range(5):
        assert refused(lambda: ingress.take_address("1.1.1.1", 1)).data["limit"] == "everyone"
    clock.now += SECOND
    ingress.take_address("1.1.1.1", 1)


def test_an_expensive_route_has_a_budget_of_its_own(clock) -> None:
    ingress = Ingress(rates(), Metrics())
    rare = Rate(1, 2)
    for _ in range(2):
        ingress.take_route("1.1.1.1", "/v1/proofs/{id}", rare)
    assert refused(lambda: ingress.take_route("1.1.1.1", "/v1/proofs/{id}", rare)).data["limit"] == "route"
    ingress.take_route("1.1.1.1", "/v1/openapi.json", rare)
    ingress.take_route("2.2.2.2", "/v1/proofs/{id}", rare)


def test_whoever_goes_on_is_banned_twice_as_long_and_may_still_cancel(clock) -> None:
    ban = BanTerms(patience=Rate(1, 5), first_seconds=1, longest_seconds=4, calm_seconds=60)
    ingress = Ingress(rates(address=Rate(10, 10), account=Rate(10, 10), ban=ban), Metrics())
    lengths = []
    for _ in range(4):
        while True:
            with contextlib.suppress(ApiError):
                ingress.take_address("1.1.1.1", 10)
            error = refused(lambda: ingress.take_address("1.1.1.1", 10))
            if error.data["banned"]:
                break
        lengths.append(error.data["retryAfterMs"])
        ingress.take_address("1.1.1.1", 1, is_cancel=True)
        ingress.take_address("2.2.2.2", 1)
        clock.now += error.data["retryAfterMs"] * 1_000_000
    assert lengths == [1000, 2000, 4000, 4000]
    ingress.take_address("1.1.1.1", 1)


def test_one_network_has_one_budget() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:1.2.3.4") == network_of("1.2.3.4") != network_of("::ffff:1.2.3.5")


def test_trusted_proxies_are_known_by_address_and_network() -> None:
    proxies = Proxies("10.0.0.0/8, 192.168.1.7,::1")
    assert all(address in proxies for address in ("10.1.2.3", "192.168.1.7", "::1"))
    assert not any(address in proxies for address in ("11.0.0.1", "192.168.1.8", "unix:", ""))
    assert "1.2.3.4" in Proxies("*") and "1.2.3.4" not in Proxies("")


def test_a_crowd_is_bounded_in_all_and_for_each_network() -> None:
    crowd = Crowd(3, 2)
    assert [crowd.enter("a"), crowd.enter("a"), crowd.enter("a"), crowd.enter("b"), crowd.enter("c")] == [
        True,
        True,
        False,
        True,
        False,
    ]
    crowd.leave("a")
    assert crowd.enter("c") and len(crowd) == 3 and crowd.is_full


async def test_placements_over_the_budget_leave_the_cancels_alone(start_venue) -> None:
    """Of one address: every further order is refused, and banned in the end; every cancel goes through."""
    ban = BanTerms(patience=Rate(1, 5), first_seconds=30, longest_seconds=60)
    async with start_venue(rates=rates(address=Rate(1, 60), ban=ban)) as venue, venue.client(retry_seconds=0) as client:
        placed = [(await client.place("BTC-USDC", "buy", "1", "0.01")).order.id for _ in range(5)]
        last = None
        for _ in range(80):
            with contextlib.suppress(Refused):
                last = None
                await client.place("BTC-USDC", "buy", "1", "0.01")
                placed.append("")
                continue
            try:
                await client.venue()
            except Refused as error:
                last = error
        assert (last.code, last.data["banned"]) == ("RATE_LIMITED", True)
        for order in placed[:5]:
            assert (await client.cancel(order)).status == "canceled"
        assert await client.cancel_all() is not None


# --- connections ---


async def open_quietly(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))


GET = b"GET /v1/venue HTTP/1.1\r\nhost: a\r\n\r\n"


async def test_http_connections_per_address_are_bounded(start_venue) -> None:
    async with start_venue(http_connections_per_address_max=2) as venue:
        first, second = await open_quietly(venue.url), await open_quietly(venue.url)
        await venue.wait(lambda: len(venue.gateway.doors.crowd) == 2)
        reader, writer = await open_quietly(venue.url)
        writer.write(GET)
        answer = await asyncio.wait_for(reader.read(), 5)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b" 429 " in head and b"retry-after: 1" in head and b"connection: close" in head
        assert json.loads(body)["error"]["code"] == "RATE_LIMITED"
        first[1].close()
        await venue.wait(lambda: len(venue.gateway.doors.crowd) == 1)
        third = await open_quietly(venue.url)
        third[1].write(GET)
        assert b" 200 " in await asyncio.wait_for(third[0].readline(), 5)
        for _, writer in (second, third):
            writer.close()


async def test_http_connections_in_all_are_bounded(start_venue) -> None:
    """The one too many is cut at once: it would hold a descriptor otherwise."""
    async with start_venue(http_connections_max=2) as venue:
        held = [await open_quietly(venue.url) for _ in range(2)]
        await venue.wait(lambda: len(venue.gateway.doors.crowd) == 2)
        reader, writer = await open_quietly(venue.url)
        with contextlib.suppress(ConnectionError):
            writer.write(GET)
            assert await asyncio.wait_for(reader.read(), 5) == b""
        for _, writer in held:
            writer.close()
        await venue.wait(lambda: len(venue.gateway.doors.crowd) == 0)


async def test_an_upgraded_connection_is_no_http_connection_any_more(start_venue) -> None:
    async with start_venue(http_connections_per_address_max=1) as venue:
        url = "ws" + venue.url.removeprefix("http") + "/v1/ws"
        async with connect(url), connect(url):
            assert (len(venue.gateway.doors.crowd), len(venue.gateway.sockets)) == (0, 2)
        await venue.wait(lambda: len(venue.gateway.sockets) == 0)


async def test_handshakes_have_a_rate(start_venue) -> None:
    async with start_venue(rates=rates(handshake=Rate(1, 7))) as venue:
        url = "ws" + venue.url.removeprefix("http") + "/v1/ws"
        for _ in range(3):  # a TCP connection and an upgrade each
            async with connect(url):
                pass
        with pytest.raises(InvalidStatus) as denied:
            async with connect(url):
                pass
        assert denied.value.response.status_code == 429
        assert json.loads(denied.value.response.body)["error"]["data"]["limit"] == "handshake"
        assert int(denied.value.response.headers["Retry-After"]) >= 1
        async with httpx.AsyncClient(base_url=venue.url) as http:
            answer = await http.get("/v1/venue")
        assert (answer.status_code, answer.json()["error"]["data"]["limit"]) == (429, "handshake")


async def test_a_proxy_is_many_clients(start_venue) -> None:
    """Behind a trusted proxy addresses are told apart by what it says, and it has no bound of its own."""
    narrow = rates(handshake=Rate(1, 2), address=Rate(1, 2))
    options = {"trusted_proxies": "127.0.0.1", "http_connections_per_address_max": 1, "rates": narrow}
    async with start_venue(**options) as venue, httpx.AsyncClient(base_url=venue.url) as http:
        statuses = {
            (await http.get("/v1/venue", headers={"x-forwarded-for": f"9.9.9.{n}", "connection": "close"})).status_code
            for n in range(8)
        }
        assert statuses == {200}
        same = [(await http.get("/v1/venue", headers={"x-forwarded-for": "8.8.8.8"})).status_code for _ in range(3)]
        assert same == [200, 200, 429]


async def test_questions_to_the_history_do_not_pile_up(start_venue, monkeypatch) -> None:
    monkeypatch.setattr("offchain.gateway.past.QUESTIONS_WAITING_MAX", 1)
    release = asyncio.Event()
    async with start_venue() as venue, httpx.AsyncClient(base_url=venue.url) as http:
        past = venue.gateway.past
        async with past._opening:  # the first question waits here
            waiting = asyncio.create_task(http.get("/v1/epochs/1"))
            await venue.wait(lambda: past._questions_waiting == 1)
            answer = await http.get("/v1/epochs/2")
            assert (answer.status_code, answer.json()["error"]["data"]["limit"]) == (429, "history")
            release.set()
        assert (await waiting).status_code == 404
        assert (await http.get("/v1/epochs/2")).status_code == 404


# --- stalled sockets ---


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def stalled_socket(url: str) -> socket.socket:
    """Takes next to nothing into its own buffers."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", int(url.rpartition(":")[2])))
    return client


UPGRADE = (
    b"GET /v1/ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def text_frame(request: dict) -> bytes:
    """A client's frame with a mask of zeros."""
    raw = json.dumps(request).encode()
    assert len(raw) < 126
    return bytes((0x81, 0x80 | len(raw))) + bytes(4) + raw


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
async def test_stalled_sockets_end_and_do_not_hurt_others(start_venue, monkeypatch) -> None:
    """Half of all readers stop reading. The others get every message; of the stalled nothing is left after a while."""
    monkeypatch.setattr("offchain.gateway.serve.STALLED_SECONDS", 5)
    monkeypatch.setattr("offchain.gateway.serve.SEND_BUFFER_BYTES", 8192)
    count, steps = 30, 1_500
    async with start_venue(send_queue_max=64) as venue, contextlib.AsyncExitStack() as stack:
        url = "ws" + venue.url.removeprefix("http") + "/v1/ws"
        live = [await stack.enter_async_context(connect(url, compression=None)) for _ in range(count)]
        before = descriptors()
        stalled = [await asyncio.to_thread(stalled_socket, venue.url) for _ in range(count)]
        for client in stalled:
            stack.callback(client.close)
            client.sendall(UPGRADE)
            assert b" 101 " in await asyncio.to_thread(client.recv, 1000)
            for channel in ("trades:BTC-USDC", "book:BTC-USDC", "venue"):
                client.sendall(text_frame({"op": "subscribe", "channel": channel}))
        await venue.wait(lambda: len(venue.gateway.sockets) == 2 * count)
        for client in live:
            await client.send(json.dumps({"op": "subscribe", "channel": "book:BTC-USDC"}))

        async def follow(client) -> int:
            """Messages until the last one; none is missing."""
            seen = None
            while True:
                message = msgspec.json.decode(await asyncio.wait_for(client.recv(), 30))
                if "op" not in message and "channel" in message:
                    assert message["type"] == "snapshot" or message["prevSeq"] <= seen
                    seen = message["seq"]
                    if any(level == ["0.1", "0.0009"] for level in message["bids"]):
                        return seen

        readers = [asyncio.create_task(follow(client)) for client in live]
        for n in range(steps):
            venue.sequencer.publish(level(600_000 + n % 50, 1 + n % 7))
            if n % 5 == 0:
                await asyncio.sleep(0.001)
        last = venue.sequencer.publish(level(1, 9))
        assert set(await asyncio.gather(*readers)) == {last}
        async with asyncio.timeout(40):
            while descriptors() > before + count:
                await asyncio.sleep(0.05)
        assert descriptors() == before + count, "only the stalled clients' own ends are left"
        await venue.wait(lambda: len(venue.gateway.sockets) == count)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
async def test_who_asks_and_does_not_read_the_answers_is_cut(start_venue, monkeypatch) -> None:
    monkeypatch.setattr("offchain.gateway.serve.STALLED_SECONDS", 2)
    monkeypatch.setattr("offchain.gateway.serve.SEND_BUFFER_BYTES", 8192)
    async with start_venue() as venue, httpx.AsyncClient(base_url=venue.url) as http:
        assert (await http.get("/v1/venue")).status_code == 200
        before = descriptors()
        clients = [await asyncio.to_thread(stalled_socket, venue.url) for _ in range(5)]
        for client in clients:
            client.sendall(b"GET /v1/eip712 HTTP/1.1\r\nhost: a\r\n\r\n" * 50)
        await venue.wait(lambda: len(venue.gateway.doors.crowd) == 6)
        async with asyncio.timeout(20):
            while descriptors() > before + len(clients):
                assert (await http.get("/v1/venue")).status_code == 200
                await asyncio.sleep(0.05)
        for client in clients:
            client.close()


def test_bounds_have_an_order() -> None:
    """A session's time window outlasts the slowest request that is let in."""
    assert (bounds.HEAD_SECONDS + bounds.BODY_SECONDS) * 1000 < bounds.WINDOW_MILLIS
    assert bounds.REVOKED_PER_ACCOUNT_MAX <= bounds.REVOKED_MAX
