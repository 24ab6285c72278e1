"""`hooats journal verify|archive|restore` on a projected day whose journal has many segments."""

import shutil
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from day_samples import write_day
from test_projector import configure, project
from venue_samples import CHAIN, settings

from offchain.cli.journals import journal as commands
from offchain.domain.batch import EpochHeader
from offchain.domain.errors import InvalidInput
from offchain.operations.backup import back_up
from offchain.projector.snapshotter import Snapshotter, SnapshotterSettings
from offchain.sequencer.recovery import recover
from offchain.storage import scan
from offchain.storage.journal import Journal
from offchain.storage.ops import Ops
from offchain.storage.reader import JournalReader
from offchain.storage.snapshots import snapshot_files


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("day")
    write_day(folder)
    (folder / "journal").rename(folder / "one")
    with Journal.open(folder / "journal", chain_id=CHAIN, segment_bytes=4_000) as journal:
        for group in JournalReader(folder / "one").groups():
            journal.copy([group])
    shutil.rmtree(folder / "one")
    project(configure(folder, snapshot_commands=40))
    often = SnapshotterSettings(data=folder, commands=40, seconds=0.0, rest=0.0)
    snapshotter = Snapshotter(often, JournalReader(folder / "journal"))
    while snapshotter.turn():
        pass
    return folder


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "data")
    return tmp_path / "data"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(commands, [str(argument) for argument in arguments])


def epoch_of(data: Path) -> EpochHeader:
    ops = Ops(f"sqlite:///{data}/ops.sqlite")
    row = ops.last_epoch()
    ops.close()
    assert row is not None
    return msgspec.json.decode(row.payload, type=EpochHeader)


def test_a_replay_has_the_state_of_the_last_epoch(data: Path) -> None:
    done = run("verify", "--data", data)
    assert done.exit_code == 0, done.output
    epoch = epoch_of(data)
    assert f"epoch {epoch.epoch}, sequence {epoch.last}: the replay has its state {epoch.state_root}" in done.output
    ops = Ops(f"sqlite:///{data}/ops.sqlite")
    with ops.database.writing() as connection:
        wrong = sa.text("update outbox set payload = replace(payload, :found, :other) where kind = 'epoch'")
        connection.execute(wrong, {"found": epoch.state_root, "other": "0x" + "ab" * 32})
    ops.close()
    done = run("verify", "--data", data)
    assert done.exit_code != 0
    assert "the replay has" in str(done.exception)
    assert run("verify", "--data", data, "--no-replay").exit_code == 0


def test_without_an_ops_database_nothing_is_made(data: Path) -> None:
    (data / "ops.sqlite").unlink()
    assert "no epoch" in run("verify", "--data", data).output
    assert not (data / "ops.sqlite").exists()


@pytest.mark.parametrize("whose", [".", "history"])
def test_nothing_is_archived_that_a_start_or_the_history_needs(data: Path, tmp_path: Path, whose: str) -> None:
    _, older = snapshot_files(data / "snapshots" / whose)
    older.rename(older.with_name(f"{3:020d}.snapshot"))
    assert run("archive", "--data", data, "--to", tmp_path / "archive").output == "0 segments archived\n"
    older.with_name(f"{3:020d}.snapshot").unlink()
    assert "nothing to archive" in run("archive", "--data", data, "--to", tmp_path / "archive").output


def test_archived_and_restored(data: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for _, path in scan.segments(data / "journal")}
    done = run("archive", "--data", data, "--to", tmp_path / "archive")
    assert done.exit_code == 0 and "segments archived" in done.output, done.output
    left = [first for first, _ in scan.segments(data / "journal")]
    assert left[0] == 1 and len(left) < len(before) - 2
    assert left[1] <= epoch_of(data).last + 1
    assert run("verify", "--data", data).exit_code != 0
    assert "are archived" in run("verify", "--data", data, "--no-replay").output
    with pytest.raises(InvalidInput, match="archived"):
        back_up(data, tmp_path / "backup", f"sqlite:///{data}/ops.sqlite")
    configured = settings(tmp_path / "x")
    with Journal.open(data / "journal", chain_id=CHAIN) as journal:
        venue = JournalReader(data / "journal").record(1)
        assert venue is not None
        started = recover(journal, configured.venue, lambda: 0, data / "snapshots").engine.state_hash()
    project(configure(data))
    assert run("restore", "--data", data, "--from", tmp_path / "archive").exit_code == 0
    assert {path.name: path.read_bytes() for _, path in scan.segments(data / "journal")} == before
    assert run("verify", "--data", data).exit_code == 0
    with Journal.open(data / "journal", chain_id=CHAIN) as journal:
        cold = recover(journal, configured.venue, lambda: 0, tmp_path / "none").engine.state_hash()
    assert started == cold
