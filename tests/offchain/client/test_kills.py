"""kill -9 of gateway, sequencer and projector under a client that trades and listens: nothing lost, nothing twice."""

# ruff: noqa: ASYNC110  (other processes are waited for by looking)

import asyncio
import contextlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import msgspec
import pytest
import real_venue
from gateway_venues import KEYS, settings_for

from offchain.client import HooatsClient, LiveAccount, LocalBook, Placed, Ticket, follow_book
from offchain.client.orders import Signer

SEED = 5
KILLS = 8
PAIRS = 150


class Venue:
    """Sequencer, projector, publisher and gateway, each a process that comes back when it is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts = real_venue.RealVenue(folder)
        self.port = 0
        self._gateway: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self.parts.list_markets()
        for key in KEYS[:2]:
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
            self._gateway = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: ASYNC220
        async with asyncio.timeout(30):
            while not port_file.exists():
                assert self._gateway.poll() is None, (self.folder / "gateway.log").read_text()
                await asyncio.sleep(0.02)
        self.port = int(port_file.read_text())


@contextlib.asynccontextmanager
async def running():
    folder = Path(tempfile.mkdtemp(prefix="hooats-"))
    venue = Venue(folder)
    try:
        await venue.start()
        yield venue
    finally:
        venue.stop()
        shutil.rmtree(folder)


async def trade(alice: HooatsClient, bob: HooatsClient, number: int) -> list[Placed]:
    """A resting order of Alice, and one of Bob that takes half of every second one."""
    price = str(50_000 + number)
    made = await alice.place("BTC-USDC", "sell", price, "0.002", client_order_id=f"maker-{number}")
    if number % 2:
        return [made]
    tickets = [Ticket(symbol="BTC-USDC", side="buy", price=price, size="0.001", time_in_force="IOC")]
    (taken,) = await bob.place_all(tickets)
    assert isinstance(taken, Placed), taken
    return [made, taken]


async def follow(client: HooatsClient, symbol: str, kept: list[LocalBook]) -> None:
    async for book in follow_book(client, symbol):
        kept[:] = [book]


@pytest.mark.timeout(240)
async def test_a_client_survives_kills_of_every_process() -> None:
    chance = random.Random(SEED)
    async with running() as venue:
        options = {"retry_seconds": 90.0, "timeout_seconds": 5.0}
        async with (
            HooatsClient(venue.url, KEYS[0], **options) as alice,
            HooatsClient(venue.url, KEYS[1], **options) as bob,
            LiveAccount(alice) as account,
        ):
            books: list[LocalBook] = []
            reader = asyncio.create_task(follow(alice, "BTC-USDC", books))
            gate = asyncio.Semaphore(4)

            async def one(number: int) -> list[Placed]:
                async with gate:
                    return await trade(alice, bob, number)

            flow = asyncio.gather(*(one(number) for number in range(PAIRS)))
            names = ["gateway", "sequencer", "projector", "publisher"]
            for kill in range(KILLS):
                await asyncio.sleep(chance.uniform(0.1, 0.8))
                await venue.kill(names[kill] if kill < len(names) else chance.choice(names))
            placed = [answer for pair in await flow for answer in pair]
            await venue.ready()
            await compare(alice, account, books, placed)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            assert account._stream.connections > 1, "the stream was cut, too"


async def compare(alice: HooatsClient, account: LiveAccount, books: list[LocalBook], placed: list[Placed]) -> None:
    """What the streams made of it, what was answered, and what REST says."""
    mine = [answer.order.id for answer in placed if answer.order.account == alice.address]
    assert len({answer.order.seq for answer in placed}) == len(placed), "each was sequenced once"
    rest = {order.id: order for order in await alice.orders(limit=1000)}
    assert set(rest) | {order.id for order in await alice.orders("closed", limit=1000)} == set(mine)
    await account.wait(
        lambda: (
            {key: row.filled for key, row in account.orders.items()} == {key: row.filled for key, row in rest.items()}
        ),
        20,
    )
    fills = {(fill.id, fill.order) for fill in await alice.fills(limit=1000)}
    assert len(fills) == PAIRS // 2
    await account.wait(lambda: set(account.fills) == fills, 20)
    balances = {row.address: (row.total, row.held) for row in (await alice.balances()).values()}
    await account.wait(lambda: {key: (row.total, row.held) for key, row in account.balances.items()} == balances, 20)
    book = await alice.book("BTC-USDC", depth=1000)
    async with asyncio.timeout(20):
        while not books or books[0].levels("asks") != book["asks"] or books[0].levels("bids") != book["bids"]:
            await asyncio.sleep(0.05)
    for number in range(0, PAIRS, 10):
        assert (await alice.order_by_client_id(f"maker-{number}")).id in mine
