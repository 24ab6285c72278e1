"""The epoch header's hash against eth-abi, and the shape of a batch."""

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from offchain.domain.batch import PACKED_RULES, BatchFill, BatchRules, EpochHeader, SettlementBatch, batch_gas_max
from offchain.domain.keccak import keccak
from offchain.domain.limits import BATCH_GAS_MAX

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


def test_what_fits_a_batch() -> None:
    """Of packed batches a fill of fresh slots, and twenty of used ones; of those before, what an order takes."""
    assert PACKED_RULES.gas(2, 1, fresh_slots=2) <= BATCH_GAS_MAX
    assert PACKED_RULES.gas(21, 20) <= BATCH_GAS_MAX
    assert BatchRules().gas(14, 13) <= BATCH_GAS_MAX


def test_the_rules_that_old_journals_do_not_name() -> None:
    """Day-1's batches were closed by these: they can never change."""
    assert BatchRules().gas(2, 1) == 120_000 + 2 * 76_000 + 14_000
    assert BatchRules().gas(3, 2, 1, 3) == 120_000 + 3 * 76_000 + 2 * 14_000 + 250_000
    assert (BatchRules().fills_max, BatchRules().is_fok_whole) == (40, False)


def test_gas_of_a_packed_batch() -> None:
    rules = BatchRules(
        gas_base=1, gas_per_order=10, gas_per_fresh_slot=100, gas_per_fill=1_000, gas_per_amm_fill=10_000
    )
    assert rules.gas(2, 3, 4, 5) == 1 + 20 + 500 + 3_000 + 40_000


@pytest.mark.parametrize(("block", "batch"), [(3_000_000, 1_400_000), (2_000_000, 1_200_000), (30_000_000, 1_400_000)])
def test_small_blocks_make_small_batches(block: int, batch: int) -> None:
    assert batch_gas_max(block) == batch
