"""The sequencer as a process: recover, listen, write, stop.

Exit codes: 0 after SIGTERM or SIGINT (everything taken is durable and answered), 70 after a DiskFailure (at once: what
the disk holds is known only after the next start). What keeps it from starting is raised.
"""

import asyncio
import contextlib
import gc
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import structlog
import uvloop

from offchain.domain.chainlog import BatchSettled
from offchain.domain.command import SetOperators, SetOrderRules, record_bytes
from offchain.domain.errors import ConfigurationError, DiskFailure
from offchain.domain.keccak import keccak
from offchain.engine.engine import Engine
from offchain.sequencer.inbox import Inbox
from offchain.sequencer.metrics import SequencerMetrics
from offchain.sequencer.recovery import recover
from offchain.sequencer.sequencer import Sequencer, Submission
from offchain.sequencer.server import Server
from offchain.sequencer.settings import Clock, SequencerSettings
from offchain.storage.disk import Disk
from offchain.storage.journal import Journal
from offchain.storage.ops import Ops
from offchain.storage.reader import JournalReader
from offchain.storage.standing import Standing, write_standing
from offchain.telemetry.probes import Progress, listen
from offchain.telemetry.supervisor import ALIVE, READY, STOPPING, tell

EXIT_DRAINED = 0
EXIT_DISK_FAILURE = 70
SWITCH_SECONDS = 0.0005
"""How long the loop's thread keeps the interpreter while the journal's thread wants to go on after its fsync."""

log = structlog.get_logger("sequencer")
PROGRESS_SECONDS = 1.0
Ready = Callable[[Sequencer], None]
Drain = Callable[[], None]


def wall_clock() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def run_sequencer(settings: SequencerSettings, ready: Ready | None = None, drain: Drain | None = None) -> int:
    """Blocks until the process has to end; returns its exit code.

    `ready` is called when the socket listens; `drain` in a thread when it is to stop, while it still answers.
    """

    async def main() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        return await serve(settings, stop=stop, ready=ready, drain=drain, freeze=True)

    return uvloop.run(main())


async def serve(
    settings: SequencerSettings,
    *,
    stop: asyncio.Event,
    ready: Ready | None = None,
    drain: Drain | None = None,
    clock: Clock = wall_clock,
    disk: Disk | None = None,
    freeze: bool = False,
) -> int:
    """Until `stop` is set or the disk fails; the exit code. `freeze`: the process is ours, so its collector is too.

    JournalLocked, JournalCorrupt, ConfigurationError and StorageError before it listens.
    """
    folder = settings.journal_folder
    _check_chain(JournalReader(folder).chain_id(), settings)
    if freeze:
        gc.disable()  # looking for cycles among what is recovered takes longer than recovering it
    try:
        publishes = not settings.sync_follower
        with Journal.open(folder, chain_id=settings.venue.chain_id, disk=disk, publishes=publishes) as journal:
            _report_tail(journal)
            memory = recover(journal, settings.venue, clock, settings.snapshots_folder)
            sequencer = Sequencer(journal, memory, settings, clock)
            log.info("recovered", sequence=journal.last_sequence)
            _configure(sequencer, settings)
            ops = Ops(settings.ops_url)
            if freeze:
                _freeze()
            try:
                _bind(ops, folder)
                if not settings.accepts_loss:
                    _check_not_older_than_chain(sequencer.engine, ops)
                await _work(sequencer, Server(sequencer, settings), ops, settings, stop, ready, drain)
            finally:
                ops.close()
    except DiskFailure as failure:
        log.critical("disk failure: the sequencer stops", error=str(failure))
        return EXIT_DISK_FAILURE
    log.info("stopped", sequence=journal.last_sequence)
    return EXIT_DRAINED


