"""What is dead stays dead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain.domain.order import make_nonce
from offchain.engine.nonces import Nonces

STEPS = st.lists(
    st.tuples(st.sampled_from(("use", "kill", "floor")), st.integers(0, 3), st.integers(0, 20)), max_size=40
)


@given(STEPS)
def test_against_a_list_of_the_dead(steps: list[tuple[str, int, int]]) -> None:
    nonces, dead = Nonces(), {(slot, 0) for slot in range(4)}
    for what, slot, sequence in steps:
        if what == "use":
            if nonces.is_dead(make_nonce(slot, sequence)):
                continue
            nonces.use(make_nonce(slot, sequence))
        elif what == "kill":
            nonces.kill(make_nonce(slot, sequence))
        else:
            nonces.raise_floor(sequence)
            dead |= {(any_slot, low) for any_slot in range(4) for low in range(sequence)}
            continue
        dead |= {(slot, low) for low in range(sequence + 1)}
        for any_slot in range(4):
            for low in range(22):
                assert nonces.is_dead(make_nonce(any_slot, low)) is ((any_slot, low) in dead)


def test_a_dead_sequence_cannot_be_used() -> None:
    nonces = Nonces()
    nonces.use(make_nonce(1, 5))
    with pytest.raises(AssertionError):
        nonces.use(make_nonce(1, 5))
