"""GCRA against the definition of its invariant."""

from hypothesis import given
from hypothesis import strategies as st

from offchain.security.limits import Budget, Gcra, Rate, retry_after_seconds, take_all

SECOND = 1_000_000_000
steps = st.lists(st.tuples(st.integers(0, SECOND), st.integers(1, 5)), max_size=60)


@given(steps, st.integers(1, 50), st.integers(1, 20))
def test_never_more_than_burst_plus_rate(requests: list[tuple[int, int]], per_second: int, burst: int) -> None:
    limit, now, allowed = Gcra(Rate(per_second, burst)), 0, list[tuple[int, int]]()
    for gap, weight in requests:
        now += gap
        weight = min(weight, burst)
        if limit.take("key", weight, now) == 0:
            allowed.append((now, weight))
    for i, (start, _) in enumerate(allowed):
        for end, _ in allowed[i:]:
            total = sum(weight for at, weight in allowed if start <= at <= end)
            assert total <= burst + per_second * (end - start) / SECOND + 1e-6


@given(steps, st.integers(1, 50), st.integers(1, 20))
def test_the_wait_is_long_enough_and_no_longer(requests: list[tuple[int, int]], per_second: int, burst: int) -> None:
    limit, now = Gcra(Rate(per_second, burst)), 0
    for gap, weight in requests:
        now += gap
        delay = limit.take("key", weight, now)
        if delay:
            assert limit.wait("key", weight, now + delay - 1) > 0
            assert limit.wait("key", weight, now + delay) == 0


def test_a_refusal_costs_nothing() -> None:
    limit = Gcra(Rate(1, 1))
    assert limit.take("a", 1, 0) == 0
    delays = [limit.take("a", 1, 0) for _ in range(5)]
    assert delays == [SECOND] * 5
    assert limit.take("a", 1, SECOND) == 0


def test_keys_are_apart() -> None:
    limit = Gcra(Rate(1, 1))
    assert limit.take("a", 1, 0) == limit.take("b", 1, 0) == 0


def test_memory_is_bounded_and_fails_closed() -> None:
    limit = Gcra(Rate(1, 2), keys_max=10)
    refused = sum(limit.take(number, 1, 0) > 0 for number in range(100))
    assert (len(limit), refused) == (10, 90)
    assert limit.take("late", 1, 10 * SECOND) == 0, "keys at rest give way"
    assert len(limit) <= 10


def test_all_or_none() -> None:
    wide, narrow = Gcra(Rate(10, 10)), Gcra(Rate(1, 1))
    budgets = [Budget(wide, "a", 3), Budget(narrow, "a", 1)]
    assert take_all(budgets, 0) == 0
    assert take_all(budgets, 0) == SECOND
    assert wide.wait("a", 7, 0) == 0, "the refused request took nothing from the wide budget"


def test_retry_after_is_whole_seconds() -> None:
    assert [retry_after_seconds(delay) for delay in (1, SECOND, SECOND + 1)] == [1, 1, 2]
