"""The one process that applies the feed, keeps the read model and tells all gateways what their readers subscribed to.

    feed -> read model -> channel log -> at most one message a channel and window, encoded once -> gateways -> readers
    gateway -> question -> read model, history -> answer

Invariant: a gateway gets the messages of a channel in order and without gap, or a snapshot; what nobody subscribed to
is not encoded. A question is answered from a model that includes what its gateway has seen acknowledged. A gateway that
does not take what it asked for is dropped, and comes again. Nobody is let in before the model has caught up.
"""

import asyncio
import contextlib
import gc
import logging
import os
import time
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from offchain.domain.errors import InvalidInput
from offchain.domain.units import Address
from offchain.gateway import news
from offchain.gateway.channels import Channel, ChannelLog, Updates
from offchain.gateway.failures import ApiError, Code
from offchain.gateway.feed import Feed
from offchain.gateway.metrics import PublisherMetrics
from offchain.gateway.past import Past
from offchain.gateway.present import Tokens
from offchain.gateway.readmodel import Changes, ReadModel
from offchain.gateway.reads import QUESTIONS, Reads, Whose
from offchain.gateway.rest import Call
from offchain.gateway.routes import ROUTES
from offchain.gateway.settings import PublisherSettings
from offchain.gateway.upstream import Upstream
from offchain.telemetry.probes import Check, Checks, Probes, Progress

UNSENT_BYTES_MAX = 64 * 1024 * 1024
"""To one gateway; more means that it does not read any more."""
REACHED_SECONDS = 1.0
"""How long a question waits for what its asker knows to be durable."""
STANDSTILL_SECONDS = 10.0
PULSE_SECONDS = 1.0
_log = logging.getLogger("hooats.publisher")
_encode = msgspec.json.Encoder().encode
_decode_call = msgspec.json.Decoder(Call).decode
_decode_whose = msgspec.json.Decoder(Whose).decode
_READING = {route.name: route for route in ROUTES if route.is_read}


