"""The projection: what the engine says, exactly once, whatever kills it in between."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from amm_day_samples import ASK_FOR_GOLD, SECOND
from day_samples import Day, rows, write_day
from venue_samples import CHAIN, QUOTE, TRADERS, VENUE, chunks, flow, fund, running, until
from venue_samples import settings as sequencer_settings

from offchain.chain.registry import Registry
from offchain.domain.batch import EpochHeader, SettlementBatch
from offchain.domain.command import Command, PlaceOrder, WithdrawMarket, decode, record_bytes
from offchain.domain.eip712 import domain_separator, order_digest
from offchain.domain.errors import ConfigurationError, StorageError
from offchain.domain.event import (
    ApprovalGranted,
    BalanceChanged,
    BatchClosed,
    EpochClosed,
    FillTakenBack,
    MarketRequested,
    MarketWithdrawn,
    OrderAccepted,
)
from offchain.domain.keccak import keccak
from offchain.domain.order import OrderStatus
from offchain.engine.engine import Engine
from offchain.engine.merkle import indexed_leaf, indexed_root, standard_root
from offchain.operations import restore as restoring
from offchain.operations.backup import back_up
from offchain.projector.epochs import epoch_path
from offchain.projector.projector import Projector, ProjectorSettings
from offchain.projector.serve import stop_on_signals
from offchain.storage import scan
from offchain.storage.history import History
from offchain.storage.journal import Journal
from offchain.storage.ops import Ops
from offchain.storage.reader import JournalReader

OPS_TABLES_OF_OTHERS = ("cursors", "countersignatures")
"""The outbox's cursor may lag, and the sequencer's signatures are not the projector's."""


class Killed(BaseException):
    """Stands for kill -9 inside this process."""


def configure(folder: Path, name: str = "", **changes: Any) -> ProjectorSettings:
    urls = {
        "ops_url": f"sqlite:///{folder}/ops{name}.sqlite",
        "history_url": f"sqlite:///{folder}/history{name}.sqlite",
    }
    return ProjectorSettings(data=folder, **urls, poll_millis=5, **({"snapshot_seconds": 0.0} | changes))


def project(settings: ProjectorSettings, after_open: Callable[[Projector], None] | None = None) -> Projector:
    """Runs until everything durable is there."""
    reader = JournalReader(settings.journal_folder)
    ops, history = Ops(settings.ops_url), History(settings.history_url)
    stop = threading.Event()
    try:
        projector = Projector(settings, reader, ops, history)
        if after_open is not None:
            after_open(projector)
        waiting = stop.wait
        last = reader.durable_sequence()
        stop.wait = lambda timeout=None: waiting(0) or projector.engine.sequence == last  # type: ignore[method-assign]
        projector.run(stop)
        return projector
    finally:
        ops.close()
        history.close()


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a journal and its projection by an undisturbed run."""
    folder = tmp_path_factory.mktemp("day")
    write_day(folder)
    project(configure(folder))
    return folder


@pytest.fixture
def copy(day: Path, tmp_path: Path) -> Path:
    """The day's journal alone."""
    shutil.copytree(day / "journal", tmp_path / "journal")
    return tmp_path


