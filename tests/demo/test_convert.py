"""A recorded stream becomes a flow that the reader accepts."""

import json
from pathlib import Path

from demo import convert, flow


def line(nanos: int, **message: object) -> bytes:
    return f"{nanos} ".encode() + json.dumps({"stream": "x", "data": message}).encode()


def recording() -> list[bytes]:
    trade = {"e": "trade", "p": "61800.30", "q": "0.006", "m": False}
    grow = {"e": "depthUpdate", "b": [["61800.20", "2.5"], ["10.00", "1"]], "a": [["61800.40", "0.010"]]}
    shrink = {"e": "depthUpdate", "b": [["61800.20", "1.0"]], "a": []}
    return [
        line(1_000_000_000, **grow),
        line(1_002_000_000, **trade),
        line(1_005_000_000, e="depthUpdate", b=[["61800.20", "2.7"]], a=[["61800.40", "0.013"]]),
        line(1_009_000_000, **shrink),
    ]


def test_levels_become_orders_and_cancels() -> None:
    actions = convert.convert(iter(recording()), 100, "BTC-USDC")
    words = [(action.op, action.side, action.price, action.size) for action in actions]
    assert words == [
        ("place", "buy", "61800.3", "0.006"),
        ("place", "buy", "61800.2", "0.02"),
        ("place", "sell", "61800.4", "0.003"),
        ("cancel", "", "", ""),
    ]
    assert [action.at for action in actions] == [2, 5, 5, 9]
    assert actions[3].id == actions[1].id and actions[3].trader == actions[1].trader


def test_converted_file_reads_back(tmp_path: Path) -> None:
    actions = convert.convert(iter(recording()), 100, "BTC-USDC")
    flow.write(tmp_path / "flow.jsonl", actions)
    assert flow.read(tmp_path / "flow.jsonl", convert.TRADERS) == actions


def test_order_count_is_a_bound() -> None:
    placed = [action for action in convert.convert(iter(recording()), 2, "BTC-USDC") if action.op == "place"]
    assert len(placed) <= 3
