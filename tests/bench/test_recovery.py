"""Starting anew: the journal of the bench is one, and both starts are timed to the same state."""

from pathlib import Path

from bench import recovery


def test_both_starts_are_measured(tmp_path: Path) -> None:
    run = recovery.measure(tmp_path, orders=2_000, tail=500, rounds=1)
    (found,) = run["rounds"]
    assert found["cold"]["commands"] == found["snapshot"]["commands"] == run["commands"] > 2_000
    assert found["cold"]["state"] == found["snapshot"]["state"]
    assert run["snapshot_bytes"] > 1_000
    table = recovery.table(run)
    assert "| 2,000 orders, cold |" in table
    assert "| snapshot and 500 commands |" in table
    assert table.count("holds") == 2
