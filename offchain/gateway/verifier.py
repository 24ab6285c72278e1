"""Signature recovery in a process of its own, so that the event loop never waits for the curve.

One batch per loop tick goes over a socketpair; the child answers with one byte of outcome and 20 of address for each
item. Invariant: every accepted item is answered exactly once; when the child dies it is started again and whatever was
pending is sent again. The child ends when its socket closes, so it cannot outlive its gateway. It is told digests, not
orders, and decides nothing.

    greeting  0 (u32), 0 (u32)
    request   batch (u32), count (u32), count x (digest 32, signature 65)
    answer    batch (u32), count (u32), count x (1 if recovered, address 20); in the order of the requests
"""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
from typing import Final

from offchain.domain.errors import HooatsError
from offchain.domain.units import Address, to_address
from offchain.security.signatures import SIGNATURE_BYTES, recover

_HEAD = struct.Struct(">II")
_ITEM_BYTES = 32 + SIGNATURE_BYTES
_ANSWER_BYTES = 21
BATCH_ITEMS_MAX: Final = 256
"""About 8 ms of work: what a newcomer waits at most behind one batch."""
PENDING_MAX: Final = 8_192
"""A quarter of a second of work; more would only be answered too late."""
ATTEMPTS_MAX: Final = 3
"""A batch that the child was working on when it died, so often in a row, is given up."""


class VerifierOverloaded(HooatsError):
    """Nothing was recovered: too much is pending, or the child keeps dying. The same request may be sent again."""


class _Batch:
    __slots__ = ("answers", "attempts", "payload")

    def __init__(self, payload: bytes, answers: "list[asyncio.Future[Address | None]]") -> None:
        self.payload = payload
        self.answers = answers
        self.attempts = 0


class Verifier:
    """The gateway's side. `start` before use; `close` at the end."""

    def __init__(self) -> None:
        self.restarts = 0
        self._waiting: list[tuple[bytes, asyncio.Future[Address | None]]] = []
        self._pending: dict[int, _Batch] = {}
        self._pending_items = 0
        self._last_batch = 0
        self._is_flush_due = False
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def process_id(self) -> int:
        """Of the child, 0 if there is none now."""
        return self._process.pid if self._process is not None else 0

    @property
    def is_alive(self) -> bool:
        return self._writer is not None

    async def start(self) -> None:
        started = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._supervise(started), name="verifier")
        await started

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._give_up_all()

    def recover(self, digest: bytes, signature: bytes) -> "asyncio.Future[Address | None]":
        """The signer, or None; see `security.signatures`, of which only the form of 65 bytes is taken: it is what a
        command keeps, and what the other form becomes on its way in. Raises VerifierOverloaded at once or in the
        future."""
        answer: asyncio.Future[Address | None] = asyncio.get_running_loop().create_future()
        assert len(digest) == 32
        if len(signature) != SIGNATURE_BYTES:
            answer.set_result(None)
            return answer
        if self._pending_items >= PENDING_MAX:
            raise VerifierOverloaded("too many signatures are waiting", remedy="Send it again a little later")
        self._pending_items += 1
        self._waiting.append((digest + signature, answer))
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)
        return answer

    def _flush(self) -> None:
        self._is_flush_due = False
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), BATCH_ITEMS_MAX):
            part = waiting[start : start + BATCH_ITEMS_MAX]
            self._last_batch = (self._last_batch + 1) % 2**32
            head = _HEAD.pack(self._last_batch, len(part))
            batch = _Batch(head + b"".join(item for item, _ in part), [answer for _, answer in part])
            self._pending[self._last_batch] = batch
            if self._writer is not None:
                self._writer.write(batch.payload)

    async def _supervise(self, started: "asyncio.Future[None]") -> None:
        delay = 0.0
        while True:
            try:
                had_greeted = await self._run_child(started)
            except OSError:
                had_greeted = False
            delay = 0.0 if had_greeted else min(max(delay * 2, 0.05), 1.0)
            if had_greeted:
                self._blame_oldest()
            self.restarts += 1
            await asyncio.sleep(delay)

    async def _run_child(self, started: "asyncio.Future[None]") -> bool:
        """Until the child is gone. True if it had greeted."""
        ours, theirs = socket.socketpair()
        writer: asyncio.StreamWriter | None = None
        try:
            with theirs:
                self._process = await _spawn(theirs.fileno())
            reader, writer = await asyncio.open_connection(sock=ours)
            await reader.readexactly(_HEAD.size)
            self._writer = writer
            for batch in self._pending.values():
                self._writer.write(batch.payload)
            if not started.done():
                started.set_result(None)
            while True:
                number, count = _HEAD.unpack(await reader.readexactly(_HEAD.size))
                self._answer(number, await reader.readexactly(count * _ANSWER_BYTES))
        except (asyncio.IncompleteReadError, ConnectionError):
            return self._writer is not None
        finally:
            self._writer = None
            if writer is not None:
                writer.transport.abort()
            else:
                ours.close()
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()  # its socket is closed; it has nothing left to do
                await self._process.wait()
                self._process = None

    def _answer(self, number: int, outcomes: bytes) -> None:
        batch = self._pending.pop(number)
        self._pending_items -= len(batch.answers)
        for position, answer in enumerate(batch.answers):
            start = position * _ANSWER_BYTES
            if not answer.done():
                found = outcomes[start] == 1
                answer.set_result(to_address(outcomes[start + 1 : start + _ANSWER_BYTES]) if found else None)

    def _blame_oldest(self) -> None:
        """The child answers in order, so it died over the oldest pending batch, if over any."""
        for number, batch in self._pending.items():
            batch.attempts += 1
            if batch.attempts >= ATTEMPTS_MAX:
                self._give_up(number)
            break

    def _give_up_all(self) -> None:
        self._flush()
        for number in list(self._pending):
            self._give_up(number)

    def _give_up(self, number: int) -> None:
        batch = self._pending.pop(number)
        self._pending_items -= len(batch.answers)
        for answer in batch.answers:
            if not answer.done():
                answer.set_exception(VerifierOverloaded("the signature verifier is away", remedy="Send it again"))


async def _spawn(descriptor: int) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "offchain.gateway.verifier", str(descriptor))
    return await asyncio.create_subprocess_exec(*command, pass_fds=(descriptor,), stdin=asyncio.subprocess.DEVNULL)


def serve_child(channel: socket.socket) -> None:
    """Answers batches until the other end closes."""
    channel.sendall(_HEAD.pack(0, 0))
    with channel, channel.makefile("rb") as stream:
        while len(head := stream.read(_HEAD.size)) == _HEAD.size:
            _, count = _HEAD.unpack(head)
            items = stream.read(count * _ITEM_BYTES)
            if len(items) != count * _ITEM_BYTES:
                return
            parts = [head]
            for start in range(0, len(items), _ITEM_BYTES):
                signer = recover(items[start : start + 32], items[start + 32 : start + _ITEM_BYTES])
                parts.append(bytes(_ANSWER_BYTES) if signer is None else b"\x01" + bytes.fromhex(signer[2:]))
            channel.sendall(b"".join(parts))


def main() -> None:
    """`python -m offchain.gateway.verifier FD`, started by `Verifier` only."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the gateway drains first; then the socket closes
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        serve_child(socket.socket(fileno=int(sys.argv[1])))
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)


if __name__ == "__main__":
    main()
