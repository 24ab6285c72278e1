"""Addresses by CREATE2: the vectors of EIP-1014, and the factory's own transaction."""

import pytest
from eth_account import Account

from offchain.domain.errors import ConfigurationError
from offchain.domain.keccak import keccak
from offchain.domain.units import Address
from scripts._create2 import (
    FACTORY,
    FACTORY_CODE,
    FACTORY_SIGNER,
    FACTORY_TRANSACTION,
    gas_floor,
    init_code,
    predict,
    salt_of,
    type_of,
)


@pytest.mark.parametrize(
    ("factory", "salt", "code", "address"),
    [
        ("00" * 20, "00" * 32, "00", "4d1a2e2bb4f88f0250f26ffff098b0b30b26bf38"),
        ("deadbeef" + "00" * 16, "00" * 32, "00", "b928f69bb1d91cd65274e3c79d8986362984fda3"),
        ("00" * 16 + "deadbeef", "00" * 28 + "cafebabe", "deadbeef", "60f3f640a8508fc6a86d45df051962668e1e8ac7"),
        ("00" * 20, "00" * 32, "", "e33c0c7f7df4809055c3eba6c09cfe4baf1bd9e0"),
    ],
)
def test_vectors_of_eip_1014(factory: str, salt: str, code: str, address: str) -> None:
    assert predict(Address(f"0x{factory}"), bytes.fromhex(salt), bytes.fromhex(code)) == f"0x{address}"


def test_the_presigned_transaction_creates_the_factory() -> None:
    assert Account.recover_transaction(f"0x{FACTORY_TRANSACTION}").lower() == FACTORY_SIGNER
    created = keccak(bytes.fromhex("d694" + FACTORY_SIGNER[2:] + "80"))[12:]  # RLP of [signer, nonce 0]
    assert f"0x{created.hex()}" == FACTORY
    assert FACTORY_CODE in FACTORY_TRANSACTION


def test_a_salt_for_each_name_and_version() -> None:
    salts = {salt_of(*parts) for parts in (("A", "1", "X"), ("A", "2", "X"), ("A", "1", "Y"), ("B", "1", "X"))}
    assert len(salts) == 4
    assert {len(salt) for salt in salts} == {32}


def test_structs_and_arrays_of_the_abi() -> None:
    inner = {"type": "tuple[]", "components": [{"type": "address"}, {"type": "uint8[2]"}]}
    assert type_of({"type": "tuple", "components": [{"type": "bytes"}, inner]}) == "(bytes,(address,uint8[2])[])"


def test_init_code_ends_with_the_arguments() -> None:
    code = init_code(b"\x60\x00", [{"name": "a", "type": "uint256"}], [7], "C")
    assert code == b"\x60\x00" + bytes(31) + b"\x07"


@pytest.mark.parametrize("arguments", [[], [1, 2], ["seven"]])
def test_arguments_that_do_not_fit_are_named(arguments: list[object]) -> None:
    with pytest.raises(ConfigurationError, match="of C"):
        init_code(b"", [{"name": "a", "type": "uint256"}], arguments, "C")


def test_the_gas_floor_counts_every_byte() -> None:
    empty = gas_floor(bytes(32), 0)
    assert empty == 21_000 + 32 * 4 + 32_000
    assert gas_floor(bytes(32) + b"\x01", 1) == empty + 16 + 8 + 200