def same_as(day: Path, folder: Path) -> None:
    assert rows(folder / "history.sqlite") == rows(day / "history.sqlite")
    lagging = OPS_TABLES_OF_OTHERS
    assert rows(folder / "ops.sqlite", lagging) == rows(day / "ops.sqlite", lagging)
    for path in (day / "epochs").iterdir():
        assert (folder / "epochs" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("at", ["in the middle", "at the end"])
def test_a_restored_backup_is_projected_to_the_same(
    day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """History and epoch files are not in a backup. In the middle: the ops database is older than the journal."""
    source, registry = tmp_path / "source", Registry(chain_id=CHAIN, quote_token=QUOTE, contracts={})
    if at == "at the end":
        shutil.copytree(day, source)
    else:
        shutil.copytree(day / "journal", source / "journal")
    back_up(source, tmp_path / "backup.tar", f"sqlite:///{source / 'ops.sqlite'}")
    monkeypatch.setattr(restoring, "known_to_chain", lambda url, registry: restoring.Known(0, 0, 0))
    restored = tmp_path / "restored"
    restoring.restore(tmp_path / "backup.tar", restored, registry, "", accepts_loss=False)
    assert not (restored / "history.sqlite").exists() and not (restored / "epochs").exists()
    Journal.open(restored / "journal", chain_id=CHAIN).close()  # as the node does first
    project(configure(restored))
    same_as(day, restored)


def replayed(folder: Path) -> list[tuple[int, Any, tuple[Any, ...], Engine]]:
    """(sequence, command, events, engine) of every record; the engine is the same object in each."""
    engine, steps = Engine(), []
    for record in JournalReader(folder / "journal").read():
        command = decode(record.kind, record.version, record.payload)
        steps.append((record.sequence, command, engine.apply(record.sequence, record.at, command), engine))
    return steps


def test_history_says_what_the_engine_says(day: Path) -> None:
    history, steps = History(f"sqlite:///{day}/history.sqlite"), replayed(day)
    engine = steps[-1][3]
    cursor = history.cursor()
    assert cursor is not None and (cursor.sequence, cursor.at) == (engine.sequence, engine.at)
    open_orders = set()
    for event in engine.describe():
        if isinstance(event, BalanceChanged):
            (row,) = [row for row in history.balances_of(event.account) if row.token == event.token]
            found = (row.settled, row.pending, row.held, row.leaving)
            assert found == (event.settled, event.pending, event.held, event.leaving)
        elif isinstance(event, OrderAccepted):
            open_orders.add(event.digest)
            known = history.order(event.digest)
            assert known is not None
            assert (known.status, known.filled_lots, known.reason) == (OrderStatus.OPEN, event.filled_lots, "")
    orders = [row for trader in TRADERS for row in history.orders_of(trader, limit=1000)]
    assert {row.digest for row in orders if row.status is OrderStatus.OPEN} <= open_orders != set()
    assert {row.status for row in orders} >= {OrderStatus.OPEN, OrderStatus.CLOSED, OrderStatus.CANCELED}
    places = {sequence for sequence, command, _, _ in steps if isinstance(command, PlaceOrder)}
    assert {sequence for sequence, _ in history.order_leaves(1, engine.sequence)} == places
    history.close()


def test_orders_add_up_to_their_fills(day: Path) -> None:
    history = History(f"sqlite:///{day}/history.sqlite")
    states = set()
    for trader in TRADERS:
        for row in history.orders_of(trader, limit=1000):
            if row.status is OrderStatus.REJECTED:
                continue
            mine = [fill for fill in history.fills_of_order(row.digest) if fill.state != "REFUSED"]
            assert row.filled_lots == sum(fill.size_lots for fill in mine)
            assert row.cost_atoms == sum(fill.notional for fill in mine)
            fees = [f.maker_fee if f.maker_digest == row.digest else f.taker_fee for f in mine]
            assert row.fee_atoms == sum(fees)
            states |= {fill.state for fill in history.fills_of_order(row.digest)}
    assert states == {"MATCHED", "BATCHED", "SETTLED", "REFUSED"}
    refused = [fill for fill in history.trades_of(1, limit=1000) if fill.state == "REFUSED"]
    assert {fill.refusal for fill in refused} == {0x81, 5} or {fill.refusal for fill in refused} == {0x81}
    history.close()


def test_lists_page_through_everything(day: Path) -> None:
    history = History(f"sqlite:///{day}/history.sqlite")
    trader = TRADERS[0]
    whole = history.orders_of(trader, limit=1000)
    paged, before = [], 0
    while page := history.orders_of(trader, before, limit=7):
        paged += page
        before = page[-1].sequence
    assert paged == whole and len(whole) > 15
    fills = history.fills_of(trader, limit=1000)
    assert fills == [*history.fills_of(trader, limit=3), *history.fills_of(trader, fills[2].fill, limit=1000)]
    assert history.orders_of(trader, market=2) == []
    open_only = history.orders_of(trader, limit=1000, statuses=[OrderStatus.OPEN])
    assert open_only == [row for row in whole if row.status is OrderStatus.OPEN]
    assert history.chain_events_of(TRADERS[3])[0]["kind"] == "withdrawal_requested"
    kinds = {row["kind"] for row in history.venue_events(limit=10_000)}
    assert {"approval_granted", "fees_changed", "fill_taken_back", "market_opened"} <= kinds
    assert history.fill(10**9) is None and history.order("0x") is None and history.epoch(99) is None
    history.close()


def test_epochs_commit_to_every_record_and_order(day: Path) -> None:
    history, separator = History(f"sqlite:///{day}/history.sqlite"), domain_separator(VENUE.chain_id, VENUE.settlement)
    records = list(JournalReader(day / "journal").read())
    engine, hashes, closed = Engine(), {}, []
    for record in records:
        events = engine.apply(record.sequence, record.at, decode(record.kind, record.version, record.payload))
        closed += [event for event in events if isinstance(event, EpochClosed)]
        hashes[record.sequence] = engine.state_hash()
    parent, first = "0x" + "00" * 32, 1
    assert len(closed) >= 4
    for event in closed:
        row = history.epoch(event.epoch)
        assert row is not None and row.header.parent == parent and row.first == first == event.first
        raw = [record_bytes(*record) for record in records[event.first - 1 : event.last]]
        commands = [decode(record.kind, record.version, record.payload) for record in records]
        leaves = [
            (number + 1, order_digest(separator, command.order))
            for number, command in enumerate(commands)
            if isinstance(command, PlaceOrder) and event.first <= number + 1 <= event.last
        ]
        assert leaves == history.order_leaves(event.first, event.last) and len(leaves) == event.count
        assert row.header.orders_root == "0x" + standard_root(leaves).hex()
        assert row.header.commands_root == "0x" + indexed_root([indexed_leaf(one) for one in raw]).hex()
        assert row.header.state_root == "0x" + hashes[event.last].hex()
        assert row.header.data_hash == "0x" + keccak(epoch_path(day / "epochs", event.epoch).read_bytes()).hex()
        assert epoch_path(day / "epochs", event.epoch).read_bytes() == b"".join(raw)
        assert row.hash == "0x" + row.header.hash().hex()
        assert history.epoch_of(event.first) == history.epoch_of(event.last) == row
        parent, first = row.hash, event.last + 1
    assert [row.epoch for row in history.epochs(limit=2)] == [len(closed), len(closed) - 1]
    history.close()


def test_the_outbox_is_a_function_of_the_journal(day: Path) -> None:
    ops, engine = Ops(f"sqlite:///{day}/ops.sqlite"), Engine()
    wanted: dict[int, SettlementBatch] = {}
    replaced, grants, epochs = 0, [], 0
    for record in JournalReader(day / "journal").read():
        for event in engine.apply(record.sequence, record.at, decode(record.kind, record.version, record.payload)):
            if isinstance(event, BatchClosed):
                wanted[event.batch] = engine.settlement_batch(event.batch)
            elif isinstance(event, FillTakenBack):
                (batch,) = [number for number, one in wanted.items() if one.first <= event.fill <= one.last]
                wanted[batch] = engine.settlement_batch(batch)
                replaced += 1
            elif isinstance(event, ApprovalGranted) and event.owner_signature:
                grants.append(event)
            epochs += isinstance(event, EpochClosed)
    found = {row.key: row for row in ops.outbox_after("batch", 0, 1000)}
    assert {key: msgspec.json.decode(row.payload, type=SettlementBatch) for key, row in found.items()} == wanted
    assert replaced > 0 and sum(row.revision for row in found.values()) == replaced
    assert any(fill.size_lots == 0 for batch in wanted.values() for fill in batch.fills)
    headers = [msgspec.json.decode(row.payload, type=EpochHeader) for row in ops.outbox_after("epoch", 0, 1000)]
    assert [header.epoch for header in headers] == list(range(1, epochs + 1))
    ops.put_countersignatures([(grant.nonce, "0x01") for grant in grants])
    approvals = ops.outbox_after("approval", 0, 1000)
    assert [msgspec.json.decode(row.payload, type=ApprovalGranted) for row in approvals] == grants
    assert len(grants) >= 3
    ops.close()


@pytest.mark.parametrize("is_at_once", [True, False], ids=["in one write", "after the request was written"])
def test_a_market_that_is_withdrawn_replaces_its_row(tmp_path: Path, is_at_once: bool) -> None:
    """The row says so to the list keeper, under the number that stays taken; the next request has another."""
    silver = msgspec.structs.replace(ASK_FOR_GOLD, symbol="SILVER-USDC", synth_symbol="sSILVER")
    asking: list[Command] = [msgspec.structs.replace(VENUE, operators=(SECOND,)), ASK_FOR_GOLD, silver]
    gone = WithdrawMarket(market=1, by=SECOND)
    for commands in [[*asking, gone]] if is_at_once else [asking, [gone]]:
        day = Day(tmp_path)
        for record in JournalReader(tmp_path / "journal").read():
            day.engine.apply(record.sequence, record.at, decode(record.kind, record.version, record.payload))
        for command in commands:
            day.do(command)
        day.flush()
        day.journal.close()
        project(configure(tmp_path))
    expected = MarketWithdrawn(market=1, symbol="GOLD-USDC", by=SECOND)
    _holds_market_rows(tmp_path, expected)
    (tmp_path / "history.sqlite").unlink()
    project(configure(tmp_path))  # every event again, and the row is replaced once
    _holds_market_rows(tmp_path, expected)


def _holds_market_rows(folder: Path, expected: MarketWithdrawn) -> None:
    ops = Ops(f"sqlite:///{folder}/ops.sqlite")
    first, second = ops.outbox_after("market", 0)
    assert msgspec.json.decode(first.payload, type=MarketWithdrawn) == expected
    assert (first.key, first.revision, first.sequence) == (1, 1, 4)
    assert msgspec.json.decode(second.payload, type=MarketRequested).symbol == "SILVER-USDC"
    assert (second.key, second.revision, second.sequence) == (2, 0, 3)
    ops.close()


@pytest.mark.parametrize("commands", [1, 23])
def test_a_kill_at_every_write_changes_nothing(
    day: Path, copy: Path, commands: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before and after each database write in turn, restarted each time, until it gets through."""
    if commands == 1:  # every command is a transaction of its own: a shorter day
        shutil.rmtree(copy / "journal")
        write_day(copy, orders=35)
        day = copy / "clean"
        shutil.copytree(copy / "journal", day / "journal")
        project(configure(day))
    monkeypatch.setattr("offchain.projector.projector.COMMANDS_PER_TRANSACTION", commands)
    write, put = History.write, Ops.put_outbox
    calls, kill_at, kills = 0, 1, 0

    def dying(original: Callable[..., None]) -> Callable[..., None]:
        def wrapped(*arguments: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == kill_at and kills % 2 == 0:
                raise Killed
            original(*arguments)
            if calls == kill_at:
                raise Killed

        return wrapped

    monkeypatch.setattr(History, "write", dying(write))
    monkeypatch.setattr(Ops, "put_outbox", dying(put))
    while True:
        calls = 0
        try:
            project(configure(copy, snapshot_commands=40))
            break
        except Killed:
            kills += 1
            kill_at = 2 + kills % 3
    assert kills > 5
    same_as(day, copy)


def test_a_real_kill_again_and_again(day: Path, copy: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "import offchain.projector.projector as p\n"
        "from offchain.projector.serve import run_projector\n"
        "p.COMMANDS_PER_TRANSACTION = 3\n"
        "d = Path(sys.argv[1])\n"
        "s = p.ProjectorSettings(data=d, ops_url=f'sqlite:///{d}/ops.sqlite',"
        " history_url=f'sqlite:///{d}/history.sqlite', snapshot_commands=30, snapshot_seconds=0)\n"
        "sys.exit(run_projector(s))\n"
    )
    last, database = JournalReader(copy / "journal").durable_sequence(), copy / "history.sqlite"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}

    def cursor() -> int:
        with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(database)) as connection:
            found = connection.execute("select sequence from cursors").fetchone()
            return int(found[0]) if found else 0
        return 0

    reached = -1
    while cursor() < last:
        process = subprocess.Popen([sys.executable, "-c", code, str(copy)], env=environment, stdout=subprocess.DEVNULL)
        goal = cursor() + last // 4
        while cursor() < min(goal, last):
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL if cursor() < last else signal.SIGTERM)
        assert process.wait(10) in (0, -signal.SIGKILL)
        assert cursor() > reached
        reached = cursor()
    project(configure(copy))
    same_as(day, copy)


def test_a_signal_in_the_wrong_moment_stops_it_too() -> None:
    """The thread that gets it is just about to wait."""
    stop, before = threading.Event(), [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    stop_on_signals(stop)
    try:
        with stop._cond:  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
        assert stop.wait(5)
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)


def test_the_history_can_be_rebuilt_and_so_can_the_outbox(day: Path, copy: Path) -> None:
    project(configure(copy, snapshot_commands=50))
    for path in copy.glob("history.sqlite*"):
        path.unlink()
    project(configure(copy, snapshot_commands=50))
    same_as(day, copy)
    for path in copy.glob("ops.sqlite*"):
        path.unlink()
    project(configure(copy))
    same_as(day, copy)


def test_a_restart_starts_from_a_snapshot(day: Path, copy: Path) -> None:
    project(configure(copy, snapshot_commands=60))
    snapshots = sorted((copy / "snapshots" / "history").iterdir())
    assert len(snapshots) <= 2
    started: list[int] = []
    project(configure(copy), lambda projector: started.append(projector.engine.sequence))
    assert started[0] > 100
    content = snapshots[-1].read_bytes()
    other_code = content.replace(b'"code":"', b'"code":"0').replace(b'"state_hash":"', b'"state_hash":"0')
    for damaged in (content[:-1], b"x" + content, other_code, b""):
        snapshots[-1].write_bytes(damaged)
        started.clear()
        project(configure(copy), lambda projector: started.append(projector.engine.sequence))
        assert started[0] < int(snapshots[-1].stem)
    same_as(day, copy)


def test_another_journals_snapshot_history_or_outbox_is_not_used(day: Path, tmp_path: Path) -> None:
    other = write_day(tmp_path, orders=140)
    assert other.engine.sequence > 200
    project(configure(tmp_path, snapshot_commands=60))
    strange = tmp_path / "strange"
    shutil.copytree(tmp_path / "snapshots", strange / "snapshots")
    shutil.copytree(day / "journal", strange / "journal")
    project(configure(strange))
    assert rows(strange / "history.sqlite") == rows(day / "history.sqlite")
    shutil.copy(tmp_path / "history.sqlite", strange / "history.sqlite")
    with pytest.raises(StorageError, match="another journal"):
        project(configure(strange))


def test_a_journal_that_lost_its_end_is_noticed(day: Path, copy: Path) -> None:
    project(configure(copy))
    _, path = scan.segments(copy / "journal")[-1]
    path.write_bytes(path.read_bytes()[:-1])
    with Journal.open(copy / "journal", chain_id=CHAIN) as journal:
        assert journal.lost_sequence
    with pytest.raises(StorageError, match="lost its end"):
        project(configure(copy))


def test_the_ops_database_of_another_journal_is_refused(day: Path, copy: Path) -> None:
    ops = Ops(f"sqlite:///{copy}/ops.sqlite")
    ops.bind_journal("another")
    ops.close()
    with pytest.raises(ConfigurationError, match="another journal"):
        project(configure(copy))


def test_rejected_orders_are_history_too(day: Path) -> None:
    history = History(f"sqlite:///{day}/history.sqlite")
    rejected = history.orders_of(TRADERS[0], limit=1000, statuses=[OrderStatus.REJECTED])
    assert rejected and {row.reason for row in rejected} == {"INVALID_PRICE"}
    events = [event for _, _, events, _ in replayed(day) for event in events]
    assert not {event.digest for event in events if isinstance(event, OrderAccepted)} & {row.digest for row in rejected}
    history.close()


async def test_it_follows_a_running_sequencer(tmp_path: Path) -> None:
    fund(tmp_path)
    configured = sequencer_settings(tmp_path, epoch_orders=40)
    ops, history, stop = Ops(configured.ops_url), History(f"sqlite:///{tmp_path}/history.sqlite"), threading.Event()
    projector = Projector(configure(tmp_path), JournalReader(tmp_path / "journal"), ops, history)
    thread = threading.Thread(target=projector.run, args=(stop,))
    thread.start()
    try:
        async with running(configured) as run:
            await run.funded()
            for chunk in chunks(flow(200), 8):
                await run.sequencer.submit(chunk)
            last = run.sequencer.durable_sequence
            assert projector.lag >= 0
            await until(lambda: projector.lag == 0)
            cursor = history.cursor()
            assert cursor is not None and cursor.sequence >= last
            epoch = history.epoch(4)
            assert epoch is not None and epoch.header.count == 40
    finally:
        stop.set()
        thread.join()
        ops.close()
        history.close()
