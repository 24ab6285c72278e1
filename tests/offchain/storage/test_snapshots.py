"""A replica, fast or slow, from the start or from a snapshot: one state; and no snapshot that is not this journal's."""

import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from histories import History
from journal_samples import ACCOUNT
from scene import ITEMIZED_VENUE, PACKED_VENUE, VENUE

from offchain.domain.command import PLACE_KINDS, CancelOrder, Codec, Command, OpenVenue, PlaceOrder, encode
from offchain.domain.eip712 import frame_digest, order_digest
from offchain.domain.order import ORDER_FRAME_BYTES
from offchain.engine.engine import Engine
from offchain.storage.frames import Body, decode_group
from offchain.storage.journal import Journal, Record
from offchain.storage.reader import Group, JournalReader
from offchain.storage.replica import Replica
from offchain.storage.rows import Run, parts
from offchain.storage.snapshots import read_snapshot, snapshot_files, write_snapshot

CHAIN = 998
GOLDEN = Path(__file__).parents[2] / "golden"


def write_history(folder: Path, seed: int, steps: int, venue: OpenVenue = ITEMIZED_VENUE) -> list[bytes]:
    """A journal of random groups, each at one time; the state hash after each group, of an engine that got commands."""
    pick, single, now = random.Random(seed), Engine(), 0
    waiting: list[Record] = []
    hashes = []
    with Journal.open(folder, chain_id=CHAIN, segment_bytes=50_000) as journal:
        for _, at, command, _ in History(seed, venue=venue).steps(steps):
            now = now if waiting else max(now, at)
            single.apply(single.sequence + 1, now, command)
            waiting.append(record_of(single.sequence, now, command))
            if pick.random() < 0.1:
                journal.append(waiting)
                waiting = []
                hashes.append(single.state_hash())
        if waiting:
            journal.append(waiting)
            hashes.append(single.state_hash())
    return hashes


def record_of(sequence: int, at: int, command: Command) -> Record:
    kind, version, payload = encode(command)
    return Record(kind, version, sequence, at, payload)


def groups(folder: Path, sequence: int = 1) -> list[Group]:
    return list(JournalReader(folder).groups(sequence))


@pytest.mark.parametrize("venue", [ITEMIZED_VENUE, PACKED_VENUE, VENUE], ids=["itemized", "packed", "old"])
def test_the_fast_way_leads_to_the_same_state_at_every_group(tmp_path: Path, venue: OpenVenue) -> None:
    hashes = write_history(tmp_path, 31, 2_500, venue)
    fast, runs = Replica(), 0
    for group, expected in zip(groups(tmp_path), hashes, strict=True):
        runs += sum(len(part.rows) for part in parts(group, Engine()) if isinstance(part, Run))
        fast.advance(group)
        assert fast.engine.state_hash() == expected
    assert runs > 500


@pytest.mark.parametrize("seed", [41, 42, 43])
def test_a_snapshot_and_the_rest_are_a_full_replay(tmp_path: Path, seed: int) -> None:
    hashes = write_history(tmp_path / "journal", seed, 1_500)
    full, pick = Replica(), random.Random(seed)
    for group in groups(tmp_path / "journal"):
        full.advance(group)
        if pick.random() < 0.2:
            write_snapshot(tmp_path / "snapshots", full.engine, group.head.hash)
            snapshot = read_snapshot(tmp_path / "snapshots", JournalReader(tmp_path / "journal"), full.sequence)
            assert snapshot is not None and snapshot.engine.sequence == full.sequence
            rest = Replica(snapshot.engine, snapshot.group_hash)
            for later in groups(tmp_path / "journal", full.sequence + 1):
                rest.apply(later)
            assert rest.engine.state_hash() == hashes[-1]
    assert full.engine.state_hash() == hashes[-1]
    assert len(snapshot_files(tmp_path / "snapshots")) == 2


@pytest.mark.parametrize("day", ["day-1", "day-2"])
def test_golden_journals_have_snapshots_at_every_group(tmp_path: Path, day: str) -> None:
    (tmp_path / "journal").mkdir()
    shutil.copy(GOLDEN / f"{day}.journal", tmp_path / "journal" / f"{1:020d}.journal")
    reader, full = JournalReader(tmp_path / "journal"), Replica()
    for group in reader.groups():
        full.apply(group)
    last = full.engine.state_hash()
    begun = Replica()
    for group in reader.groups():
        begun.advance(group)
        write_snapshot(tmp_path, begun.engine, group.head.hash)
        snapshot = read_snapshot(tmp_path, reader, group.last)
        assert snapshot is not None
        rest = Replica(snapshot.engine, snapshot.group_hash)
        for later in groups(tmp_path / "journal", group.last + 1):
            rest.advance(later)
        assert rest.engine.state_hash() == last


