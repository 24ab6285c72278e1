"""The stages of the budget: all of them measured, each told with its gate."""

from pathlib import Path

from bench import stages
from bench.calibration import seconds_per_recovery


def test_every_stage_is_measured_against_its_budget(tmp_path: Path) -> None:
    run = stages.measure(stages.stages(tmp_path, trees=(64,), orders=20), rounds=1)
    assert len(run["rows"]) == 12
    assert all(row["ratio"] > 0 for row in run["rows"])
    table = stages.table(run)
    assert "| EIP-712 hash |" in table
    assert "/s |" in table


def test_a_budget_scales_with_the_machine() -> None:
    stage = stages.Stage("x", 1, lambda: None, stages.REFERENCE_MICROS / 2)
    row = stages._row(stage, [stages.Measure(10.0, 10.0, 0.4), stages.Measure(10.0, 10.0, 0.6)])
    assert (row["gate"], row["ratio"]) == (0.5, 0.5)
    assert row["name"] in stages.table({"rows": [row]})
    assert "holds" in stages.table({"rows": [row]})


def test_a_recovery_takes_some_microseconds() -> None:
    assert 5e-6 < seconds_per_recovery(20) < 5e-3
