"""What a keeper's probes and metrics say, read from its parts when somebody asks.

Invariant: reading changes nothing and asks the chain nothing, so that a scrape can neither slow the keeper nor use up
its request limit; only the balance costs a question of its own, once a minute.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from keepers.cycle import Cycle
from keepers.lease import this_process
from keepers.settings import KeeperSettings
from offchain.chain import rpc as questions
from offchain.chain.rpc import Rpc
from offchain.chain.signing import SigningKey
from offchain.domain.errors import HooatsError
from offchain.storage.ops import Ops
from offchain.storage.transactions import OPEN_STATES
from offchain.telemetry.probes import Check, Checks, Probes

BALANCE_SECONDS = 60.0
HEAD_AGE_MAX = 60
"""Seconds; HyperEVM makes a block every second."""
PREFIX = "hooats_keeper_"

T = TypeVar("T")

_log = structlog.get_logger()


class KeeperMetrics(Collector):
    """One keeper's; `balance_wei` is None until it was asked for."""

    def __init__(self, name: str, cycle: Cycle, rpc: Rpc, ops: Ops, settings: KeeperSettings) -> None:
        self.name = name
        self.address = SigningKey(settings.key, settings.registry.chain_id).address if settings.key else None
        self.balance_wei: int | None = None
        self._cycle, self._rpc, self._ops, self._tally = cycle, rpc, ops, settings.tally
        self._lease = name if self.address is None else f"key:{self.address}"

    def probes(self) -> Probes:
        """Of this keeper."""
        registry = CollectorRegistry()
        registry.register(self)
        return Probes(f"keeper.{self.name}", self.live, self.ready, registry)

    def live(self) -> Checks:
        return {"loop": self._cycle.progress.check()}

    def ready(self) -> Checks:
        status = self._cycle.status
        age = self._head_age()
        return {
            "prepared": Check(status.is_prepared, "chain, contracts and lease are not checked yet"),
            "working": Check(not status.failures_in_a_row and not status.halted, status.reason),
            "lease": Check(self._is_leader(), "another process holds the lease, or nobody"),
            "head": Check(age is not None and age <= HEAD_AGE_MAX, f"the newest block is {age} s old; check --rpc"),
        }

    def collect(self) -> Iterable[Metric]:
        yield from self._collect_cycle()
        yield from self._collect_chain()
        yield from self._collect_transactions()
        rpc = CounterMetricFamily(
            f"{PREFIX}rpc_requests", "Questions to RPC endpoints, by method and outcome", labels=["method", "outcome"]
        )
        limited = 0
        for (method, outcome), count in sorted(self._rpc.outcomes.copy().items()):
            rpc.add_metric([method, outcome], count)
            limited += count if outcome == "rate_limited" else 0
        yield rpc
        yield CounterMetricFamily(f"{PREFIX}rate_limited", "Questions that an endpoint had no room for", value=limited)

    def _collect_cycle(self) -> Iterable[Metric]:
        status, checks = self._cycle.status, self.ready()
        up = GaugeMetricFamily(f"{PREFIX}up", "1 while the process answers, by keeper", labels=["keeper"])
        up.add_metric([self.name], 1)
        yield up
        yield _gauge("ready", "1 if /readyz says ready", all(check.is_ok for check in checks.values()))
        yield _gauge("is_leader", "1 while this process holds the lease of its key", checks["lease"].is_ok)
        yield _gauge("halted", "1 when only an operator can help; the process then ends with 5", status.halted)
        yield _gauge("loop_age_seconds", "Since the loop went round last", self._cycle.progress.age)
        yield CounterMetricFamily(f"{PREFIX}failures", "Rounds that the world made fail", value=status.failures)
        figures = GaugeMetricFamily(f"{PREFIX}figure", "The integers of the heartbeat file, by name", labels=["figure"])
        for figure, value in sorted(status.figures.items()):
            if isinstance(value, int):
                figures.add_metric([figure], value)
        yield figures

    def _collect_chain(self) -> Iterable[Metric]:
        head, age = self._rpc.head, self._head_age()
        yield _gauge("head_block", "Newest block that an endpoint showed", None if head is None else head.number)
        yield _gauge("head_age_seconds", "Age of that block by this machine's clock", age)
        yield _gauge("basefee_wei", "Base fee of that block", None if head is None else head.base_fee)
        block, event = _asked(lambda: (self._ops.inbox_block()[0], self._ops.last_event())) or (None, None)
        yield _gauge("last_synced_block", "Highest final block whose logs are all in the inbox", block)
        yield CounterMetricFamily(f"{PREFIX}logs_ingested", "Final logs in the inbox", value=event or 0)

    def _collect_transactions(self) -> Iterable[Metric]:
        rows = _asked(lambda: self._ops.transactions_of(f"{self.name}:{self.address}", OPEN_STATES))
        nonce = _asked(lambda: self._ops.next_nonce(f"{self.name}:{self.address}"))
        yield _gauge("pending_txs", "Transactions that are signed and not final", None if rows is None else len(rows))
        yield _gauge("current_nonce", "The nonce that is signed next", nonce)
        yield _gauge("balance_wei", "Balance of the key, asked once a minute", self.balance_wei)
        tally = self._tally
        yield CounterMetricFamily(f"{PREFIX}spend_wei", "Paid for gas since the start", value=tally.spent_wei)
        ended = CounterMetricFamily(f"{PREFIX}transactions", "Transactions that ended, by outcome", labels=["outcome"])
        for outcome in ("final", "reverted", "lost"):
            ended.add_metric([outcome], getattr(tally, outcome))
        yield ended
        yield CounterMetricFamily(f"{PREFIX}tx_gas_bump", "Transactions replaced by dearer ones", value=tally.bumped)

    def _head_age(self) -> int | None:
        head = self._rpc.head
        return None if head is None else max(0, int(time.time()) - head.time)

    def _is_leader(self) -> bool:
        lease = _asked(lambda: self._ops.lease(self._lease))
        return lease is not None and lease.owner == this_process() and lease.until > time.time() * 1000


async def watch_balance(metrics: KeeperMetrics, rpc: Rpc) -> None:
    """For ever; nothing to do without a key."""
    while metrics.address is not None:
        try:
            metrics.balance_wei = await rpc.read(questions.balance_of(metrics.address))
        except HooatsError as error:
            _log.warning("balance", reason=error.message)
        await asyncio.sleep(BALANCE_SECONDS)


def _asked(ask: Callable[[], T]) -> T | None:
    """None if the database does not answer."""
    try:
        return ask()
    except HooatsError as error:
        _log.warning("metrics", reason=error.message)
        return None


def _gauge(name: str, documentation: str, value: float | None) -> GaugeMetricFamily:
    """Without a sample while the value is not known."""
    family = GaugeMetricFamily(PREFIX + name, documentation)
    if value is not None:
        family.add_metric([], value)
    return family
