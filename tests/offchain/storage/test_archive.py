"""Closed segments leave the folder and come back as the same bytes; what is not there is said, and nothing is lost."""

import contextlib
import shutil
from pathlib import Path

import pytest
from journal_samples import CHAIN, read, record, write

from offchain.domain.errors import InvalidInput, JournalCorrupt, StorageError
from offchain.storage import scan
from offchain.storage.archive import MANIFEST, Moved, archive, read_manifest, unarchive
from offchain.storage.disk import Disk
from offchain.storage.journal import Journal
from offchain.storage.reader import JournalReader

SIZES = [3] * 12


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Twelve groups in as many segments."""
    write(tmp_path / "journal", *SIZES, segment_bytes=100)
    assert len(scan.segments(tmp_path / "journal")) == len(SIZES)
    return tmp_path / "journal"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_there_and_back(journal: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for _, path in scan.segments(journal)}
    whole, tail = read(journal), scan.scan(journal)
    assert archive(journal, tmp_path / "archive", 20) == Moved(5, 18)
    assert [first for first, _ in scan.segments(journal)] == [1, 19, 22, 25, 28, 31, 34]
    assert scan.scan(journal) == tail, "what is there is checked, and continues what is not"
    assert list(JournalReader(journal).read(19)) == whole[18:]
    with Journal.open(journal, chain_id=CHAIN) as opened:
        assert (opened.last_sequence, opened.last_hash) == (36, tail.last_hash)
        opened.append([record(37)])
    assert archive(journal, tmp_path / "archive", 10**9) == Moved(5, 33), "the last one is not closed"
    assert unarchive(tmp_path / "archive", journal) == Moved(10, 33)
    assert all((journal / name).read_bytes() == content for name, content in list(before.items())[:-1])
    assert read(journal)[:36] == whole
    assert unarchive(tmp_path / "archive", journal) == Moved(0, 33)


def test_what_is_archived_is_said(journal: Path, tmp_path: Path) -> None:
    whole = read(journal)
    archive(journal, tmp_path / "archive", 20)
    reader = JournalReader(journal)
    assert reader.record(1) == whole[0] and reader.record(3) == whole[2]
    for sequence in (4, 5, 18):
        with pytest.raises(InvalidInput, match="4 to 18 are archived"):
            reader.record(sequence)
    with pytest.raises(InvalidInput, match="archived"):
        list(reader.read())
    scan.segments(journal)[1][1].unlink()
    with pytest.raises(JournalCorrupt, match="missing"):
        scan.scan(journal)


def test_nothing_to_move(journal: Path, tmp_path: Path) -> None:
    assert archive(journal, tmp_path / "archive", 5) == Moved(0, 0)
    assert scan.archived(journal) is None
    with pytest.raises(InvalidInput, match="no archive"):
        unarchive(tmp_path / "nowhere", journal)


def test_a_kill_at_any_write_loses_nothing(journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before or after each file appears or goes: the next run does the rest."""
    whole = read(journal)

    class Killed(Exception):
        pass

    for kill_at in range(0, 34, 3):
        copy, to = tmp_path / f"copy-{kill_at}", tmp_path / f"archive-{kill_at}"
        shutil.copytree(journal, copy)
        calls = 0

        def dying(original, kill_at=kill_at):  # type: ignore[no-untyped-def]
            def wrapped(*arguments: object) -> None:
                nonlocal calls
                calls += 1
                if calls == kill_at:
                    raise Killed
                original(*arguments)

            return wrapped

        with monkeypatch.context() as patch:
            for name in ("create", "remove"):
                patch.setattr(Disk, name, dying(getattr(Disk, name)))
            with contextlib.suppress(Killed):
                archive(copy, to, 30)
        scan.scan(copy)
        archive(copy, to, 30)
        assert [first for first, _ in scan.segments(copy)] == [1, 31, 34]
        unarchive(to, copy)
        assert read(copy) == whole


def test_a_damaged_archive_is_refused(journal: Path, tmp_path: Path) -> None:
    to = tmp_path / "archive"
    archive(journal, to, 12)
    packed = to / f"{7:020d}.journal.gz"
    whole = packed.read_bytes()
    for content in (whole[:-9], whole[:40] + bytes([whole[40] ^ 1]) + whole[41:], b""):
        packed.write_bytes(content)
        with pytest.raises(StorageError, match=r"00007\.journal\.gz"):
            unarchive(to, journal)
    packed.unlink()
    with pytest.raises(StorageError, match="does not read"):
        unarchive(to, journal)
    assert scan.archived(journal) is not None
    packed.write_bytes(whole)
    unarchive(to, journal)
    assert len(read(journal)) == 36
    (to / MANIFEST).write_text("{")
    with pytest.raises(StorageError, match="damaged"):
        read_manifest(to)


def test_another_journals_archive_is_not_continued(journal: Path, tmp_path: Path) -> None:
    archive(journal, tmp_path / "archive", 12)
    for name, sizes in (("other", [2] * 18), ("third", [4, *SIZES])):
        write(tmp_path / name, *sizes, segment_bytes=100)
        before = names(tmp_path / "archive")
        with pytest.raises(InvalidInput, match=r"archive|another"):
            archive(tmp_path / name, tmp_path / "archive", 30)
        assert len(read(tmp_path / name)) == sum(sizes), "nothing was moved"
        assert names(tmp_path / "archive") == before


def test_damage_is_not_archived(journal: Path, tmp_path: Path) -> None:
    path = scan.segment_path(journal, 7)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(JournalCorrupt):
        archive(journal, tmp_path / "archive", 30)
    assert path.exists()
