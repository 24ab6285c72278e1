"""The Unix socket of the sequencer: frames to submissions, acks and feeds to frames.

Invariant: what a peer does not read costs a bounded buffer and then its connection, never the writer's time or another
peer's; what the writer cannot take yet stays in the peers' sockets.
"""

import asyncio
import contextlib
import hmac
import os
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, cast

import structlog

from offchain.domain.command import AdvanceTime, Command, ObserveBlock, ObserveLog, OpenVenue, PlaceOrder, decode
from offchain.domain.errors import ConfigurationError, HooatsError, InvalidInput
from offchain.sequencer import protocol
from offchain.sequencer.protocol import (
    Ack,
    Cancelled,
    Failure,
    Follow,
    FrameReader,
    FrameType,
    Hello,
    NamedCancel,
)
from offchain.sequencer.receipts import GroupReceipt, group_receipt
from offchain.sequencer.ring import Ring, RingFrame
from offchain.sequencer.rows import RowSubmission, read_rows
from offchain.sequencer.sequencer import CancelSubmission, Sequencer, Submission
from offchain.sequencer.settings import CONNECTION_BUFFER_BYTES_MAX, SequencerSettings
from offchain.storage.reader import JournalReader
from offchain.telemetry.probes import OFF

FEED_WRITE_BYTES = 1 << 18
JOURNAL_PAUSE_SECONDS = 0.005
"""Until what became durable is in the ring."""
FLUSH_SECONDS = 2.0
FOLLOWER_FRAME_BYTES_MAX = 4_096
"""Of what a follower says."""

OWN_COMMANDS = (OpenVenue, AdvanceTime, ObserveLog, ObserveBlock)
"""Only the sequencer itself brings these in: time from its clock, the chain from the inbox."""

log = structlog.get_logger("sequencer")


class Server:
    """Listens from `start` to `close`."""

    def __init__(self, sequencer: Sequencer, settings: SequencerSettings) -> None:
        self.sequencer = sequencer
        self.reader = JournalReader(settings.journal_folder)
        self.connections: set[Connection] = set()
        self._path = settings.socket
        self._settings = settings
        self.on_deposed: Callable[[], None] = lambda: None
        self._listening: list[asyncio.AbstractServer] = []
        sequencer.on_space.append(self._resume_reading)

    async def start(self) -> None:
        """The journal's lock is held, so a socket file that is there was left behind."""
        self._path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        mask = os.umask(0o177)
        try:
            self._listening.append(await loop.create_unix_server(lambda: Connection(self), str(self._path)))
        finally:
            os.umask(mask)
        if self._settings.follow_port != OFF:
            await self._listen_for_followers()

    async def _listen_for_followers(self) -> None:
        host, port, secret = self._settings.follow_host, self._settings.follow_port, self._settings.follow_secret
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(lambda: Connection(self, secret), host, port)
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"cannot listen on {host}:{port} for followers: {reason}"
            raise ConfigurationError(message, remedy="Choose another --follow-port") from None
        self._listening.append(server)
        (self._settings.data / "follow.port").write_text(f"{server.sockets[0].getsockname()[1]}\n")

    def stop_reading(self) -> None:
        """Nothing that arrives from now on is sequenced."""
        for listening in self._listening:
            listening.close()
        for connection in self.connections:
            connection.pause_for_good()

    async def close(self) -> None:
        """Lets the last acks out, then ends all connections."""
        self.stop_reading()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await asyncio.gather(*(connection.flushed() for connection in self.connections))
        for connection in list(self.connections):
            connection.abort()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _resume_reading(self) -> None:
        for connection in self.connections:
            connection.resume_reading()


