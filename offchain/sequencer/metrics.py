"""What the sequencer's probes and metrics say. Read from another thread, integers only; nothing is changed."""

import time
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from offchain.domain.reasons import VenueState
from offchain.engine.fills import NEVER
from offchain.sequencer.inbox import Inbox
from offchain.sequencer.sequencer import Sequencer
from offchain.storage.snapshots import snapshot_files
from offchain.telemetry.probes import Check, Checks, Probes, Progress

LIVE_SECONDS = 20.0
PREFIX = "hooats_sequencer_"
_FSYNC_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5)


class SequencerMetrics(Collector):
    """Of one sequencer, its inbox and the folder of the snapshots that its next start begins with."""

    def __init__(self, sequencer: Sequencer, inbox: Inbox, snapshots: Path) -> None:
        self.progress = Progress(LIVE_SECONDS)
        self.registry = CollectorRegistry()
        self._sequencer, self._inbox, self._snapshots = sequencer, inbox, snapshots
        self._fsync = Histogram(
            f"{PREFIX}fsync_seconds", "Write and fsync of one group", buckets=_FSYNC_SECONDS, registry=self.registry
        )
        self.registry.register(self)
        sequencer.on_synced = self._fsync.observe

    def probes(self) -> Probes:
        return Probes("sequencer", self.live, self.ready, self.registry)

    def live(self) -> Checks:
        return {"loop": self.progress.check()}

    def ready(self) -> Checks:
        sequencer, state = self._sequencer, self._sequencer.engine.gate
        return {
            "loop": self.progress.check(),
            "journal": Check(not sequencer.is_stopping, "the journal takes no more: stopping, or the disk failed"),
            "queue": Check(not sequencer.is_full, "the disk is slower than the orders"),
            "ops": Check(not self._inbox.failure, self._inbox.failure),
            "venue": Check(state.state is not VenueState.HALTED, f"halted: {state.reason}"),
        }

    def collect(self) -> Iterable[Metric]:
        sequencer, engine = self._sequencer, self._sequencer.engine
        yield _gauge("sequence", "Last durable command of the journal", sequencer.durable_sequence)
        newest = next((int(path.stem) for path in snapshot_files(self._snapshots)), 0)
        lag = max(0, sequencer.durable_sequence - newest)
        yield _gauge("snapshot_lag", "Commands since the newest snapshot, which a start has to replay", lag)
        yield _gauge("waiting_commands", "Commands that no group has taken yet", sequencer.waiting_commands)
        yield _gauge("longest_stall_seconds", "Longest that one group kept the loop", sequencer.longest_stall)
        backlog = engine.batches
        oldest = engine.gate.oldest_at
        age = 0.0 if oldest == NEVER else max(0.0, time.time() - oldest / 1000)
        yield _gauge("unsettled_fills", "Fills not decided by the chain", backlog.last_fill - backlog.decided_fill)
        yield _gauge("oldest_unsettled_seconds", "Age of the oldest of them", age)
        yield CounterMetricFamily(f"{PREFIX}fills", "Fills ever matched", value=backlog.last_fill)
        number, at = engine.chain_block
        yield _gauge("chain_block", "Last block whose logs are all in the engine", number)
        yield _gauge("chain_block_age_seconds", "Its age", max(0.0, time.time() - at) if number else 0)
        yield _gauge("event_sequence", "Last chain log in the engine", engine.last_event_sequence)
        states = GaugeMetricFamily(f"{PREFIX}venue_state", "1 for the state it is in", labels=["state"])
        for state in VenueState:
            states.add_metric([str(state)], state is engine.gate.state)
        yield states


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, documentation, value=value)
