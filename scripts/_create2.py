"""Addresses before they exist: CREATE2 through a factory that takes `salt ‖ init code` and nothing else.

Invariant: an address depends on the factory, the salt and the init code (creation code and constructor arguments) only:
not on the sender, its nonce, the time or the chain. Deliberately no network here.
"""

from typing import Any, cast

from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError

from offchain.domain.errors import ConfigurationError
from offchain.domain.keccak import keccak
from offchain.domain.units import Address, from_hex, to_address

FACTORY = cast(Address, "0x4e59b44847b379578588920ca78fbf26c0b4956c")
"""Arachnid's deterministic deployment proxy, at the same address on most chains; anvil is born with it."""
FACTORY_SIGNER = cast(Address, "0x3fab184622dc19b6109349b94811493bf2a45362")
FACTORY_COST = 10**16
"""Wei that the signer of FACTORY_TRANSACTION needs: 100,000 gas at 100 gwei."""
FACTORY_CODE = (
    "604580600e600039806000f350fe7f"
    + "ff" * 31
    + "e0"
    + ("3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3")
)
FACTORY_TRANSACTION = "f8a58085174876e800830186a08080b853" + FACTORY_CODE + "1ba0" + "22" * 32 + "a0" + "22" * 32
"""Creates the factory anywhere: its signature was chosen, not made, so that nobody holds the signer's key."""

CLONE_CREATION = bytes.fromhex("3d602d80600a3d3981f3")
CLONE_HEAD = bytes.fromhex("363d3d373d3d3d363d73")
CLONE_TAIL = bytes.fromhex("5af43d82803e903d91602b57fd5bf3")

TRANSACTION_GAS = 21_000
CREATE_GAS = 32_000
BYTE_GAS = 200
WORD_GAS = 2 + 6
"""Per 32 bytes of init code: EIP-3860, and the hash that CREATE2 takes."""
CODE_BYTES_MAX = 24_576


def salt_of(namespace: str, version: str, name: str, fingerprint: bytes = b"") -> bytes:
    """32 bytes: one salt per contract of one version and fingerprint."""
    return keccak(f"{namespace}:{version}:{name}:{fingerprint.hex()}".encode())


def predict(factory: Address, salt: bytes, init_code: bytes) -> Address:
    """The address of CREATE2 (EIP-1014)."""
    return to_address(keccak(b"\xff" + from_hex(factory) + salt + keccak(init_code))[12:])


def predict_clone(factory: Address, salt: bytes, implementation: Address) -> Address:
    """The address of an EIP-1167 clone that `factory` creates as OpenZeppelin's Clones does."""
    return predict(factory, salt, CLONE_CREATION + clone_code(implementation))


def clone_code(implementation: Address) -> bytes:
    """What EIP-1167 puts at a clone's address."""
    return CLONE_HEAD + from_hex(implementation) + CLONE_TAIL


def init_code(creation_code: bytes, inputs: list[dict[str, Any]], arguments: list[Any], name: str) -> bytes:
    """Creation code with its ABI-encoded constructor arguments; `inputs` as in the ABI."""
    if len(inputs) != len(arguments):
        wanted = ", ".join(item["name"] for item in inputs)
        raise ConfigurationError(f"the constructor of {name} takes ({wanted}), not {len(arguments)} arguments")
    try:
        return creation_code + encode([type_of(item) for item in inputs], arguments)
    except EncodingError as error:
        raise ConfigurationError(f"the constructor arguments of {name} do not encode: {error}") from None


def type_of(item: dict[str, Any]) -> str:
    """The canonical type of an ABI input: structs become tuples."""
    kind: str = item["type"]
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(type_of(part) for part in item["components"]) + ")" + kind[len("tuple") :]


def gas_floor(payload: bytes, runtime_bytes: int) -> int:
    """Gas that a creation through the factory needs at the very least: everything but the constructor's own work."""
    zeros = payload.count(0)
    calldata = 4 * zeros + 16 * (len(payload) - zeros)
    words = -(-(len(payload) - 32) // 32)
    return TRANSACTION_GAS + calldata + CREATE_GAS + WORD_GAS * words + BYTE_GAS * runtime_bytes
