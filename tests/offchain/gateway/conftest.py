"""A gateway in the test's own event loop, over a stub sequencer, with HTTP and WebSocket on a port of its own."""

# ruff: noqa: ASYNC110, ASYNC220  (other processes are waited for by looking)

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio
import uvicorn

sys.path.insert(0, str(Path(__file__).parent))

import gateway_stub as stub_module
import real_venue
from engine_venue import EngineSequencer

from offchain.client import HooatsClient
from offchain.client.orders import Signer
from offchain.gateway.app import create_app
from offchain.gateway.context import Gateway
from offchain.gateway.publisher import Publisher
from offchain.gateway.serve import bind, configure
from offchain.gateway.settings import LIMITS, GatewaySettings, PublisherSettings, RateSettings
from offchain.security.limits import Rate

KEYS = [bytes((n,)) * 32 for n in range(1, 5)]
"""The first three have balances; the fourth is a stranger."""
GENEROUS = Rate(1_000_000, 1_000_000)


class Server(uvicorn.Server):
    """In a loop that is not its own: leaves signals alone."""

    @contextlib.contextmanager
    def capture_signals(self):
        yield


class Running:
    """A gateway that serves, its publisher and its sequencer."""

    def __init__(self, sequencer: stub_module.StubSequencer, publisher: Publisher, gateway: Gateway, url: str) -> None:
        self.sequencer = sequencer
        self.publisher = publisher
        self.gateway = gateway
        self.url = url

    def client(self, key: bytes | None = KEYS[0], **options) -> HooatsClient:
        return HooatsClient(self.url, key, **({"retry_seconds": 5.0} | options))

    async def wait(self, condition: Callable[[], bool], seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)


def settings_for(folder: Path, **changes) -> GatewaySettings:
    rates = RateSettings(**dict.fromkeys(LIMITS, GENEROUS))
    settings = {
        "port": 0,
        "sequencer_socket": folder / "s",
        "publisher_socket": folder / "p",
        "history_url": f"sqlite:///{folder / 'history.sqlite'}",
        "session_key_file": folder / "session.key",
        "chain_id": stub_module.CHAIN_ID,
        "vault": stub_module.VAULT,
        "settlement": stub_module.SETTLEMENT,
        "commitment": stub_module.COMMITMENT,
        "quote_token": stub_module.QUOTE,
        "rates": rates,
        "drain_seconds": 1,
    }
    return GatewaySettings(**(settings | changes))


PUBLISHERS = ("journal_folder", "snapshots_folder", "ring_commands", "window_millis")
"""Settings that are not the gateway's."""


@contextlib.asynccontextmanager
async def run_publisher_here(gateway: GatewaySettings, **changes) -> AsyncIterator[Publisher]:
    """One message for each group, unless a window is given."""
    same = ("sequencer_socket", "history_url", "chain_id", "quote_token")
    settings = {name: getattr(gateway, name) for name in same} | {"window_millis": 0}
    publisher = Publisher(PublisherSettings(socket=gateway.publisher_socket, **settings | changes))
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.close()


@contextlib.asynccontextmanager
async def run_gateway_here(settings: GatewaySettings) -> AsyncIterator[tuple[Gateway, str]]:
    """The app on a free port of this event loop."""
    app = create_app(settings)
    config = configure(app, settings)
    server = Server(config)
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
        assert not task.done(), "the server did not start"
    try:
        app.state.gateway.routes = app.routes
        yield app.state.gateway, f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def run_stub_venue(sequencer_type=stub_module.StubSequencer, **changes) -> AsyncIterator[Running]:
    folder = Path(tempfile.mkdtemp(prefix="hooats-"))
    sequencer = sequencer_type(folder / "s", [Signer(key).address for key in KEYS[:3]])
    await sequencer.start()
    changed = {name: changes.pop(name) for name in PUBLISHERS if name in changes}
    settings = settings_for(folder, **changes)
    try:
        async with run_publisher_here(settings, **changed) as publisher, run_gateway_here(settings) as (gateway, url):
            running = Running(sequencer, publisher, gateway, url)
            await running.wait(gateway.trading.is_live)
            yield running
    finally:
        await sequencer.stop()
        shutil.rmtree(folder)


@pytest_asyncio.fixture
async def venue() -> AsyncIterator[Running]:
    """Fresh for this test."""
    async with run_stub_venue() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_venue() -> AsyncIterator[Running]:
    """One for all tests of a module; they must not depend on what the others left."""
    async with run_stub_venue() as running:
        yield running