class Publisher:
    """`start` and `close` belong to the event loop that serves."""

    def __init__(self, settings: PublisherSettings) -> None:
        self.settings = settings
        self.metrics = PublisherMetrics()
        self.model = ReadModel()
        self.tokens = Tokens(settings.quote_token, settings.quote_decimals, self.model)
        self.log = ChannelLog(self.model, self.tokens, settings.ring_commands)
        self.upstream = Upstream(settings.sequencer_socket, settings.chain_id)
        self.past = Past(settings.history_url, settings.journal_folder)
        self.reads = Reads(self.model, self.log, self.tokens, self.past, self.upstream)
        self.feed = Feed(settings, self.model, self._changed, self._taken, self._current, self._void)
        self.progress = Progress(STANDSTILL_SECONDS)
        self.journal = 0
        """Counts up when the journal turned out to be another one."""
        self.gateways: dict[Subscriber, None] = {}
        self.metrics.sequence.set_function(lambda: self.model.sequence)
        self.metrics.live.set_function(lambda: self.feed.is_live)
        self.metrics.gateways.set_function(lambda: len(self.gateways))
        self._window = settings.window_millis / 1000
        self._flushed = 0.0
        self._is_flush_due = False
        """Something changed since."""
        self._flush_at: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Follows; listens once there is something to tell."""
        await self.upstream.start()
        self._tasks = [
            asyncio.create_task(self.feed.follow(), name="feed"),
            asyncio.create_task(self._pulse(), name="pulse"),
        ]
        gc.collect()
        gc.freeze()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._stop_listening()
        await self.upstream.close()
        await asyncio.to_thread(self.past.close)

    def probes(self) -> Probes:
        return Probes("publisher", self.live, self.ready, self.metrics.registry)

    def live(self) -> Checks:
        return {"loop": self.progress.check()}

    def ready(self) -> Checks:
        return {**self.live(), "feed": Check(self.feed.is_live, "the sequencer is away, or not caught up with yet")}

    # --- what the feed says ---

    def _changed(self, changes: Changes | None) -> None:
        if changes is None:
            self.log.restart()
            return
        self.log.record(changes)
        if changes.listed or changes.opened:
            standing = self._standing(changes)
            for gateway in list(self.gateways):
                gateway.send(standing)
        self._is_flush_due = True
        if not self._window:
            self._flush()
        for gateway in list(self.gateways):
            gateway.tell_progress()

    def _taken(self) -> None:
        """What goes together is together."""
        if not self._is_flush_due or self._flush_at is not None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= self._flushed + self._window:
            self._flush()
        else:
            self._flush_at = loop.call_at(self._flushed + self._window, self._flush)

    def _current(self) -> None:
        """Gateways may come."""
        self._flush()
        if self._server is None:
            self._tasks.append(asyncio.create_task(self._listen(), name="listen"))

    def _void(self) -> None:
        """What was told is of another journal."""
        self.journal += 1
        self._stop_listening()

    async def _listen(self) -> None:
        loop, path = asyncio.get_running_loop(), self.settings.socket
        if self._server is None:
            path.unlink(missing_ok=True)
            self._server = await loop.create_unix_server(lambda: Subscriber(self), path)
            os.chmod(path, 0o600)

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self.settings.socket.unlink(missing_ok=True)
        for gateway in list(self.gateways):
            gateway.drop("starting again")

    async def _pulse(self) -> None:
        while True:
            self.progress.note()
            await asyncio.sleep(PULSE_SECONDS)

    def _flush(self) -> None:
        self._is_flush_due, self._flush_at = False, None
        self._flushed = asyncio.get_running_loop().time()
        updates = self.log.flush()
        self.log.review(self._readers)
        for gateway in list(self.gateways):
            gateway.publish(updates)

    def _readers(self) -> Iterable[Address]:
        """Accounts whose private channels are read."""
        return (account for gateway in self.gateways for account in gateway.accounts())

    def _standing(self, changes: Changes | None) -> bytes:
        """All of the directory, or what is new in it."""
        model = self.model
        events, accounts = (
            (model.describe(), list(model.accounts)) if changes is None else (changes.listed, changes.opened)
        )
        head = changes is None, self.journal, model.sequence, model.at
        return news.encode(news.Standing(*head, _encode(events), cast(list[str], accounts)))

    def greeting(self) -> bytes:
        return self._standing(None)

    # --- what gateways ask ---

    async def answer(self, question: news.Ask) -> bytes:
        started = time.perf_counter()
        try:
            found = await self._find(question)
            answered = news.Answered(question.number, False, found if isinstance(found, bytes) else _encode(found))
        except ApiError as error:
            answered = _failed(question.number, error)
        except Exception:
            self.metrics.failures.inc()
            _log.exception("internal error in %s", question.what)
            answered = _failed(question.number, ApiError(Code.INTERNAL, "internal error"))
        self.metrics.seconds.labels(question.what).observe(time.perf_counter() - started)
        return news.encode(answered)

    async def _find(self, question: news.Ask) -> Any:
        if self.model.sequence < question.after:
            self.feed.hurry(question.after)
            await self.model.reached(question.after, REACHED_SECONDS)
        route = _READING.get(question.what)
        if route is not None:
            return await route.handler(self.reads, _decode_call(question.arguments))
        return QUESTIONS[question.what](self.reads, _decode_whose(question.arguments))


class Subscriber(asyncio.Protocol):
    """One gateway."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._reader = news.NewsReader()
        self._transport: asyncio.Transport
        self._channels: dict[Channel, None] = {}
        self._joining: list[news.Subscribe] = []
        """For a snapshot of a channel that has something to tell yet."""
        self._awaited = 0
        self._told = 0
        self._tasks: set[asyncio.Task[None]] = set()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._publisher.gateways[self] = None
        self.send(self._publisher.greeting())

    def connection_lost(self, exc: Exception | None) -> None:
        self._publisher.gateways.pop(self, None)
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self._receive(message)
        except InvalidInput as error:
            self.drop(error.message)

    # --- out ---

    def send(self, message: bytes) -> None:
        self._transport.write(message)
        if self._transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            self.drop("it does not read what it asked for")

    def drop(self, why: str) -> None:
        _log.warning("gateway dropped: %s", why)
        self._publisher.gateways.pop(self, None)
        self._transport.abort()

    def publish(self, updates: Updates) -> None:
        """What was flushed just now."""
        model, channels = self._publisher.model, self._channels
        messages = [
            (channel.name, channel.account, update.sequence, update.text(channel))
            for channel, update in updates.items()
            if channel in channels
        ]
        self._publisher.metrics.messages.inc(len(messages))
        self._told = model.sequence
        self.send(news.encode(news.Updates(model.sequence, model.at, cast(Any, messages))))
        joining, self._joining = self._joining, []
        for wanted in joining:
            self._subscribe(wanted)

    def tell_progress(self) -> None:
        """To who waits for a command."""
        model = self._publisher.model
        if self._awaited > self._told:
            self._told = model.sequence
            self.send(news.encode(news.Updates(model.sequence, model.at, [])))

    def accounts(self) -> Iterable[Address]:
        """Whose private channels it reads."""
        return (channel.account for channel in self._channels if channel.account is not None)

    # --- in ---

    def _receive(self, message: news.AnyNews) -> None:
        match message:
            case news.Subscribe():
                self._subscribe(message)
            case news.Unsubscribe(channel=name, account=account):
                self._channels.pop(_channel(name, account), None)
            case news.Await(sequence=sequence):
                self._awaited = max(self._awaited, sequence)
                self._publisher.feed.hurry(sequence)
                self.tell_progress()
            case news.Ask():
                task = asyncio.create_task(self._answer(message))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case _:
                raise InvalidInput(f"a gateway does not say {type(message).__name__}")

    def _subscribe(self, wanted: news.Subscribe) -> None:
        channel, log = _channel(wanted.channel, wanted.account), self._publisher.log
        if channel.account is not None:
            log.watch(channel.account)
        missed = None if wanted.start is None else log.since(channel, wanted.start)
        if missed is None and not log.is_told(channel):
            self._joining.append(wanted)
            return
        begun: list[tuple[int, str]]
        if missed is None:
            try:
                begun = [log.snapshot(channel)]
            except KeyError:  # a market of another journal
                begun = []
        else:
            begun = [(update.sequence, update.text(channel, wanted.start or 0)) for update in missed]
        if missed is not None or begun:
            self._channels[channel] = None
        self.send(news.encode(news.Begun(wanted.number, missed is not None, begun)))

    async def _answer(self, question: news.Ask) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            answered = await self._publisher.answer(question)
            if not self._transport.is_closing():
                self.send(answered)


def _channel(name: str, account: str | None) -> Channel:
    return Channel(name, None if account is None else Address(account))


def _failed(number: int, error: ApiError) -> news.Answered:
    body = {"code": error.code, "message": error.message, "data": error.data, "headers": error.headers}
    return news.Answered(number, True, _encode(body))
