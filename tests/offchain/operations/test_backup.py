"""Backup while trading, destruction, restore; damage, foreign files, and what the chain knows beyond a backup."""

import asyncio
import json
import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from local_chain import LocalChain, Venue
from venue_samples import CHAIN, START, VENUE, chunks, flow, fund, placed, settings, until

from offchain.chain.registry import Registry, write_registry
from offchain.cli.program import hooats
from offchain.domain.chainlog import BatchSettled
from offchain.domain.command import AdvanceTime, PlaceOrder, encode
from offchain.domain.errors import (
    ChainUnreachable,
    ConfigurationError,
    HooatsError,
    InvalidInput,
    JournalCorrupt,
    SequencerUnavailable,
    StorageError,
)
from offchain.domain.units import Address
from offchain.operations import restore as restoring
from offchain.operations.backup import Manifest, back_up, content_of, opened, replay
from offchain.operations.restore import Known, beyond, known_to_chain
from offchain.projector.replay import replay_journal
from offchain.sequencer.link import SequencerLink
from offchain.sequencer.serve import serve
from offchain.sequencer.settings import SequencerSettings
from offchain.storage.journal import Journal, Record
from offchain.storage.ops import Ops

REGISTRY = Registry(chain_id=CHAIN, quote_token=Address("0x" + "00" * 20), contracts={})
CODE = """
import pickle, sys
from offchain.sequencer.serve import run_sequencer
sys.exit(run_sequencer(pickle.loads(sys.stdin.buffer.read()), lambda sequencer: print("ready", flush=True)))
"""


