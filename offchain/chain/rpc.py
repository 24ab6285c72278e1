"""JSON-RPC over HTTP to several endpoints: limits, timeouts, failover, and retries of reads only.

Invariant: an answer is returned only if it has the right shape (see `replies.py`) and answers the question that was
asked; anything else is a failure of the endpoint, and the next one is asked. What is sent (`send_raw`) is never
repeated here: its outcome may be unknown, and only `transactions.py` knows what that means. URLs may hold a provider's
key, so messages name hosts only.
"""

import asyncio
import ipaddress
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from types import UnionType
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from offchain.chain import replies
from offchain.chain.limiter import Limiter
from offchain.chain.replies import Header, MalformedReply, RawLog, Receipt
from offchain.domain.errors import ChainError, ChainUnreachable, ConfigurationError, WrongChain
from offchain.domain.units import Address

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")

REPLY_BYTES_MAX = 16 * 1024 * 1024
"""The logs of one block are far below: 30M gas pay for 6,000 of them, 4 MB. Those of 50 blocks need not be."""
PUBLIC_REQUESTS_PER_MINUTE = 100
"""The official HyperEVM endpoints answer so many."""
TIMEOUT_SECONDS = 10.0
ATTEMPTS = 4
COOL_SECONDS_MAX = 30.0
"""Longest rest that an endpoint may ask for."""
FAILED_SECONDS_MAX = 4.0
"""Longest rest after failures in a row: a node that comes back is noticed soon."""
_THROTTLE_CODES = frozenset((429, -32005, -32097))
"""-32005 also says, of logs, that the range is too long; then it is a refusal."""
_THROTTLE_WORDS = ("rate limit", "too many requests", "request limit", "throttl")


class RpcRefused(ChainError):
    """The node understood and said no. `payload` is the revert data of a call, if it gave any."""

    def __init__(self, method: str, code: int, reason: str, payload: bytes = b"") -> None:
        super().__init__(f"{method} was refused ({code}): {reason}")
        self.code = code
        self.reason = reason
        self.payload = payload


class AskedTooMuch(ChainUnreachable):
    """No endpoint answered, and the answer was too large for one, or took too long: ask for less."""

    def __init__(self, message: str, is_too_large: bool) -> None:
        super().__init__(message, remedy="Check --rpc, and that the node is running")
        self.is_too_large = is_too_large
        """Every endpoint that answered sent too much: time will not mend it."""


class Query(NamedTuple, Generic[T]):
    """A read: what to ask, and how to check the answer."""

    method: str
    params: tuple[object, ...]
    parse: Callable[[object], T]
    is_divisible: bool = False
    """May be asked in parts: once every endpoint found it too much, it is not repeated but said so."""


def chain_id() -> Query[int]:
    return Query("eth_chainId", (), replies.quantity)


def latest_header() -> Query[Header]:
    return Query("eth_getBlockByNumber", ("latest", False), replies.header)


def header_at(number: int) -> Query[Header | None]:
    return Query("eth_getBlockByNumber", (hex(number), False), replies.optional_header)


def logs_of(addresses: Sequence[Address], first: int, last: int) -> Query[list[RawLog]]:
    """Logs of blocks first..last, both included."""
    criteria = {"address": list(addresses), "fromBlock": hex(first), "toBlock": hex(last)}
    return Query("eth_getLogs", (criteria,), replies.logs, is_divisible=True)


def receipt_of(transaction: str) -> Query[Receipt | None]:
    return Query("eth_getTransactionReceipt", (transaction,), replies.optional_receipt)


def nonce_of(address: Address) -> Query[int]:
    """Transactions of the address in blocks; "pending" is not served by HyperEVM."""
    return Query("eth_getTransactionCount", (address, "latest"), replies.quantity)


def balance_of(address: Address) -> Query[int]:
    return Query("eth_getBalance", (address, "latest"), replies.quantity)


def code_at(address: Address) -> Query[bytes]:
    return Query("eth_getCode", (address, "latest"), replies.octets)


