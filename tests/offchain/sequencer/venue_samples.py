"""A small venue for tests: one market, funded accounts, orders by number; and a sequencer around it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from pathlib import Path

from offchain.domain.chainlog import AnyChainLog, Deposited, MarketListed
from offchain.domain.command import OpenVenue, PlaceOrder, decode
from offchain.domain.order import Kind, Order, Side, TimeInForce, make_nonce
from offchain.domain.units import Address, Lots, Ticks
from offchain.engine.engine import Engine
from offchain.sequencer.link import SequencerLink
from offchain.sequencer.sequencer import Sequencer
from offchain.sequencer.serve import serve
from offchain.sequencer.settings import SequencerSettings
from offchain.storage.disk import Disk
from offchain.storage.ops import Ops
from offchain.storage.reader import JournalReader
from offchain.storage.replica import FeedMessage, Replica


def address(number: int) -> Address:
    return Address(f"0x{number:040x}")


CHAIN = 998
VAULT, SETTLEMENT, COMMITMENT, QUOTE, BASE = (address(0xC0 + number) for number in range(5))
KEY = bytes(31) + b"\x07"
START = 1_700_000_000_000
"""Unix milliseconds of the tests' clocks."""
TRADERS = [address(0xA0 + number) for number in range(8)]
RICH = 10**15

VENUE = OpenVenue(
    chain_id=CHAIN,
    vault=VAULT,
    settlement=SETTLEMENT,
    commitment=COMMITMENT,
    quote_token=QUOTE,
    quote_decimals=6,
    fee_account=address(0xFE),
    treasury_account=address(0xFD),
    insurance_account=address(0xFC),
    maker_fee_ppm=1_000,
    taker_fee_ppm=2_000,
    batch_interval_millis=1_000,
    batch_gas_max=1_400_000,
    fills_per_immediate_order_max=13,
)


def funding() -> list[AnyChainLog]:
    """The market and everybody's deposits, in the contracts' sequence."""

    def place(sequence: int) -> dict[str, object]:
        return {"event_sequence": sequence, "block_number": 10, "block_time": START // 1000, "transaction": "0x01"}

    logs: list[AnyChainLog] = [
        MarketListed(
            **place(1),  # type: ignore[arg-type]
            market=1,
            base_token=BASE,
            base_atoms_per_lot=10**12,
            quote_atoms_per_tick_lot=1,
            base_decimals=18,
            quote_decimals=6,
            symbol="BASE-USDC",
        )
    ]
    for trader in TRADERS:
        for token in (QUOTE, BASE):
            amount = RICH if token == QUOTE else RICH * 10**6
            known = place(len(logs) + 1)
            logs.append(Deposited(**known, account=trader, token=token, amount=amount, balance=amount))  # type: ignore[arg-type]
    return logs


def order(
    trader: Address,
    side: Side,
    price: int,
    size: int,
    nonce: int,
    slot: int = 1,
    tif: TimeInForce = TimeInForce.GTC,
    client_order_id: str = "",
    signer: Address | None = None,
) -> PlaceOrder:
    terms = (trader, 0, 1, side, Kind.LIMIT, tif, 0, Ticks(price), Lots(size), Ticks(0), 5_000)
    body = Order(*terms, make_nonce(slot, START + nonce), 0)
    return PlaceOrder(body, bytes(64) + b"\x1b", signer or trader, client_order_id)


def flow(count: int, seed: int = 0) -> list[PlaceOrder]:
    """Orders of all traders around one price, so that some match; no two share a slot and a nonce."""
    orders = []
    for number in range(seed, seed + count):
        trader = TRADERS[number % len(TRADERS)]
        side = Side.BUY if (number // len(TRADERS)) % 2 else Side.SELL
        price = 1_000 + (number * 7) % 11 - 5
        orders.append(order(trader, side, price, 1 + number % 5, number, slot=1 + number % 200))
    return orders


def settings(folder: Path, **changes: object) -> SequencerSettings:
    values: dict[str, object] = {
        "data": folder,
        "socket": folder / "s",
        "ops_url": f"sqlite:///{folder}/ops.sqlite",
        "venue": VENUE,
        "attestation_key": KEY,
        "inbox_poll_millis": 10,
    }
    folder.mkdir(parents=True, exist_ok=True)
    return SequencerSettings(**{**values, **changes})  # type: ignore[arg-type]


def fund(folder: Path) -> None:
    """Fills the inbox as the syncer would."""
    ops = Ops(f"sqlite:///{folder}/ops.sqlite")
    ops.append_inbox(funding(), 10, START // 1000)
    ops.close()


async def until(condition: Callable[[], bool]) -> None:
    """Polls, as a test may."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.002)


class Running:
    """A sequencer in this process, its task and its objects."""

    def __init__(self, configured: SequencerSettings, task: "asyncio.Task[int]", stop: asyncio.Event) -> None:
        self.settings = configured
        self.task = task
        self.stop = stop
        self.sequencer: Sequencer

    async def funded(self) -> None:
        await until(lambda: self.sequencer.durable_sequence >= 2 + len(funding()))

    async def link(self) -> SequencerLink:
        return await SequencerLink.connect(self.settings.socket)


@contextlib.asynccontextmanager
async def running(
    configured: SequencerSettings, clock: Callable[[], int] | None = None, disk: Disk | None = None
) -> AsyncIterator[Running]:
    """Stops it at the end; the exit code is then in `task.result()`."""
    stop, ready = asyncio.Event(), asyncio.Event()
    found: list[Sequencer] = []

    def listens(sequencer: Sequencer) -> None:
        found.append(sequencer)
        ready.set()

    ticking = iter(range(START, START + 10**9))
    serving = serve(configured, stop=stop, ready=listens, clock=clock or (lambda: next(ticking)), disk=disk)
    task = asyncio.create_task(serving)
    started = asyncio.create_task(ready.wait())
    await asyncio.wait((task, started), return_when=asyncio.FIRST_COMPLETED)
    started.cancel()
    if task.done():
        task.result()
    run = Running(configured, task, stop)
    run.sequencer = found[0]
    try:
        yield run
    finally:
        stop.set()
        await asyncio.wait((task,), timeout=20)


async def messages(link: SequencerLink, replica: Replica | None = None) -> AsyncGenerator[FeedMessage, None]:
    """What a reader of the feed makes of it, from the first command on."""
    replica = replica or Replica()
    async with contextlib.aclosing(link.feed(replica.sequence + 1)) as groups:
        async for group in groups:
            for message in replica.apply(group):
                yield message


def replay(folder: Path) -> Engine:
    """The engine after a clean replay of the journal in a data folder."""
    engine = Engine()
    for record in JournalReader(folder / "journal").read():
        engine.apply(record.sequence, record.at, decode(record.kind, record.version, record.payload))
    return engine


def placed(folder: Path) -> dict[int, PlaceOrder]:
    """Journaled orders by sequence."""
    found = {}
    for record in JournalReader(folder / "journal").read():
        command = decode(record.kind, record.version, record.payload)
        if isinstance(command, PlaceOrder):
            found[record.sequence] = command
    return found


def chunks(orders: list[PlaceOrder], size: int) -> Iterable[list[PlaceOrder]]:
    for start in range(0, len(orders), size):
        yield orders[start : start + size]
