"""Is the code on the chain what these sources compile to?

Invariant: a contract counts as verified only if its constructor's code and arguments lead to its CREATE2 address (which
commits to all of them) and its code equals the compiled one, immutables aside. A clone must be EIP-1167's proxy of the
implementation that the registry names. Deliberately no trust in the registry's own hashes.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError

from offchain.chain.registry import Contract
from offchain.domain.errors import ConfigurationError
from offchain.domain.keccak import keccak
from scripts._create2 import clone_code, predict, type_of
from scripts._sources import Compiled
from scripts._venue import PAIR, SYNTH, Venue, artifact_of

IMPLEMENTATIONS: Final = {SYNTH: "SynthImplementation", PAIR: "AmmPairImplementation"}


class Verdict(NamedTuple):
    """One contract. `finding` in words; `arguments` are ABI-encoded."""

    name: str
    contract: Contract
    compiled: Compiled | None
    arguments: bytes
    is_verified: bool
    finding: str


def verify_all(venue: Venue, compiled: Mapping[str, Compiled]) -> list[Verdict]:
    return [_verify(venue, name, contract, compiled) for name, contract in venue.registry.contracts.items()]


def _verify(venue: Venue, name: str, contract: Contract, compiled: Mapping[str, Compiled]) -> Verdict:
    code = venue.chain.code(contract.address)
    if not contract.salt and (expected := _clone_of(venue, name)):
        finding = "clone of " + expected[0] if code == expected[1] else f"is no clone of {expected[0]}"
        return Verdict(name, contract, None, b"", code == expected[1], finding)
    artifact = contract.artifact or artifact_of(name)
    made = compiled.get(artifact)
    if made is None:
        return Verdict(name, contract, None, b"", False, f"contracts/ has no {artifact}")
    arguments = arguments_of(made, contract.constructor_arguments, name)
    problems = [
        *([] if _equal(code, made) else [_difference(code, made)]),
        *_origin(venue, contract, made.creation + arguments),
    ]
    finding = "; ".join(problems) or "code equal, constructor and arguments proven by the address"
    return Verdict(name, contract, made, arguments, not problems, finding)


def _clone_of(venue: Venue, name: str) -> tuple[str, bytes] | None:
    """(name of the implementation, the code that a clone of it has)."""
    for prefix, implementation in IMPLEMENTATIONS.items():
        if name.startswith(prefix) and implementation in venue.contracts:
            return implementation, clone_code(venue.contracts[implementation])
    return None


def _origin(venue: Venue, contract: Contract, init_code: bytes) -> list[str]:
    if not contract.salt or not venue.registry.factory:
        return ["the registry has no salt, so that its constructor's arguments cannot be proven"]
    address = predict(venue.registry.factory, bytes.fromhex(contract.salt[2:]), init_code)
    return [] if address == contract.address else ["constructor or arguments lead to another address"]


def masked(code: bytes, places: list[tuple[int, int]]) -> bytes:
    """Code with zeros where its immutables are."""
    blank = bytearray(code)
    for start, length in places:
        blank[start : start + length] = bytes(length)
    return bytes(blank)


def fingerprint(code: bytes, places: list[tuple[int, int]]) -> str:
    """A hash of what code does: the same with other immutables, comments and names."""
    return "0x" + keccak(_without_metadata(masked(code, places))).hex()


def _equal(code: bytes, made: Compiled) -> bool:
    return len(code) == len(made.runtime) and masked(code, made.immutables) == masked(made.runtime, made.immutables)


def _difference(code: bytes, made: Compiled) -> str:
    if not code:
        return "no code"
    if _without_metadata(masked(code, made.immutables)) == _without_metadata(masked(made.runtime, made.immutables)):
        return "differs in comments or names only"
    return f"other code ({len(code):,} bytes, compiled {len(made.runtime):,})"


def _without_metadata(code: bytes) -> bytes:
    """solc ends code with CBOR and its length in two bytes."""
    size = int.from_bytes(code[-2:]) + 2
    return code[:-size] if 2 < size < len(code) else code


def arguments_of(made: Compiled, readable: list[Any], name: str) -> bytes:
    """Constructor arguments of the registry, ABI-encoded."""
    inputs: list[dict[str, Any]] = next((entry["inputs"] for entry in made.abi if entry["type"] == "constructor"), [])
    if len(inputs) != len(readable):
        raise ConfigurationError(
            f"the constructor of {made.name} takes {len(inputs)} arguments, the registry has {len(readable)} of {name}",
            remedy="Check out the commit that the registry names",
        )
    kinds = [type_of(item) for item in inputs]
    try:
        return encode(kinds, [_value(kind, value) for kind, value in zip(kinds, readable, strict=True)])
    except (EncodingError, ValueError) as error:
        raise ConfigurationError(f"the registry's arguments of {name} do not encode: {error}") from None


def _value(kind: str, text: Any) -> Any:
    """Inverse of `_deployment.readable`."""
    if kind.endswith("[]"):
        return [_value(kind[:-2], item) for item in text]
    if kind.startswith(("uint", "int")):
        return int(text)
    if kind.startswith("bytes"):
        return bytes.fromhex(text[2:])
    return text
