"""The epoch header's hash against eth-abi, and the shape of a batch."""

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from offchain.domain.batch import (
    ITEMIZED_RULES,
    ONE_FILL,
    PACKED_RULES,
    BatchFill,
    BatchItems,
    BatchRules,
    EpochHeader,
    SettlementBatch,
    batch_gas_max,
    batch_rules,
)
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


def test_itemized_rules_leave_room_for_what_is_promised() -> None:
    """Known accounts in used slots: forty makers of an immediate order, and 24 pairs of strangers."""
    rules = ITEMIZED_RULES
    forty = BatchItems(resting=40, rows=2 * 41 + 1, markets=1)
    assert rules.gas(41, 40, items=forty) <= BATCH_GAS_MAX
    pairs = BatchItems(resting=48, rows=2 * 48 + 1, markets=1)
    assert rules.gas(48, 24, items=pairs) <= BATCH_GAS_MAX
    assert rules.gas(2, 1, 1, 2, ONE_FILL) <= BATCH_GAS_MAX


@pytest.mark.parametrize(("block", "makers", "pairs"), [(3_000_000, 26, 13), (2_000_000, 17, 9)])
def test_what_fits_a_block_whatever_accounts_do_after_the_match(block: int, makers: int, pairs: int) -> None:
    rules, gas_max = batch_rules(block), batch_gas_max(block)

    def fits(orders: int, fills: int, resting: int) -> bool:
        items = BatchItems(resting=resting, rows=2 * orders + 1, markets=1)
        return rules.fits(rules.gas(orders, fills, items=items), gas_max, orders, items.rows)

    assert fits(makers + 1, makers, makers) and not fits(makers + 2, makers + 1, makers + 1)
    assert fits(2 * pairs, pairs, 2 * pairs) and not fits(2 * pairs + 2, pairs + 1, 2 * pairs + 2)
    assert rules.fits_one(gas_max) and rules.fits_one(gas_max, is_amm=True)


def test_old_venues_do_not_look_at_what_comes_after_the_match() -> None:
    for rules in (BatchRules(), PACKED_RULES, ITEMIZED_RULES):
        assert rules.gas_turned_max == 0 and rules.fits(100, 100, 10**9, 10**9) and not rules.fits(101, 100, 0, 0)
    turned = BatchRules(gas_per_order_turned=10, gas_per_row_turned=3, gas_turned_max=200)
    assert turned.fits(100, 100, 7, 10) and not turned.fits(101, 101, 7, 10)


def test_every_item_is_counted_once() -> None:
    rules = BatchRules(
        gas_base=1,
        gas_per_order=2,
        gas_per_fill=4,
        gas_per_fresh_slot=8,
        gas_per_amm_fill=16,
        gas_per_resting=32,
        gas_per_row=64,
        gas_per_fresh_row=128,
        gas_per_request=256,
        gas_per_row_beside_request=512,
        gas_per_look=1_024,
        gas_per_market=2_048,
        gas_per_agent=4_096,
        gas_per_proof=8_192,
    )
    assert rules.gas(1, 1, 1, 1, BatchItems(1, 1, 1, 1, 1, 1, 1, 1)) == 2**14 - 1
    assert rules.gas(0, 0, items=BatchItems(rows=3)) == 1 + 3 * 64
    assert rules.gas(0, 0, items=BatchItems(rows=3, requests=1)) == 1 + 3 * (64 + 512) + 256
    plain = BatchRules()
    assert plain.gas(1, 1, items=ONE_FILL) == plain.gas(1, 1), "old venues know no items"