async def _work(
    sequencer: Sequencer,
    server: Server,
    ops: Ops,
    settings: SequencerSettings,
    stop: asyncio.Event,
    ready: Ready | None,
    drain: Drain | None,
) -> None:
    errands = Inbox(sequencer, ops, settings.inbox_poll_millis)
    metrics = SequencerMetrics(sequencer, errands, settings.snapshots_folder)
    port_file = settings.data / "sequencer.port"
    listener = listen(metrics.probes(), settings.metrics_host, settings.metrics_port, port_file)
    writer = asyncio.create_task(sequencer.run())
    inbox = asyncio.create_task(errands.run())
    alive = asyncio.create_task(_note_progress(metrics.progress))
    stopped = asyncio.create_task(stop.wait())

    def on_deposed() -> None:
        write_standing(settings.data, Standing(sequencer.followers.deposed_by, is_follower=True))
        stop.set()

    server.on_deposed = on_deposed
    try:
        await server.start()
        tell(READY)
        if ready is not None:
            ready(sequencer)
        await asyncio.wait((writer, inbox, stopped), return_when=asyncio.FIRST_COMPLETED)
        if inbox.done():
            inbox.result()
        tell(STOPPING)
        if drain is not None and stopped.done() and not writer.done():
            await asyncio.to_thread(drain)
        server.stop_reading()
        sequencer.stop()
        await writer
        await server.close()
    finally:
        for task in (inbox, stopped, writer, alive):
            task.cancel()
        if listener is not None:
            listener.close()
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await inbox
        for connection in list(server.connections):
            connection.abort()


async def _note_progress(progress: Progress) -> None:
    """As long as the loop goes round, this does."""
    while True:
        progress.note()
        tell(ALIVE)
        await asyncio.sleep(PROGRESS_SECONDS)


def _check_chain(journaled: int | None, settings: SequencerSettings) -> None:
    if journaled is not None and journaled != settings.venue.chain_id:
        raise ConfigurationError(
            f"the journal belongs to chain {journaled}, configured is {settings.venue.chain_id}",
            remedy="Use the data folder of this chain, or a new one",
        )


def _configure(sequencer: Sequencer, settings: SequencerSettings) -> None:
    """Whoever starts the node says who its operators are and which orders there are, first of all."""
    configured = settings.venue.operators
    if configured != sequencer.engine.operators:
        sequencer.enqueue(Submission((SetOperators(operators=configured),), lambda _: None))
    if sequencer.engine.order_rules < settings.venue.order_rules:
        # An older journal learns of the newer orders, once.
        sequencer.enqueue(Submission((SetOrderRules(order_rules=settings.venue.order_rules),), lambda _: None))


def _bind(ops: Ops, folder: Path) -> None:
    first = JournalReader(folder).record(1)
    assert first is not None
    ops.bind_journal(keccak(record_bytes(*first)).hex())


def _check_not_older_than_chain(engine: Engine, ops: Ops) -> None:
    """ConfigurationError if the chain settled fills that this journal never matched: it lost its end.

    Orders that were taken now would get sequences for which receipts exist.
    """
    after, last = engine.last_event_sequence, engine.batches.last_fill
    while logs := ops.inbox_after(after):
        settled = max((log.last for log in logs if isinstance(log, BatchSettled)), default=0)
        if settled > last:
            raise ConfigurationError(
                f"the chain settled fill {settled}, this journal ends with fill {last}: it is an old copy",
                remedy="Restore the newest copy of the journal that exists; or start it to wind up, with --accept-loss",
            )
        after = logs[-1].event_sequence


def _report_tail(journal: Journal) -> None:
    if journal.torn_bytes:
        log.warning("torn tail cut", bytes=journal.torn_bytes, last_sequence=journal.last_sequence)
    if journal.lost_sequence:
        log.error(
            "durable commands are gone from the journal's tail",
            last_sequence=journal.last_sequence,
            was_durable=journal.lost_sequence,
        )


def _freeze() -> None:
    """No collection while serving: recovered state is kept for ever, and nothing here makes cycles."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()
