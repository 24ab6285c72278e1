"""One node: the sequencer in this process, gateway and projector as children that are restarted when they die.

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from offchain.chain.registry import Registry
from offchain.domain.batch import batch_gas_max, batch_rules
from offchain.domain.command import OpenVenue
from offchain.domain.limits import BLOCK_GAS_LIMIT, FILLS_PER_IMMEDIATE_ORDER_MAX, ORDER_RULES_MAX
from offchain.domain.market import MarketState
from offchain.domain.units import QUOTE_DECIMALS, Address
from offchain.gateway.settings import GatewaySettings
from offchain.projector.projector import ProjectorSettings
from offchain.sequencer.serve import run_sequencer
from offchain.sequencer.settings import SequencerSettings
from offchain.telemetry.logs import configure_logs

RESTART_SECONDS_MIN = 0.2
RESTART_SECONDS_MAX = 10.0
STEADY_SECONDS = 30.0
"""A child that lived this long is restarted without delay."""
STOP_SECONDS = 8.0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """What an operator chooses; addresses come from the registry."""

    data: Path
    registry: Registry
    ops_url: str
    history_url: str
    attestation_key: bytes = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8080
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
    operators: tuple[Address, ...] = ()
    """Who may open and close markets; what the journal says is replaced by this at the start."""

    @property
    def listed_state(self) -> MarketState:
        """In which the markets of a new venue begin: an operator opens them, if there is one who can."""
        return MarketState.PAUSED if self.operators else MarketState.ACTIVE

    @property
    def socket(self) -> Path:
        return self.data / "sequencer.sock"

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

    def sequencer(self) -> SequencerSettings:
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
        )

    def gateway(self) -> GatewaySettings:
        registry = self.registry
        return GatewaySettings(
            host=self.host,
            port=self.port,
            port_file=self.data / "gateway.port",
            sequencer_socket=self.socket,
            history_url=self.history_url,
            journal_folder=self.data / "journal",
            session_key_file=self.data / "session.secret",
            chain_id=registry.chain_id,
            vault=registry.address("Vault"),
            settlement=registry.address("Settlement"),
            commitment=registry.address("OrderbookCommitment"),
            quote_token=registry.quote_token,
            quote_decimals=QUOTE_DECIMALS,
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
    configure_logs("sequencer", [settings.attestation_key])
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    children = Children(settings.data)
    children.add("projector", "offchain.projector", settings.projector())
    children.add("gateway", "offchain.gateway.serve", settings.gateway())
    try:
        # Only the owner of the folder has children: one that is refused must not touch those of the running node.
        return run_sequencer(
            settings.sequencer(), ready=lambda _: children.start(), drain=lambda: children.drain("gateway")
        )
    finally:
        children.stop()


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
        path.write_bytes(msgspec.json.encode(settings, enc_hook=_encode_path))
        self._children.append(Child(name, [sys.executable, "-m", module, str(path)]))

    def start(self) -> None:
        self._thread.start()

    def drain(self, name: str) -> None:
        """Ends one child, which is not restarted: SIGTERM, and SIGKILL after STOP_SECONDS."""
        for child in self._children:
            if child.name == name:
                child.is_wanted = False
                if child.process is not None:
                    child.process.terminate()
                    _wait_or_kill(child.process, time.monotonic() + STOP_SECONDS)

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


def _encode_path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))  # msgspec's protocol for a type that the hook does not know
