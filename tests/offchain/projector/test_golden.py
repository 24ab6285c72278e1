"""Golden journals: what an earlier version wrote still reads, replays and hashes to the same.

`HOOATS_REWRITE_GOLDEN=day-2` writes that one anew: right before its first release, and never for a journal that is out
there.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from amm_day_samples import write_amm_day
from day_samples import write_day
from venue_samples import CHAIN

from offchain.domain.command import Codec, decode, encode
from offchain.projector.replay import replay_journal
from offchain.storage import scan
from offchain.storage.inspect import json_lines, line_of, records_of
from offchain.storage.journal import Journal
from offchain.storage.reader import JournalReader

GOLDEN = Path(__file__).parents[2] / "golden"
REWRITE = os.environ.get("HOOATS_REWRITE_GOLDEN", "")
DAYS: dict[str, Callable[[Path], object]] = {
    "day-1": lambda folder: write_day(folder, orders=48),
    "day-2": write_amm_day,
}


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
    DAYS[REWRITE](folder)
    GOLDEN.mkdir(exist_ok=True)
    ((_, segment),) = scan.segments(folder / "journal")
    shutil.copy(segment, GOLDEN / f"{REWRITE}.journal")
    (GOLDEN / f"{REWRITE}.jsonl").write_text("\n".join(json_lines(folder / "journal")) + "\n")
    (GOLDEN / f"{REWRITE}.expected.json").write_text(json.dumps(summary(folder / "journal"), indent=2) + "\n")


@pytest.fixture(params=DAYS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(tmp_path: Path, name: str) -> Path:
    shutil.copy(GOLDEN / f"{name}.journal", scan.segment_path(tmp_path, 1))
    return tmp_path


def test_the_segment_still_reads_and_replays(opened: Path, name: str) -> None:
    with Journal.open(opened, chain_id=CHAIN) as journal:
        assert journal.torn_bytes == 0
    expected = json.loads((GOLDEN / f"{name}.expected.json").read_text())
    assert summary(opened) == expected
    assert all(count > 0 for count in expected["fills"]) and len(expected["headers"]) >= 2


def test_the_lines_are_the_segments_records(opened: Path, name: str) -> None:
    lines = (GOLDEN / f"{name}.jsonl").read_text().splitlines()
    records = list(JournalReader(opened).read())
    assert list(records_of(lines)) == records
    for record in records:
        command = decode(record.kind, record.version, record.payload)
        if record.kind != Codec.KIND_JSON:  # whose commands may gain fields
            assert encode(command) == (record.kind, record.version, record.payload), "frames are for ever"
        assert list(records_of([line_of(record)])) == [record]