class Connection(asyncio.Protocol):
    """One peer: a submitter, a feed, or both; or a follower. `secret`: it is from elsewhere, and can only be one."""

    def __init__(self, server: Server, secret: bytes = b"") -> None:
        self._server = server
        self._sequencer = server.sequencer
        self._secret = secret
        self._nonce = secrets.token_hex(16) if secret else ""
        self._is_follower = False
        self._frames = FrameReader(FOLLOWER_FRAME_BYTES_MAX) if secret else FrameReader()
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._news = asyncio.Event()
        self._feed: asyncio.Task[None] | None = None
        self._fed = 0
        """The sequence that the feed goes on from."""
        self._answers: set[asyncio.Task[None]] = set()
        self._paused = False
        self._closing = False

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)
        sequencer = self._sequencer
        known = sequencer.chain_id, sequencer.durable_sequence, sequencer.followers.term
        self._write(protocol.hello_frame(Hello(protocol.PROTOCOL_VERSION, *known, self._nonce)))

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._transport = None
        self._server.connections.discard(self)
        self._sequencer.followers.connected -= self._is_follower
        if self._feed is not None:
            self._feed.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, received: bytes) -> None:
        try:
            for frame_type, body in self._frames.feed(received):
                self._receive(frame_type, body)
        except InvalidInput as error:
            log.warning("peer cut off", reason=str(error))
            self.abort()
        if self._sequencer.is_full and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    # --- what the server calls ---

    async def flushed(self) -> None:
        """Everything written is with the kernel."""
        if self._transport is not None:
            self._transport.set_write_buffer_limits(0)
            await self._writable.wait()

    def pause_for_good(self) -> None:
        if self._is_follower:  # what is not acknowledged yet may wait for it
            return
        self._closing = True
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._paused and not self._closing and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    # --- frames in ---

    def _receive(self, frame_type: FrameType, body: bytes) -> None:
        if self._closing:
            return
        if frame_type is FrameType.ROWS and not self._secret:
            self._submit_rows(body)
        elif frame_type is FrameType.FOLLOW and self._feed is None:
            self._follow(protocol.read_follow(body))
        elif frame_type is FrameType.DURABLE and self._is_follower:
            self._sequencer.followers.note_durable(protocol.read_durable(body))
        elif self._secret:
            raise InvalidInput(f"unexpected {frame_type.name} from elsewhere")
        elif frame_type is FrameType.SUBMIT:
            self._submit(body)
        elif frame_type is FrameType.CANCEL:
            self._cancel(*protocol.read_cancel(body))
        elif frame_type is FrameType.FEED and self._feed is None:
            self._start_feed(self._sequencer.ring, protocol.read_feed(body))
        elif frame_type is FrameType.RECEIPT:
            self._answer_later(self._send_receipt(*protocol.read_receipt(body)))
        elif frame_type is FrameType.GROUP_RECEIPT:
            self._answer_later(self._send_group_receipt(*protocol.read_receipt(body)))
        else:
            raise InvalidInput(f"unexpected {frame_type.name}")

    def _follow(self, follow: Follow) -> None:
        followers = self._sequencer.followers
        if self._secret and not hmac.compare_digest(follow.proof, protocol.prove(self._secret, self._nonce)):
            raise InvalidInput("a follower that does not know the secret")
        if not followers.note_term(follow.term):
            self._refuse(0, InvalidInput(f"the leader of term {followers.term} is no leader in term {follow.term}"))
            self._server.on_deposed()
            return
        self._is_follower = True
        followers.connected += 1
        followers.note_durable(follow.from_sequence - 1)
        self._start_feed(followers.ring, follow.from_sequence)

    def _start_feed(self, ring: Ring, from_sequence: int) -> None:
        self._fed = from_sequence
        self._feed = asyncio.get_running_loop().create_task(self._run_feed(ring))

    def _submit(self, body: bytes) -> None:
        try:
            request, commands = protocol.read_submit(body)
            _check_origin(commands)
        except InvalidInput as error:
            self._refuse(protocol.request_of(body), error)
            return
        self._sequencer.enqueue(Submission(commands, lambda acks: self._acknowledge(request, acks)))

    def _submit_rows(self, body: bytes) -> None:
        try:
            request, is_bulk, content = protocol.split_rows(body)
            count = read_rows(content, is_bulk, protocol.SUBMISSION_COMMANDS_MAX)
        except InvalidInput as error:
            self._refuse(protocol.request_of(body), error)
            return

        def deliver(results: bytes, attestation: bytes) -> None:
            self._write(protocol.results_frame(request, attestation, results))

        self._sequencer.enqueue(RowSubmission(content, is_bulk, count, deliver))

    def _cancel(self, request: int, named: NamedCancel) -> None:
        def deliver(cancelled: Cancelled) -> None:
            self._write(protocol.cancelled_frame(request, cancelled))

        self._sequencer.enqueue(CancelSubmission(named, deliver))

    def _answer_later(self, answer: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(answer)
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    def _acknowledge(self, request: int, acks: list[Ack]) -> None:
        self._write(protocol.acks_frame(request, acks))

    def _refuse(self, request: int, error: HooatsError) -> None:
        field = error.field if isinstance(error, InvalidInput) else ""
        self._write(protocol.error_frame(Failure(request, error.message, field, error.remedy)))

    async def _send_receipt(self, request: int, sequence: int) -> None:
        """From the journal, in a thread: the order's place there is what is attested."""
        try:
            receipt = await asyncio.to_thread(self._find_receipt, sequence)
        except HooatsError as error:
            self._refuse(request, error)
        else:
            self._write(protocol.receipt_is_frame(request, receipt))

    async def _send_group_receipt(self, request: int, sequence: int) -> None:
        """From the journal, too."""
        try:
            receipt = await asyncio.to_thread(self._find_group_receipt, sequence)
        except HooatsError as error:
            self._refuse(request, error)
        else:
            self._write(protocol.group_receipt_is_frame(request, receipt))

    def _find_group_receipt(self, sequence: int) -> GroupReceipt:
        known = 0 < sequence <= self._sequencer.durable_sequence
        group = next(self._server.reader.groups(sequence), None) if known else None
        digest_of, attestor = self._sequencer.memory.digest, self._sequencer.attestor
        receipt = None if group is None else group_receipt(attestor, group, sequence, digest_of)
        if receipt is None:
            raise InvalidInput(f"no order was sequenced at {sequence}", field="sequence")
        return receipt

    def _find_receipt(self, sequence: int) -> str:
        known = 0 < sequence <= self._sequencer.durable_sequence
        record = self._server.reader.record(sequence) if known else None
        command = decode(record.kind, record.version, record.payload) if record is not None else None
        if record is None or not isinstance(command, PlaceOrder):
            raise InvalidInput(f"no order was sequenced at {sequence}", field="sequence")
        return self._sequencer.attestor.receipt(sequence, record.at, self._sequencer.memory.digest(command))

    # --- frames out ---

    def _write(self, content: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        transport.write(content)
        if transport.get_write_buffer_size() > CONNECTION_BUFFER_BYTES_MAX:
            log.warning("peer does not read its answers: cut off")
            self.abort()

    def _on_frame(self, frame: RingFrame) -> None:
        """It goes out at once to who has all that was before it and reads; else the feed's task is told."""
        if frame.first == self._fed and self._writable.is_set():
            self._fed = frame.last + 1
            self._write(frame.content)
        else:
            self._news.set()

    async def _run_feed(self, ring: Ring) -> None:
        sequence = self._fed
        ring.listeners.append(self._on_frame)
        try:
            if not 0 < sequence <= ring.last_sequence + 1:
                self._refuse(0, InvalidInput(f"there is no sequence {sequence}", remedy="Another journal is read here"))
                return
            while not self._closing:
                if not ring.reaches(self._fed):
                    await self._send_past(ring)
                self._news.clear()
                content, self._fed = ring.read(self._fed, FEED_WRITE_BYTES)
                if content:
                    self._write(content)
                    await self._writable.wait()
                else:
                    await self._news.wait()
        except HooatsError as error:
            log.error("feed", error=str(error))
        finally:
            ring.listeners.remove(self._on_frame)
            self._end_feed()

    async def _send_past(self, ring: Ring) -> None:
        """What the ring does not reach, from the journal."""
        found = self._server.reader.follow_groups(self._fed, lambda: ring.last_sequence)
        while not self._closing and not ring.reaches(self._fed):
            groups = await asyncio.to_thread(next, found)
            for group in groups:
                self._write(protocol.records_frame(group.content))
                self._fed = group.last + 1
                await self._writable.wait()
            if not groups:
                await asyncio.sleep(JOURNAL_PAUSE_SECONDS)

    def _end_feed(self) -> None:
        """Lets out what was written."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()


def _check_origin(commands: list[Command]) -> None:
    for command in commands:
        if isinstance(command, OWN_COMMANDS):
            raise InvalidInput(f"{type(command).__name__} is the sequencer's own", remedy="Nobody else may submit it")
