"""The journal under every damage that can be told apart: torn tails are cut, losses refused, failures final."""

import errno
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from journal_samples import ACCOUNT, CHAIN, FaultyDisk, LazyDisk, read, record, records, write

from offchain.domain.chainlog import MarketListed
from offchain.domain.command import ObserveLog, SetVenueState, encode
from offchain.domain.errors import DiskFailure, JournalCorrupt, JournalLocked
from offchain.domain.limits import LOG_RECORD_BYTES_MAX, RECORD_BYTES_MAX
from offchain.domain.market import MarketState
from offchain.storage import frames, scan
from offchain.storage.journal import DURABLE_NAME, Journal, Record, durable_sequence
from offchain.storage.reader import JournalReader


def only_segment(folder: Path) -> Path:
    ((_, path),) = scan.segments(folder)
    return path


def group_offsets(path: Path) -> list[tuple[int, frames.GroupHead]]:
    content = path.read_bytes()
    header, start = frames.decode_segment_header(content)
    return list(scan.groups(content, path, start, header.first_sequence, bytes.fromhex(header.previous_hash)))


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    written = write(tmp_path, 1, 3, 2)
    assert read(tmp_path) == written
    with Journal.open(tmp_path, chain_id=CHAIN) as journal:
        assert (journal.last_sequence, journal.last_at, journal.torn_bytes) == (6, written[-1].at, 0)
        journal.append(records(7, 7))
    assert read(tmp_path) == [*written, record(7)]


def listing(symbol: str, sequence: int = 1) -> Record:
    """What the journal keeps of a market's listing."""
    where = {"event_sequence": 1, "block_number": 7, "block_time": 100, "transaction": "0x01"}
    terms = {"market": 7, "base_token": ACCOUNT, "base_decimals": 18, "quote_decimals": 6}
    lots = {"base_atoms_per_lot": 10**12, "quote_atoms_per_tick_lot": 1}
    kind, version, payload = encode(ObserveLog(log=MarketListed(**where, **terms, **lots, symbol=symbol)))  # type: ignore[arg-type]
    return Record(kind, version, sequence, 1, payload)


def test_whatever_a_block_can_log_is_taken(tmp_path: Path) -> None:
    """Found by attack: a log is final and cannot be left out, so that one too long for the journal ended the node.

    60,000 words are what 30M gas pay for: 8 gas a byte, and twice the memory. No character is longer in JSON.
    """
    longest = listing("\x01" * 60_000 * 32)
    with Journal.open(tmp_path, chain_id=CHAIN) as journal:
        journal.append([longest])
        journal.append([record(2)])
    assert read(tmp_path) == [longest, record(2)]
    with Journal.open(tmp_path, chain_id=CHAIN) as journal:
        assert journal.last_sequence == 2


def test_nothing_but_a_log_may_be_as_long(tmp_path: Path) -> None:
    kind, version, payload = encode(SetVenueState(state=MarketState.PAUSED, reason="x" * RECORD_BYTES_MAX))
    with Journal.open(tmp_path, chain_id=CHAIN) as journal, pytest.raises(AssertionError):
        journal.append([Record(kind, version, 1, 1, payload)])
    with Journal.open(tmp_path, chain_id=CHAIN) as journal, pytest.raises(AssertionError):
        journal.append([listing("x" * LOG_RECORD_BYTES_MAX)])
    assert read(tmp_path) == []


def test_an_empty_folder_is_an_empty_journal(tmp_path: Path) -> None:
    assert write(tmp_path / "deep" / "new") == []
    assert read(tmp_path / "deep" / "new") == []
    assert JournalReader(tmp_path / "deep" / "new").chain_id() is None


@hypothesis_settings(max_examples=30)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8), segment_bytes=st.integers(100, 3_000))
def test_any_grouping_and_segmenting_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], segment_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    written = write(folder, *sizes, segment_bytes=segment_bytes)
    assert read(folder) == written == records(1, sum(sizes))
    for start in range(1, len(written) + 2):
        assert list(JournalReader(folder).read(start)) == written[start - 1 :]
    tail = scan.scan(folder, CHAIN)
    assert (tail.last_sequence, tail.torn_bytes) == (len(written), 0)


