"""A venue of its own to load: sequencer, publisher, gateways and, if wanted, projector and snapshotter as processes on
a temporary folder, and listeners to its market data.

No chain is behind it: deposits and the market come through the inbox, as the syncer would write them, and what is
matched settles in full a moment after its batch closed (`bench.load.settling`). Rate limits are opened wide, since all
traders come from one address, and a fill is taken to settle in no time, since no chain could carry as many; nothing
else differs from what an operator runs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import msgspec
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from bench import machine
from bench.load.settling import settle_for_ever
from bench.venue import BASE_ATOMS_PER_LOT, OPENING, QUOTE, QUOTE_ATOMS_PER_TICK_LOT, base_token
from offchain.domain.batch import batch_gas_max, batch_rules
from offchain.domain.chainlog import AgentRegistered, AnyChainLog, Deposited, MarketListed, SynthRegistered
from offchain.domain.command import Codec
from offchain.domain.eip712 import domain_separator
from offchain.domain.limits import AGENT_UNLIMITED
from offchain.domain.market import Market
from offchain.domain.order import ORDER_FRAME_BYTES, Order
from offchain.domain.units import Address
from offchain.gateway.serve import bind
from offchain.gateway.settings import LIMITS, GatewaySettings, PublisherSettings, RateSettings
from offchain.projector.projector import ProjectorSettings
from offchain.projector.snapshotter import SnapshotterSettings
from offchain.security.limits import Rate
from offchain.security.signatures import address_of
from offchain.sequencer.serve import run_sequencer
from offchain.sequencer.settings import SequencerSettings
from offchain.storage.frames import GROUP_MAGIC
from offchain.storage.ops import Ops
from offchain.storage.reader import JournalReader
from offchain.storage.scan import SUFFIX

START_SECONDS = 60.0
STOP_SECONDS = 20.0
READY_TIMES = 10
"""The kernel chooses a gateway for each connection: so many in a row for each of the others, and none was left out."""
OPEN = Rate(10_000_000, 10_000_000)
CONNECTIONS_MAX = 5_000
ATTESTATION_KEY = b"\x07" * 32
AGENT_KEY = b"\x08" * 32
"""Of the one agent of all accounts, who signs in bulk."""
BLOCK_GAS_LIMIT = 2_000_000
VENUE = msgspec.structs.replace(
    OPENING,
    batch_interval_millis=1_000,
    batch_gas_max=batch_gas_max(BLOCK_GAS_LIMIT),
    batch_rules=msgspec.structs.replace(batch_rules(BLOCK_GAS_LIMIT), settlement_millis_per_fill=0),
)
"""As a node opens it."""
DEPOSIT = 10**24
"""Atoms of either token, for everybody."""


def listed() -> Market:
    """The one market."""
    return Market(
        market=1,
        base_token=base_token(1),
        base_atoms_per_lot=BASE_ATOMS_PER_LOT,
        quote_atoms_per_tick_lot=QUOTE_ATOMS_PER_TICK_LOT,
        base_decimals=18,
        quote_decimals=6,
        symbol="BASE1-USDC",
    )


class LoadedVenue:
    """A context manager; `port` is the gateway's."""

    host = "127.0.0.1"

    def __init__(
        self, accounts: Sequence[Address], with_projector: bool = False, gateways: int = 1, listeners: int = 0
    ) -> None:
        machine.BUILD.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="venue-", dir=machine.BUILD))
        self.separator = domain_separator(OPENING.chain_id, OPENING.settlement)
        self.market = listed()
        self.port = 0
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        # A path in the build folder may be too long for a Unix socket.
        self._socket = Path(tempfile.mkdtemp(prefix="hooats-")) / "s"
        self._accounts = accounts
        self._with_projector = with_projector
        self._gateways = gateways
        self._listeners = listeners
        self._reserved = bind(self.host, 0, shared=True)
        """Never listens: it keeps a port that the gateways share."""

    def __enter__(self) -> LoadedVenue:
        try:
            self._fund()
            self._start("sequencer", [sys.executable, "-m", "bench.load.venue", str(self.folder), str(self._socket)])
            publisher = self.folder / "publisher.json"
            publisher.write_bytes(msgspec.json.encode(self._publisher(), enc_hook=str))
            self._start("publisher", [sys.executable, "-m", "offchain.gateway.publish", str(publisher)])
            gateway = self.folder / "gateway.json"
            gateway.write_bytes(msgspec.json.encode(self._gateway(), enc_hook=str))
            for name in self._names():
                self._start(name, [sys.executable, "-m", "offchain.gateway.serve", str(gateway)])
            if self._with_projector:
                urls: dict[str, Any] = {"ops_url": ops_url(self.folder), "history_url": self._history()}
                settings = ProjectorSettings(data=self.folder, **urls)
                projector = self.folder / "projector.json"
                projector.write_bytes(msgspec.json.encode(settings, enc_hook=str))
                self._start("projector", [sys.executable, "-m", "offchain.projector", str(projector)])
                snapshotter = self.folder / "snapshotter.json"
                snapshotter.write_bytes(msgspec.json.encode(SnapshotterSettings(data=self.folder), enc_hook=str))
                self._start("snapshotter", [sys.executable, "-m", "offchain.projector.snapshotter", str(snapshotter)])
            self._await()
            if self._listeners:
                self._listen()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._reserved.close()
        for name in ("listeners", *self._names(), "publisher", "projector", "snapshotter", "sequencer"):
            process = self.processes.pop(name, None)
            if process is not None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self._socket.parent, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL to all at once, as a power cut would."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.processes.clear()

    def journaled(self) -> tuple[list[tuple[str, str]], int]:
        """((account, nonce) of every order in the journal, how many groups it has: one fdatasync each)."""
        folder = self.folder / "journal"
        orders = [
            Order.from_frame(record.payload[:ORDER_FRAME_BYTES])
            for record in JournalReader(folder).read()
            if record.kind in (Codec.KIND_PLACE, Codec.KIND_PLACE_BULK)
        ]
        groups = sum(segment.read_bytes().count(GROUP_MAGIC) for segment in folder.glob(f"*{SUFFIX}"))
        return [(order.account, str(order.nonce)) for order in orders], groups

    def cpu_seconds(self) -> dict[str, float]:
        """What each process has taken of the processors since it started."""
        return {name: _cpu_seconds(process.pid) for name, process in self.processes.items()}

    def metric(self, name: str) -> float:
        """Of the sequencer, as Prometheus would scrape it."""
        port = int((self.folder / "sequencer.port").read_text())
        page = httpx.get(f"http://{self.host}:{port}/metrics").text
        return next(float(line.split()[1]) for line in page.splitlines() if line.startswith(f"{name} "))

    def log(self, name: str) -> str:
        """What a process has said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _start(self, name: str, command: Sequence[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=machine.ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _listen(self) -> None:
        ready = self.folder / "listeners.ready"
        arguments = [self.host, str(self.port), str(self._listeners), self.market.symbol, str(ready)]
        self._start("listeners", [sys.executable, "-m", "bench.load.listeners", *arguments])
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if self.processes["listeners"].poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nobody listens: {self.log('listeners')[-800:]}")
            time.sleep(0.05)

    def _gateway(self) -> GatewaySettings:
        return GatewaySettings(
            port=self._reserved.getsockname()[1],
            shares_port=True,
            port_file=self.folder / "gateway.port",
            sequencer_socket=self._socket,
            publisher_socket=self._socket.with_name("p"),
            history_url=self._history(),
            session_key_file=self.folder / "session.secret",
            chain_id=OPENING.chain_id,
            vault=OPENING.vault,
            settlement=OPENING.settlement,
            commitment=OPENING.commitment,
            quote_token=OPENING.quote_token,
            rates=RateSettings(**dict.fromkeys(LIMITS, OPEN)),
            connections_max=CONNECTIONS_MAX,
            connections_per_address_max=CONNECTIONS_MAX,
            http_connections_max=CONNECTIONS_MAX,
            http_connections_per_address_max=CONNECTIONS_MAX,
        )

    def _publisher(self) -> PublisherSettings:
        return PublisherSettings(
            socket=self._socket.with_name("p"),
            sequencer_socket=self._socket,
            history_url=self._history(),
            chain_id=OPENING.chain_id,
            quote_token=OPENING.quote_token,
        )

    def _names(self) -> list[str]:
        return ["gateway", *(f"gateway-{number}" for number in range(2, self._gateways + 1))]

    def _history(self) -> str:
        return f"sqlite:///{self.folder / 'history.sqlite'}"

    def _fund(self) -> None:
        logs: list[AnyChainLog] = []

        def head() -> dict[str, Any]:
            number = len(logs) + 1
            return {"event_sequence": number, "block_number": 1, "block_time": now, "transaction": "0x" + "00" * 32}

        now = int(time.time())
        market = self.market
        logs.append(SynthRegistered(**head(), token=market.base_token))
        logs.append(MarketListed(**head(), **{name: getattr(market, name) for name in LISTING}))
        for account in self._accounts:
            for token in (QUOTE, market.base_token):
                logs.append(Deposited(**head(), account=account, token=token, amount=DEPOSIT, balance=DEPOSIT))
            unlimited = {"notional": AGENT_UNLIMITED, "markets": (), "expiry": 2**40 - 1}
            logs.append(AgentRegistered(**head(), account=account, agent=address_of(AGENT_KEY), **unlimited))
        ops = Ops(ops_url(self.folder))
        try:
            ops.append_inbox(logs, 1, now)
        finally:
            ops.close()
        self._events = len(logs)

    def _await(self) -> None:
        """Until every gateway that a connection may come to knows all deposits."""
        deadline, ready = time.monotonic() + START_SECONDS, 0
        while time.monotonic() < deadline:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"the {name} ended: {self.log(name)[-800:]}")
            time.sleep(0.05)
            port_file = self.folder / "gateway.port"
            if not port_file.exists():
                continue
            self.port = int(port_file.read_text())
            try:
                with connect(f"ws://{self.host}:{self.port}/v1/ws") as stream:
                    stream.send('{"op": "ping"}')
                    knows_all = json.loads(stream.recv(5))["seq"] > self._events
                    stream.send('{"op": "subscribe", "channel": "venue"}')  # which needs the publisher
                    ready = ready + 1 if knows_all and json.loads(stream.recv(5))["ok"] else 0
                    if ready > READY_TIMES * (self._gateways - 1):
                        return
            except (OSError, WebSocketException):
                continue
        raise RuntimeError(f"the venue does not start: {self.log('gateway')[-800:]}")


LISTING = (
    "market",
    "base_token",
    "base_atoms_per_lot",
    "quote_atoms_per_tick_lot",
    "base_decimals",
    "quote_decimals",
    "symbol",
)


def _cpu_seconds(pid: int) -> float:
    """Of all its threads, in user and system: proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ops_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'ops.sqlite'}"


if __name__ == "__main__":
    data, path = map(Path, sys.argv[1:])
    settings = SequencerSettings(
        data=data,
        socket=path,
        ops_url=ops_url(data),
        venue=VENUE,
        attestation_key=ATTESTATION_KEY,
        metrics_port=0,
    )
    sys.exit(run_sequencer(settings, ready=settle_for_ever))