@pytest_asyncio.fixture
async def engine_venue() -> AsyncIterator[Running]:
    """Over the real engine, with an AMM pair; the first key is the operator's."""
    async with run_stub_venue(EngineSequencer) as running:
        yield running


@pytest.fixture
def start_venue() -> Callable[..., contextlib.AbstractAsyncContextManager[Running]]:
    """With other settings."""
    return run_stub_venue


@contextlib.asynccontextmanager
async def run_real_venue(**changes) -> AsyncIterator[tuple[real_venue.RealVenue, Running]]:
    """The real sequencer and projector; the first three keys have 1,000,000 USDC and 100 BTC and ETH each."""
    folder = Path(tempfile.mkdtemp(prefix="hooats-"))
    processes = real_venue.RealVenue(folder)
    processes.list_markets()
    for key in KEYS[:3]:
        processes.deposit(Signer(key).address, real_venue.QUOTE, 10**12)
        processes.deposit(Signer(key).address, real_venue.BASE, 10**20)
        processes.deposit(Signer(key).address, real_venue.ETH, 10**20)
    processes.start("sequencer", "projector")
    folders = {"journal_folder": processes.journal_folder, "snapshots_folder": folder / "snapshots"}
    settings = settings_for(folder, journal_folder=processes.journal_folder, **changes)
    try:
        async with run_publisher_here(settings, **folders) as publisher, run_gateway_here(settings) as (gateway, url):
            running = Running(None, publisher, gateway, url)
            await running.wait(lambda: gateway.trading.is_live() and len(gateway.model.accounts) >= 3, 20)
            yield processes, running
    finally:
        processes.stop()
        shutil.rmtree(folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real() -> AsyncIterator[tuple[real_venue.RealVenue, Running]]:
    async with run_real_venue() as found:
        yield found


@pytest.fixture
def start_real_venue():
    return run_real_venue


class ServedVenue:
    """Sequencer, projector, publisher and gateway, each a process that comes back when it is killed."""

    def __init__(self, folder: Path, keys: Sequence[bytes]) -> None:
        self.folder = folder
        self._keys = keys
        self.parts = real_venue.RealVenue(folder)
        self.port = 0
        self._gateway: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self.parts.list_markets()
        for key in self._keys:
            for token, amount in ((real_venue.QUOTE, 10**12), (real_venue.BASE, 10**20)):
                self.parts.deposit(Signer(key).address, token, amount)
        self.parts.start("sequencer", "projector", "publisher")
        await self._start_gateway()
        await self.ready()

    async def kill(self, name: str) -> None:
        if name == "gateway":
            self._gateway.kill()
            self._gateway.wait(10)
            await self._start_gateway()
        else:
            self.parts.kill(name)
            self.parts.start(name)

    async def ready(self) -> None:
        async with httpx.AsyncClient(base_url=self.url) as http, asyncio.timeout(60):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get("/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.05)

    def stop(self) -> None:
        if self._gateway is not None:
            self._gateway.send_signal(signal.SIGTERM)
            self._gateway.wait(20)
        self.parts.stop()

    async def _start_gateway(self) -> None:
        port_file = self.folder / "gateway.port"
        port_file.unlink(missing_ok=True)
        settings = settings_for(self.folder, port=self.port, port_file=port_file)
        file = self.folder / "gateway.json"
        file.write_bytes(msgspec.json.encode(settings, enc_hook=str))
        with (self.folder / "gateway.log").open("ab") as log:
            command = (sys.executable, "-m", "offchain.gateway.serve", str(file))
            self._gateway = subprocess.Popen(command, stdout=log, stderr=log)
        async with asyncio.timeout(30):
            while not port_file.exists():
                assert self._gateway.poll() is None, (self.folder / "gateway.log").read_text()
                await asyncio.sleep(0.02)
        self.port = int(port_file.read_text())


@contextlib.asynccontextmanager
async def run_served_venue(keys: Sequence[bytes]) -> AsyncIterator[ServedVenue]:
    """Everything is a process; the keys' accounts have 1,000,000 USDC and 100 BTC each."""
    folder = Path(tempfile.mkdtemp(prefix="hooats-"))
    venue = ServedVenue(folder, keys)
    try:
        await venue.start()
        yield venue
    finally:
        venue.stop()
        shutil.rmtree(folder)