def test_a_torn_or_wrong_snapshot_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_history(tmp_path / "journal", 51, 400)
    replica, reader = Replica(), JournalReader(tmp_path / "journal")
    taken = []
    for group in reader.groups():
        replica.advance(group)
        if group.last > 200:
            write_snapshot(tmp_path, replica.engine, group.head.hash)
            taken.append(replica.sequence)
        if len(taken) == 2:
            break
    newest = snapshot_files(tmp_path)[0]
    whole = newest.read_bytes()
    flipped = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (0, 9, 30, 90, 200, 400, len(whole) - 1)]
    assert _found(tmp_path, reader) == taken[1]
    for content in (b"", whole[:5], whole[: len(whole) // 2], whole[:-1], whole + b"x", *flipped):
        newest.write_bytes(content)
        assert _found(tmp_path, reader) == taken[0]
        assert "snapshot passed over" in capsys.readouterr().out
    newest.write_bytes(whole)
    newest.rename(newest.with_name(f"{taken[1] + 1:020d}.snapshot"))
    assert _found(tmp_path, reader) == taken[1], "the header says of what it is"
    assert _found(tmp_path, reader, taken[1]) == taken[0], "not beyond what is wanted"


def test_the_snapshot_of_another_journal_is_passed_over(tmp_path: Path) -> None:
    """Also if it is of the same venue, and shares its beginning."""
    write_history(tmp_path / "one", 61, 200)
    write_history(tmp_path / "other", 62, 200)
    replica = Replica()
    for group in groups(tmp_path / "other"):
        replica.advance(group)
    write_snapshot(tmp_path, replica.engine, replica.group_hash)
    assert _found(tmp_path, JournalReader(tmp_path / "other")) == replica.sequence
    assert _found(tmp_path, JournalReader(tmp_path / "one")) == 0


def _found(folder: Path, reader: JournalReader, sequence_max: int = 10**9) -> int:
    snapshot = read_snapshot(folder, reader, sequence_max)
    return 0 if snapshot is None else snapshot.engine.sequence


def test_a_group_that_says_its_digests_is_not_hashed_again() -> None:
    """Each goes to its own order, also where a reader begins in the middle of the group."""
    commands = [command for _, _, command, _ in History(71).steps(300)]
    records = [record_of(sequence, 7, command) for sequence, command in enumerate(commands, 1)]
    content, _ = Body.of(records).seal(bytes(32))
    orders = {record.sequence for record in records if record.kind in PLACE_KINDS}
    said = content + b"".join(sequence.to_bytes(32) for sequence in sorted(orders))
    engine, seen = Engine(), set[int]()
    for record, command in zip(records, commands, strict=True):
        for part in parts(decode_group(said), engine):
            for number, row in enumerate(part.rows if isinstance(part, Run) else ()):
                if part.first + number in orders:
                    assert row[-1] == (part.first + number).to_bytes(32)
                    seen.add(part.first + number)
        engine.apply(record.sequence, 7, command)
    assert len(seen) > 50


def plain_orders(count: int) -> list[bytes]:
    """Payloads of orders that were signed alone, and have no name."""
    found = list[bytes]()
    for seed in range(71, 99):
        for _, _, command, _ in History(seed).steps(100):
            kind, _, payload = encode(command)
            if kind == Codec.KIND_PLACE and not command.client_order_id:
                found.append(payload)
    return found[:count]


def test_a_group_of_plain_orders_is_cut_as_any_other() -> None:
    """From wherever a reader begins; also where one record is a cancel or of another version, or time passes."""
    payloads = plain_orders(10)
    plain = [Record(Codec.KIND_PLACE, 1, number, 7, payload) for number, payload in enumerate(payloads, 1)]
    cancel = record_of(5, 7, CancelOrder(account=ACCOUNT, nonce=1, signer=ACCOUNT))
    later = [*plain[:3], *(record._replace(at=8) for record in plain[3:])]
    of_another_version = [plain[0]._replace(version=2), *plain[1:]]
    for records in (plain, [*plain[:4], cancel, *plain[5:]], later, of_another_version):
        content, _ = Body.of(records).seal(bytes(32))
        digests = b"".join(frame_digest(bytes(32), r.payload) for r in records if r.kind in PLACE_KINDS)
        for first in range(1, 12):
            engine = SimpleNamespace(sequence=first - 1, separator=bytes(32))
            found = [list(parts(decode_group(said), engine)) for said in (content, content + digests)]
            assert found[0] == found[1]
            assert sum(len(part.rows) if isinstance(part, Run) else 1 for part in found[0]) == 11 - first


def test_a_frame_hashes_as_its_order() -> None:
    separator, seen = bytes(range(32)), 0
    for _, _, command, _ in History(71).steps(300):
        if isinstance(command, PlaceOrder):
            _, _, payload = encode(command)
            assert frame_digest(separator, payload) == order_digest(separator, command.order)
            assert frame_digest(separator, payload[:ORDER_FRAME_BYTES]) == order_digest(separator, command.order)
            seen += 1
    assert seen > 50
