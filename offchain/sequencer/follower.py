"""A warm standby: copies the leader's journal, byte for byte, and keeps an engine and snapshots beside it.

    leader -> groups -> own journal (write, fdatasync) -> DURABLE to the leader -> engine -> snapshot now and then

Invariant: what it has said DURABLE of is on its disk, under the leader's own hashes. It sequences nothing: a node that
is started on its folder with --promote does, in the next term (`storage.standing`). Exit codes: 0 after SIGTERM, 70
after a DiskFailure; what cannot be followed (another chain, another past) is raised.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import uvloop
from prometheus_client import CollectorRegistry, Gauge

from offchain.domain.errors import ConfigurationError, DiskFailure, InvalidInput, JournalCorrupt, SequencerUnavailable
from offchain.sequencer import protocol
from offchain.sequencer.protocol import Follow, FrameReader, FrameType, Hello
from offchain.storage.journal import Journal
from offchain.storage.reader import Group, JournalReader
from offchain.storage.replica import Replica
from offchain.storage.snapshots import read_snapshot, write_snapshot
from offchain.storage.standing import Standing, follow, write_standing
from offchain.telemetry.probes import OFF, Check, Checks, Probes, Progress, listen
from offchain.telemetry.supervisor import ALIVE, READY, STOPPING, tell

EXIT_STOPPED = 0
EXIT_DISK_FAILURE = 70
READ_BYTES = 1 << 20
CONNECT_SECONDS = 5.0
RETRY_SECONDS = (0.1, 2.0)
LIVE_SECONDS = 60.0
LAG_MAX = 10_000
"""Commands behind the leader with which it is still ready to take over: less than a second of work."""
SNAPSHOT_COMMANDS = 50_000
SNAPSHOT_SECONDS = 60.0

log = structlog.get_logger("follower")


@dataclass(frozen=True, kw_only=True)
class FollowerSettings:
    """`leader`: HOST:PORT, or the path of a socket. `secret`: the one of both, for a leader elsewhere."""

    data: Path
    leader: str
    chain_id: int
    secret: bytes = field(default=b"", repr=False)
    metrics_host: str = "127.0.0.1"
    metrics_port: int = OFF
    """0 lets the system choose and writes it to `data/follower.port`."""
    snapshot_commands: int = SNAPSHOT_COMMANDS
    snapshot_seconds: float = SNAPSHOT_SECONDS


class Follower:
    """`run` until `stop` is set."""

    def __init__(self, settings: FollowerSettings, journal: Journal) -> None:
        self._settings = settings
        self._journal = journal
        self.term = follow(settings.data).term
        self._snapshots = settings.data / "snapshots"
        self._replica = self._recover()
        self._snapshot_sequence, self._snapshot_at = self._replica.sequence, time.monotonic()
        self.leader_sequence = 0
        """The last of the leader that is known of."""
        self.is_connected = False
        self.progress = Progress(LIVE_SECONDS)

    @property
    def sequence(self) -> int:
        """The last on this disk."""
        return self._journal.last_sequence

    @property
    def lag(self) -> int:
        return max(0, self.leader_sequence - self.sequence)

    async def run(self, stop: asyncio.Event) -> None:
        stopped = asyncio.create_task(stop.wait())
        following = asyncio.create_task(self._follow())
        try:
            await asyncio.wait((stopped, following), return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()
        finally:
            for task in (stopped, following):
                task.cancel()
            await asyncio.gather(stopped, following, return_exceptions=True)

    async def _follow(self) -> None:
        shortest, longest = RETRY_SECONDS
        delay = shortest
        while True:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    reader, writer = await self._connect()
                try:
                    await self._copy(reader, writer)
                finally:
                    writer.transport.abort()
            except (OSError, TimeoutError, SequencerUnavailable, InvalidInput) as error:
                log.warning("leader lost", leader=self._settings.leader, reason=str(error) or repr(error))
            delay = shortest if self.is_connected else min(delay * 2, longest)
            self.is_connected = False
            self.progress.note()
            await asyncio.sleep(delay)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self._settings.leader.rpartition(":")
        if host and port.isdigit():
            return await asyncio.open_connection(host, int(port), limit=READ_BYTES)
        return await asyncio.open_unix_connection(self._settings.leader, limit=READ_BYTES)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        batches = _frames(reader)
        (frame_type, body), *_ = await anext(batches)
        if frame_type is not FrameType.HELLO:
            raise InvalidInput(f"unexpected {frame_type.name}")
        hello = protocol.read_hello(body)
        self._check(hello)
        proof = protocol.prove(self._settings.secret, hello.nonce) if hello.nonce else ""
        writer.write(protocol.follow_frame(Follow(self.sequence + 1, self.term, proof)))
        self.leader_sequence, self.is_connected = hello.sequence, True
        if hello.term < self.term:  # it has been told so now
            await writer.drain()
            raise InvalidInput(f"it is the leader of term {hello.term}, and term {self.term} has begun")
        log.info("following", leader=self._settings.leader, from_sequence=self.sequence + 1, lag=self.lag)
        async for frames in batches:
            groups = [_group(*frame) for frame in frames]
            await asyncio.to_thread(self._journal.copy, groups)
            self.leader_sequence = max(self.leader_sequence, self.sequence)
            writer.write(protocol.durable_frame(self.sequence))
            await asyncio.to_thread(self._apply, groups)
            self.progress.note()

    def _check(self, hello: Hello) -> None:
        if hello.version != protocol.PROTOCOL_VERSION:
            raise SequencerUnavailable(f"the leader speaks protocol {hello.version}, not {protocol.PROTOCOL_VERSION}")
        if hello.chain_id != self._settings.chain_id:
            raise ConfigurationError(f"the leader is of chain {hello.chain_id}, not {self._settings.chain_id}")
        if hello.term > self.term:
            self.term = hello.term
            write_standing(self._settings.data, Standing(self.term, is_follower=True))

    def _apply(self, groups: list[Group]) -> None:
        for group in groups:
            self._replica.advance(group)
        now, sequence, settings = time.monotonic(), self._replica.sequence, self._settings
        is_old = sequence >= self._snapshot_sequence + settings.snapshot_commands
        if is_old and now >= self._snapshot_at + settings.snapshot_seconds:
            write_snapshot(self._snapshots, self._replica.engine, self._replica.group_hash)
            self._snapshot_sequence, self._snapshot_at = sequence, now

    def _recover(self) -> Replica:
        reader = JournalReader(self._journal.folder)
        found = read_snapshot(self._snapshots, reader, self._journal.last_sequence)
        replica = Replica() if found is None else Replica(found.engine, found.group_hash)
        for group in reader.groups(replica.sequence + 1):
            replica.advance(group)
        return replica


def _group(frame_type: FrameType, body: bytes) -> Group:
    if frame_type is FrameType.ERROR:
        raise InvalidInput(protocol.read_error(body).message)
    if frame_type is not FrameType.RECORDS:
        raise InvalidInput(f"unexpected {frame_type.name} of a leader")
    return protocol.read_records(body)._replace(digests=b"")  # a standby's state is a function of its journal alone


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[list[tuple[FrameType, bytes]]]:
    """Whatever has arrived, at once: one fsync for all of it."""
    cutter = FrameReader()
    while received := await reader.read(READ_BYTES):
        if found := list(cutter.feed(received)):
            yield found
    raise SequencerUnavailable("the connection to the leader is lost")


class FollowerMetrics:
    """What its probes say."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self.registry = CollectorRegistry()
        for name, words, value in (
            ("sequence", "Last command on this disk", lambda: follower.sequence),
            ("lag_commands", "Commands of the leader that are not", lambda: follower.lag),
            ("connected", "1 while the leader is there", lambda: follower.is_connected),
        ):
            gauge = Gauge(f"hooats_follower_{name}", words, registry=self.registry)
            gauge.set_function(lambda value=value: float(value()))  # type: ignore[misc]

    def probes(self) -> Probes:
        return Probes("follower", self.live, self.ready, self.registry)

    def live(self) -> Checks:
        return {"loop": self._follower.progress.check() if not self._follower.is_connected else Check(True)}

    def ready(self) -> Checks:
        """Ready to take over without work, not to take orders."""
        lag = self._follower.lag
        return {
            "leader": Check(self._follower.is_connected, "the leader is away; start a node here with --promote?"),
            "lag": Check(lag <= LAG_MAX, f"{lag} commands behind the leader"),
        }


