"""What an audience's verdicts take for a fault."""

from typing import Any

from bench.audience import verdicts


def performed(p99: float, told: int, gained: int, left: int = 8) -> dict[str, Any]:
    """Ten clients, of which two stall, one of them with a private stream."""
    return {
        "clients": 10,
        "stalled": 2,
        "private": 1,
        "open": left,
        "ends": {"private told where to resume": told, "public ended: closed": 1},
        "memory": [100, 100 + gained],
        "until stall": {"delay_ms": {"p99": 50.0}},
        "until again": {"delay_ms": {"p99": p99}},
    }


def held(*rounds: dict[str, Any]) -> list[bool]:
    return [holds for *_, holds in verdicts(rounds)]


def test_each_bound_is_missed_by_itself() -> None:
    assert held(performed(60.0, 1, 2 << 20)) == [True] * 3
    assert held(performed(61.0, 1, 2 << 20)) == [False, True, True]
    assert held(performed(60.0, 0, 2 << 20, left=9)) == [True, False, True]
    assert held(performed(60.0, 1, (2 << 20) + 1)) == [True, True, False]
    assert held(performed(60.0, 1, 0, left=7)) == [True, True, True, False], "one is nowhere"


def test_one_bad_round_of_three_is_noise() -> None:
    assert held(performed(90.0, 1, 0), performed(50.0, 1, 0), performed(55.0, 1, 0)) == [True] * 3
