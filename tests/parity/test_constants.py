"""Numbers that are written down in Solidity and in Python are the same numbers."""

import re
from pathlib import Path

import pytest

from offchain.domain import batch, limits
from offchain.domain.event import RefusalCause
from offchain.domain.order import Flags

ROOT = Path(__file__).resolve().parents[2]
UNITS = {"": 1, "minutes": 60, "hours": 3600, "days": 86400}


def constants(path: str) -> dict[str, int]:
    """Integer constants of a file, times in seconds."""
    found = re.findall(r"constant (\w+) =\s+(0x[\da-f]+|[\d_]+|type\(uint16\).max) ?(\w*);", (ROOT / path).read_text())
    values = {name: 2**16 - 1 if value.startswith("type") else int(value, 0) for name, value, _ in found}
    return {name: values[name] * UNITS[unit] for name, _, unit in found}


TYPES = constants("contracts/interfaces/Types.sol")
SETTLEMENT = constants("contracts/Settlement.sol")


def test_flags_and_windows() -> None:
    flags = {name.removeprefix("FLAG_"): value for name, value in TYPES.items() if name.startswith("FLAG_")}
    assert flags == {flag.name: int(flag) for flag in Flags}
    assert TYPES["AMM_MAKER"] == batch.AMM_MAKER
    assert TYPES["SETTLEMENT_WINDOW"] == limits.SETTLEMENT_WINDOW_SECONDS
    assert TYPES["MIN_UPGRADE_DELAY"] == limits.UPGRADE_DELAY_SECONDS_MIN


def test_reasons_of_a_refusal() -> None:
    reasons = {name.removeprefix("REASON_"): value for name, value in SETTLEMENT.items() if name.startswith("REASON_")}
    assert reasons.pop("TAKER") == 0x80
    assert reasons == {cause.name: int(cause) for cause in RefusalCause}


@pytest.mark.parametrize("file", ["SettlementGas", "SettlementAmmGas"])
def test_gas_bounds(file: str) -> None:
    held = {name: value for name, value in constants(f"tests/forge/{file}.t.sol").items() if name.startswith("GAS_")}
    assert len(held) >= 3
    assert held == {name: getattr(batch, name) for name in held}
