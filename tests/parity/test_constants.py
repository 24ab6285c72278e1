"""Numbers that are written down in Solidity and in Python are the same numbers."""

import re
from pathlib import Path

import pytest

from offchain.domain import limits, packed
from offchain.domain.batch import PACKED_RULES
from offchain.domain.order import Flags
from offchain.domain.reasons import RefusalCause

ROOT = Path(__file__).resolve().parents[2]
UNITS = {"": 1, "minutes": 60, "hours": 3600, "days": 86400}


def constants(path: str) -> dict[str, int]:
    """Integer constants of a file, times in seconds."""
    found = re.findall(r"constant (\w+) =\s+(0x[\da-f]+|[\d_]+|type\(uint\d+\).max) ?(\w*);", (ROOT / path).read_text())
    values = {name: value_of(text) for name, text, _ in found}
    return {name: values[name] * UNITS[unit] for name, _, unit in found}


def value_of(text: str) -> int:
    biggest = re.fullmatch(r"type\(uint(\d+)\).max", text)
    return 2 ** int(biggest[1]) - 1 if biggest else int(text, 0)


TYPES = constants("contracts/interfaces/Types.sol")
SETTLEMENT = constants("contracts/Settlement.sol")
CODEC = constants("contracts/libraries/BatchCodec.sol")
GAS_FIELDS = {
    "GAS_BATCH_BASE": "gas_base",
    "GAS_PER_ORDER": "gas_per_order",
    "GAS_PER_FRESH_SLOT": "gas_per_fresh_slot",
    "GAS_PER_FILL": "gas_per_fill",
    "GAS_PER_AMM_FILL": "gas_per_amm_fill",
}


OFF_CHAIN_FLAGS = {Flags.ON_LAST, Flags.TAKE_PROFIT, Flags.IMMEDIATE, Flags.PROTECTED}
"""Of when an order enters the book: signed like the others, and nothing that settlement looks at."""


def test_flags_and_windows() -> None:
    flags = {name.removeprefix("FLAG_"): value for name, value in TYPES.items() if name.startswith("FLAG_")}
    assert flags == {flag.name: int(flag) for flag in Flags if flag not in OFF_CHAIN_FLAGS}
    assert TYPES["AMM_MAKER"] == packed.PACKED_AMM_MAKER
    assert TYPES["SETTLEMENT_WINDOW"] == limits.SETTLEMENT_WINDOW_SECONDS
    assert TYPES["MIN_UPGRADE_DELAY"] == limits.UPGRADE_DELAY_SECONDS_MIN
    assert TYPES["MAX_PRICE_AGE"] == limits.PRICE_AGE_SECONDS_MAX


def test_reasons_of_a_refusal() -> None:
    reasons = {name.removeprefix("REASON_"): value for name, value in TYPES.items() if name.startswith("REASON_")}
    assert reasons.pop("TAKER") == 0x80
    assert reasons == {cause.name: int(cause) for cause in RefusalCause}


@pytest.mark.parametrize("file", ["SettlementGas", "SettlementAmmGas"])
def test_gas_bounds(file: str) -> None:
    held = {name: value for name, value in constants(f"tests/forge/{file}.t.sol").items() if name.startswith("GAS_")}
    assert len(held) >= 3
    assert held == {name: getattr(PACKED_RULES, GAS_FIELDS[name]) for name in held}


def test_sizes_of_a_batch() -> None:
    records = {
        "HEADER": packed.HEADER,
        "MARKET": packed.MARKET,
        "ACCOUNT": packed.ACCOUNT,
        "ORDER": packed.ORDER,
        "PROOF": packed.PROOF,
        "FILL": packed.FILL,
        "QUOTE": packed.QUOTE,
    }
    assert {name: record.size for name, record in records.items()} == {
        name.removesuffix("_BYTES"): value for name, value in CODEC.items() if name.endswith("_BYTES")
    }
    assert SETTLEMENT["MAX_FILLS"] == PACKED_RULES.fills_max == limits.FILLS_PER_BATCH_MAX
    assert constants("contracts/libraries/BulkTree.sol")["DEPTH"] == limits.BULK_DEPTH
