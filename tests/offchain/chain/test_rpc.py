"""JSON-RPC: failover, retries of reads only, and replies that are lies, garbage or too much."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_chain import CHAIN_ID, LocalChain, Venue

from offchain.chain import replies, rpc
from offchain.chain.limiter import Limiter
from offchain.chain.registry import check_contracts
from offchain.chain.rpc import Rpc, RpcRefused
from offchain.domain.errors import ChainError, ChainUnreachable, ConfigurationError, MissingContract, WrongChain
from offchain.domain.units import Address

Answer = Callable[[dict[str, Any]], Any]
ADDRESS = Address("0x" + "ab" * 20)


async def no_wait(_: float) -> None:
    await asyncio.sleep(0)


class Node:
    """Answers in process; `calls` counts HTTP requests by host."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.scripts: dict[str, list[object]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        self.calls[host] = self.calls.get(host, 0) + 1
        script = self.scripts.get(host, [])
        step = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(step, Exception):
            raise step
        if isinstance(step, httpx.Response):
            return step
        body = json.loads(request.content)
        assert callable(step)
        return httpx.Response(200, json=[step(item) for item in body] if isinstance(body, list) else step(body))


def result(value: object) -> Answer:
    return lambda request: {"jsonrpc": "2.0", "id": request["id"], "result": value}


def error(code: int, message: str, payload: object = None) -> Answer:
    return lambda request: {"id": request["id"], "error": {"code": code, "message": message, "data": payload}}


@pytest.fixture
async def node() -> Node:
    return Node()


@pytest.fixture
async def pair(node: Node) -> AsyncIterator[Rpc]:
    """Two endpoints: http://first and http://second."""
    urls = ["http://user:secret@first/key-in-path", "http://second"]
    made = Rpc(urls, requests_per_minute=0, transport=httpx.MockTransport(node), sleep=no_wait)
    yield made
    await made.aclose()


async def test_a_read(node: Node, pair: Rpc) -> None:
    node.scripts["first"] = [result("0x3e6")]
    assert await pair.read(rpc.chain_id()) == CHAIN_ID
    assert node.calls == {"first": 1}


@pytest.mark.parametrize(
    "bad",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.Response(502, text="<html>"),
        httpx.Response(429, text="slow down"),
        httpx.Response(200, text="[1, 2"),
        httpx.Response(200, json={"jsonrpc": "2.0", "id": 10**9, "result": "0x3e6"}),
        httpx.Response(200, json=[]),
        httpx.Response(200, json="0x3e6"),
        httpx.Response(200, content=b"[" * 100_000),
        result("998"),
        result(None),
        result({"number": "0x1"}),
        error(-32005, "rate limit exceeded"),
        error(429, "whatever"),
    ],
)
async def test_what_is_no_answer_is_asked_of_the_next(node: Node, pair: Rpc, bad: object) -> None:
    node.scripts = {"first": [bad], "second": [result("0x3e6")]}
    assert await pair.read(rpc.chain_id()) == CHAIN_ID
    assert node.calls == {"first": 1, "second": 1}


async def test_a_refusal_is_an_answer(node: Node, pair: Rpc) -> None:
    node.scripts["first"] = [error(3, "execution reverted", "0xdeadbeef")]
    with pytest.raises(RpcRefused) as caught:
        await pair.read(rpc.call(ADDRESS, b""))
    assert caught.value.payload == bytes.fromhex("deadbeef")
    assert node.calls == {"first": 1}


async def test_a_range_limit_is_a_refusal_not_a_rate_limit(node: Node, pair: Rpc) -> None:
    node.scripts["first"] = [error(-32005, "query exceeds max block range 50")]
    with pytest.raises(RpcRefused):
        await pair.read(rpc.logs_of([ADDRESS], 1, 100))


async def test_nobody_answers(node: Node, pair: Rpc) -> None:
    node.scripts = {"first": [httpx.ConnectError("x")], "second": [httpx.Response(500, text="")]}
    with pytest.raises(ChainUnreachable) as caught:
        await pair.read(rpc.chain_id())
    words = str(caught.value)
    assert "first: ConnectError" in words and "second: HTTP 500" in words
    assert "secret" not in words and "key-in-path" not in words


async def test_a_transaction_is_handed_over_once(node: Node, pair: Rpc) -> None:
    node.scripts = {"first": [httpx.ReadTimeout("x")], "second": [result("0x" + "11" * 32)]}
    with pytest.raises(ChainUnreachable):
        await pair.send_raw(b"\x02")
    assert node.calls == {"first": 1}
    assert await pair.send_raw(b"\x02") == "0x" + "11" * 32, "the next time, the next endpoint"


