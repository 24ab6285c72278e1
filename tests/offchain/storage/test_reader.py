"""Following a journal while it is written: whole groups, durable ones only, across segments."""

from pathlib import Path

import pytest
from journal_samples import CHAIN, FaultyDisk, read, record, records, write

from offchain.domain.errors import JournalCorrupt
from offchain.storage import scan
from offchain.storage.frames import GROUP_MAGIC
from offchain.storage.journal import DURABLE_NAME, Journal
from offchain.storage.reader import READ_BYTES, JournalReader, Record


def test_follow_yields_groups_as_they_become_durable(tmp_path: Path) -> None:
    following = JournalReader(tmp_path).follow()
    assert next(following) == []
    with Journal.open(tmp_path, chain_id=CHAIN, segment_bytes=400) as journal:
        assert next(following) == []
        for first in range(1, 40, 3):
            journal.append(records(first, first + 2))
            assert next(following) == records(first, first + 2)
            assert next(following) == []
    assert len(scan.segments(tmp_path)) > 2


def test_follow_from_the_middle_of_a_group(tmp_path: Path) -> None:
    written = write(tmp_path, 3, 3, segment_bytes=100)
    following = JournalReader(tmp_path).follow(5)
    assert next(following) == written[4:]
    assert next(following) == []
    assert next(JournalReader(tmp_path).follow(7)) == []


def test_follow_does_not_see_what_is_not_yet_durable(tmp_path: Path) -> None:
    write(tmp_path, 1)
    disk = FaultyDisk()
    with Journal.open(tmp_path, chain_id=CHAIN, disk=disk) as journal:
        following = JournalReader(tmp_path).follow(2)
        disk.sync = lambda descriptor: None if (next(following) == [] and len(read(tmp_path)) == 3) else 1 / 0  # type: ignore[method-assign,assignment,return-value]
        journal.append(records(2, 3))
        assert next(following) == records(2, 3)


def test_a_durable_group_that_is_gone_or_damaged_is_corrupt(tmp_path: Path) -> None:
    write(tmp_path, 1, 1)
    path = scan.segment_path(tmp_path, 1)
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(content)
        following = JournalReader(tmp_path).follow()
        assert next(following) == [record(1)]
        with pytest.raises(JournalCorrupt, match="durable"):
            next(following)
        assert read(tmp_path) == [record(1)], "offline it is a torn tail"
    path.write_bytes(whole[: whole.index(GROUP_MAGIC) // 2])
    with pytest.raises(JournalCorrupt, match="durable"):
        next(JournalReader(tmp_path).follow())
    path.write_bytes(whole[: whole.index(GROUP_MAGIC) + 20])
    with pytest.raises(JournalCorrupt, match="durable"):
        list(zip(range(3), JournalReader(tmp_path).follow(), strict=False))


def test_follow_without_the_marker_waits(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (tmp_path / DURABLE_NAME).unlink()
    assert next(JournalReader(tmp_path).follow()) == []
    assert read(tmp_path) == [record(1)]


def test_a_group_larger_than_a_read(tmp_path: Path) -> None:
    large = [Record(16, 1, sequence, 1, bytes([sequence]) * 60_000) for sequence in range(1, 81)]
    assert sum(len(r.payload) for r in large) > READ_BYTES
    with Journal.open(tmp_path, chain_id=CHAIN) as journal:
        journal.append(large)
        journal.append([Record(16, 1, 81, 1, b"after")])
    assert [r.sequence for r in read(tmp_path)] == list(range(1, 82))
    assert [r.sequence for r in next(JournalReader(tmp_path).follow(80))] == [80, 81]
    assert JournalReader(tmp_path).record(81) == Record(16, 1, 81, 1, b"after")


def test_single_records(tmp_path: Path) -> None:
    written = write(tmp_path, 4, 4, 4, segment_bytes=300)
    reader = JournalReader(tmp_path)
    assert [reader.record(sequence) for sequence in range(14)] == [None, *written, None]
    assert reader.chain_id() == CHAIN
    assert reader.durable_sequence() == 12
