"""Follows the journal with an engine of its own and writes the snapshots that starts begin with.

    journal (durable groups) -> Replica.advance -> data/snapshots        `python -m offchain.projector.snapshotter FILE`

Invariant: it reads the journal alone, so that how far back a start has to go never depends on the history's lag. It may
be ended at any moment: a snapshot has its name when it is whole. Another journal than the one it followed, or damage,
ends it; its supervisor starts it again.
"""

import gc
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from offchain.domain.errors import HooatsError
from offchain.storage.handed import decode_settings
from offchain.storage.reader import JournalReader
from offchain.storage.replica import Replica
from offchain.storage.snapshots import read_snapshot, write_snapshot
from offchain.telemetry.logs import configure_logs

log = structlog.get_logger("snapshotter")
NICENESS = 5
"""As the publisher's: orders go first, but a start must not have to replay minutes of them."""


@dataclass(frozen=True, kw_only=True)
class SnapshotterSettings:
    """`data` is the node's folder."""

    data: Path
    poll_millis: int = 250
    """Seldom: what waits is applied in one go, which costs less."""
    commands: int = 50_000
    seconds: float = 5.0
    rest: float = 4.0
    """At least so many commands and so much time after the one before, and so many times as long as that one took: of a
    core, snapshots take a fifth at most."""

    @property
    def snapshots_folder(self) -> Path:
        return self.data / "snapshots"


class Snapshotter:
    """`turn` again and again."""

    def __init__(self, settings: SnapshotterSettings, reader: JournalReader) -> None:
        self._settings = settings
        found = read_snapshot(settings.snapshots_folder, reader, reader.durable_sequence())
        self._replica = Replica() if found is None else Replica(found.engine, found.group_hash)
        self._written = self._replica.sequence
        self._due = time.monotonic() + settings.seconds
        self._groups = reader.follow_groups(self._replica.sequence + 1)
        log.info("following", from_sequence=self._replica.sequence + 1)

    @property
    def sequence(self) -> int:
        return self._replica.sequence

    def turn(self) -> bool:
        """Some groups; False if there were none."""
        groups = next(self._groups)
        for group in groups:
            self._replica.advance(group)
            self._keep()
        self._keep()
        return bool(groups)

    def _keep(self) -> None:
        """After the last group, if the last one is old."""
        settings, began = self._settings, time.monotonic()
        if self.sequence < self._written + settings.commands or began < self._due:
            return
        write_snapshot(settings.snapshots_folder, self._replica.engine, self._replica.group_hash)
        ended = time.monotonic()
        self._written, self._due = self.sequence, ended + max(settings.seconds, settings.rest * (ended - began))
        log.info("snapshot", sequence=self.sequence, seconds=round(ended - began, 3))


def run_snapshotter(settings: SnapshotterSettings) -> None:
    """For ever."""
    gc.disable()  # an engine makes no cycles, and looking for them would take a third of the time
    snapshotter = Snapshotter(settings, JournalReader(settings.data / "journal"))
    while True:
        if not snapshotter.turn():
            time.sleep(settings.poll_millis / 1000)


def main() -> int:
    configure_logs("snapshotter")
    os.nice(NICENESS)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    try:
        run_snapshotter(decode_settings(Path(sys.argv[1]).read_bytes(), SnapshotterSettings))
    except (HooatsError, OSError, IndexError, msgspec.MsgspecError) as error:
        print(f"snapshotter: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