def call(to: Address, calldata: bytes, sender: Address | None = None, gas: int | None = None) -> Query[bytes]:
    return Query("eth_call", (_request(to, calldata, sender, gas), "latest"), replies.octets)


def estimate_gas(to: Address, calldata: bytes, sender: Address) -> Query[int]:
    return Query("eth_estimateGas", (_request(to, calldata, sender, None),), replies.quantity)


def _request(to: Address, calldata: bytes, sender: Address | None, gas: int | None) -> dict[str, str]:
    request = {"to": str(to), "data": "0x" + calldata.hex()}
    if sender is not None:
        request["from"] = sender
    if gas is not None:
        request["gas"] = hex(gas)
    return request


class _Endpoint:
    """One URL with its limiter and its record of failures."""

    def __init__(self, url: str, per_minute: int) -> None:
        self.url = url
        self.host = urlsplit(url).netloc.rsplit("@", 1)[-1]
        self.limiter = Limiter(per_minute)
        self.failures = 0
        self.cool_until = 0.0
        self.is_throttled = False
        self.last_failure = ""

    def failed(self, reason: str, now: float, seconds: float | None = None) -> None:
        """The endpoint rests: longer after each failure in a row, or as long as it asked for."""
        self.failures += 1
        self.last_failure = reason
        self.is_throttled = seconds is not None
        wait = min(FAILED_SECONDS_MAX, 0.1 * 2 ** min(self.failures, 10)) if seconds is None else seconds
        self.cool_until = now + min(wait, COOL_SECONDS_MAX)

    def answered(self) -> None:
        self.failures, self.cool_until, self.is_throttled = 0, 0.0, False


class _EndpointFailure(Exception):
    """This endpoint did not answer the question; `seconds` is how long it wants to be left alone."""

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class _TooSlow(_EndpointFailure):
    """It took longer than it may."""


class _TooLarge(_EndpointFailure):
    """It sent more than it may."""


_FAILURES_BY_STATUS = {413: _TooLarge, 504: _TooSlow}
"""Said by a proxy before the node."""


