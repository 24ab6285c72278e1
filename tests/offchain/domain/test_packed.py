"""Batches to bytes and back; and what has no packed form says so."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orders_drawn import ORDERS

from offchain.domain.batch import AMM_MAKER, BatchFill, SettlementBatch, SignedOrder
from offchain.domain.eip712 import LOW_S_MAX, BulkProof
from offchain.domain.errors import InvalidInput
from offchain.domain.order import Kind, Order, Side, TimeInForce
from offchain.domain.packed import canonical, pack, unpack
from offchain.domain.units import ZERO_ADDRESS, Address, Digest, Lots, Ticks, to_address

FEES = Address("0x" + "fe" * 20)
LOW = st.integers(1, LOW_S_MAX).map(lambda s: s.to_bytes(32, "big"))
SIGNATURES = st.tuples(st.binary(min_size=32, max_size=32), LOW, st.sampled_from((b"\x1b", b"\x1c"))).map(
    lambda parts: "0x" + b"".join(parts).hex()
)
WORDS = st.binary(min_size=32, max_size=32).map(lambda raw: Digest("0x" + raw.hex()))
PROOFS = st.builds(BulkProof, position=st.integers(0, 31), siblings=st.tuples(*[WORDS] * 5))
SIGNED = st.builds(SignedOrder, order=ORDERS, signature=SIGNATURES, proof=st.none() | PROOFS)
FEE = st.integers(-(2**23), 2**23 - 1)


@st.composite
def batches(draw: st.DrawFn) -> SettlementBatch:
    orders = draw(
        st.lists(SIGNED, max_size=8, unique_by=lambda signed: (signed.order.account, signed.order.nonce)).map(tuple)
    )
    fills, quotes = [], []
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(("book", "pair", "taken back"))) if orders else "taken back"
        maker, taker = (draw(st.integers(0, max(len(orders) - 1, 0))) for _ in range(2))
        if kind == "pair":
            maker = AMM_MAKER
            quotes.append(draw(st.integers(0, 2**128 - 1)))
        size = 0 if kind == "taken back" else draw(st.integers(1, 2**64 - 1))
        fills.append(BatchFill(maker, taker, size, draw(FEE), draw(FEE)))
    return SettlementBatch(0, draw(st.integers(0, 2**64 - 1)), orders, tuple(fills), tuple(quotes))


def an_order(account: int = 1, nonce: int = 7) -> SignedOrder:
    order = Order(
        to_address(bytes([account]) * 20), 0, 3, Side.BUY, Kind.LIMIT, TimeInForce.GTC, 0, Ticks(5), Lots(9), Ticks(0),
        -10, nonce, 0,
    )  # fmt: skip
    return SignedOrder(order, "0x" + "11" * 64 + "1c")


PAIR = SettlementBatch(0, 1, (an_order(2), an_order(1)), (BatchFill(0, 1, 4, -20, 30),))


@given(batches())
def test_there_and_back(batch: SettlementBatch) -> None:
    packed = pack(batch, FEES)
    found = unpack(packed)
    assert found.fee_account == (FEES if batch.orders else ZERO_ADDRESS)
    assert found.batch == canonical(batch)
    assert pack(found.batch, FEES) == packed


@given(batches(), st.randoms(use_true_random=False))
def test_the_order_of_orders_means_nothing(batch: SettlementBatch, chance: random.Random) -> None:
    ranks = list(range(len(batch.orders)))
    chance.shuffle(ranks)
    places = {index: place for place, index in enumerate(ranks)} | {AMM_MAKER: AMM_MAKER}
    fills = tuple(
        msgspec.structs.replace(fill, maker=places[fill.maker], taker=places[fill.taker]) if fill.size_lots else fill
        for fill in batch.fills
    )
    shuffled = msgspec.structs.replace(batch, orders=tuple(batch.orders[index] for index in ranks), fills=fills)
    assert pack(shuffled, FEES) == pack(batch, FEES)


@given(batches(), st.data())
def test_what_unpacks_packs_to_the_same(batch: SettlementBatch, data: st.DataObject) -> None:
    """Any byte changed: refused, or another batch with these very bytes."""
    packed = bytearray(pack(batch, FEES))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = unpack(bytes(packed))
    except InvalidInput:
        return
    if all(fill.size_lots for fill in found.batch.fills):  # of the others only that is kept
        assert pack(found.batch, found.fee_account) == bytes(packed)


def test_every_byte() -> None:
    """Written out by hand from the table in ISettlement."""
    header = "0000000000000001" + "01" + "03" + "02" + "00" + "01" + "00" + "02"
    tables = "00000003" + "01" * 20 + "02" * 20 + "fe" * 20
    middle = "00" + "00" + "00" + "0000" + "0000000000000005" + "0000000000000009" + "00" * 8 + "fffffff6"
    tail = "0000000000000007" + "0000000000" + "11" * 32 + "91" + "11" * 31
    orders = "00" + middle + tail + "01" + middle + tail
    fill = "01" + "00" + "0000000000000004" + "ffffec" + "00001e"
    assert pack(PAIR, FEES).hex() == header + tables + orders + fill


def test_only_taken_back_fills() -> None:
    batch = SettlementBatch(4, 9, (), (BatchFill(3, 8, 0, 5, 5),) * 2)
    assert pack(batch, FEES).hex() == "0000000000000009" + "00000000" + "02" + "0000" + "00" * 32
    assert unpack(pack(batch, FEES)).fee_account == ZERO_ADDRESS


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fills": ()}, "0 fills"),
        ({"fills": PAIR.fills * 101}, "101 fills"),
        ({"orders": (an_order(), an_order())}, "two orders"),
        ({"orders": tuple(an_order(1, nonce) for nonce in range(201))}, "201 orders"),
        ({"orders": PAIR.orders[:1]}, "fill 1 of an order that is not there"),
        ({"amm_quotes": (5,)}, "1 quotes for 0 AMM fills"),
        ({"fills": (BatchFill(AMM_MAKER, 0, 1, 0, 0),), "amm_quotes": (2**128,)}, "does not fit"),
        ({"fills": (BatchFill(0, 1, 2**64, 0, 0),)}, "does not fit"),
        ({"fills": (BatchFill(0, 1, 1, 2**23, 0),)}, "does not fit"),
        ({"first": 2**64}, "does not fit"),
    ],
)
def test_what_does_not_fit(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        pack(msgspec.structs.replace(PAIR, **changes), FEES)


@pytest.mark.parametrize(
    "signature",
    [
        "11" * 64,
        "11" * 64 + "1d",
        "11" * 64 + "00",
        "11" * 66,
        "11" * 32 + (LOW_S_MAX + 1).to_bytes(32, "big").hex() + "1b",
        "11" * 32 + "00" * 32 + "1b",
        "",
    ],
)
def test_signatures_without_a_packed_form(signature: str) -> None:
    orders = (PAIR.orders[0], SignedOrder(an_order(1).order, "0x" + signature))
    with pytest.raises(InvalidInput, match=r"signature of 0x0101.* order 7"):
        pack(msgspec.structs.replace(PAIR, orders=orders), FEES)


@pytest.mark.parametrize(
    "proof",
    [
        BulkProof(32, (Digest("0x" + "00" * 32),) * 5),
        BulkProof(0, (Digest("0x" + "00" * 32),) * 4),
        BulkProof(0, (Digest("0x" + "00" * 31),) * 5),
    ],
)
def test_proofs_without_a_packed_form(proof: BulkProof) -> None:
    orders = (PAIR.orders[0], SignedOrder(an_order(1).order, an_order().signature, proof))
    with pytest.raises(InvalidInput, match="proof"):
        pack(msgspec.structs.replace(PAIR, orders=orders), FEES)


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (14, 3, "fee account 3 of 3"),
        (10, 1, "header says"),
        (12, 2, "header says"),
        (19, 3, "do not ascend|accounts"),
        (79, 7, "an order of account 7"),
        (80, 1, "in market 1"),
        (82, 0x20, "terms 32"),
        (82, 0x10, "fewer proofs"),
    ],
)
def test_bytes_that_are_no_batch(at: int, value: int, words: str) -> None:
    packed = bytearray(pack(PAIR, FEES))
    packed[at] = value
    with pytest.raises(InvalidInput, match=words):
        unpack(bytes(packed))


def test_a_piece_of_a_batch_is_none() -> None:
    packed = pack(PAIR, FEES)
    for length in (0, 14, 15, len(packed) - 1):
        with pytest.raises(InvalidInput):
            unpack(packed[:length])
    with pytest.raises(InvalidInput, match="header says"):
        unpack(packed + b"\x00")
