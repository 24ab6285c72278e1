"""A recorded flow as a workload."""

import gzip
import json
from pathlib import Path

import pytest

from bench.operations import ADD, CANCEL, TAKE, Operation
from bench.recorded import BadFlow, recorded


def line(**content: object) -> bytes:
    return b"1 " + json.dumps({"stream": "x", "data": content}).encode() + b"\n"


def depth(bids: list[list[str]], asks: list[list[str]]) -> bytes:
    return line(e="depthUpdate", b=bids, a=asks)


FLOW = (
    depth([["99.5", "0.020"]], [["100.0", "0.010"], ["100.5", "0.030"]])
    + line(e="bookTicker", b="99.5")
    + depth([], [["100.0", "0.015"]])
    + line(e="trade", p="100.0", q="0.012", m=False)
    + depth([["99.5", "0.005"]], [["100.0", "0.003"]])
)


def test_levels_and_trades_become_orders(tmp_path: Path) -> None:
    path = tmp_path / "flow.jsonl.gz"
    path.write_bytes(gzip.compress(FLOW))
    workload = recorded(path)
    assert workload.preload + workload.operations == [
        Operation(ADD, 1, 0, 0, 995, 20),
        Operation(ADD, 2, 0, 1, 1000, 10),
        Operation(ADD, 3, 0, 1, 1005, 30),
        Operation(ADD, 4, 0, 1, 1000, 5),
        Operation(TAKE, 5, 0, 0, 1000, 12),
        # A level that shrank: its newest order goes, and what that took too much comes back.
        Operation(CANCEL, 1, 0, 0, 0, 0),
        Operation(ADD, 6, 0, 0, 995, 5),
    ]
    assert workload.digest[:3] == (2, 12, 12_000)


def test_a_trade_that_meets_nothing_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "flow.jsonl"
    path.write_bytes(FLOW + line(e="trade", p="100.4", q="9", m=False) + line(e="trade", p="99.6", q="9", m=True))
    assert recorded(path).digest[:3] == (3, 15, 15_000)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no line has"),
        (b"1 {]\n", "line 1"),
        (FLOW + b"1 " + b'{"e": "trade"}\n', "line 6: KeyError"),
        (FLOW + line(e="trade", p="x", q="1", m=True), "line 6"),
    ],
)
def test_a_file_of_another_form_is_refused_with_the_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "flow.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadFlow, match=reason):
        recorded(path)
