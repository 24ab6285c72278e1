"""Zeros ahead of the writer: they are the journal's end to everybody, and hide neither a torn tail nor damage."""

import shutil
from pathlib import Path

import pytest
from journal_samples import CHAIN, LazyDisk, read, record, records

from offchain.domain.errors import JournalCorrupt
from offchain.operations.backup import _copy_journal
from offchain.storage import frames, scan
from offchain.storage.archive import archive, unarchive
from offchain.storage.inspect import json_lines
from offchain.storage.journal import ZEROS_BYTES, Journal
from offchain.storage.reader import JournalReader


def killed(folder: Path, *sizes: int, segment_bytes: int = 1 << 26) -> Path:
    """A copy of a journal whose writer goes on: as it is after kill -9."""
    with Journal.open(folder, chain_id=CHAIN, segment_bytes=segment_bytes) as journal:
        for size in sizes:
            journal.append(records(journal.last_sequence + 1, journal.last_sequence + size))
        copy = folder.with_name(folder.name + "-killed")
        shutil.copytree(folder, copy)
    return copy


def last_segment(folder: Path) -> Path:
    return scan.segments(folder)[-1][1]


def test_the_writer_stays_within_its_zeros(tmp_path: Path) -> None:
    lengths, ends = set(), set()
    with Journal.open(tmp_path, chain_id=CHAIN, disk=LazyDisk()) as journal:
        for first in range(1, 4_000, 10):
            journal.append(records(first, first + 9))
            lengths.add(last_segment(tmp_path).stat().st_size)
            content = last_segment(tmp_path).read_bytes()
            ends.add(len(content.rstrip(b"\0")) // ZEROS_BYTES)
        assert lengths == {ZEROS_BYTES * (end + 1) for end in ends} and len(ends) > 1, "a new length now and then only"
        assert read(tmp_path) == records(1, 4_000)
    assert len(last_segment(tmp_path).read_bytes()) < max(lengths), "who closes takes the rest with him"
    assert read(tmp_path) == records(1, 4_000)


def test_what_a_killed_writer_leaves_is_whole_and_goes_on(tmp_path: Path) -> None:
    copy = killed(tmp_path / "journal", 3, 1, 2)
    expected, zeros = records(1, 6), last_segment(copy).read_bytes()
    assert zeros.endswith(bytes(1_000)) and read(copy) == expected
    assert [group.last for group in JournalReader(copy).groups(2)] == [3, 4, 6]
    assert scan.scan(copy, CHAIN).torn_bytes == 0 and len(list(json_lines(copy))) == 6
    follower = JournalReader(copy).follow(1)
    assert [next(follower), next(follower)] == [expected, []]
    assert _copy_journal(copy, _made(tmp_path / "backup"))[0] == 6
    assert last_segment(tmp_path / "backup").read_bytes() == last_segment(tmp_path / "journal").read_bytes()
    with Journal.open(copy, chain_id=CHAIN) as journal:
        assert (journal.last_sequence, journal.torn_bytes, journal.lost_sequence) == (6, 0, 0)
        journal.append([record(7)])
    assert read(copy) == records(1, 7)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_segment_that_another_follows_has_no_zeros(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    copy = killed(journal, 2, 2, 2, 2, segment_bytes=300)
    assert [first for first, _ in scan.segments(copy)] == [1, 3, 5, 7]
    segments = [path.read_bytes() for _, path in scan.segments(copy)]
    assert [content.endswith(bytes(1_000)) for content in segments] == [False, False, False, True]
    moved = archive(copy, tmp_path / "archive", 6)
    assert (moved.segments, moved.last) == (2, 6)
    unarchive(tmp_path / "archive", copy)
    assert read(copy) == records(1, 8)


def test_a_group_that_came_to_the_disk_in_part_is_cut(tmp_path: Path) -> None:
    """Its pages may have come in any order."""
    copy = killed(tmp_path / "journal", 2, 1, 2)
    path = last_segment(copy)
    whole = path.read_bytes()
    _, start = frames.decode_segment_header(whole)
    *_, (offset, head) = scan.groups(whole, path, start, 1, bytes(32))
    end = offset + frames.GROUP_HEAD_BYTES + head.body_bytes
    for cut in range(offset + 1, end - 1):
        for kept in (whole[offset:cut] + bytes(end - cut), bytes(cut - offset) + whole[cut:end]):
            path.write_bytes(whole[:offset] + kept + whole[end:])
            if kept == whole[offset:end]:  # what is missing was zero
                continue
            with Journal.open(copy, chain_id=CHAIN, disk=LazyDisk()) as journal:
                assert journal.last_sequence == 3 and journal.lost_sequence == 5
                assert journal.torn_bytes == (len(whole) - offset if kept.strip(b"\0") else 0)
                assert path.stat().st_size == offset
                journal.publish(5)
    assert read(copy) == records(1, 3)


def test_damage_before_the_zeros_is_refused(tmp_path: Path) -> None:
    copy = killed(tmp_path / "journal", 2, 2)
    path = last_segment(copy)
    whole = path.read_bytes()
    _, start = frames.decode_segment_header(whole)
    for damaged in (whole[:start] + bytes(60) + whole[start + 60 :], whole[:start] + b"x" + whole[start + 1 :]):
        path.write_bytes(damaged)
        with pytest.raises(JournalCorrupt, match="intact group follows"):
            Journal.open(copy, chain_id=CHAIN)
        with pytest.raises(JournalCorrupt):
            read(copy)
        with pytest.raises(JournalCorrupt, match="though it was durable"):
            next(JournalReader(copy).follow(1))


@pytest.mark.parametrize("segment_bytes", [300, 900])
def test_zeros_in_place_of_the_end_of_a_segment_are_not_the_end_of_the_journal(
    tmp_path: Path, segment_bytes: int
) -> None:
    """Another segment follows: whoever reads must not take the rest for nothing."""
    copy = killed(tmp_path / "journal", 2, 2, 2, 2, segment_bytes=segment_bytes)
    (_, first), _, *_ = scan.segments(copy)
    whole = first.read_bytes()
    _, start = frames.decode_segment_header(whole)
    *_, (offset, _) = scan.groups(whole, first, start, 1, bytes(32))
    (copy / "durable").unlink()
    for damaged in (whole[:offset] + bytes(len(whole) - offset), whole[:offset]):
        first.write_bytes(damaged)
        with pytest.raises(JournalCorrupt, match="is missing, and this is not the last segment"):
            read(copy)
        with pytest.raises(JournalCorrupt):
            list(json_lines(copy))
        with pytest.raises(JournalCorrupt, match="is missing"):
            Journal.open(copy, chain_id=CHAIN)
