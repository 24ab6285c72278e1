"""The projector as a process: probes, signals, exit codes.

0 after SIGTERM or SIGINT, 70 after a failure of the disk.
"""

import signal
import threading

import structlog

from offchain.domain.errors import DiskFailure
from offchain.projector.metrics import ProjectorMetrics
from offchain.projector.projector import Projector, ProjectorSettings
from offchain.storage.history import History
from offchain.storage.ops import Ops
from offchain.storage.reader import JournalReader
from offchain.telemetry.probes import Listener, listen

EXIT_STOPPED = 0
EXIT_DISK_FAILURE = 70

log = structlog.get_logger("projector")


def stop_on_signals(stop: threading.Event) -> None:
    """Setting an event takes its lock, which the interrupted thread may hold: another thread does it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=stop.set).start())


def run_projector(settings: ProjectorSettings) -> int:
    """Blocks until SIGTERM or SIGINT; the exit code."""
    stop = threading.Event()
    stop_on_signals(stop)
    ops = Ops(settings.ops_url)
    history = History(settings.history_url)
    listener: Listener | None = None
    try:
        projector = Projector(settings, JournalReader(settings.journal_folder), ops, history)
        port_file = settings.data / "projector.port"
        listener = listen(ProjectorMetrics(projector).probes(), settings.metrics_host, settings.metrics_port, port_file)
        projector.run(stop)
    except DiskFailure as failure:
        log.critical("disk failure: the projector stops", error=str(failure))
        return EXIT_DISK_FAILURE
    finally:
        if listener is not None:
            listener.close()
        history.close()
        ops.close()
    return EXIT_STOPPED
