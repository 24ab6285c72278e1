"""Timers against a sorted list."""

from hypothesis import given
from hypothesis import strategies as st

from offchain.engine.timers import Timers

STEPS = st.lists(
    st.tuples(st.sampled_from(("set", "cancel", "pop")), st.integers(0, 30), st.integers(0, 8)), max_size=80
)


@given(STEPS)
def test_against_a_sorted_list(steps: list[tuple[str, int, int]]) -> None:
    timers, model = Timers(), dict[int, int]()
    for what, identity, deadline in steps:
        if what == "set" and identity not in model:
            timers.set(identity, deadline)
            model[identity] = deadline
        elif what == "cancel":
            timers.cancel(identity)
            model.pop(identity, None)
        elif what == "pop" and model:
            due = min((deadline, identity) for identity, deadline in model.items())
            assert timers.pop() == due
            del model[due[1]]
        expected = min(((deadline, identity) for identity, deadline in model.items()), default=None)
        assert timers.earliest() == expected
        assert len(timers) == len(model)


def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers()
    timers.set(0, 10**9)
    for identity in range(1, 10_000):
        timers.set(identity, 10**9 + identity)
        timers.cancel(identity)
    assert len(timers._heap) < 100
