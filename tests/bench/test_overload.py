"""What an overload counts: why orders were refused, one by one or a message at a time."""

from collections import Counter

from bench.overload import Heard
from offchain.domain import wire


class Given(Heard):
    """Messages without a socket."""

    def __init__(self, payloads: list[bytes]) -> None:
        self.reasons, self._per_frame, self._payloads = Counter(), 3, payloads

    def _messages(self):  # type: ignore[no-untyped-def]
        return iter((2, payload) for payload in self._payloads)


def results(number: int, *items: bytes) -> bytes:
    return wire.HEAD.pack(wire.VERSION, wire.MessageKind.RESULTS, len(items), number) + b"".join(items)


def test_refusals_are_told_apart() -> None:
    taken = wire.RESULT.pack(7, 1, wire.STATUSES["open"], 0, 0, 0, 0)
    fault = (
        wire.HEAD.pack(wire.VERSION, wire.MessageKind.FAULT, 1, 3) + bytes((wire.REASONS["RATE_LIMITED"],)) + b"busy"
    )
    heard = Given([results(1, taken, taken), results(2, taken, wire.refused("DEAD_NONCE"), wire.UNKNOWN), fault])
    assert heard.receive() == [(1, b"\x01\x01"), (2, b"\x01\x00\x00"), (3, b"\x00")]
    assert heard.reasons == {"DEAD_NONCE": 1, "UNKNOWN": 1, "RATE_LIMITED": 3}
