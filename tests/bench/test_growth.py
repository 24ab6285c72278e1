"""Growth curves: what is grown, what is told of it, and the picture."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from bench import growth, machine, plot
from bench.operations import CANCEL, MAKERS_MAX


@pytest.mark.parametrize("name", growth.CURVES)
def test_a_point_is_measured_and_checked(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(growth, "PROBES", 50)
    monkeypatch.setattr(machine, "BUILD", tmp_path)
    found = growth.point(name, 20)
    assert found["size"] == 20
    assert found["micros"] > 0
    assert found["ratio"] > 0


def test_a_level_is_emptied_from_the_middle() -> None:
    workload = growth.one_level(5)
    assert next(operation.order for operation in workload.operations if operation.kind == CANCEL) == 3
    assert workload.digest.resting == 0


def test_a_sweep_takes_every_level() -> None:
    workload = growth.sweep(250)
    assert workload.digest == (250, 250, sum(growth.FAR + at for at in range(250)), 0)
    assert len(workload.operations) == -(-250 // MAKERS_MAX)


def rows(*ratios: float) -> list[dict[str, Any]]:
    return [{"curve": "resting", "size": 10 ** (3 + at), "ratio": ratio} for at, ratio in enumerate(ratios)]


def test_a_logarithm_is_allowed_and_a_line_is_not() -> None:
    assert growth.verdict(rows(1.0, 1.3, 1.6, 2.0)) == (2.0, True)
    assert growth.verdict(rows(1.0, 10.0, 100.0, 1_000.0)) == (1_000.0, False)


def test_rounds_are_interleaved_and_disturbed_points_dropped() -> None:
    asked: list[tuple[str, int]] = []

    def measure(name: str, size: int) -> dict[str, Any]:
        asked.append((name, size))
        slow = len(asked) == 1
        return {
            "size": size,
            "micros": 9.0 if slow else 1.0,
            "ratio": 0.9 if slow else 0.1,
            "recover_micros": 40.0 if slow else 30.0,
            "bytes_per_order": 100.0 if size >= 10_000 else None,
        }

    run = growth.grow(["resting"], 10_000, 3, measure)
    assert len(asked) == 6
    assert [row["ratio"] for row in run["rows"]] == [0.1, 0.1]
    assert sum(row["quiet"] for row in run["rows"]) == 5
    assert "| resting orders, per operation | 10,000 | 1.00 | 0.100 | 100 |" in growth.table(run["rows"])


def test_the_picture_is_well_formed() -> None:
    text = plot.svg({"a <b>": [(1, 0.02), (1_000, 0.05)], "c": [(10, 3.0)]}, "size", "cost")
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    assert text.count("<circle") == 3
    assert "a &lt;b&gt;" in text