def test_a_tail_torn_at_every_byte_is_cut_and_reported(tmp_path: Path) -> None:
    write(tmp_path / "whole", 2, 1, 2)
    whole = only_segment(tmp_path / "whole").read_bytes()
    _, first_group = frames.decode_segment_header(whole)
    ends = [first_group]
    for offset, head in group_offsets(only_segment(tmp_path / "whole")):
        ends.append(offset + frames.GROUP_HEAD_BYTES + head.body_bytes)
    sequences = dict(zip(ends, (0, 2, 3, 5), strict=True))
    folder = tmp_path / "cut"
    for length in range(len(whole) + 1):
        folder.mkdir()
        scan.segment_path(folder, 1).write_bytes(whole[:length])
        good = max((end for end in ends if end <= length), default=0)
        with Journal.open(folder, chain_id=CHAIN, disk=LazyDisk()) as journal:
            assert journal.last_sequence == sequences.get(good, 0)
            assert journal.torn_bytes == length - good
            journal.append([record(journal.last_sequence + 1)])
        assert [r.sequence for r in read(folder)] == list(range(1, sequences.get(good, 0) + 2))
        shutil.rmtree(folder)


@pytest.mark.parametrize("zeros", [1, 91, 92, 93, 4096])
@pytest.mark.parametrize("kept", [0, 1, 50, 130])
def test_a_zero_filled_tail_is_torn(tmp_path: Path, zeros: int, kept: int) -> None:
    """Zeros alone are an end like any other; that something is gone then shows in what was durable."""
    write(tmp_path, 2, 2)
    path = only_segment(tmp_path)
    whole = path.read_bytes()
    last, _ = group_offsets(path)[-1]
    path.write_bytes(whole[: last + kept] + bytes(zeros))
    with Journal.open(tmp_path, chain_id=CHAIN) as journal:
        assert (journal.last_sequence, journal.torn_bytes) == (2, kept and kept + zeros)
        assert journal.lost_sequence == 4
    assert path.stat().st_size == last


def test_a_new_segment_that_is_all_zero_is_torn(tmp_path: Path) -> None:
    written = write(tmp_path, 3, 3, segment_bytes=100)
    path = scan.segment_path(tmp_path, 4)
    path.write_bytes(bytes(path.stat().st_size))
    with Journal.open(tmp_path, chain_id=CHAIN) as journal:
        assert journal.last_sequence == 3 and journal.torn_bytes > 0
        journal.append(records(4, 4))
    assert read(tmp_path) == written[:4]


def test_damage_of_every_byte_of_an_inner_group_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 1)
    path = only_segment(tmp_path)
    whole = path.read_bytes()
    offset, head = group_offsets(path)[1]
    for position in range(offset, offset + frames.GROUP_HEAD_BYTES + head.body_bytes):
        damaged = bytearray(whole)
        damaged[position] ^= 0x40
        path.write_bytes(damaged)
        with pytest.raises(JournalCorrupt) as refused:
            Journal.open(tmp_path, chain_id=CHAIN)
        assert str(path) in str(refused.value) and f"byte {offset}" in str(refused.value)
        assert "backup" in refused.value.remedy
        with pytest.raises(JournalCorrupt):
            read(tmp_path)
    path.write_bytes(whole)
    assert len(read(tmp_path)) == 4


def test_damage_of_the_segment_header_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 1, 1)
    path = only_segment(tmp_path)
    whole = path.read_bytes()
    _, start = frames.decode_segment_header(whole)
    for position in range(start):
        damaged = bytearray(whole)
        damaged[position] ^= 0x40
        path.write_bytes(damaged)
        with pytest.raises(JournalCorrupt, match=path.name):
            Journal.open(tmp_path, chain_id=CHAIN)


