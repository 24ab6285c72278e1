"""Every command to bytes and back; bytes that nobody wrote."""

import pytest
from histories import History
from hypothesis import given
from hypothesis import strategies as st
from scene import ALICE, VENUE

from offchain.domain.beside import BESIDE_BYTES, Beside, SelfTrade
from offchain.domain.command import RECORD_HEAD, CancelAll, CancelOrder, Codec, PlaceOrder, decode, encode, record_bytes
from offchain.domain.errors import InvalidInput


def test_a_whole_history_there_and_back() -> None:
    kinds = set()
    for _, _, command, _ in History(5).steps(2_000):
        kind, version, payload = encode(command)
        assert decode(kind, version, payload) == command
        kinds.add(type(command).__name__)
    assert len(kinds) >= 11, kinds


@given(st.text(max_size=36), st.binary(min_size=65, max_size=65))
def test_signatures_and_names(name: str, signature: bytes) -> None:
    for command in (CancelOrder(ALICE, 5, ALICE, signature), CancelAll(ALICE, 1, 2, ALICE, signature)):
        assert decode(*encode(command)) == command
    order = next(c.order for _, _, c, _ in History(5).steps(50) if isinstance(c, PlaceOrder))
    placed = PlaceOrder(order, signature, ALICE, name)
    try:
        encoded = encode(placed)
    except UnicodeEncodeError:
        return
    assert decode(*encoded) == placed


@given(
    st.builds(
        Beside,
        display_lots=st.integers(0, 2**64 - 1),
        trail_ticks=st.integers(0, 2**64 - 1),
        parent=st.integers(0, 2**64 - 1),
        other=st.integers(0, 2**64 - 1),
        self_trade=st.sampled_from(SelfTrade),
        is_amend=st.booleans(),
    ),
    st.binary(max_size=BESIDE_BYTES + 1),
)
def test_what_is_beside_an_order_has_a_frame(beside: Beside, other: bytes) -> None:
    assert Beside.from_frame(beside.to_frame()) == beside
    order = next(c.order for _, _, c, _ in History(5).steps(50) if isinstance(c, PlaceOrder))
    placed = PlaceOrder(order, bytes(65), ALICE, "name", beside)
    assert decode(*encode(placed)) == placed and encode(placed)[0] == Codec.KIND_PLACE_BESIDE
    try:
        again = Beside.from_frame(other)
    except ValueError:
        return
    assert again.to_frame() == other


def test_amounts_beyond_64_bits() -> None:
    history = History(5)
    list(history.steps(1))
    history.chain.deposit(ALICE, VENUE.quote_token, 2**127)
    command = history._next_log()
    assert decode(*encode(command)) == command


@given(st.integers(0, 20), st.integers(0, 2), st.binary(max_size=250))
def test_anything_else_is_invalid_input(kind: int, version: int, payload: bytes) -> None:
    try:
        command = decode(kind, version, payload)
    except InvalidInput:
        return
    assert encode(command) == (kind, version, payload)


@pytest.mark.parametrize(("kind", "version"), [(99, 1), (Codec.KIND_JSON, 2)])
def test_the_future_is_named_as_such(kind: int, version: int) -> None:
    with pytest.raises(InvalidInput, match="newer hooats"):
        decode(kind, version, b"{}")


def test_a_record() -> None:
    record = record_bytes(16, 1, 7, 9, b"{}")
    assert RECORD_HEAD.unpack_from(record) == (2, 16, 1, 7, 9) and record[RECORD_HEAD.size :] == b"{}"
