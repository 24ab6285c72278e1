"""Writes docs/metrics.md from the metrics themselves: `python toolchain/metrics_reference.py > docs/metrics.md`."""

import asyncio
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from keepers.cycle import Cycle, Heartbeat
from keepers.metrics import KeeperMetrics
from keepers.settings import KeeperSettings
from offchain.chain.registry import Registry
from offchain.chain.rpc import Rpc
from offchain.domain.units import Address
from offchain.engine.engine import Engine
from offchain.gateway.metrics import Metrics, PublisherMetrics
from offchain.projector.metrics import ProjectorMetrics
from offchain.sequencer.follower import FollowerMetrics
from offchain.sequencer.metrics import SequencerMetrics
from offchain.storage.ops import Ops
from offchain.telemetry.probes import Progress

INTRODUCTION = """# Probes and metrics

Every daemon answers three paths over HTTP:

- `/livez`: 200 while its loop goes round, else 503: restart it.
- `/readyz`: 200 if it can do its work, else 503. The body says what fails and why:
  `{"ready": false, "process": "keeper.settle", "checks": {"head": false, …}, "reasons": {"head": "…"}}`.
- `/metrics`: the metrics below, in Prometheus' text format.

| daemon | where | the port, if the system chose it |
|---|---|---|
| gateway | `--host`, `--port` of `hooats node` | `<data>/gateway.port` |
| sequencer | `--metrics-host`, `--metrics-port` of `hooats node` | `<data>/sequencer.port` |
| publisher | `--metrics-host`, `--publisher-metrics-port` of `hooats node` | `<data>/publisher.port` |
| projector | `--metrics-host`, `--projector-metrics-port` of `hooats node` | `<data>/projector.port` |
| a standby (`hooats node --follow`) | `--metrics-host`, `--metrics-port` | `<data>/follower.port` |
| a keeper | `--metrics-host`, `--metrics-port` of `hooats keeper` | `metricsPort` in `<data>/keepers/<name>.json` |

They listen on 127.0.0.1 unless told otherwise, change nothing, and hold nothing secret. A keeper that halts (exit code
5) takes its metrics with it: alert on their absence, and read `<data>/keepers/<name>.json` and the log.

This page is made from the metrics themselves (`make docs`); a test keeps the two in step.
"""


class _Anything:
    """Stands for whatever only gives the values, not the names."""

    durable_sequence = waiting_commands = lag = sequence = outbox_sequence = epoch = longest_stall = 0
    failure = ""
    is_stopping = is_full = is_connected = False

    def __init__(self) -> None:
        self.engine, self.progress = Engine(), Progress(1)
        self.on_synced: Any = None


def reference() -> str:
    """The whole page."""
    anything: Any = _Anything()
    parts = [
        INTRODUCTION,
        _section("Keepers", asyncio.run(_keeper_metrics())),
        _section("Sequencer", SequencerMetrics(anything, anything, Path()).registry.collect()),
        _section("Standby", FollowerMetrics(anything).registry.collect()),
        _section("Publisher", PublisherMetrics().registry.collect()),
        _section("Projector", ProjectorMetrics(anything).collect()),
        _section("Gateway", Metrics().registry.collect()),
    ]
    return "\n".join(parts)


async def _keeper_metrics() -> list[Metric]:
    registry = Registry(chain_id=998, quote_token=Address("0x" + "00" * 20), contracts={})
    with tempfile.TemporaryDirectory() as folder:
        ops = Ops(f"sqlite:///{folder}/ops.sqlite")
        keeper: Any = None
        cycle = Cycle(keeper, pause_seconds=1, drain_seconds=1, heartbeat=Heartbeat(None, "settle"))
        async with Rpc(["http://127.0.0.1"]) as rpc:
            settings = KeeperSettings(rpc_urls=(), registry=registry, ops_url="", key=b"\1" * 32)
            metrics = CollectorRegistry()
            metrics.register(KeeperMetrics("settle", cycle, rpc, ops, settings))
            found = list(metrics.collect())
        ops.close()
    return found


def _section(title: str, metrics: Iterable[Metric]) -> str:
    lines = [f"## {title}", "", "| metric | kind | meaning |", "|---|---|---|"]
    for metric in sorted(metrics, key=lambda metric: metric.name):
        name = metric.name + ("_total" if metric.type == "counter" else "")
        lines.append(f"| `{name}` | {metric.type} | {metric.documentation} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
