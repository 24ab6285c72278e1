"""One node: the sequencer in this process, gateways, their publisher, projector and snapshotter as children that are
restarted when they die.

Invariant: children never outlive the node (the kernel ends them with it), and no order is lost by the death of any of
them: what was acknowledged is in the journal, and starting up is recovery. Wiring only; no logic of the exchange.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from offchain.chain.registry import Registry
from offchain.domain.batch import batch_gas_max, batch_rules
from offchain.domain.command import OpenVenue
from offchain.domain.errors import ConfigurationError
from offchain.domain.limits import (
    BATCH_BLOCK_PERCENT,
    BLOCK_GAS_LIMIT,
    FEE_PPM_MAX,
    FILLS_PER_IMMEDIATE_ORDER_MAX,
    OPERATORS_MAX,
    ORDER_RULES_MAX,
)
from offchain.domain.market import MarketState
from offchain.domain.units import QUOTE_DECIMALS, Address
from offchain.engine.engine import flaw_of_venue
from offchain.gateway.serve import bind
from offchain.gateway.settings import GatewaySettings, PublisherSettings
from offchain.projector.projector import ProjectorSettings
from offchain.projector.snapshotter import SnapshotterSettings
from offchain.sequencer.follower import FollowerSettings, run_follower
from offchain.sequencer.serve import run_sequencer
from offchain.sequencer.settings import SequencerSettings
from offchain.storage.handed import encode_settings
from offchain.storage.journal import locked
from offchain.storage.standing import lead
from offchain.telemetry.logs import configure_logs
from offchain.telemetry.probes import OFF

RESTART_SECONDS_MIN = 0.2
RESTART_SECONDS_MAX = 10.0
STEADY_SECONDS = 30.0
"""A child that lived this long is restarted without delay."""
STOP_SECONDS = 8.0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """What an operator chooses; addresses come from the registry.

    `ConfigurationError` for what the engine or the sequencer would refuse, by the name of its flag.
    """

    data: Path
    registry: Registry
    ops_url: str
    history_url: str
    attestation_key: bytes = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8080
    gateways: int = 1
    """Processes that listen at `port`; each looks at the signatures of what comes to it."""
    maker_fee_ppm: int = 2_500
    taker_fee_ppm: int = 2_500
    batch_interval_millis: int = 1_000
    block_gas_limit: int = BLOCK_GAS_LIMIT
    """Of the chain's blocks: a batch of a new venue takes no more than its part of one."""
    epoch_millis: int = 60_000
    epoch_orders: int = 10_000
    accepts_loss: bool = False
    """Start although the chain settled fills that the journal does not have; the venue then halts."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    """Of the sequencer's probes; the gateway answers them at `port`."""
    projector_metrics_port: int = 0
    publisher_metrics_port: int = 0
    follow: str = ""
    """Be the standby of the node at this HOST:PORT or socket, and nothing else."""
    promote: bool = False
    """Take over on a folder that followed, in the next term."""
    sync_follower: bool = False
    """Acknowledge only what a follower has on disk, too."""
    follow_host: str = "127.0.0.1"
    follow_port: int = OFF
    """Where followers from elsewhere may connect."""
    follow_secret: bytes = field(default=b"", repr=False)
    operators: tuple[Address, ...] = ()
    """Who may open and close markets; what the journal says is replaced by this at the start."""

    def __post_init__(self) -> None:
        flaw = flaw_of_venue(self.venue())
        if flaw:
            raise self._refused(flaw)
        self.sequencer()  # has bounds of its own

    @property
    def listed_state(self) -> MarketState:
        """In which the markets of a new venue begin: an operator opens them, if there is one who can."""
        return MarketState.PAUSED if self.operators else MarketState.ACTIVE

    def _refused(self, flaw: str) -> ConfigurationError:
        """By the flag that makes this field of a venue, and what it takes."""
        told = {
            "taker_fee_ppm": (f"--taker-fee-ppm {self.taker_fee_ppm}", f"From 0 to {FEE_PPM_MAX}"),
            "maker_fee_ppm": (
                f"--maker-fee-ppm {self.maker_fee_ppm}",
                f"From {-self.taker_fee_ppm}, a rebate of all that the taker pays, to {FEE_PPM_MAX}",
            ),
            "batch_interval_millis": (f"--batch-interval-millis {self.batch_interval_millis}", "0 or more"),
            "batch_gas_max": (
                f"--block-gas-limit {self.block_gas_limit}",
                f"More: one fill must fit {BATCH_BLOCK_PERCENT} % of a block",
            ),
            "operators": ("--operator", f"At most {OPERATORS_MAX}, each once"),
        }
        what, right = told.get(flaw, (flaw, ""))
        return ConfigurationError(f"{what}: no venue opens with that", remedy=right)

    @property
    def socket(self) -> Path:
        return self.data / "sequencer.sock"

    @property
    def publisher_socket(self) -> Path:
        return self.data / "publisher.sock"

    def venue(self) -> OpenVenue:
        """The first command of an empty journal."""
        registry = self.registry
        return OpenVenue(
            chain_id=registry.chain_id,
            vault=registry.address("Vault"),
            settlement=registry.address("Settlement"),
            commitment=registry.address("OrderbookCommitment"),
            quote_token=registry.quote_token,
            quote_decimals=QUOTE_DECIMALS,
            fee_account=registry.account("feeAccount"),
            treasury_account=registry.account("treasuryAccount"),
            insurance_account=registry.account("insuranceAccount"),
            maker_fee_ppm=self.maker_fee_ppm,
            taker_fee_ppm=self.taker_fee_ppm,
            batch_interval_millis=self.batch_interval_millis,
            batch_gas_max=batch_gas_max(self.block_gas_limit),
            fills_per_immediate_order_max=FILLS_PER_IMMEDIATE_ORDER_MAX,
            operators=self.operators,
            listed_state=self.listed_state,
            batch_rules=batch_rules(self.block_gas_limit),
            order_rules=ORDER_RULES_MAX,
        )

    def sequencer(self, term: int = 1) -> SequencerSettings:
        return SequencerSettings(
            data=self.data,
            socket=self.socket,
            ops_url=self.ops_url,
            venue=self.venue(),
            attestation_key=self.attestation_key,
            epoch_millis=self.epoch_millis,
            epoch_orders=self.epoch_orders,
            accepts_loss=self.accepts_loss,
            metrics_host=self.metrics_host,
            metrics_port=self.metrics_port,
            term=term,
            sync_follower=self.sync_follower,
            follow_host=self.follow_host,
            follow_port=self.follow_port,
            follow_secret=self.follow_secret,
        )

    def follower(self) -> FollowerSettings:
        return FollowerSettings(
            data=self.data,
            leader=self.follow,
            chain_id=self.registry.chain_id,
            secret=self.follow_secret,
            metrics_host=self.metrics_host,
            metrics_port=self.metrics_port,
        )

    def gateway(self) -> GatewaySettings:
        registry = self.registry
        return GatewaySettings(
            host=self.host,
            port=self.port,
            shares_port=self.gateways > 1,
            port_file=self.data / "gateway.port",
            sequencer_socket=self.socket,
            publisher_socket=self.publisher_socket,
            history_url=self.history_url,
            journal_folder=self.data / "journal",
            session_key_file=self.data / "session.secret",
            chain_id=registry.chain_id,
            vault=registry.address("Vault"),
            settlement=registry.address("Settlement"),
            commitment=registry.address("OrderbookCommitment"),
            quote_token=registry.quote_token,
            quote_decimals=QUOTE_DECIMALS,
            permit_name=registry.permit_name,
            permit_version=registry.permit_version,
        )

    def publisher(self) -> PublisherSettings:
        return PublisherSettings(
            socket=self.publisher_socket,
            sequencer_socket=self.socket,
            history_url=self.history_url,
            journal_folder=self.data / "journal",
            snapshots_folder=self.data / "snapshots",
            chain_id=self.registry.chain_id,
            quote_token=self.registry.quote_token,
            quote_decimals=QUOTE_DECIMALS,
            metrics_host=self.metrics_host,
            metrics_port=self.publisher_metrics_port,
            port_file=self.data / "publisher.port",
        )

    def projector(self) -> ProjectorSettings:
        return ProjectorSettings(
            data=self.data,
            ops_url=self.ops_url,
            history_url=self.history_url,
            metrics_host=self.metrics_host,
            metrics_port=self.projector_metrics_port,
        )


