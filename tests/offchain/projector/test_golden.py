"""Golden journals: what an earlier version wrote still reads, replays and hashes to the same.

`HOOATS_REWRITE_GOLDEN=1` writes them anew: right before the first release, and never for a journal that is out there.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from day_samples import write_day
from venue_samples import CHAIN

from offchain.domain.command import Codec, decode, encode
from offchain.projector.replay import replay_journal
from offchain.storage import scan
from offchain.storage.inspect import json_lines, line_of, records_of
from offchain.storage.journal import Journal
from offchain.storage.reader import JournalReader

GOLDEN = Path(__file__).parents[2] / "golden"
REWRITE = os.environ.get("HOOATS_REWRITE_GOLDEN") == "1"


def summary(folder: Path) -> dict[str, Any]:
    replay = replay_journal(folder)
    matched, settled, refused = replay.fills()
    return {
        "sequence": replay.engine.sequence,
        "stateHash": replay.engine.state_hash().hex(),
        "headers": [header.hash().hex() for header in replay.headers],
        "fills": [len(matched), len(settled), len(refused)],
    }


@pytest.fixture(scope="module", autouse=True)
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> None:
    if not REWRITE:
        return
    folder = tmp_path_factory.mktemp("golden")
    write_day(folder, orders=48)
    GOLDEN.mkdir(exist_ok=True)
    ((_, segment),) = scan.segments(folder / "journal")
    shutil.copy(segment, GOLDEN / "day-1.journal")
    (GOLDEN / "day-1.jsonl").write_text("\n".join(json_lines(folder / "journal")) + "\n")
    (GOLDEN / "day-1.expected.json").write_text(json.dumps(summary(folder / "journal"), indent=2) + "\n")


@pytest.fixture
def opened(tmp_path: Path) -> Path:
    shutil.copy(GOLDEN / "day-1.journal", scan.segment_path(tmp_path, 1))
    return tmp_path


def test_the_segment_still_reads_and_replays(opened: Path) -> None:
    with Journal.open(opened, chain_id=CHAIN) as journal:
        assert journal.torn_bytes == 0
    expected = json.loads((GOLDEN / "day-1.expected.json").read_text())
    assert summary(opened) == expected
    assert all(count > 0 for count in expected["fills"]) and len(expected["headers"]) >= 2


def test_the_lines_are_the_segments_records(opened: Path) -> None:
    lines = (GOLDEN / "day-1.jsonl").read_text().splitlines()
    records = list(JournalReader(opened).read())
    assert list(records_of(lines)) == records
    for record in records:
        command = decode(record.kind, record.version, record.payload)
        if record.kind != Codec.KIND_JSON:  # whose commands may gain fields
            assert encode(command) == (record.kind, record.version, record.payload), "frames are for ever"
        assert list(records_of([line_of(record)])) == [record]