def test_a_duplicated_last_group_breaks_the_chain(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    path = only_segment(tmp_path)
    offset, _ = group_offsets(path)[-1]
    path.write_bytes(path.read_bytes() + path.read_bytes()[offset:])
    with pytest.raises(JournalCorrupt, match="sequence 2 where 4 belongs"):
        Journal.open(tmp_path, chain_id=CHAIN)


def test_swapped_last_groups_break_the_chain(tmp_path: Path) -> None:
    write(tmp_path, 1, 1, 1)
    path = only_segment(tmp_path)
    whole = path.read_bytes()
    (second, _), (third, _) = group_offsets(path)[1:]
    path.write_bytes(whole[:second] + whole[third:] + whole[second:third])
    with pytest.raises(JournalCorrupt):
        Journal.open(tmp_path, chain_id=CHAIN)


def test_a_group_of_another_journal_breaks_the_chain(tmp_path: Path) -> None:
    write(tmp_path / "a", 1, 1)
    with Journal.open(tmp_path / "b", chain_id=CHAIN) as journal:
        journal.append([record(1)._replace(at=7)])
        journal.append([record(2)])
    path = only_segment(tmp_path / "a")
    offset, _ = group_offsets(path)[-1]
    other = only_segment(tmp_path / "b")
    path.write_bytes(path.read_bytes()[:offset] + other.read_bytes()[group_offsets(other)[-1][0] :])
    with pytest.raises(JournalCorrupt, match="chain of hashes"):
        Journal.open(tmp_path / "a", chain_id=CHAIN)


@pytest.mark.parametrize("missing", [1, 3, 5])
def test_a_missing_segment_is_refused_unless_it_is_the_last(tmp_path: Path, missing: int) -> None:
    write(tmp_path, 2, 2, 2, 2, segment_bytes=100)
    assert [first for first, _ in scan.segments(tmp_path)] == [1, 3, 5, 7]
    scan.segment_path(tmp_path, missing).unlink()
    with pytest.raises(JournalCorrupt, match=f"sequences {missing} to {missing + 1} is missing"):
        Journal.open(tmp_path, chain_id=CHAIN)


def test_a_torn_tail_in_an_earlier_segment_is_a_loss(tmp_path: Path) -> None:
    write(tmp_path, 2, 2, segment_bytes=100)
    path = scan.segment_path(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(JournalCorrupt, match="not the last segment"):
        Journal.open(tmp_path, chain_id=CHAIN)
    with pytest.raises(JournalCorrupt):
        read(tmp_path)


def test_a_missing_last_segment_shows_in_what_was_durable(tmp_path: Path) -> None:
    write(tmp_path, 2, 2, segment_bytes=100)
    assert durable_sequence(tmp_path) == 4
    scan.segment_path(tmp_path, 3).unlink()
    with Journal.open(tmp_path, chain_id=CHAIN) as journal:
        assert (journal.last_sequence, journal.lost_sequence) == (2, 4)


def test_a_foreign_file_and_a_foreign_chain_are_refused(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with pytest.raises(JournalCorrupt, match="chain 998, not 999"):
        Journal.open(tmp_path, chain_id=999)
    (tmp_path / "copy of 1.journal").write_bytes(b"")
    with pytest.raises(JournalCorrupt, match="name of a segment"):
        Journal.open(tmp_path, chain_id=CHAIN)


def test_a_segment_that_was_being_created_is_forgotten(tmp_path: Path) -> None:
    written = write(tmp_path, 2)
    (tmp_path / "00000000000000000003.journal.new").write_bytes(b"half a hea")
    assert write(tmp_path) == []
    assert read(tmp_path) == written
    assert not list(tmp_path.glob("*.new"))


def test_one_process_per_folder(tmp_path: Path) -> None:
    with Journal.open(tmp_path, chain_id=CHAIN):
        with pytest.raises(JournalLocked, match=str(os.getpid())):
            Journal.open(tmp_path, chain_id=CHAIN)
        code = "import sys; from pathlib import Path; from offchain.storage.journal import Journal\n"
        code += f"Journal.open(Path(sys.argv[1]), chain_id={CHAIN})"
        other = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
        assert "JournalLocked" in other.stderr and f"process {os.getpid()}" in other.stderr
    write(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("short", [0, 1, 91, 92, 100])
def test_a_failed_append_is_final_and_recovered_from(tmp_path: Path, number: int, short: int) -> None:
    write(tmp_path, 2)
    disk = FaultyDisk(number=number, short=short)
    with Journal.open(tmp_path, chain_id=CHAIN, disk=disk) as journal:
        disk.fail_at = disk.calls + 1
        with pytest.raises(DiskFailure):
            journal.append(records(3, 5))
        assert disk.failed and journal.last_sequence == 2
        calls = disk.calls
        with pytest.raises(DiskFailure, match="closed"):
            journal.append(records(3, 5))
        assert disk.calls == calls, "a failed disk is not asked again"
    with Journal.open(tmp_path, chain_id=CHAIN) as journal:
        assert (journal.last_sequence, journal.torn_bytes) == (2, short)


def test_failing_at_every_call_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """The n-th system call fails, for every n until the scenario passes without a failure."""
    for fail_at in range(1, 1_000):
        folder = tmp_path / str(fail_at)
        disk, acknowledged = FaultyDisk(fail_at, short=fail_at), 0
        try:
            with Journal.open(folder, chain_id=CHAIN, disk=disk, segment_bytes=600) as journal:
                for size in (1, 3, 2, 1, 4):
                    journal.append(records(acknowledged + 1, acknowledged + size))
                    acknowledged += size
        except DiskFailure:
            assert disk.failed
        with Journal.open(folder, chain_id=CHAIN) as journal:
            assert journal.last_sequence >= acknowledged and not journal.lost_sequence
        assert read(folder) == records(1, journal.last_sequence)
        if not disk.failed:
            assert fail_at > 15
            return
    pytest.fail("the scenario never passed")


def test_a_full_disk_for_real(tmp_path: Path) -> None:
    """A limit on the file size makes the kernel refuse the rest of a write."""
    code = """
import resource, sys
from pathlib import Path
from journal_samples import records
from offchain.domain.errors import DiskFailure
from offchain.storage.journal import Journal
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
journal, last = Journal.open(Path(sys.argv[1]), chain_id=998), 0
try:
    while True:
        journal.append(records(last + 1, last + 7))
        last += 7
except DiskFailure as failure:
    print(last)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    run = [sys.executable, "-c", code, str(tmp_path)]
    last = int(subprocess.run(run, capture_output=True, text=True, check=True, env=environment).stdout)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 20_000
    with Journal.open(tmp_path, chain_id=CHAIN) as journal:
        assert journal.last_sequence == last > 0 and journal.torn_bytes > 0
        journal.append(records(last + 1, last + 7))
    assert read(tmp_path) == records(1, last + 7)


def test_only_the_next_records_are_taken(tmp_path: Path) -> None:
    write(tmp_path, 2)
    with Journal.open(tmp_path, chain_id=CHAIN) as journal:
        for wrong in ([record(4)], [record(2)], [], [record(3)._replace(at=1)]):
            with pytest.raises(AssertionError):
                journal.append(wrong)
        journal.append([record(3)])


def test_durable_is_what_was_synced(tmp_path: Path) -> None:
    assert durable_sequence(tmp_path) is None
    write(tmp_path, 2, 3)
    assert durable_sequence(tmp_path) == 5
    (tmp_path / DURABLE_NAME).write_bytes(bytes(16))
    assert durable_sequence(tmp_path) is None
    (tmp_path / DURABLE_NAME).write_bytes(b"torn")
    assert durable_sequence(tmp_path) is None


def test_the_recovered_tail_is_made_durable_before_it_is_used(tmp_path: Path) -> None:
    write(tmp_path, 2)
    disk = FaultyDisk()
    with Journal.open(tmp_path, chain_id=CHAIN, disk=disk):
        assert disk.synced == 1


def test_a_record_of_the_largest_size(tmp_path: Path) -> None:
    large = Record(16, 1, 1, 5, b"x" * (64 * 1024))
    with Journal.open(tmp_path, chain_id=CHAIN) as journal:
        journal.append([large])
        with pytest.raises(AssertionError):
            journal.append([large._replace(sequence=2, payload=large.payload + b"x")])
    assert read(tmp_path) == [large]