def run_node(settings: NodeSettings) -> int:
    """Runs until SIGTERM or SIGINT; returns the sequencer's exit code.

    To stop, the gateway goes first: it answers what is in flight while the sequencer still does.
    """
    os.umask(0o077)  # nothing in the data folder is for anybody else, whoever creates it
    configure_logs("follower" if settings.follow else "sequencer", [settings.attestation_key, settings.follow_secret])
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.follow:
        return run_follower(settings.follower())
    with locked(settings.data / "journal"):
        term = lead(settings.data, settings.promote).term
    children = Children(settings.data)
    children.add("projector", "offchain.projector", settings.projector())
    children.add("snapshotter", "offchain.projector.snapshotter", SnapshotterSettings(data=settings.data))
    children.add("publisher", "offchain.gateway.publish", settings.publisher())
    gateway, reserved = settings.gateway(), None
    if gateway.shares_port and not gateway.port:
        reserved = bind(gateway.host, 0, shared=True)  # never listens, so that no connection comes to it
        gateway = msgspec.structs.replace(gateway, port=reserved.getsockname()[1])
    gateways = ["gateway", *(f"gateway-{number}" for number in range(2, settings.gateways + 1))]
    for name in gateways:
        children.add(name, "offchain.gateway.serve", gateway)
    try:
        # Only the owner of the folder has children: one that is refused must not touch those of the running node.
        return run_sequencer(
            settings.sequencer(term), ready=lambda _: children.start(), drain=lambda: children.drain(gateways)
        )
    finally:
        children.stop()
        if reserved is not None:
            reserved.close()


