"""What `ape run status` says of a venue that is as the registry says, and still not as it should be."""

import pytest

from scripts._status import Status
from scripts._status_page import print_status


def status(**feeds: int) -> Status:
    return Status(998, 1, 3_000_000, {}, [], True, 86_400, [], {}, {}, "small", {}, feeds, [])


def test_a_quorum_of_one_is_a_warning_and_no_problem(capsys: pytest.CaptureFixture[str]) -> None:
    found = status(hBTC=1, hETH=2)
    print_status(found)
    printed = capsys.readouterr().out
    assert "WARNING hBTC: the quorum is 1, so that one posting key makes the price" in printed
    assert "hETH:" not in printed and "all as the registry says" in printed
    told = found.to_json()
    assert told["quorums"] == {"hBTC": 1, "hETH": 2} and len(told["warnings"]) == 1 and told["problems"] == []


def test_nothing_is_said_of_more(capsys: pytest.CaptureFixture[str]) -> None:
    print_status(status(hBTC=2))
    assert "WARNING" not in capsys.readouterr().out
