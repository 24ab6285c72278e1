"""What the demo's report says of claims that held, failed, were left out or forgotten."""

import pytest

from demo.report import CLAIMS, JOURNEYS, Report


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


def test_a_journey_without_a_claim_is_not_called_ok(capsys: pytest.CaptureFixture[str]) -> None:
    report = all_but("forced")
    report.skip("forced", "the operator stays")
    _, text = finished(report, capsys)
    assert f"skip   trader: {JOURNEYS['trader'][0]} (without: {CLAIMS['forced']})" in text
    assert text.count("skip  ") == 2 and "ok     verifier" in text
    _, text = finished(all_but("forced"), capsys)
    assert "FAILED trader" in text and "ok     verifier" in text


def test_what_failed_and_was_skipped_failed(capsys: pytest.CaptureFixture[str]) -> None:
    report = all_but("forced")
    report.check("forced", False, "nothing arrived")
    report.skip("forced", "the operator stays")
    good, text = finished(report, capsys)
    assert not good and "FAILED trader" in text and f"FAILED {CLAIMS['forced']}" in text


def test_every_journey_stands_on_claims() -> None:
    for _, claims in JOURNEYS.values():
        assert claims and set(claims) <= CLAIMS.keys()


def test_what_was_forgotten_failed(capsys: pytest.CaptureFixture[str]) -> None:
    good, text = finished(all_but("forced"), capsys)
    assert not good and f"FAILED {CLAIMS['forced']} (not checked)" in text


def test_failed_once_is_failed(capsys: pytest.CaptureFixture[str]) -> None:
    report = all_but("")
    report.check("settled", False, "one twice")
    report.check("settled", True)
    good, text = finished(report, capsys)
    assert not good and f"FAILED {CLAIMS['settled']} (one twice)" in text