@pytest.fixture(autouse=True)
def chain_knows(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What the chain knows; nothing at first."""
    known = {"epoch": 0, "sequence": 0, "fill": 0}
    monkeypatch.setattr(restoring, "known_to_chain", lambda url, registry: Known(**known))
    return known


def ops_url(data: Path) -> str:
    return f"sqlite:///{data / 'ops.sqlite'}"


def restore(source: Path, data: Path, accepts_loss: bool = False) -> restoring.Restored:
    return restoring.restore(source, data, REGISTRY, "", accepts_loss=accepts_loss)


def make_journal(folder: Path, groups: int = 5, segment_bytes: int = 5_000) -> None:
    """Many small segments."""
    folder.mkdir(exist_ok=True)
    fund(folder)
    with Journal.open(folder / "journal", chain_id=CHAIN, segment_bytes=segment_bytes) as journal:
        append(journal, groups)


def append(journal: Journal, groups: int) -> None:
    kind, version, payload = encode(AdvanceTime())
    for _ in range(groups):
        first = journal.last_sequence + 1
        journal.append([Record(kind, version, first + number, START + first, payload) for number in range(7)])


def start(configured: SequencerSettings) -> "subprocess.Popen[bytes]":
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", CODE], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(pickle.dumps(configured))
    process.stdin.close()
    while (line := process.stdout.readline()) and line.strip() != b"ready":
        pass
    return process


async def stream(link: SequencerLink, orders: list[PlaceOrder], acknowledged: dict[int, PlaceOrder]) -> None:
    try:
        for chunk in chunks(orders, 3):
            for ack, command in zip(await link.submit(chunk), chunk, strict=True):
                acknowledged[ack.sequence] = command
    except SequencerUnavailable:
        pass


@pytest.mark.parametrize("suffix", ["", ".tar", ".tar.gz"])
async def test_backup_while_trading_then_destroy_then_restore(tmp_path: Path, suffix: str) -> None:
    data, to = tmp_path / "d", tmp_path / f"backup{suffix}"
    data.mkdir()
    fund(data)
    configured, acknowledged = settings(data, epoch_orders=50), dict[int, PlaceOrder]()
    process = start(configured)
    link = await SequencerLink.connect(configured.socket)
    trading = asyncio.create_task(stream(link, flow(30_000), acknowledged))
    await until(lambda: len(acknowledged) >= 200)
    before = dict(acknowledged)
    manifest = await asyncio.to_thread(back_up, data, to, ops_url(data))
    assert not trading.done()
    await until(lambda: len(acknowledged) >= len(before) + 50)
    process.send_signal(signal.SIGKILL)
    process.wait()
    await trading
    shutil.rmtree(data)
    restored = restore(to, data)
    assert restored.manifest == manifest and restored.position == manifest.position and restored.beyond == ""
    journaled = placed(data)
    assert before and all(journaled[sequence] == command for sequence, command in before.items())
    assert replay_journal(data / "journal").engine.state_hash().hex() == restored.position.state_hash[2:]
    process = start(settings(data))
    link = await SequencerLink.connect(configured.socket)
    (ack,) = await link.submit(flow(1, seed=90_000))
    assert ack.sequence > manifest.last_sequence
    process.terminate()
    assert process.wait(10) == 0


def test_copies_of_a_journal_that_grows(tmp_path: Path) -> None:
    """Segments come and go full while it is copied: every copy is whole, and holds what was durable before."""
    make_journal(tmp_path)
    ends: list[tuple[int, int]] = []
    done = threading.Event()

    def write() -> None:
        with Journal.open(tmp_path / "journal", chain_id=CHAIN, segment_bytes=3_000) as journal:
            while not done.is_set():
                append(journal, 1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(12):
            began = sum(1 for _ in (tmp_path / "journal").iterdir())
            manifest = back_up(tmp_path, tmp_path / f"b{number}", ops_url(tmp_path), replays=False)
            ends.append((began, manifest.last_sequence))
    finally:
        done.set()
        writer.join()
    assert [last for _, last in ends] == sorted(last for _, last in ends)
    for number, (_, last) in enumerate(ends):
        with Journal.open(tmp_path / f"b{number}" / "journal", chain_id=CHAIN) as journal:
            assert (journal.last_sequence, journal.torn_bytes, last % 7) == (last, 0, 0)


def test_the_outbox_never_knows_more_than_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_journal(tmp_path)
    ops = Ops(ops_url(tmp_path))
    ops.put_outbox([], 999)
    ops.close()
    back_up(tmp_path, tmp_path / "b", ops_url(tmp_path), replays=False)
    monkeypatch.setattr(restoring, "replay", lambda folder: POSITION)
    with pytest.raises(StorageError, match="newer than its journal"):
        restore(tmp_path / "b", tmp_path / "new")


POSITION = restoring.Position(state_hash="0x", epoch=3, fill=20, event_sequence=0, block=0)


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    make_journal(tmp_path)
    (tmp_path / "session.secret").write_text("0x" + "ab" * 32)
    back_up(tmp_path, tmp_path / "b", ops_url(tmp_path), replays=False)
    return tmp_path / "b"


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "replay", lambda folder: POSITION)


def test_it_is_private_and_without_secrets(backup: Path, tmp_path: Path) -> None:
    assert not (backup / "session.secret").exists()
    assert not any(path.stat().st_mode & 0o077 for path in [backup, *backup.rglob("*")])
    back_up(tmp_path, tmp_path / "c.tgz", ops_url(tmp_path), with_secrets=True, replays=False)
    assert (tmp_path / "c.tgz").stat().st_mode & 0o077 == 0
    with opened(tmp_path / "c.tgz") as (folder, _):
        assert (folder / "session.secret").read_text() == "0x" + "ab" * 32
    assert not list(tmp_path.glob(".hooats*"))


@pytest.mark.parametrize("name", ["journal/00000000000000000001.journal", "ops.sqlite"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
@pytest.mark.usefixtures("replayed")
def test_damage_is_found(backup: Path, tmp_path: Path, name: str, damage: str) -> None:
    content = bytearray((backup / name).read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    (backup / name).write_bytes(content[: -1 if damage == "cut" else None])
    if damage == "remove":
        (backup / name).unlink()
    with pytest.raises(StorageError, match=name):
        restore(backup, tmp_path / "new")
    assert not (tmp_path / "new").exists() and not list(tmp_path.glob(".new*"))


@pytest.mark.usefixtures("replayed")
def test_foreign_files_and_other_things(backup: Path, tmp_path: Path) -> None:
    (backup / "extra").write_text("x")
    with pytest.raises(StorageError, match="extra"):
        restore(backup, tmp_path / "new")
    with pytest.raises(InvalidInput, match="no backup"):
        restore(tmp_path / "nothing", tmp_path / "new")
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(InvalidInput, match="does not unpack"):
        restore(tmp_path / "text", tmp_path / "new")


@pytest.mark.parametrize("name", ["../evil", "/evil", "journal/../../evil", "journal/x.journal", "pids.json"])
def test_an_archive_writes_nowhere_else(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_text("x")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "x", name)
    with pytest.raises(InvalidInput, match="no backup does"), opened(tmp_path / "a.tar"):
        pass
    assert not (tmp_path / "evil").exists()


def test_an_archive_holds_no_more_than_its_manifest_says(backup: Path, tmp_path: Path) -> None:
    """Zeros are a thousandth of their size in an archive."""
    (tmp_path / "zeros").write_bytes(bytes(1_000_000))
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        archive.add(backup / "backup.json", "backup.json")
        archive.add(tmp_path / "zeros", "ops.sqlite")
    with pytest.raises(InvalidInput, match="more than its manifest"), opened(tmp_path / "a.tgz"):
        pass


@pytest.mark.parametrize(
    "content", [b"", b"no archive", b"\x1f\x8b\x08" + b"\xff" * 90, b"\xfd7zXZ\x00" + b"\xff" * 90]
)
def test_what_is_no_archive_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"does not unpack|is no backup") as refused, opened(tmp_path / "a.tar"):
        pass
    assert "\n" not in str(refused.value)


def test_a_folder_with_a_link_is_no_backup(backup: Path, tmp_path: Path) -> None:
    """What it points at, anything that this process may read, would be copied."""
    (backup / "ops.sqlite").rename(tmp_path / "elsewhere")
    (backup / "ops.sqlite").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"ops\.sqlite is a symbolic link"):
        restore(backup, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def rewrite(backup: Path, **changes: object) -> None:
    """The manifest with other words, of whatever the folder holds; without a position, as of --quick."""
    manifest = json.loads((backup / "backup.json").read_bytes())
    files = {str(path.relative_to(backup)): path for path in backup.rglob("*") if path.is_file()}
    del files["backup.json"]
    contents = {name: msgspec.to_builtins(content_of(path)) for name, path in files.items()}
    manifest |= {"position": None, "files": contents, **changes}
    (backup / "backup.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "lie", [{"lastSequence": 34}, {"lastSequence": 36}, {"lastHash": "0x" + "00" * 32}, {"identity": "00" * 32}]
)
def test_a_manifest_that_does_not_speak_of_its_journal(backup: Path, tmp_path: Path, lie: dict[str, object]) -> None:
    (backup / "ops.sqlite").unlink()
    rewrite(backup, **lie)
    with pytest.raises(StorageError, match="the journal of the backup ends with sequence 35"):
        restore(backup, tmp_path / "new", accepts_loss=True)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", [None, b"garbage"])
def test_a_journal_without_a_record_is_no_backup(backup: Path, tmp_path: Path, content: bytes | None) -> None:
    shutil.rmtree(backup / "journal")
    (backup / "ops.sqlite").unlink()
    if content is not None:
        (backup / "journal").mkdir()
        (backup / "journal" / f"{1:020}.journal").write_bytes(content)
    rewrite(backup)
    with pytest.raises(StorageError, match="no record"):
        restore(backup, tmp_path / "new", accepts_loss=True)
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("replayed")
def test_nothing_is_overwritten(backup: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="exists"):
        back_up(tmp_path, backup, ops_url(tmp_path))
    with pytest.raises(InvalidInput, match="not empty"):
        restore(backup, tmp_path)
    with pytest.raises(InvalidInput, match="no journal"):
        back_up(tmp_path / "none", tmp_path / "c", ops_url(tmp_path))
    (tmp_path / "new").mkdir()
    assert restore(backup, tmp_path / "new").manifest.last_sequence == 35
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("what", "number"), [("epoch", 4), ("sequence", 36), ("fill", 21)])
@pytest.mark.usefixtures("replayed")
def test_the_chain_knows_of_more(
    backup: Path, tmp_path: Path, chain_knows: dict[str, int], what: str, number: int
) -> None:
    chain_knows |= {"epoch": 3, "sequence": 35, "fill": 20}
    restore(backup, tmp_path / "same")
    chain_knows[what] = number
    with pytest.raises(ConfigurationError, match=f"{what} {number}"):
        restore(backup, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert f"{what} {number}" in restore(backup, tmp_path / "new", accepts_loss=True).beyond


@pytest.mark.usefixtures("replayed")
def test_a_chain_that_does_not_answer(backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(url: str, registry: Registry) -> Known:
        raise ChainUnreachable("no answer")

    monkeypatch.setattr(restoring, "known_to_chain", silent)
    with pytest.raises(ConfigurationError, match="cannot be asked"):
        restore(backup, tmp_path / "new")
    restore(backup, tmp_path / "new", accepts_loss=True)


def test_what_a_fresh_chain_knows(chain: LocalChain, venue: Venue) -> None:
    known = known_to_chain(chain.url, venue.registry)
    assert known == (0, 0, 0) and beyond(known, 0, POSITION) == ""


async def test_a_node_on_an_old_journal_takes_nothing(tmp_path: Path) -> None:
    """The chain's logs, read by the sync keeper, settle a fill that this journal never matched."""
    fund(tmp_path)
    stopped = asyncio.Event()
    stopped.set()
    assert await serve(settings(tmp_path), stop=stopped) == 0
    ops = Ops(ops_url(tmp_path))
    head = {"event_sequence": ops.last_event() + 1, "block_number": 11, "block_time": START // 1000}
    ops.append_inbox([BatchSettled(**head, transaction="0x01", first=1, last=4, refusals=())], 11, START // 1000)
    ops.close()
    with pytest.raises(ConfigurationError, match=r"fill 4, this journal ends with fill 0.*--accept-loss"):
        await serve(settings(tmp_path), stop=stopped)
    assert await serve(settings(tmp_path, accepts_loss=True), stop=stopped) == 0


def test_a_damaged_journal_is_not_backed_up(tmp_path: Path) -> None:
    make_journal(tmp_path)
    first = sorted((tmp_path / "journal").glob("0*"))[0]
    content = bytearray(first.read_bytes())
    content[-20] ^= 1
    first.write_bytes(content)
    with pytest.raises(JournalCorrupt):
        back_up(tmp_path, tmp_path / "b", ops_url(tmp_path))
    assert not (tmp_path / "b").exists()


def test_other_databases_have_their_own_tools(tmp_path: Path) -> None:
    make_journal(tmp_path)
    with pytest.raises(HooatsError, match="its own tools"):
        back_up(tmp_path, tmp_path / "b", "postgresql://h/ops", replays=False)


def test_the_copy_of_the_database_is_whole_while_others_write(backup: Path) -> None:
    with sqlite3.connect(backup / "ops.sqlite") as copy:
        assert copy.execute("SELECT count(*) FROM inbox").fetchone()[0] == 17
    assert isinstance(opened(backup).__enter__()[1], Manifest)
    assert os.path.getsize(backup / "backup.json") < 4_000


async def test_replay_names_where_it_ends(tmp_path: Path) -> None:
    fund(tmp_path)
    stopped = asyncio.Event()
    serving = asyncio.create_task(serve(settings(tmp_path), stop=stopped))
    await asyncio.sleep(0.6)
    stopped.set()
    await serving
    found = replay(tmp_path / "journal")
    assert (found.epoch, found.fill, found.event_sequence) == (0, 0, 17)


def test_from_the_command_line(
    tmp_path: Path, chain: LocalChain, venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "known_to_chain", known_to_chain)
    write_registry(tmp_path / "998.json", venue.registry)
    make_journal(tmp_path / "data", groups=0)
    with Journal.open(tmp_path / "data" / "journal", chain_id=CHAIN) as journal:
        kind, version, payload = encode(VENUE)
        journal.append([Record(kind, version, 1, START, payload)])

    def run(*arguments: object) -> str:
        done = CliRunner().invoke(hooats, [str(argument) for argument in arguments], catch_exceptions=False)
        return done.output

    data, copy = tmp_path / "data", tmp_path / "b.tgz"
    made = run("backup", "--data", data, "--to", copy, "--json")
    shutil.rmtree(data)
    flags = ("--data", data, "--registry", tmp_path / "998.json", "--rpc", chain.url)
    assert json.loads(run("restore", copy, *flags, "--json"))["stateHash"] == json.loads(made)["position"]["stateHash"]
    assert "sequences 1..1" in run("backup", "--data", data, "--to", tmp_path / "again")
    shutil.rmtree(data)
    assert "whatever was acknowledged after sequence 1 is lost" in run("restore", tmp_path / "again", *flags)
    assert json.loads(run("replay", "--data", data, "--json"))["sequence"] == 1
