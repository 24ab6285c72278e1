"""What the projector's probes and metrics say, read from another thread."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from offchain.projector.projector import Projector
from offchain.telemetry.probes import Check, Checks, Probes

LAG_MAX = 20_000
"""Commands; a projector that is further behind still catches up after its start."""
PREFIX = "hooats_projector_"


class ProjectorMetrics(Collector):
    """Of one projector."""

    def __init__(self, projector: Projector) -> None:
        self._projector = projector

    def probes(self) -> Probes:
        registry = CollectorRegistry()
        registry.register(self)
        return Probes("projector", self.live, self.ready, registry)

    def live(self) -> Checks:
        return {"loop": self._projector.progress.check()}

    def ready(self) -> Checks:
        lag = self._projector.lag
        return {**self.live(), "lag": Check(lag <= LAG_MAX, f"{lag} commands behind the journal")}

    def collect(self) -> Iterable[Metric]:
        projector = self._projector
        yield _gauge("lag", "Durable commands that the history does not have yet", projector.lag)
        yield _gauge("sequence", "Last command in the history", projector.sequence)
        yield _gauge("outbox_sequence", "The outbox is complete to this command", projector.outbox_sequence)
        yield _gauge("epoch", "Last closed epoch that was built since the start, 0 if none", projector.epoch)
        yield _gauge("loop_age_seconds", "Since the loop went round last", projector.progress.age)


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, documentation, value=value)