def run_follower(settings: FollowerSettings) -> int:
    """Blocks until SIGTERM or SIGINT; the exit code."""

    async def main() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        return await serve_follower(settings, stop)

    return uvloop.run(main())


async def serve_follower(settings: FollowerSettings, stop: asyncio.Event) -> int:
    """Until `stop` is set or the disk fails; the exit code."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with Journal.open(settings.data / "journal", chain_id=settings.chain_id) as journal:
            follower = Follower(settings, journal)
            port_file = settings.data / "follower.port"
            probes = FollowerMetrics(follower).probes()
            listener = listen(probes, settings.metrics_host, settings.metrics_port, port_file)
            tell(READY)
            alive = asyncio.create_task(_stay_alive())
            try:
                await follower.run(stop)
            finally:
                alive.cancel()
                tell(STOPPING)
                if listener is not None:
                    listener.close()
    except DiskFailure as failure:
        log.critical("disk failure: the follower stops", error=str(failure))
        return EXIT_DISK_FAILURE
    except JournalCorrupt as error:
        log.critical("cannot be followed", error=str(error))
        raise
    log.info("stopped", sequence=journal.last_sequence)
    return EXIT_STOPPED


async def _stay_alive() -> None:
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            tell(ALIVE)
            await asyncio.sleep(1.0)
