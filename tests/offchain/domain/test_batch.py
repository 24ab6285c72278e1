"""The epoch header's hash against eth-abi, and the shape of a batch."""

from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from offchain.domain.batch import BatchFill, EpochHeader, SettlementBatch, batch_gas_estimate
from offchain.domain.keccak import keccak
from offchain.domain.limits import BATCH_GAS_MAX, FILLS_PER_IMMEDIATE_ORDER_MAX

ROOT = st.binary(min_size=32, max_size=32).map(lambda raw: "0x" + raw.hex())
NUMBER = st.integers(0, 2**64 - 1)
TYPES = ["uint64", "bytes32", "uint64", "uint64", "bytes32", "bytes32", "bytes32", "uint128", "uint32", "bytes32"]


VOLUME, COUNT = st.integers(0, 2**128 - 1), st.integers(0, 2**32 - 1)


@given(st.tuples(NUMBER, ROOT, NUMBER, NUMBER, ROOT, ROOT, ROOT, VOLUME, COUNT, ROOT))
def test_a_header_hashes_as_abi_encoded(values: tuple[object, ...]) -> None:
    raw = [bytes.fromhex(value[2:]) if isinstance(value, str) else value for value in values]
    assert EpochHeader(*values).hash() == keccak(encode(TYPES, raw))  # type: ignore[arg-type]


def test_a_batch() -> None:
    fill = BatchFill(0, 1, 5, 0, 0)
    assert SettlementBatch(1, 7, (), (fill, fill)).last == 8


def test_the_largest_group_fits_a_batch() -> None:
    assert batch_gas_estimate(FILLS_PER_IMMEDIATE_ORDER_MAX + 1, FILLS_PER_IMMEDIATE_ORDER_MAX) <= BATCH_GAS_MAX
