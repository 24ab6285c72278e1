"""What a soak takes for a fault: shown with results that a venue must never give."""

from bench.load.retrying import Told
from offchain.domain import wire

OPEN, REJECTED = wire.STATUSES["open"], wire.STATUSES["rejected"]


def result(sequence: int, status: int = OPEN, reason: str = "") -> bytes:
    return wire.RESULT.pack(sequence, 1, status, wire.REASONS[reason], 0, 0, 0)


def test_the_same_result_again_is_no_fault_and_another_place_is() -> None:
    told = Told(2)
    assert told.note(0, result(7)) and told.note(0, result(7))
    assert (told.again, told.faults, told.accepted[0], told.sequences[0]) == (1, [], 1, 7)
    assert told.note(0, result(8))
    assert told.faults == ["order 0 was at 7 and is at 8"]


def test_what_is_not_known_is_asked_again() -> None:
    told = Told(1)
    assert not told.note(0, wire.UNKNOWN)
    assert not told.note(0, wire.refused("RATE_LIMITED"))
    assert told.note(0, result(3, REJECTED, "DEAD_NONCE"))
    assert (told.accepted[0], told.sequences[0]) == (0, 3)
