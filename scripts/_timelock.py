"""The timelock: calls, and what is scheduled on it.

Invariant: an operation's id is computed as OpenZeppelin's TimelockController does; what is pending is asked of the
chain. Deliberately no batches: one proposal, one call.
"""

from typing import Final, NamedTuple

from eth_abi.abi import encode

from offchain.chain.abi import Function
from offchain.domain.keccak import keccak
from offchain.domain.units import Address
from scripts._venue import Venue

CALL: Final = "address,uint256,bytes,bytes32,bytes32"
SCHEDULE: Final = Function(f"schedule({CALL},uint256)")
EXECUTE: Final = Function(f"execute({CALL})")
CANCEL: Final = Function("cancel(bytes32)")
TIMESTAMP: Final = Function("getTimestamp(bytes32)", "uint256")
MIN_DELAY: Final = Function("getMinDelay()", "uint256")
DONE_TIMESTAMP: Final = 1
"""What getTimestamp answers for an operation that was executed."""
NO_PREDECESSOR: Final = b"\0" * 32


class PendingOperation(NamedTuple):
    """Scheduled, and neither executed nor cancelled. `executable_at` in Unix seconds."""

    id: str
    summary: str
    executable_at: int


def timestamp_of(venue: Venue, operation: bytes) -> int:
    """0 for an unknown or cancelled operation, 1 for an executed one, else when it may be executed."""
    timelock = venue.contracts["Timelock"]
    return int(TIMESTAMP.decode(venue.chain.call(timelock, TIMESTAMP.encode(operation)))[0])


def pending_operations(venue: Venue) -> list[PendingOperation]:
    """Of those that the registry knows."""
    found = []
    for operation in venue.registry.operations:
        moment = timestamp_of(venue, bytes.fromhex(operation.id[2:]))
        if moment > DONE_TIMESTAMP:
            found.append(PendingOperation(operation.id, operation.summary, moment))
    return found


def operation_id(target: Address, payload: bytes, predecessor: bytes, salt: bytes) -> bytes:
    """TimelockController.hashOperation."""
    return keccak(encode(CALL.split(","), [target, 0, payload, predecessor, salt]))
