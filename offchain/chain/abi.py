"""Functions, events and errors by their signatures: selectors, topics, encoding, decoding.

Invariant: a selector or topic is computed from the text of the signature, and that text is compared with the compiled
contracts by tests/offchain/chain/test_contracts.py. Deliberately no ABI JSON at run time.
"""

from collections.abc import Sequence
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError, InsufficientDataBytes

from offchain.chain.replies import MalformedReply
from offchain.domain.errors import InvalidInput
from offchain.domain.keccak import keccak

_PANIC = keccak(b"Panic(uint256)")[:4]
_REVERT = keccak(b"Error(string)")[:4]
_PANICS = {0x01: "assertion", 0x11: "overflow", 0x12: "division by zero", 0x21: "enum", 0x32: "index out of range"}


class Function:
    """`Function("balanceOf(address,address)", "uint256")`; structs are written as tuples."""

    def __init__(self, signature: str, *returns: str) -> None:
        self.signature = signature
        self.name, self.inputs = _parse(signature)
        self.returns = list(returns)
        self.selector = keccak(signature.encode())[:4]

    def encode(self, *arguments: object) -> bytes:
        """Calldata. `InvalidInput` for arguments that the types do not hold."""
        try:
            return self.selector + encode(self.inputs, arguments)
        except EncodingError as error:
            raise InvalidInput(f"{self.name}: {error}") from error

    def decode(self, raw: bytes) -> tuple[Any, ...]:
        """What a call returned. `MalformedReply` for bytes that the contract cannot have returned."""
        return _decode(self.returns, raw, self.name)

    def arguments(self, calldata: bytes) -> tuple[Any, ...]:
        """Inverse of `encode`."""
        assert calldata[:4] == self.selector, self.signature
        return _decode(self.inputs, calldata[4:], self.name)


class Event:
    """`Event("Paid(uint64 indexed sequence, address token)")`: parameters with their names, as in the interface."""

    def __init__(self, declaration: str) -> None:
        self.name, parameters = _parse(declaration)
        words = [parameter.split() for parameter in parameters]
        types = [parts[0] for parts in words]
        self.names = [parts[-1] for parts in words]
        self.indexed = ["indexed" in parts[1:-1] for parts in words]
        self.types = types
        self.signature = f"{self.name}({','.join(types)})"
        self.topic = keccak(self.signature.encode())

    def decode(self, topics: Sequence[bytes], payload: bytes) -> dict[str, Any]:
        """Parameters by name; indexed ones must be value types. A string is whatever bytes the contract was given: what
        is not UTF-8 in it becomes U+FFFD."""
        kinds = list(zip(self.names, self.types, self.indexed, strict=True))
        in_topics = [(name, kind) for name, kind, indexed in kinds if indexed]
        in_payload = [(name, kind) for name, kind, indexed in kinds if not indexed]
        if len(topics) != len(in_topics) + 1 or topics[0] != self.topic:
            raise MalformedReply(f"not a {self.name} log: {len(topics)} topics")
        values = _decode([kind for _, kind in in_topics], b"".join(topics[1:]), self.name)
        found = dict(zip([name for name, _ in in_topics], values, strict=True))
        values = _decode(["bytes" if kind == "string" else kind for _, kind in in_payload], payload, self.name)
        for (name, kind), value in zip(in_payload, values, strict=True):
            found[name] = value.decode(errors="replace") if kind == "string" else value
        return found


class ErrorTable:
    """Custom errors by selector, for readable reasons."""

    def __init__(self, *signatures: str) -> None:
        self.signatures = signatures
        self._known = {keccak(signature.encode())[:4]: _parse(signature) for signature in signatures}

    def find(self, payload: bytes) -> tuple[str, tuple[Any, ...]]:
        """(name, arguments) of revert data; ("", ()) for an error that is not listed."""
        name, inputs = self._known.get(payload[:4], ("", []))
        try:
            return name, _decode(inputs, payload[4:], name) if name else ()
        except MalformedReply:
            return "", ()

    def explain(self, payload: bytes) -> str:
        """Revert data in words."""
        if not payload:
            return "reverted without a reason"
        name, arguments = self.find(payload)
        if name:
            return f"{name}({', '.join(_readable(argument) for argument in arguments)})"
        try:
            if payload[:4] == _REVERT:
                return f'reverted: "{_decode(["string"], payload[4:], "Error")[0][:200]}"'
            if payload[:4] == _PANIC:
                (code,) = _decode(["uint256"], payload[4:], "Panic")
                return f"panic 0x{code:02x} ({_PANICS.get(code, 'unknown')})"
        except MalformedReply:
            pass
        return f"unknown error 0x{payload[:4].hex()}"


def _readable(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def _decode(types: list[str], raw: bytes, what: str) -> tuple[Any, ...]:
    try:
        return tuple(decode(types, raw))
    except (DecodingError, InsufficientDataBytes, OverflowError, UnicodeDecodeError) as error:
        raise MalformedReply(f"{what}: {len(raw)} bytes that do not decode ({type(error).__name__})") from None


def _parse(signature: str) -> tuple[str, list[str]]:
    """(name, parameters) of `name(a,(b,c)[],d e)`."""
    start = signature.index("(")
    inside, depth, parts = signature[start + 1 : -1], 0, [""]
    for letter in inside:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return signature[:start], [part.strip() for part in parts if part]