async def test_a_batch_in_any_order_and_a_refusal_in_its_place(node: Node) -> None:
    def shuffled(request: httpx.Request) -> httpx.Response:
        first, second = json.loads(request.content)
        return httpx.Response(200, json=[error(3, "no")(second), result("0x2")(first)])

    async with Rpc(["http://one"], requests_per_minute=0, transport=httpx.MockTransport(shuffled)) as made:
        answers = await made.read_all([rpc.nonce_of(ADDRESS), rpc.nonce_of(ADDRESS)])
    assert answers[0] == 2
    assert isinstance(answers[1], RpcRefused)


async def test_a_reply_that_never_ends_is_cut(monkeypatch: pytest.MonkeyPatch, node: Node, pair: Rpc) -> None:
    monkeypatch.setattr(rpc, "REPLY_BYTES_MAX", 1_000)
    node.scripts = {"first": [httpx.Response(200, content=b" " * 2_000)], "second": [result("0x1")]}
    assert await pair.read(rpc.chain_id()) == 1


async def test_the_wrong_chain(node: Node, pair: Rpc) -> None:
    node.scripts = {"first": [result("0x3e6")], "second": [result("0x1")]}
    with pytest.raises(WrongChain, match="second serves chain 1, not 998"):
        await pair.check_chain(CHAIN_ID)


async def test_no_endpoint_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError):
        Rpc([])


async def test_distrust_asks_another_first(node: Node, pair: Rpc) -> None:
    node.scripts = {"first": [result("0x1")], "second": [result("0x2")]}
    pair.distrust("it lies")
    assert await pair.read(rpc.chain_id()) == 2


async def test_the_limit_is_kept(node: Node) -> None:
    """Twenty a second, ten at once."""
    node.scripts["one"] = [result("0x1")]
    async with Rpc(["http://one"], requests_per_minute=1_200, transport=httpx.MockTransport(node)) as made:
        begun = time.monotonic()
        for _ in range(25):
            await made.read(rpc.chain_id())
    assert time.monotonic() - begun >= 0.74


async def test_an_endpoint_that_asks_for_a_pause_gets_it(node: Node) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    node.scripts["one"] = [httpx.Response(429, headers={"retry-after": "7"}), result("0x1")]
    transport = httpx.MockTransport(node)
    async with Rpc(["http://one"], requests_per_minute=0, transport=transport, sleep=sleep) as made:
        assert await made.read(rpc.chain_id()) == 1
    assert len(slept) == 1
    assert 6.9 <= slept[0] <= 9.1


def test_public_endpoints_are_limited_and_own_nodes_are_not() -> None:
    assert rpc._per_minute("https://rpc.hyperliquid-testnet.xyz/evm", None) == 100
    assert rpc._per_minute("http://127.0.0.1:8545", None) == 0
    assert rpc._per_minute("http://localhost:8545", None) == 0
    assert rpc._per_minute("http://127.0.0.1:8545", 30) == 30


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 4)), max_size=60), st.integers(30, 600))
def test_limiter_never_exceeds_rate_and_burst(steps: list[tuple[float, int]], per_minute: int) -> None:
    now = 0.0
    taken: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    async def drive() -> None:
        nonlocal now
        limiter = Limiter(per_minute, now=lambda: now, sleep=sleep)
        for pause, requests in steps:
            now += pause
            await limiter.take(requests)
            taken.extend([now] * requests)

    asyncio.run(drive())
    for index, at in enumerate(taken):
        window = sum(1 for other in taken[index:] if other < at + 60)
        assert window <= per_minute + 10 + 4


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=70) | st.just("0x"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)


@given(JSON)
def test_a_parser_answers_or_says_malformed(value: object) -> None:
    for parse in (
        replies.quantity,
        replies.octets,
        replies.word,
        replies.header,
        replies.optional_header,
        replies.logs,
        replies.optional_receipt,
    ):
        with suppress(ChainError):
            parse(value)


async def test_contracts_are_checked_by_code_and_by_hash(chain: LocalChain, venue: Venue) -> None:
    names = ("Vault", "Settlement", "OrderbookCommitment")
    async with Rpc([chain.url]) as made:
        await check_contracts(made, venue.registry, names)
        chain.rpc("anvil_setCode", venue.settlement, "0x6001")
        with pytest.raises(MissingContract, match="is not the Settlement"):
            await check_contracts(made, venue.registry, names)
        chain.rpc("anvil_setCode", venue.settlement, "0x")
        with pytest.raises(MissingContract, match="no code"):
            await check_contracts(made, venue.registry, names)
