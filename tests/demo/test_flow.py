"""The demo's flow: repeatable from its seed, readable from a file, refused by line when it is wrong."""

import gzip
from pathlib import Path

import pytest

from demo import flow
from offchain.domain.errors import InvalidInput
from offchain.domain.market import Market
from offchain.domain.units import Address

BTC = Market(
    market=1,
    symbol="BTC-USDC",
    base_token=Address("0x" + "11" * 20),
    base_atoms_per_lot=10**14,
    quote_atoms_per_tick_lot=10,
    base_decimals=18,
    quote_decimals=6,
)


def test_same_seed_same_flow() -> None:
    assert flow.generate(7, 500, 10_000, 20) == flow.generate(7, 500, 10_000, 20)
    assert flow.generate(7, 500, 10_000, 20) != flow.generate(8, 500, 10_000, 20)


def test_generated_flow_is_realistic() -> None:
    actions = flow.generate(7, 2_000, 30_000, 20)
    placed = [action for action in actions if action.op == "place"]
    assert len(placed) == 2_000
    assert len({action.id for action in placed}) == 2_000
    assert [action.at for action in actions] == sorted(action.at for action in actions)
    cancels = [action for action in actions if action.op == "cancel"]
    by_id = {action.id: action for action in placed}
    assert 200 < len(cancels) < 900
    assert all(by_id[action.id].trader == action.trader for action in cancels)
    assert {action.type for action in placed} == {"limit", "market"}
    assert all((action.slot == 0) == (action.tif == "IOC") for action in placed)


def test_generated_prices_and_sizes_are_canonical() -> None:
    for action in flow.generate(3, 400, 10_000, 20):
        if action.op == "place" and action.market == BTC.symbol:
            assert BTC.format_price(BTC.parse_price(action.price)) == action.price
            assert BTC.format_size(BTC.parse_size(action.size)) == action.size


@pytest.mark.parametrize("name", ["flow.jsonl", "flow.jsonl.gz"])
def test_file_round_trip(tmp_path: Path, name: str) -> None:
    actions = flow.generate(5, 50, 1_000, 20)
    path = tmp_path / name
    flow.write(tmp_path / "plain", actions)
    content = (tmp_path / "plain").read_bytes()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert flow.read(path, 20) == actions


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "bad.jsonl:1"),
        ('{"at": 1, "trader": 99, "op": "cancel", "id": 1}', "trader 99"),
        ('{"at": 1.5, "trader": 0, "op": "cancel", "id": 1}', "at"),
        ('{"at": 1, "trader": 0, "op": "steal", "id": 1}', "op"),
        ('{"at": 1, "trader": 0, "op": "cancel", "id": 1, "colour": 1}', "colour"),
        ("", "holds no action"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(line)
    with pytest.raises(InvalidInput, match=words):
        flow.read(path, 20)


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read flow"):
        flow.read(tmp_path / "nothing.jsonl", 20)
