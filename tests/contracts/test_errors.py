"""What the other tests say of reverts is what was said: an error is told from every other, whatever its bytes."""

from typing import Any

import pytest
from ape.exceptions import ContractLogicError
from eth_abi.abi import encode
from eth_utils import to_checksum_address
from venue import decoded, error_entries

QUOTES = "\"'" * 10
SAMPLES = {"address": QUOTES.encode(), "string": QUOTES, "bytes": b"\"'", "bytes4": b"\"'\"'", "bytes32": b'"' * 32}
"""Values whose bytes hold quotation marks of both kinds; a number is one."""


@pytest.mark.parametrize("selector", error_entries(), ids=lambda selector: error_entries()[selector]["name"])
def test_an_error_is_found_by_its_bytes(selector: bytes) -> None:
    entry: dict[str, Any] = error_entries()[selector]
    kinds = [item["type"] for item in entry["inputs"]]
    values = [SAMPLES.get(kind, 34) for kind in kinds]
    name, inputs = decoded(ContractLogicError(str(selector + encode(kinds, values))))
    shown = [
        to_checksum_address(value) if kind == "address" else value for kind, value in zip(kinds, values, strict=True)
    ]
    assert (name, list(inputs.values())) == (entry["name"], shown)
