"""Which keepers there are, and how one is put together and run: wiring only.

`run_keeper(name, settings)` returns the exit code (see cycle.py). Logs are JSON lines on standard error; the key is in
none of them.
"""

import asyncio
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from keepers.commit import Committer
from keepers.cycle import INTERNAL, Cycle, Heartbeat, Keeper, exit_code, stop_on_signals
from keepers.lease import KeptLease
from keepers.relay import Relayer
from keepers.settings import KeeperSettings
from keepers.settle import Settler
from keepers.sync import Syncer
from offchain.chain.fees import FeePolicy
from offchain.chain.rpc import Rpc
from offchain.chain.signing import SigningKey
from offchain.chain.transactions import Sender
from offchain.chain.watcher import Watcher
from offchain.domain.errors import ConfigurationError, HooatsError
from offchain.storage.ops import Ops

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
    return Syncer(rpc, watcher, registry, KeptLease(ops, "sync", settings.lease_seconds))


def _make_settle(rpc: Rpc, ops: Ops, settings: KeeperSettings) -> AnyKeeper:
    sender, lease = _make_sender(rpc, ops, settings, "settle")
    return Settler(rpc, ops, sender, settings.registry, lease, gas_max=settings.gas_max)


def _make_commit(rpc: Rpc, ops: Ops, settings: KeeperSettings) -> AnyKeeper:
    sender, lease = _make_sender(rpc, ops, settings, "commit")
    return Committer(rpc, ops, sender, settings.registry, lease)


def _make_relay(rpc: Rpc, ops: Ops, settings: KeeperSettings) -> AnyKeeper:
    sender, lease = _make_sender(rpc, ops, settings, "relay")
    return Relayer(rpc, ops, sender, settings.registry, lease, gas_max=settings.gas_max)


KEEPERS: dict[str, Callable[[Rpc, Ops, KeeperSettings], AnyKeeper]] = {
    "sync": _make_sync,
    "settle": _make_settle,
    "commit": _make_commit,
    "relay": _make_relay,
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
    )
    return sender, lease


def make_keeper(name: str, settings: KeeperSettings, ops: Ops) -> AnyKeeper:
    """`ConfigurationError` for an unknown name, or a setting that the keeper lacks."""
    if name not in KEEPERS:
        raise ConfigurationError(f"there is no keeper {name}", remedy=f"Keepers are {', '.join(KEEPERS)}")
    rpc = Rpc(settings.rpc_urls, requests_per_minute=settings.requests_per_minute)
    return KEEPERS[name](rpc, ops, settings)


def run_keeper(name: str, settings: KeeperSettings) -> int:
    """Runs until SIGTERM, or until only an operator can help; returns the exit code."""
    configure_logs(settings.key)
    structlog.contextvars.bind_contextvars(keeper=name)
    try:
        return asyncio.run(_run(name, settings))
    except HooatsError as error:
        structlog.get_logger().error("stopped", reason=str(error))
        code = exit_code(error)
        return INTERNAL if code is None else code


async def _run(name: str, settings: KeeperSettings) -> int:
    ops = Ops(settings.ops_url)
    try:
        cycle = Cycle(
            make_keeper(name, settings, ops),
            pause_seconds=settings.poll_millis / 1000,
            drain_seconds=settings.drain_seconds,
            heartbeat=Heartbeat(settings.folder, name),
        )
        stop_on_signals(cycle)
        return await cycle.run()
    finally:
        ops.close()


def configure_logs(key: bytes) -> None:
    """JSON lines on standard error, from which the key is cut out whatever wrote it."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _without(key.hex()),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


def _without(secret: str) -> Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]:
    def cut(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if secret:
            for name, value in entry.items():
                if isinstance(value, str) and secret in value.lower():
                    entry[name] = "(withheld)"
        return entry

    return cut
