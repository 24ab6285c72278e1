"""Every engine that is installed reaches the digest of the plain book, and the rounds tell when one does not."""

import functools
from pathlib import Path
from typing import Any

import pytest

from bench import engines, machine, report
from bench.compare import compare
from bench.engines.hooats import Engine
from bench.play import play, run
from bench.rounds import CALIBRATION, Player, Row, play_round, quiet, rows, run_one
from bench.workloads import WORKLOADS, stored

COUNT, PRELOAD = 600, 200


@functools.cache
def workload_file(folder: Path, name: str) -> Path:
    sizes = {"count": COUNT} if name == "adversarial" else {"count": COUNT, "preload": PRELOAD}
    return stored(folder, name, 7, **sizes)


@pytest.mark.parametrize("name", WORKLOADS)
def test_hooats_reaches_the_digest(name: str, tmp_path: Path) -> None:
    sizes = {"count": COUNT} if name == "adversarial" else {"count": COUNT, "preload": PRELOAD}
    workload = WORKLOADS[name](11, **sizes)
    adapter = Engine(workload)
    run(adapter, workload.preload)
    run(adapter, workload.operations)
    assert adapter.digest() == workload.digest


def test_an_engine_that_is_too_slow_is_stopped() -> None:
    result = play(engines.HOOATS, WORKLOADS["mixed"](7, count=2_000, preload=100), policy="default", patience=1e-9)
    assert result["stopped"]
    assert not result["agrees"]


@pytest.mark.parametrize("peer", engines.PEERS)
def test_a_peer_reaches_the_digest(peer: str, tmp_path: Path) -> None:
    if not machine.PEERS_PYTHON.exists():
        pytest.skip("the peers are not installed: toolchain/setup bench")
    result = run_one(Player(peer, peer, workload_file(tmp_path, "mixed")), "off", 30.0)
    if "missing" in result:
        pytest.skip(result["missing"])
    assert result.get("agrees"), result


def fake(seconds: dict[str, float], recover: float = 30e-6, **odd: Any) -> Any:
    """Runs nothing: every engine takes so long for 100 operations."""

    def runner(entry: Player | None, policy: str, patience: float) -> dict[str, Any]:
        if entry is None:
            return {"engine": CALIBRATION, "recover_seconds": recover}
        result = {
            "engine": entry.engine,
            "operations": 100,
            "make_seconds": 1.0,
            "play_seconds": seconds[entry.engine],
            "wall_seconds": 2 * seconds[entry.engine],
            "elsewhere_seconds": 0.0,
            "digest": (1, 2, 3, 4),
            "agrees": True,
            "stopped": False,
        }
        return {**result, **odd.get(entry.engine, {})}

    return runner


def entries(*names: str) -> list[Player]:
    return [Player(name, name, Path("x")) for name in names]


def test_a_ratio_is_from_integers_to_the_answer() -> None:
    everyone = entries("hooats", "bourse", "redis")
    runner = fake({"hooats": 1.0, "bourse": 3.0, "redis": 10.0}, redis={"elsewhere_seconds": 7.0})
    one = play_round(0, 7, everyone, "off", 0.0, runner)
    ours, bourse, redis = rows([one], everyone)
    assert ours == Row("hooats", 50.0, (1.0,), (1.0,))
    assert bourse == Row("bourse", 25.0, (2.0,), (3.0,))
    assert redis == Row("redis", 5.0, (20.0 / 3.0,), (7.0,))


def test_a_row_with_another_digest_is_void() -> None:
    everyone = entries("hooats", "bourse")
    runner = fake({"hooats": 2.0, "bourse": 0.1}, bourse={"agrees": False})
    table = report.table(rows([play_round(0, 7, everyone, "off", 0.0, runner)], everyone))
    assert "| bourse | void: reached (1, 2, 3, 4) | | | |" in table


def test_a_disturbed_round_is_dropped() -> None:
    everyone = entries("hooats")
    calm, noisy = (play_round(0, 7, everyone, "off", 0.0, fake({"hooats": 1.0}, recover)) for recover in (30e-6, 34e-6))
    assert quiet([calm, noisy, calm]) == [calm, calm]


def test_rounds_go_in_an_order_of_their_own() -> None:
    orders = set()
    for number in range(5):
        seen: list[str] = []

        def runner(entry: Player | None, *rest: object, seen: list[str] = seen) -> dict[str, Any]:
            seen.append(entry.name if entry else CALIBRATION)
            return {"recover_seconds": 1.0}

        play_round(number, 7, entries("hooats", "bourse", "redis"), "off", 0.0, runner)
        orders.add(tuple(seen))
    assert len(orders) > 1


def test_a_gate_is_told_with_its_ratio() -> None:
    table = report.table([Row("bourse", 1.0, (0.2, 0.4, 0.5), (0.2, 0.3, 0.4)), Row("redis", 1.0, (7.0,), (1.0,))])
    assert "0.40 × (0.20–0.50) | 0.30 × | ≥ 0.3 holds" in table
    assert "≥ 8 is missed" in table


def test_a_comparison_end_to_end(tmp_path: Path) -> None:
    """Real processes: calibration, HOOATS, and whichever peers are here, twice."""
    file = workload_file(tmp_path, "mixed")
    run = compare(file, file, ["bourse"], count=2, say=lambda text: None)
    assert run["kept"] >= 1
    assert run["workload"]["digest"] == WORKLOADS["mixed"](7, count=COUNT, preload=PRELOAD).digest
    ours = next(row for row in run["rows"] if row["name"] == "hooats")
    assert ours["ops_per_second"] > 1_000
    headline = report.headline(run)
    assert "collector off for all" in headline
    assert run["machine"]["commit"] in headline
    assert report.save("engines", run, tmp_path).read_text().startswith("{")