class Rpc:
    """Several endpoints of one chain. Close with `aclose`, or use as a context manager."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        requests_per_minute: int | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`requests_per_minute` is per URL: None for the public limit, which does not bind this machine's own nodes."""
        if not urls:
            raise ConfigurationError("no RPC endpoint is named", remedy="Give --rpc one or several URLs")
        self._endpoints = [_Endpoint(url, _per_minute(url, requests_per_minute)) for url in urls]
        self._client = httpx.AsyncClient(timeout=timeout_seconds, transport=transport, trust_env=False)
        self._timeout = timeout_seconds
        self._sleep = sleep
        self._preferred = 0
        self._identity = 0
        self.requests = 0
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Questions by (method, outcome); an outcome is "ok", "refused", "rate_limited" or "failed"."""
        self.head: Header | None = None
        """The latest block that any answer showed."""

    async def __aenter__(self) -> "Rpc":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._client.aclose()

    @property
    def is_local(self) -> bool:
        return all(_is_local(endpoint.url) for endpoint in self._endpoints)

    async def read(self, query: Query[T]) -> T:
        """One read. `RpcRefused` if the node refuses it, `ChainUnreachable` if no endpoint answers, `AskedTooMuch` if
        that was because of the size of what may be asked in parts."""
        (answer,) = await self.read_all([query])
        if isinstance(answer, RpcRefused):
            raise answer
        return answer

    async def read_all(self, queries: Sequence[Query[T]]) -> list[T | RpcRefused]:
        """Several reads in one HTTP request to one endpoint; a refused one has its refusal in its place."""
        is_divisible = all(query.is_divisible for query in queries)
        failures: dict[str, _EndpointFailure] = {}
        for attempt in range(ATTEMPTS):
            endpoint = await self._pick(attempt)
            try:
                answers = await self._ask(endpoint, queries)
            except _EndpointFailure as failure:
                self._failed(endpoint, failure)
                failures[endpoint.url] = failure
                if is_divisible and self._all_failed(failures, _TooLarge | _TooSlow):
                    break
                continue
            endpoint.answered()
            return answers
        if is_divisible and any(isinstance(failure, _TooLarge | _TooSlow) for failure in failures.values()):
            raise AskedTooMuch(self._unreachable().message, self._all_failed(failures, _TooLarge))
        raise self._unreachable()

    async def read_both(self, first: Query[A], second: Query[B]) -> tuple[A, B]:
        """Two reads in one request, so that one node answers both."""
        queries: list[Query[Any]] = [first, second]
        answers: list[Any] = await self.read_all(queries)
        for answer in answers:
            if isinstance(answer, RpcRefused):
                raise answer
        return answers[0], answers[1]

    async def send_raw(self, raw: bytes) -> str:
        """Hands a signed transaction to one endpoint, once. `ChainUnreachable`: the outcome is unknown."""
        endpoint = await self._pick(0)
        try:
            (answer,) = await self._ask(endpoint, [Query("eth_sendRawTransaction", ("0x" + raw.hex(),), replies.word)])
        except _EndpointFailure as failure:
            self._failed(endpoint, failure)
            raise ChainUnreachable(f"no answer from {endpoint.host} to a transaction: {failure}") from None
        endpoint.answered()
        if isinstance(answer, RpcRefused):
            raise answer
        return answer

    async def check_chain(self, expected: int) -> None:
        """`WrongChain` unless every endpoint that answers serves this chain, `ChainUnreachable` if none answers."""
        answered = 0
        for endpoint in self._endpoints:
            try:
                (served,) = await self._ask(endpoint, [chain_id()])
            except _EndpointFailure as failure:
                self._failed(endpoint, failure)
                continue
            answered += 1
            if served != expected:
                raise WrongChain(
                    f"{endpoint.host} serves chain {served}, not {expected}", remedy="Check --rpc and --chain-id"
                )
        if not answered:
            raise self._unreachable()

    def distrust(self, reason: str) -> None:
        """The endpoint that is asked first lags or omits something: ask another one first from now on."""
        self._endpoints[self._preferred].last_failure = reason
        self._preferred = (self._preferred + 1) % len(self._endpoints)

    async def _pick(self, attempt: int) -> _Endpoint:
        """The preferred endpoint, or the next one that does not rest.

        If all of them do, a retry waits; a first question waits only for an endpoint that asked for it.
        """
        now = time.monotonic()
        order = self._endpoints[self._preferred :] + self._endpoints[: self._preferred]
        best = min(order, key=lambda endpoint: max(endpoint.cool_until, now))
        wait = best.cool_until - now
        if wait > 0 and (attempt > 0 or best.is_throttled):
            await self._sleep(wait * random.uniform(1.0, 1.3))
        return best

    def _failed(self, endpoint: _Endpoint, failure: _EndpointFailure) -> None:
        endpoint.failed(str(failure), time.monotonic(), failure.seconds)

    def _all_failed(self, failures: dict[str, _EndpointFailure], kind: type[_EndpointFailure] | UnionType) -> bool:
        """Whether every endpoint was asked, and failed in this way."""
        failed = [failures.get(endpoint.url) for endpoint in self._endpoints]
        return all(isinstance(failure, kind) for failure in failed)

    def _unreachable(self) -> ChainUnreachable:
        reasons = "; ".join(f"{endpoint.host}: {endpoint.last_failure or 'no answer'}" for endpoint in self._endpoints)
        return ChainUnreachable(f"no endpoint answers ({reasons})", remedy="Check --rpc, and that the node is running")

    async def _ask(self, endpoint: _Endpoint, queries: Sequence[Query[T]]) -> list[T | RpcRefused]:
        first = self._identity + 1
        self._identity += len(queries)
        bodies = [
            {"jsonrpc": "2.0", "id": first + index, "method": query.method, "params": query.params}
            for index, query in enumerate(queries)
        ]
        await endpoint.limiter.take(len(queries))
        self.requests += len(queries)
        try:
            reply = await self._post(endpoint, msgspec.json.encode(bodies if len(bodies) > 1 else bodies[0]))
            answers = _match(queries, first, reply)
        except _EndpointFailure as failure:
            outcome = "failed" if failure.seconds is None else "rate_limited"
            self.outcomes.update((query.method, outcome) for query in queries)
            raise
        for query, answer in zip(queries, answers, strict=True):
            self.outcomes[query.method, "refused" if isinstance(answer, RpcRefused) else "ok"] += 1
            if isinstance(answer, Header) and (self.head is None or answer.number > self.head.number):
                self.head = answer
        return answers

    async def _post(self, endpoint: _Endpoint, body: bytes) -> object:
        content = bytearray()
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._client.stream(
                    "POST", endpoint.url, content=body, headers={"content-type": "application/json"}
                ) as response,
            ):
                if response.status_code == 429:
                    raise _EndpointFailure("HTTP 429, rate limited", _retry_after(response))
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > REPLY_BYTES_MAX:
                        raise _TooLarge(f"a reply of more than {REPLY_BYTES_MAX} bytes")
        except (httpx.ReadTimeout, TimeoutError) as error:
            raise _TooSlow(type(error).__name__) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _EndpointFailure(type(error).__name__) from None
        try:
            return msgspec.json.decode(bytes(content))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            failure = _FAILURES_BY_STATUS.get(response.status_code, _EndpointFailure)
            raise failure(f"HTTP {response.status_code}, not JSON") from None


def _match(queries: Sequence[Query[T]], first: int, reply: object) -> list[T | RpcRefused]:
    """Answers in the order of the questions; anything that does not fit is the endpoint's failure."""
    entries = reply if isinstance(reply, list) else [reply]
    by_id: dict[object, dict[str, Any]] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), int | None):
            raise _EndpointFailure("a reply that is not JSON-RPC")
        if entry.get("id") is None and "error" in entry:
            refusal = _refusal("request", entry["error"])
            raise _EndpointFailure(f"refused the whole request: {refusal.reason}")
        if entry["id"] in by_id:
            raise _EndpointFailure("two answers to one question")
        by_id[entry["id"]] = entry
    answers: list[T | RpcRefused] = []
    for index, query in enumerate(queries):
        found = by_id.get(first + index)
        if found is None:
            raise _EndpointFailure("an answer to another question")
        if found.get("error") is not None:
            answers.append(_refusal(query.method, found["error"]))
            continue
        try:
            answers.append(query.parse(found.get("result")))
        except MalformedReply as error:
            raise _EndpointFailure(f"{query.method}: {error.message}") from None
    return answers


def _refusal(method: str, error: object) -> RpcRefused:
    """The node's error; a limit that was hit is a failure of the endpoint instead."""
    if not isinstance(error, dict):
        raise _EndpointFailure("an error that is not JSON-RPC")
    code = error.get("code")
    reason = replies.shorten(error.get("message", ""))
    code = code if isinstance(code, int) else 0
    is_throttled = code in _THROTTLE_CODES and method != "eth_getLogs"
    if is_throttled or any(word in reason.lower() for word in _THROTTLE_WORDS):
        raise _EndpointFailure(f"rate limited: {reason}", 2.0)
    payload = error.get("data")
    if isinstance(payload, dict):
        payload = payload.get("data")
    try:
        return RpcRefused(method, code, reason, replies.octets(payload))
    except MalformedReply:
        return RpcRefused(method, code, reason)


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return min(float(text), COOL_SECONDS_MAX) if text.isdigit() else 2.0


def _per_minute(url: str, configured: int | None) -> int:
    if configured is not None:
        return configured
    return 0 if _is_local(url) else PUBLIC_REQUESTS_PER_MINUTE


def _is_local(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
