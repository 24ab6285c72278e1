"""Snapshots come from the journal alone, whatever dies and whenever, and a start from one is a full replay."""

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from day_samples import write_day

from offchain.domain.command import OpenVenue, decode
from offchain.domain.limits import SEGMENT_BYTES
from offchain.projector.snapshotter import Snapshotter, SnapshotterSettings
from offchain.sequencer.recovery import recover
from offchain.storage.disk import SLICE_BYTES, Disk
from offchain.storage.handed import encode_settings
from offchain.storage.journal import Journal
from offchain.storage.reader import JournalReader
from offchain.storage.replica import Replica
from offchain.storage.snapshots import read_snapshot, snapshot_files


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("day")
    write_day(folder)
    return folder


@pytest.fixture
def copy(day: Path, tmp_path: Path) -> Path:
    shutil.copytree(day / "journal", tmp_path / "journal")
    return tmp_path


def replayed(folder: Path) -> dict[int, str]:
    """The state hash after every group."""
    replica, hashes = Replica(), {}
    for group in JournalReader(folder / "journal").groups():
        replica.advance(group)
        hashes[group.last] = replica.engine.state_hash().hex()
    return hashes


def configured(folder: Path, **changes: float) -> SnapshotterSettings:
    """As often as it can."""
    often = {"commands": 1, "seconds": 0.0, "rest": 0.0, "poll_millis": 1} | changes
    return SnapshotterSettings(data=folder, **often)  # type: ignore[arg-type]


def follow(settings: SnapshotterSettings) -> Snapshotter:
    """To the end of the journal."""
    snapshotter = Snapshotter(settings, JournalReader(settings.data / "journal"))
    while snapshotter.turn():
        pass
    return snapshotter


def start(folder: Path) -> str:
    """The state hash of a sequencer that starts on it."""
    reader = JournalReader(folder / "journal")
    first = reader.record(1)
    assert first is not None
    venue = decode(first.kind, first.version, first.payload)
    assert isinstance(venue, OpenVenue)
    with Journal.open(folder / "journal", chain_id=venue.chain_id) as journal:
        return recover(journal, venue, lambda: 0, folder / "snapshots").engine.state_hash().hex()


def test_a_snapshot_after_every_group_and_two_are_kept(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes, written = replayed(copy), list[int]()
    create = Disk.create

    def noted(disk: Disk, path: Path, content: bytes) -> None:
        written.append(int(path.stem))
        create(disk, path, content)
        found = read_snapshot(copy / "snapshots", JournalReader(copy / "journal"), 10**9)
        assert found is not None and found.engine.state_hash().hex() == hashes[written[-1]]

    monkeypatch.setattr(Disk, "create", noted)
    assert follow(configured(copy)).sequence == max(hashes)
    assert written == list(hashes)
    assert [int(path.stem) for path in snapshot_files(copy / "snapshots")] == written[:-3:-1]
    assert start(copy) == hashes[max(hashes)]


def test_it_needs_no_database_and_waits_for_none(copy: Path) -> None:
    """Two minutes of history that nobody wrote yet: a start still replays no more than since the snapshot."""
    follow(configured(copy))
    assert not list(copy.glob("*.sqlite")) and not (copy / "snapshots" / "history").exists()
    assert int(snapshot_files(copy / "snapshots")[0].stem) == JournalReader(copy / "journal").durable_sequence()


def test_so_many_commands_and_so_much_time_apart(copy: Path) -> None:
    last = JournalReader(copy / "journal").durable_sequence()
    follow(configured(copy, commands=last + 1))
    assert not snapshot_files(copy / "snapshots")
    follow(configured(copy, seconds=60.0))
    assert not snapshot_files(copy / "snapshots")
    follow(configured(copy, commands=last // 2 + 9))
    (only,) = snapshot_files(copy / "snapshots")
    assert last // 2 <= int(only.stem) <= last
    only.unlink()
    follow(configured(copy, rest=10_000.0))
    assert len(snapshot_files(copy / "snapshots")) == 1, "it rests, and longer than all the others would take"


def test_what_is_of_another_journal_or_half_written_goes(copy: Path) -> None:
    (copy / "snapshots").mkdir()
    strange, torn = copy / "snapshots" / f"{10**9:020d}.snapshot", copy / "snapshots" / f"{7:020d}.snapshot.new"
    for path in (strange, torn):
        path.write_bytes(b"x")
    follow(configured(copy))
    assert not strange.exists() and not torn.exists() and len(snapshot_files(copy / "snapshots")) == 2


def test_killed_again_and_again_while_it_writes(copy: Path) -> None:
    """Each time what is there is whole, and in the end a start has the state of a full replay."""
    hashes, folder = replayed(copy), copy / "snapshots"
    settings = copy / "snapshotter.json"
    settings.write_bytes(encode_settings(configured(copy)))
    # Slow enough to be caught at it.
    code = (
        "import sys\n"
        "from offchain.projector import snapshotter\n"
        "from offchain.storage import disk\n"
        "disk.SLICE_BYTES = 512\n"
        "sys.exit(snapshotter.main())\n"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command, reader = [sys.executable, "-c", code, str(settings)], JournalReader(copy / "journal")
    newest = 0
    for _ in range(4):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            before, deadline = newest, time.monotonic() + 30
            while newest == before or not list(folder.glob("*.new")):
                assert process.poll() is None and time.monotonic() < deadline
                newest = max((int(path.stem) for path in snapshot_files(folder)), default=0)
        finally:
            process.kill()
            process.wait()
        files = snapshot_files(folder)
        assert len(files) <= 3, "a third one until the oldest goes"
        for path in files:
            found = read_snapshot(folder, reader, int(path.stem))
            assert found is not None and found.engine.sequence == int(path.stem)
            assert found.engine.state_hash().hex() == hashes[found.engine.sequence]
        assert start(copy) == hashes[max(hashes)]
    follow(configured(copy))
    assert start(copy) == hashes[max(hashes)] and not list(folder.glob("*.new"))


def test_a_full_disk_keeps_nothing_of_a_snapshot_and_stops_nobody(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of it would be the room that the journal needs."""
    last, write, folder = JournalReader(copy / "journal").durable_sequence(), Disk.write, copy / "snapshots"

    def fills(disk: Disk, descriptor: int, content: bytes, offset: int) -> None:
        write(disk, descriptor, content[: len(content) // 2], offset)
        raise OSError(errno.ENOSPC, "injected")

    monkeypatch.setattr(Disk, "write", fills)
    assert follow(configured(copy)).sequence == last and list(folder.iterdir()) == []
    monkeypatch.setattr(Disk, "write", write)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, SEGMENT_BYTES))
    assert follow(configured(copy)).sequence == last and list(folder.iterdir()) == []


def test_a_large_file_is_on_disk_slice_by_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal's fsync waits for what a file beside it has not written yet."""
    synced, unwritten = [], 0
    fsync, write = os.fsync, Disk.write

    def noted_write(disk: Disk, descriptor: int, content: bytes, offset: int) -> None:
        nonlocal unwritten
        unwritten += len(content)
        write(disk, descriptor, content, offset)

    def noted_fsync(descriptor: int) -> None:
        nonlocal unwritten
        synced.append(unwritten)
        unwritten = 0
        fsync(descriptor)

    monkeypatch.setattr(Disk, "write", noted_write)
    monkeypatch.setattr(os, "fsync", noted_fsync)
    content = os.urandom(1 << 20) * 9
    Disk().create(tmp_path / "large", content)
    assert (tmp_path / "large").read_bytes() == content
    assert sum(synced) == len(content) and max(synced) <= SLICE_BYTES and unwritten == 0