class Child:
    """One child process and when it may be started again."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self.command = list(command)
        self.process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._delay = RESTART_SECONDS_MIN
        self.is_wanted = True
        """False: let it end."""

    def keep_alive(self, now: float) -> bool:
        """Starts the process if it is not running and due; True if it was started."""
        if not self.is_wanted or (self.process is not None and self.process.poll() is None):
            return False
        if self.process is not None:
            steady = now - self._started >= STEADY_SECONDS
            self._delay = RESTART_SECONDS_MIN if steady else min(self._delay * 2, RESTART_SECONDS_MAX)
            if now - self._started < self._delay:
                return False
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent())
        self._started = now
        return True


class Children:
    """Supervises from a thread of its own, which lives as long as the node: the kernel ties children to it."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._children: list[Child] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="children", daemon=True)

    def add(self, name: str, module: str, settings: object) -> None:
        """A child `python -m module SETTINGS`; the settings hold no secret."""
        path = self._data / f"{name}.json"
        path.write_bytes(encode_settings(settings))
        self._children.append(Child(name, [sys.executable, "-m", module, str(path)]))

    def start(self) -> None:
        self._thread.start()

    def drain(self, names: Collection[str]) -> None:
        """Ends these children, which are not restarted: SIGTERM, and SIGKILL after STOP_SECONDS."""
        drained = [child for child in self._children if child.name in names]
        for child in drained:
            child.is_wanted = False
            if child.process is not None:
                child.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in drained:
            if child.process is not None:
                _wait_or_kill(child.process, deadline)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL."""
        self._stopping.set()
        if self._thread.ident is None:
            return
        self._thread.join()
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            _wait_or_kill(process, deadline)

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            started = [child.keep_alive(time.monotonic()) for child in self._children]
            if any(started):
                self._write_pids()
            self._stopping.wait(0.1)

    def _write_pids(self) -> None:
        pids = {child.name: child.process.pid for child in self._children if child.process is not None}
        staging = self._data / ".pids.json.new"
        staging.write_text(json.dumps({"node": os.getpid(), **pids}))
        staging.replace(self._data / "pids.json")


def _wait_or_kill(process: "subprocess.Popen[bytes]", deadline: float) -> None:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()


def _die_with_parent() -> Callable[[], None] | None:
    """What a child does first on Linux: ask the kernel for SIGKILL when the node dies, however it dies."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return ask
