"""JSON lines of a journal, and back: the form in which golden journals are kept."""

import json
from pathlib import Path

import pytest
from journal_samples import ACCOUNT, CHAIN, read, write

from offchain.domain.command import CancelAll, CloseEpoch, ObserveBlock, encode
from offchain.domain.errors import InvalidInput
from offchain.storage.inspect import json_lines, line_of, readable, records_of
from offchain.storage.journal import Journal, Record


def test_lines_and_records_are_the_same_thing(tmp_path: Path) -> None:
    written = write(tmp_path / "one", 3, 2)
    lines = list(json_lines(tmp_path / "one"))
    assert list(records_of(["# a comment", "", *lines])) == written
    assert list(json_lines(tmp_path / "one", 4)) == lines[3:]
    with Journal.open(tmp_path / "two", chain_id=CHAIN) as journal:
        journal.append(list(records_of(lines)))
    assert read(tmp_path / "two") == written


def test_lines_are_readable(tmp_path: Path) -> None:
    write(tmp_path, 3)
    cancel, timer, place = (json.loads(line) for line in json_lines(tmp_path))
    assert [line["sequence"] for line in (cancel, timer, place)] == [1, 2, 3]
    assert cancel["command"]["type"] == "cancel_order" and cancel["command"]["account"] == ACCOUNT
    assert timer["command"] == {"type": "advance_time"}
    terms = place["command"]["order"]
    assert (terms["side"], terms["kind"], terms["time_in_force"]) == ("BUY", "LIMIT", "GTC")
    assert place["command"]["client_order_id"] == "client-3" and place["command"]["signature"] == "0x" + "00" * 65


@pytest.mark.parametrize(
    "command", [CancelAll(ACCOUNT, 1, 5, ACCOUNT), CloseEpoch(), ObserveBlock(block_number=1, block_time=2)]
)
def test_other_commands(command: CancelAll | CloseEpoch | ObserveBlock) -> None:
    kind, version, payload = encode(command)
    (record,) = records_of([line_of(Record(kind, version, 7, 8, payload))])
    assert record == Record(kind, version, 7, 8, payload)
    assert readable(command)["type"] in ("cancel_all", "close_epoch", "observe_block")


@pytest.mark.parametrize("line", ["{", "{}", '{"sequence":1,"at":1,"kind":1,"version":1,"payload":"zz"}', "[]"])
def test_what_is_no_line_is_named(line: str) -> None:
    with pytest.raises(InvalidInput, match="line 2"):
        list(records_of(["", line]))
