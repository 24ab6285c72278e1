"""What the demo's report says of claims that held, failed, were left out or forgotten."""

import pytest

from demo.report import CLAIMS, Report


def finished(report: Report, capsys: pytest.CaptureFixture[str]) -> tuple[bool, str]:
    assert report.verdict is None
    good = report.finish()
    assert report.verdict is good
    return good, capsys.readouterr().out


def all_but(claim: str) -> Report:
    report = Report()
    for other in CLAIMS:
        if other != claim:
            report.check(other, True)
    return report


def test_what_was_left_out_is_not_called_ok(capsys: pytest.CaptureFixture[str]) -> None:
    report = all_but("forced")
    report.skip("forced", "the operator stays")
    good, text = finished(report, capsys)
    assert good and f"skip   {CLAIMS['forced']} (the operator stays)" in text
    assert "every claim held, 1 left out" in text and "FAILED" not in text


def test_what_was_forgotten_failed(capsys: pytest.CaptureFixture[str]) -> None:
    good, text = finished(all_but("forced"), capsys)
    assert not good and f"FAILED {CLAIMS['forced']} (not checked)" in text


def test_failed_once_is_failed(capsys: pytest.CaptureFixture[str]) -> None:
    report = all_but("")
    report.check("settled", False, "one twice")
    report.check("settled", True)
    good, text = finished(report, capsys)
    assert not good and f"FAILED {CLAIMS['settled']} (one twice)" in text
