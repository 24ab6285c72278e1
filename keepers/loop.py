"""Which keepers there are, and how one is put together and run: wiring only.

`run_keeper(name, settings)` returns the exit code (see cycle.py). Logs are JSON lines on standard error; the key is in
none of them.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import structlog

from keepers.commit import Committer
from keepers.cycle import INTERNAL, Cycle, Heartbeat, Keeper, exit_code, stop_on_signals
from keepers.lease import KeptLease
from keepers.liquidate import Liquidator
from keepers.list import Lister
from keepers.marks import Marker
from keepers.metrics import KeeperMetrics, watch_balance
from keepers.price import Pricer
from keepers.quotes import make_source
from keepers.relay import Relayer
from keepers.settings import KeeperSettings
from keepers.settle import Settler
from keepers.sync import Syncer
from offchain.chain.fees import FeePolicy
from offchain.chain.reserves import PoolReader
from offchain.chain.rpc import Rpc
from offchain.chain.signing import SigningKey
from offchain.chain.transactions import Sender
from offchain.chain.watcher import Watcher
from offchain.client import HooatsClient
from offchain.domain.eip712 import domain_separator
from offchain.domain.errors import ConfigurationError, HooatsError
from offchain.storage.ops import Ops
from offchain.telemetry.logs import configure_logs
from offchain.telemetry.probes import listen

__all__ = ["KEEPERS", "KeeperSettings", "make_keeper", "run_keeper"]

AnyKeeper = Keeper[Any, Any]


def _make_sync(rpc: Rpc, ops: Ops, settings: KeeperSettings) -> AnyKeeper:
    registry = settings.registry
    watcher = Watcher(
        rpc,
        ops,
        registry.address("Vault"),
        registry.address("Settlement"),
        first_block=registry.first_block,
        confirmations=settings.confirmations,
        range_blocks=settings.range_blocks,
    )
    pools = PoolReader(rpc, ops, registry) if "AmmFactory" in registry.contracts else None
    return Syncer(rpc, watcher, pools, registry, KeptLease(ops, "sync", settings.lease_seconds))


def _make_settle(rpc: Rpc, ops: Ops, settings: KeeperSettings) -> AnyKeeper:
    sender, lease = _make_sender(rpc, ops, settings, "settle")
    return Settler(rpc, ops, sender, settings.registry, lease, gas_max=settings.gas_max)


def _make_commit(rpc: Rpc, ops: Ops, settings: KeeperSettings) -> AnyKeeper:
    sender, lease = _make_sender(rpc, ops, settings, "commit")
    return Committer(rpc, ops, sender, settings.registry, lease)


def _make_relay(rpc: Rpc, ops: Ops, settings: KeeperSettings) -> AnyKeeper:
    sender, lease = _make_sender(rpc, ops, settings, "relay")
    return Relayer(rpc, ops, sender, settings.registry, lease, gas_max=settings.gas_max)


def _make_price(rpc: Rpc, ops: Ops, settings: KeeperSettings) -> AnyKeeper:
    if settings.price is None:
        raise ConfigurationError("keeper price has no source", remedy="Give --source file:PATH or hyperliquid:URL")
    source = make_source(settings.price.source, settings.price.names)
    sender, lease = _make_sender(rpc, ops, settings, "price")
    registry = settings.registry
    separator = domain_separator(registry.chain_id, registry.address("Settlement"))
    marker = Marker(ops, SigningKey(settings.key, registry.chain_id), separator)
    return Pricer(
        rpc,
        ops,
        sender,
        settings.registry,
        lease,
        source=source,
        settings=settings.price,
        gas_max=settings.gas_max,
        marker=marker,
    )


def _make_list(rpc: Rpc, ops: Ops, settings: KeeperSettings) -> AnyKeeper:
    sender, lease = _make_sender(rpc, ops, settings, "list")
    return Lister(rpc, ops, sender, settings.registry, lease)


def _make_liquidate(rpc: Rpc, ops: Ops, settings: KeeperSettings) -> AnyKeeper:
    if not settings.api_url:
        raise ConfigurationError("keeper liquidate has no exchange", remedy="Give --api")
    sender, lease = _make_sender(rpc, ops, settings, "liquidate")
    exchange = HooatsClient(settings.api_url, settings.key)
    return Liquidator(rpc, ops, sender, settings.registry, lease, exchange)


KEEPERS: dict[str, Callable[[Rpc, Ops, KeeperSettings], AnyKeeper]] = {
    "sync": _make_sync,
    "settle": _make_settle,
    "commit": _make_commit,
    "relay": _make_relay,
    "price": _make_price,
    "list": _make_list,
    "liquidate": _make_liquidate,
}


def _make_sender(rpc: Rpc, ops: Ops, settings: KeeperSettings, name: str) -> tuple[Sender, KeptLease]:
    if not settings.key:
        raise ConfigurationError(f"keeper {name} has no key", remedy="Give --key")
    key = SigningKey(settings.key, settings.registry.chain_id)
    lease = KeptLease(ops, f"key:{key.address}", settings.lease_seconds)
    fees = FeePolicy(
        settings.max_fee_wei, settings.priority_fee_wei, settings.bump_millis / 1000, settings.resend_millis / 1000
    )
    sender = Sender(
        rpc,
        ops,
        key,
        keeper=name,
        fees=fees,
        confirmations=settings.confirmations,
        in_flight_max=settings.in_flight_max,
        check_lease=lease.check,
        tally=settings.tally,
    )
    return sender, lease


def make_keeper(name: str, settings: KeeperSettings, ops: Ops, rpc: Rpc) -> AnyKeeper:
    """`ConfigurationError` for an unknown name, or a setting that the keeper lacks."""
    if name not in KEEPERS:
        raise ConfigurationError(f"there is no keeper {name}", remedy=f"Keepers are {', '.join(KEEPERS)}")
    return KEEPERS[name](rpc, ops, settings)


def run_keeper(name: str, settings: KeeperSettings) -> int:
    """Runs until SIGTERM, or until only an operator can help; returns the exit code."""
    os.umask(0o077)  # what this process writes is nobody else's
    configure_logs(f"keeper.{name}", [settings.key])
    structlog.contextvars.bind_contextvars(keeper=name)
    try:
        return asyncio.run(_run(name, settings))
    except HooatsError as error:
        structlog.get_logger().error("stopped", reason=str(error))
        code = exit_code(error)
        return INTERNAL if code is None else code


async def _run(name: str, settings: KeeperSettings) -> int:
    ops = Ops(settings.ops_url)
    rpc = Rpc(settings.rpc_urls, requests_per_minute=settings.requests_per_minute)
    heartbeat = Heartbeat(settings.folder, name)
    cycle = Cycle(
        make_keeper(name, settings, ops, rpc),
        pause_seconds=settings.poll_millis / 1000,
        drain_seconds=settings.drain_seconds,
        heartbeat=heartbeat,
    )
    metrics = KeeperMetrics(name, cycle, rpc, ops, settings)
    listener = None
    balance = asyncio.create_task(watch_balance(metrics, rpc))
    try:
        listener = listen(metrics.probes(), settings.metrics_host, settings.metrics_port)
        heartbeat.metrics_port = listener.port if listener is not None else None
        stop_on_signals(cycle)
        return await cycle.run()
    finally:
        balance.cancel()
        await asyncio.gather(balance, return_exceptions=True)  # its client may have been closed under it
        if listener is not None:
            listener.close()
        ops.close()
