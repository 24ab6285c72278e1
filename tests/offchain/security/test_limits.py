"""GCRA against the definition of its invariant."""

from hypothesis import given
from hypothesis import strategies as st

from offchain.security.limits import Bans, BanTerms, Gcra, Rate, retry_after_seconds

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


def test_retry_after_is_whole_seconds() -> None:
    assert [retry_after_seconds(delay) for delay in (1, SECOND, SECOND + 1)] == [1, 1, 2]


# --- bans ---

TERMS = BanTerms(patience=Rate(1, 3), first_seconds=1, longest_seconds=8, calm_seconds=10)


def insist(bans: Bans, key: object, now: int) -> int:
    """Refused again and again at one moment, until that brings a ban."""
    for _ in range(100):
        if ban := bans.refused(key, SECOND, now):
            return ban
    raise AssertionError("no ban")


def test_a_ban_doubles_for_who_goes_on_and_has_an_end() -> None:
    bans, now, lengths = Bans(TERMS), 0, []
    for _ in range(6):
        lengths.append(insist(bans, "a", now) // SECOND)
        assert bans.left("a", now) == lengths[-1] * SECOND
        now += lengths[-1] * SECOND
        assert bans.left("a", now) == 0
    assert lengths == [1, 2, 4, 8, 8, 8]
    assert bans.left("b", now) == 0, "others are not meant"


def test_bans_are_forgotten_step_by_step() -> None:
    bans = Bans(TERMS)
    for length in (1, 2, 4):
        assert insist(bans, "a", 0) == length * SECOND
    end = 4 * SECOND
    assert insist(bans, "a", end + 20 * SECOND) == 2 * SECOND, "two calm whiles took two steps back"
    assert insist(bans, "a", end + 200 * SECOND) == SECOND


def test_some_refusals_are_borne() -> None:
    bans = Bans(TERMS)
    assert [bans.refused("a", SECOND, 0) for _ in range(5)] == [0, 0, 0, 0, SECOND]


@given(st.integers(1, 50), st.integers(1, 20), st.integers(1, 5))
def test_who_waits_as_told_is_never_banned(per_second: int, burst: int, weight: int) -> None:
    limit, bans, now = Gcra(Rate(per_second, burst)), Bans(TERMS), 0
    for _ in range(300):
        delay = limit.take("a", weight, now)
        if delay:
            assert bans.refused("a", delay, now) == 0
            now += delay
            assert limit.take("a", weight, now) == 0


def test_without_a_first_second_nobody_is_banned() -> None:
    bans = Bans(BanTerms(first_seconds=0))
    assert not any(bans.refused("a", SECOND, 0) for _ in range(1_000))


def test_memory_of_bans_is_bounded() -> None:
    bans = Bans(TERMS, keys_max=10)
    for key in range(100):
        for _ in range(6):
            bans.refused(key, SECOND, key)
    assert len(bans) <= 10
    insist(bans, "late", 1_000 * SECOND)
    insist(bans, "later", 1_000 * SECOND)
    assert len(bans) < 10, "what is at rest is forgotten"
