"""A gateway's line to the publisher: the directory, the messages of channels, and questions.

Invariant: the directory stays as it was told last while the publisher is away, so that orders go on; questions are then
refused at once (UNAVAILABLE), and readers continue where they were when it comes back.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from offchain.domain.errors import InvalidInput
from offchain.domain.event import AnyEvent, ApprovalGranted
from offchain.domain.units import Address, Digest
from offchain.gateway import news
from offchain.gateway.channels import Channel
from offchain.gateway.directory import Directory
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.reads import Situation, Whose
from offchain.gateway.records import OrderRecord, RelayRecord
from offchain.gateway.terms import Rates

RECONNECT_SECONDS = (0.02, 0.5)
CONNECT_SECONDS = 5.0
A_MOMENT_SECONDS = 0.02
"""In which a publisher that keeps up tells of a command; who takes longer is late, until he is seen to keep up."""
LOOKS = 5
"""With a moment between them. Who has told of all that was acknowledged here at each of them keeps up again."""
ASK_SECONDS = 10.0
"""Longer than any question takes."""

_log = logging.getLogger("hooats.gateway")
_encode = msgspec.json.Encoder().encode
_decode_order: Callable[[bytes], OrderRecord | None] = msgspec.json.Decoder(OrderRecord | None).decode
_decode_digest: Callable[[bytes], Digest | None] = msgspec.json.Decoder(Digest | None).decode
_decode_approvals = msgspec.json.Decoder(list[ApprovalGranted]).decode
_decode_relayed: Callable[[bytes], RelayRecord | None] = msgspec.json.Decoder(RelayRecord | None).decode
_decode_situation = msgspec.json.Decoder(Situation).decode
_decode_rates = msgspec.json.Decoder(Rates).decode
_decode_events = msgspec.json.Decoder(list[AnyEvent]).decode


class Problem(msgspec.Struct, frozen=True):
    """An `ApiError` on its way."""

    code: str
    message: str
    data: dict[str, Any]
    headers: dict[str, str]


class Readers(Protocol):
    """Who hands messages on."""

    def connected(self, *, is_same_journal: bool) -> None: ...

    def begun(self, number: int, is_resumed: bool, messages: list[tuple[int, str]]) -> None: ...

    def updated(self, channel: Channel, sequence: int, text: str) -> None: ...


class Publications:
    """`start`, then the rest. Connects again whenever the connection is lost."""

    def __init__(self, socket: Path, model: Directory, newest: Callable[[], int]) -> None:
        """`newest`: the last command that an answer must include."""
        self._socket = socket
        self._model = model
        self._newest = newest
        self._line: _Line | None = None
        self._journal: int | None = None
        self._awaited = 0
        self._is_late = False
        self._probing: asyncio.Task[None] | None = None
        """Looks whether it still is."""
        self._numbers = 0
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._task: asyncio.Task[None] | None = None
        self.readers: Readers

    @property
    def is_live(self) -> bool:
        return self._line is not None and self._line.is_greeted and not self._line.ended.is_set()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._connect(), name="publisher")

    async def close(self) -> None:
        for task in (self._task, self._probing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    # --- asking ---

    async def reached(self, sequence: int, seconds: float) -> bool:
        """Waits until every question is answered with command `sequence` included. False at once if nobody can say."""
        if self._model.sequence >= sequence:
            return True
        if not self.is_live:
            return False
        if sequence > self._awaited:
            self._awaited = sequence
            self._send(news.Await(sequence))
        began = time.monotonic()
        is_reached = await self._model.reached(sequence, seconds)
        self._is_late = not is_reached or time.monotonic() - began > A_MOMENT_SECONDS
        return is_reached

    def patience(self, seconds: float) -> float:
        """How long it is worth waiting for the publisher, of `seconds`: not at all where it is late, and a moment where
        it has not told of all that was acknowledged here. Nobody waits in order to find that out."""
        if self._is_late:
            if self._probing is None:
                self._probing = asyncio.create_task(self._probe(), name="probe")
            return 0.0
        return min(seconds, A_MOMENT_SECONDS) if self._newest() > self._model.sequence else seconds

    async def _probe(self) -> None:
        try:
            for _ in range(LOOKS):
                newest = self._newest()
                if newest > self._model.sequence:
                    await self.reached(newest, ASK_SECONDS)
                    return
                await asyncio.sleep(A_MOMENT_SECONDS)
            self._is_late = False
        finally:
            self._probing = None

    async def ask(self, what: str, arguments: object) -> bytes:
        """The answer as JSON; `ApiError` if it is a refusal, or the publisher is away."""
        if not self.is_live:
            raise away()
        number = self.next_number()
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._send(news.Ask(number, what, _encode(arguments), self._newest()))
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await answer
        except TimeoutError:
            raise away() from None
        finally:
            self._answers.pop(number, None)

    async def order(self, digest: Digest) -> OrderRecord | None:
        """Open, or closed a short while ago."""
        return _decode_order(await self.ask("order", Whose(digest=digest)))

    async def named(self, account: Address, client_order_id: str) -> Digest | None:
        """The order of that name, if it is open or was a short while ago."""
        return _decode_digest(await self.ask("named", Whose(account, client_order_id=client_order_id)))

    async def approvals(self, account: Address) -> list[ApprovalGranted]:
        """Outstanding countersignatures, oldest first."""
        return _decode_approvals(await self.ask("approvals", Whose(account=account)))

    async def relayed(self, digest: Digest) -> RelayRecord | None:
        """What was asked for within the last hour by the message of this digest."""
        return _decode_relayed(await self.ask("relayed", Whose(digest=digest)))

    async def situation(self, market: int, account: Address, token: Address, subaccount: int = 0) -> Situation:
        whose = Whose(account, market=market, token=token, subaccount=subaccount)
        return _decode_situation(await self.ask("situation", whose))

    async def rates(self, account: Address) -> Rates:
        """What it pays for what it places now."""
        return _decode_rates(await self.ask("rates", Whose(account)))

    # --- channels ---

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def subscribe(self, number: int, channel: Channel, start: int | None) -> None:
        """`Readers.begun` follows, if the publisher does not go away: then it is to be asked for again."""
        self._send(news.Subscribe(number, channel.name, channel.account, start))

    def unsubscribe(self, channel: Channel) -> None:
        self._send(news.Unsubscribe(channel.name, channel.account))

    # --- the line ---

    def _send(self, message: news.AnyNews) -> None:
        if self.is_live and self._line is not None:
            self._line.transport.write(news.encode(message))

    async def _connect(self) -> None:
        shortest, longest = RECONNECT_SECONDS
        delay, attempts = shortest, 0
        while True:
            try:
                if await self._follow():
                    delay, attempts = shortest, 0
                    _log.warning("the publisher is lost")
            except (OSError, TimeoutError) as error:
                if not attempts:
                    _log.warning("no publisher: %r", error)
                attempts += 1
            finally:
                self._lose()
            await asyncio.sleep(delay)
            delay = min(delay * 2, longest)

    async def _follow(self) -> bool:
        """Over one connection, to its end. False if the publisher never greeted."""
        # Known before it connects: the greeting may be there before `await` gives the connection back.
        line = self._line = _Line(self._receive)
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().create_unix_connection(lambda: line, str(self._socket))
        await line.ended.wait()
        return line.is_greeted

    def _lose(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.abort()
        self._awaited = 0
        self._model.release()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(away())

    def _receive(self, message: news.AnyNews) -> None:
        match message:
            case news.Updates(sequence=sequence, at=at, messages=messages):
                for name, account, last, text in messages:
                    self.readers.updated(Channel(name, cast(Address | None, account)), last, text)
                self._model.pass_to(sequence, at)
            case news.Begun(number=number, is_resumed=is_resumed, messages=begun):
                self.readers.begun(number, is_resumed, begun)
            case news.Answered(number=number, is_failure=is_failure, body=body):
                self._answered(number, is_failure, body)
            case news.Standing():
                self._learn(message)
            case _:
                raise InvalidInput(f"a publisher does not say {type(message).__name__}")

    def _answered(self, number: int, is_failure: bool, body: bytes) -> None:
        answer = self._answers.get(number)
        if answer is None or answer.done():  # nobody waits for it any more
            return
        if is_failure:
            problem = msgspec.json.decode(body, type=Problem)
            answer.set_exception(ApiError(problem.code, problem.message, problem.data, problem.headers))
        else:
            answer.set_result(body)

    def _learn(self, told: news.Standing) -> None:
        accounts, events = cast(list[Address], told.accounts), _decode_events(told.events)
        if not told.is_all:
            self._model.extend(events, accounts)
            return
        is_same = self._journal in (None, told.journal)
        self._journal = told.journal
        self._model.replace(events, accounts, told.sequence, told.at)
        assert self._line is not None, "known before it connects"
        self._line.is_greeted = True
        self.readers.connected(is_same_journal=is_same)


class _Line(asyncio.Protocol):
    def __init__(self, receive: Callable[[news.AnyNews], None]) -> None:
        self.transport: asyncio.Transport
        self.ended = asyncio.Event()
        self.is_greeted = False
        """The directory came, once."""
        self._is_connected = False
        self._reader = news.NewsReader()
        self._receive = receive

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._is_connected = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()

    def abort(self) -> None:
        if self._is_connected:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self._receive(message)
        except InvalidInput as error:
            _log.error("the publisher is not understood: %s", error)
            self.transport.abort()


def away() -> ApiError:
    message = "the publisher of market data is away; orders go on"
    return ApiError(Code.UNAVAILABLE, message, {"executed": False, "retryAfterMs": 1000}, {"Retry-After": "1"})
