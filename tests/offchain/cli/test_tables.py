"""What people read: tables without anything that steers their terminal, and warnings about their keys."""

from pathlib import Path

import pytest

from offchain.cli.debt import _print
from offchain.cli.money import _answer_approval
from offchain.cli.secrets import open_key
from offchain.cli.tables import echo_table, plain
from offchain.client import Approval

POSITION: dict[str, object] = {
    "account": "0x01",
    "synth": "hBTC",
    "collateral": "90000",
    "debt": "1",
    "price": "60000",
    "priceAgeSeconds": 12,
    "priceIsStale": False,
    "ratioPercent": 150,
}
APPROVAL = Approval(
    purpose="withdraw",
    account="0x01",
    token="0x02",
    amount="100",
    amount_atoms="100000000",
    destination="0x03",
    as_cxpt=False,
    nonce="77",
    deadline=1_800_000_000,
    signature="0x" + "ab" * 65,
)


def test_anybody_s_words_are_one_printable_line() -> None:
    assert plain("EV\nIL\x1b[31m\u202e") == "EV\\nIL\\x1b[31m\\u202e"
    assert plain("h\u00e9 \u20bf") == "h\u00e9 \u20bf"


def test_columns(capsys: pytest.CaptureFixture[str]) -> None:
    echo_table({"a": 1, "longer": None, "evil\x1b": "x\ny"})
    assert capsys.readouterr().out == "a:         1\nlonger:    -\nevil\\x1b:  x\\ny\n"


def test_a_position_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    _print(False, POSITION)
    assert capsys.readouterr().out.splitlines() == [
        "account:     0x01",
        "collateral:  90000 USDC",
        "debt:        1 hBTC",
        "price:       60000 USDC, 12 s old",
        "ratio:       150 %",
    ]
    _print(False, {"transaction": "0x9"} | POSITION | {"priceIsStale": True, "ratioPercent": None})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["transaction:", "0x9"] and lines[4].endswith("12 s old, stale")
    assert lines[5].endswith("no debt, or no price")
    _print(False, POSITION | {"price": "none", "priceAgeSeconds": None})
    assert "none accepted yet" in capsys.readouterr().out
    _print(True, POSITION)
    assert '"ratioPercent": 150' in capsys.readouterr().out


def test_a_countersignature_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    _answer_approval(False, APPROVAL, "USDC", {"pays": "80 USDC"})
    out = capsys.readouterr().out
    assert "abab" not in out, "the relay sends it; nobody reads it"
    lines = dict(line.split(":", 1) for line in out.splitlines())
    assert {name: value.strip() for name, value in lines.items() if name != "next"} == {
        "withdraw": "100 USDC",
        "as": "USDC",
        "from": "0x01",
        "to": "0x03",
        "pays": "80 USDC",
        "approval": "77, until 2027-01-15 08:00:00 UTC",
    }
    _answer_approval(True, APPROVAL, "USDC", {})
    assert '"signature": "0xabab' in capsys.readouterr().out


@pytest.mark.parametrize(("mode", "is_warned"), [(0o600, False), (0o640, True), (0o604, True), (0o400, False)])
def test_a_key_that_others_can_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int, is_warned: bool
) -> None:
    path = tmp_path / "trader.key"
    path.write_text("11" * 32)
    path.chmod(mode)
    open_key(path, None)
    said = capsys.readouterr().err
    assert ("others can read" in said and "chmod go=" in said) is is_warned
    assert "1111" not in said
