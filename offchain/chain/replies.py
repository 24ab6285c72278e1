"""What a node answered, checked before it is believed: types, sizes and ranges of every field that is used.

Invariant: a function here returns what it promises or raises `MalformedReply`; a node cannot make it raise anything
else. Whether the answer is true is not decided here (see `watcher.py`).
"""

from typing import Any, NamedTuple

from offchain.domain.errors import ChainError
from offchain.domain.units import Address

HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
QUANTITY_DIGITS_MAX = 64
TOPICS_MAX = 4
REASON_LENGTH_MAX = 300
"""Characters of a node's own words that may reach a log line."""


class MalformedReply(ChainError):
    """A node's answer is not what the method returns."""


class Header(NamedTuple):
    """The fields of a block header that are used; `time` in unix seconds, `base_fee` in wei (0 before EIP-1559)."""

    number: int
    hash: str
    parent: str
    time: int
    base_fee: int
    gas_limit: int


class RawLog(NamedTuple):
    """A log as a node gives it; hex strings in lower case, with 0x."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: str
    transaction: str
    log_index: int


class Receipt(NamedTuple):
    """`gas_price` is what was paid per gas, in wei; 0 if the node does not say."""

    transaction: str
    block_number: int
    block_hash: str
    succeeded: bool
    gas_used: int
    gas_price: int = 0


def quantity(value: object) -> int:
    """`0x…` without more than 64 digits."""
    if isinstance(value, str) and value[:2] == "0x" and 0 < len(value) - 2 <= QUANTITY_DIGITS_MAX:
        digits = value[2:]
        if HEX_DIGITS.issuperset(digits):
            return int(digits, 16)
    raise MalformedReply(f"not a quantity: {shorten(value)}")


def octets(value: object, length: int | None = None) -> bytes:
    """Hex bytes, of this length if one is given."""
    if isinstance(value, str) and value[:2] == "0x" and len(value) % 2 == 0 and HEX_DIGITS.issuperset(value[2:]):
        raw = bytes.fromhex(value[2:])
        if length is None or len(raw) == length:
            return raw
    raise MalformedReply(f"not {'' if length is None else f'{length} '}hex bytes: {shorten(value)}")


def word(value: object) -> str:
    """A hash: 32 bytes as lower-case hex with 0x."""
    return "0x" + octets(value, 32).hex()


def header(value: object) -> Header:
    """A block that exists."""
    block = fields(value)
    return Header(
        quantity(block.get("number")),
        word(block.get("hash")),
        word(block.get("parentHash")),
        quantity(block.get("timestamp")),
        quantity(block.get("baseFeePerGas", "0x0")),
        quantity(block.get("gasLimit", "0x0")),
    )


def optional_header(value: object) -> Header | None:
    """A block, or None if the node does not have it."""
    return None if value is None else header(value)


def logs(value: object) -> list[RawLog]:
    """The answer of eth_getLogs. A pending or removed log is malformed: only mined blocks are asked for."""
    if not isinstance(value, list):
        raise MalformedReply(f"not a list of logs: {shorten(value)}")
    return [_log(item) for item in value]


def _log(value: object) -> RawLog:
    entry = fields(value)
    topics = entry.get("topics")
    if not isinstance(topics, list) or len(topics) > TOPICS_MAX or entry.get("removed") is True:
        raise MalformedReply(f"not a log: {shorten(value)}")
    return RawLog(
        Address("0x" + octets(entry.get("address"), 20).hex()),
        tuple(octets(topic, 32) for topic in topics),
        octets(entry.get("data")),
        quantity(entry.get("blockNumber")),
        word(entry.get("blockHash")),
        word(entry.get("transactionHash")),
        quantity(entry.get("logIndex")),
    )


def optional_receipt(value: object) -> Receipt | None:
    """A receipt, or None while the transaction is not mined."""
    if value is None:
        return None
    entry = fields(value)
    if entry.get("blockHash") is None:  # some nodes answer for pending transactions
        return None
    return Receipt(
        word(entry.get("transactionHash")),
        quantity(entry.get("blockNumber")),
        word(entry.get("blockHash")),
        quantity(entry.get("status")) == 1,
        quantity(entry.get("gasUsed", "0x0")),
        quantity(entry.get("effectiveGasPrice", "0x0")),
    )


def fields(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedReply(f"not an object: {shorten(value)}")
    return value


def shorten(value: object) -> str:
    """A node's words for a message: short, and on one line."""
    text = " ".join(str(value).split())
    return text if len(text) <= REASON_LENGTH_MAX else text[:REASON_LENGTH_MAX] + "…"
