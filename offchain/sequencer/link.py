"""The gateway's end of the protocol: submissions over one connection, each feed over a connection of its own.

Invariant: a submission ends in acknowledgements of durable commands, in InvalidInput (nothing was sequenced), or in
SequencerUnavailable (unknown: the same submission again gets the first result). Deliberately no retry: only the caller
knows whether a repetition is harmless; a later call connects anew.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from offchain.domain.command import Command
from offchain.domain.errors import HooatsError, InvalidInput, SequencerUnavailable
from offchain.sequencer import protocol
from offchain.sequencer.protocol import Ack, Cancelled, FrameReader, FrameType, Hello, NamedCancel
from offchain.sequencer.receipts import GroupReceipt
from offchain.storage.frames import Group

__all__ = ["Ack", "SequencerLink"]

DeliverRows = Callable[[bytes, bytes, HooatsError | None], None]
"""Packed results, the attestation of their group; the failure, if it is one, and then neither."""
Pace = Callable[[int], Awaitable[None] | None]
"""Is told how many bytes were read."""
CONNECT_SECONDS = 5.0
READ_BYTES = 1 << 18


class SequencerLink:
    """`await SequencerLink.connect(path)`, or construct it and let the first use connect."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path | str) -> "SequencerLink":
        """SequencerUnavailable if nobody listens there."""
        link = cls(path)
        await link._connected()
        return link

    @property
    def hello(self) -> Hello | None:
        """What the sequencer said on connection; None before the first."""
        return self._connection.hello if self._connection else None

    @property
    def connected(self) -> bool:
        return self._connection is not None and not self._connection.lost

    async def ended(self) -> None:
        """Returns once the connection is lost."""
        if self._connection is not None:
            await self._connection.ended.wait()

    async def submit(self, commands: Sequence[Command]) -> list[Ack]:
        """One ack per command, in order, after all of them are durable.

        InvalidInput: nothing was sequenced. SequencerUnavailable: the outcome is unknown.
        """
        return await (await self._connected()).submit(commands)

    async def cancel(self, named: NamedCancel) -> Cancelled:
        """In the sense of `submit`."""
        return await (await self._connected()).cancel(named)

    def submit_rows(self, rows: bytes, deliver: DeliverRows, *, is_bulk: bool = False) -> None:
        """Signed frames (`domain.order`), no future for each: `deliver` gets their packed results and the attestation
        of their group, or the failure, in the sense of `submit`. SequencerUnavailable: nothing was sent."""
        connection = self._connection
        if connection is None or connection.lost:
            raise SequencerUnavailable("the connection to the sequencer is lost")
        connection.submit_rows(rows, deliver, is_bulk)

    async def group_receipt(self, sequence: int) -> GroupReceipt:
        """That the order at `sequence` is in its group, under the group's one signature. InvalidInput as `receipt`."""
        return await (await self._connected()).group_receipt(sequence)

    async def receipt(self, sequence: int) -> str:
        """The attestation key's receipt of the order at `sequence`, again. InvalidInput if no order is there."""
        return await (await self._connected()).receipt(sequence)

    async def feed(self, from_sequence: int, pace: Pace | None = None) -> AsyncGenerator[Group, None]:
        """The durable groups from the one that holds `from_sequence` on, without gap. `pace` says, whenever all that
        was read was taken, what to wait for before more is: until then it stays in the socket, and wakes nobody.

        Ends with SequencerUnavailable when the connection is lost, or if the journal does not reach so far; resume with
        the last sequence + 1.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self.path, limit=READ_BYTES)
        except (OSError, TimeoutError) as error:
            raise SequencerUnavailable(f"no sequencer at {self.path}: {error!r}") from error
        try:
            writer.write(protocol.feed_frame(from_sequence))
            async for group in _groups(reader, writer.transport, pace):
                yield group
        except (OSError, msgspec.MsgspecError, InvalidInput) as error:
            raise SequencerUnavailable(f"the feed broke: {error}") from error
        finally:
            writer.transport.abort()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and connection.transport is not None:
            connection.transport.close()

    async def _connected(self) -> "_Connection":
        connection = self._connection
        if connection is not None and not connection.lost:
            return connection
        async with self._connecting:
            if self._connection is not None and not self._connection.lost:
                return self._connection
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    _, connection = await loop.create_unix_connection(_Connection, self.path)
                    await connection.greeted
            except (OSError, TimeoutError) as error:
                raise SequencerUnavailable(f"no sequencer at {self.path}: {error!r}") from error
            self._connection = connection
            return connection


async def _groups(
    reader: asyncio.StreamReader, transport: asyncio.WriteTransport, pace: Pace | None
) -> AsyncIterator[Group]:
    frames = _frames(reader, cast(asyncio.Transport, transport), pace)
    _check_hello(await anext(frames))
    async for frame_type, body in frames:
        if frame_type is FrameType.ERROR:
            raise InvalidInput(protocol.read_error(body).message)
        if frame_type is not FrameType.RECORDS:
            raise InvalidInput(f"unexpected {frame_type.name} in a feed")
        yield protocol.read_records(body)


class _Connection(asyncio.Protocol):
    """Requests in flight over one connection; each ends with its answer or with the connection."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.hello: Hello | None = None
        self.lost = False
        self.ended = asyncio.Event()
        self.greeted: asyncio.Future[None] = self.loop.create_future()
        self._reader = FrameReader()
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._delivering: dict[int, DeliverRows] = {}
        self._last_request = 0
        self._writable = asyncio.Event()
        self._writable.set()

    async def submit(self, commands: Sequence[Command]) -> list[Ack]:
        self._last_request += 1
        request = self._last_request
        acks: list[Ack] = await self._ask(request, protocol.submit_frame(request, commands))
        return acks

    async def cancel(self, named: NamedCancel) -> Cancelled:
        self._last_request += 1
        request = self._last_request
        cancelled: Cancelled = await self._ask(request, protocol.cancel_frame(request, named))
        return cancelled

    async def receipt(self, sequence: int) -> str:
        self._last_request += 1
        request = self._last_request
        signature: str = await self._ask(request, protocol.receipt_frame(request, sequence))
        return signature

    def submit_rows(self, rows: bytes, deliver: DeliverRows, is_bulk: bool) -> None:
        assert self.transport is not None
        self._last_request += 1
        self._delivering[self._last_request] = deliver
        self.transport.write(protocol.rows_frame(self._last_request, rows, is_bulk=is_bulk))

    async def group_receipt(self, sequence: int) -> GroupReceipt:
        self._last_request += 1
        request = self._last_request
        receipt: GroupReceipt = await self._ask(request, protocol.group_receipt_frame(request, sequence))
        return receipt

    async def _ask(self, request: int, message: bytes) -> Any:
        if not self._writable.is_set():
            await self._writable.wait()
        if self.lost or self.transport is None:
            raise SequencerUnavailable("the connection to the sequencer is lost")
        answer = self._pending[request] = self.loop.create_future()
        self.transport.write(message)
        try:
            return await answer
        finally:
            self._pending.pop(request, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, received: bytes) -> None:
        try:
            for frame_type, body in self._reader.feed(received):
                self._receive(frame_type, body)
        except (InvalidInput, SequencerUnavailable, msgspec.MsgspecError) as error:
            self._lose(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._lose(error or ConnectionError("closed by the sequencer"))

    def _receive(self, frame_type: FrameType, body: bytes) -> None:
        if frame_type is FrameType.RESULTS:
            request, attestation, results = protocol.read_results(body)
            self._delivering.pop(request)(results, attestation, None)
        elif frame_type is FrameType.ACKS:
            request, acks = protocol.read_acks(body)
            self._answer(request, acks)
        elif frame_type is FrameType.ERROR:
            failure = protocol.read_error(body)
            error = InvalidInput(failure.message, field=failure.field, remedy=failure.remedy)
            self._answer(failure.request, error)
        elif frame_type is FrameType.CANCELLED:
            request, cancelled = protocol.read_cancelled(body)
            self._answer(request, cancelled)
        elif frame_type is FrameType.GROUP_RECEIPT_IS:
            request, found = protocol.read_group_receipt_is(body)
            self._answer(request, found)
        elif frame_type is FrameType.RECEIPT_IS:
            request, signature = protocol.read_receipt_is(body)
            self._answer(request, signature)
        else:
            self.hello = _check_hello((frame_type, body))
            if not self.greeted.done():
                self.greeted.set_result(None)

    def _answer(self, request: int, answer: object) -> None:
        deliver = self._delivering.pop(request, None)
        if deliver is not None and isinstance(answer, HooatsError):
            deliver(b"", b"", answer)
        waiting = self._pending.get(request)
        if waiting is None or waiting.done():  # its caller was cancelled
            return
        if isinstance(answer, Exception):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    def _lose(self, cause: Exception) -> None:
        self.lost = True
        self.ended.set()
        if self.transport is not None:
            self.transport.abort()
        for waiting in (self.greeted, *self._pending.values()):
            if not waiting.done():
                waiting.set_exception(SequencerUnavailable(f"the connection to the sequencer is lost: {cause}"))
        delivering, self._delivering = self._delivering, {}
        for deliver in delivering.values():
            deliver(b"", b"", SequencerUnavailable(f"the connection to the sequencer is lost: {cause}"))
        if self.greeted.done():
            self.greeted.exception()  # retrieved: nobody may be waiting for it any more
        self._writable.set()


def _check_hello(message: tuple[FrameType, bytes]) -> Hello:
    frame_type, body = message
    if frame_type is not FrameType.HELLO:
        raise InvalidInput(f"unexpected {frame_type.name}")
    hello = protocol.read_hello(body)
    if hello.version != protocol.PROTOCOL_VERSION:
        raise SequencerUnavailable(
            f"the sequencer speaks protocol {hello.version}, not {protocol.PROTOCOL_VERSION}",
            remedy="Run one version of hooats everywhere",
        )
    return hello


async def _frames(
    reader: asyncio.StreamReader, transport: asyncio.Transport, pace: Pace | None
) -> AsyncIterator[tuple[FrameType, bytes]]:
    cutter = FrameReader()
    while received := await reader.read(READ_BYTES):
        for found in cutter.feed(received):
            yield found
        waiting = None if pace is None else pace(len(received))
        if waiting is not None:
            transport.pause_reading()
            await waiting
            transport.resume_reading()
    raise SequencerUnavailable("the connection to the sequencer is lost", remedy="Resume with the last sequence + 1")
