"""Frames: any commands in any pieces come out as they went in; anything else is refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from venue_samples import KEY, VENUE, flow

from offchain.domain.chainlog import AgentRegistered
from offchain.domain.command import CloseEpoch, ObserveLog, RequestApproval, bytes_max, encode
from offchain.domain.eip712 import Withdrawal, approval_digest, domain_separator, withdraw_hash
from offchain.domain.errors import InvalidInput
from offchain.domain.event import ApprovalGranted, BalanceChanged
from offchain.domain.limits import RECORD_BYTES_MAX
from offchain.domain.units import Address, Digest
from offchain.security.signatures import sign
from offchain.sequencer import protocol
from offchain.sequencer.attestation import Attestor
from offchain.sequencer.protocol import Ack, FrameReader, FrameType
from offchain.sequencer.ring import Ring, RingFrame
from offchain.storage.frames import Body, Record

ADDRESS = Address("0x" + "11" * 20)


def balance(amount: int) -> BalanceChanged:
    return BalanceChanged(account=ADDRESS, token=ADDRESS, settled=amount, pending=-amount, held=0, leaving=0)


@given(cuts=st.lists(st.integers(1, 2_000), max_size=20), count=st.integers(1, 30))
def test_frames_survive_any_cutting(cuts: list[int], count: int) -> None:
    commands = [*flow(count), CloseEpoch()]
    acks = [Ack(1, 2, (balance(2**120),), "0x01", "", True)]
    stream = protocol.submit_frame(7, commands) + protocol.acks_frame(8, acks) + protocol.feed_frame(9)
    reader, found, position = FrameReader(), list[tuple[FrameType, bytes]](), 0
    for cut in [*cuts, len(stream)]:
        found += reader.feed(stream[position : position + cut])
        position += cut
    (_, submitted), (_, acked), (_, fed) = found
    assert [frame_type for frame_type, _ in found] == [FrameType.SUBMIT, FrameType.ACKS, FrameType.FEED]
    assert protocol.read_submit(submitted) == (7, commands)
    assert protocol.read_acks(acked) == (8, acks)
    assert protocol.read_feed(fed) == 9


def test_a_submission_that_was_changed_is_refused() -> None:
    whole = protocol.submit_frame(7, flow(2))[5:]
    for length in range(len(whole)):
        with pytest.raises(InvalidInput):
            protocol.read_submit(whole[:length])
    with pytest.raises(InvalidInput):
        protocol.read_submit(whole + b"\x00")
    assert protocol.request_of(whole) == 7
    assert protocol.request_of(b"") == 0


def test_too_large_a_command_is_refused_by_the_sender() -> None:
    terms = {"account": ADDRESS, "token": ADDRESS, "amount": 1, "destination": ADDRESS, "as_cxpt": False}
    long = RequestApproval(
        **terms,
        purpose="x" * 70_000,
        nonce=1,
        deadline=1,
        signature="",
        signer=ADDRESS,  # type: ignore[arg-type]
    )
    assert len(encode(long)[2]) > 65_536
    with pytest.raises(InvalidInput, match="bytes"):
        protocol.submit_frame(1, [long])


def test_nothing_as_long_as_a_log_comes_over_the_socket() -> None:
    """The journal takes long logs; who connects may not fill it with them."""
    where = {"event_sequence": 1, "block_number": 7, "block_time": 100, "transaction": "0x01"}
    terms = {"account": ADDRESS, "agent": ADDRESS, "expiry": 1, "notional": 1, "markets": (2**32 - 1,) * 6_100}
    command = ObserveLog(log=AgentRegistered(**where, **terms))  # type: ignore[arg-type]
    kind, version, payload = encode(command)
    assert RECORD_BYTES_MAX < len(payload) <= bytes_max(kind, payload)
    with pytest.raises(InvalidInput, match="bytes"):
        protocol.submit_frame(1, [command])
    raw = struct.pack(">QI", 1, 1) + struct.pack(">IBB", len(payload), kind, version) + payload
    with pytest.raises(InvalidInput, match=f"command of {len(payload)} bytes"):
        protocol.read_submit(raw)


def test_unknown_frames_are_refused() -> None:
    for stream in (b"\x00\x00\x00\x00\x01", b"\xff\xff\xff\xff\x01", b"\x00\x00\x00\x01\x63"):
        with pytest.raises(InvalidInput):
            list(FrameReader().feed(stream))


def test_the_ring_keeps_the_newest_and_finds_any() -> None:
    ring, told = Ring(commands_max=10, bytes_max=10_000), []
    ring.listeners.append(lambda frame: told.append(frame.last))
    assert ring.read(1, 100) == (b"", 1)
    for first in range(1, 40, 3):
        ring.append(RingFrame(first, first + 2, b"%d," % first))
    assert told == list(range(3, 40, 3))
    assert [ring.reaches(sequence) for sequence in (0, 27, 28, 39, 40, 41)] == [False, False, True, True, True, False]
    for sequence in (28, 29, 30):
        assert ring.read(sequence, 100) == (b"28,31,34,37,", 40)
        assert ring.read(sequence, 1) == (b"28,", 31)
    assert ring.read(40, 100) == (b"", 40)
    with pytest.raises(AssertionError):
        ring.append(RingFrame(41, 41, b""))


def test_the_ring_is_bounded_in_bytes() -> None:
    ring = Ring(commands_max=1_000, bytes_max=100)
    for first in range(1, 50):
        ring.append(RingFrame(first, first, bytes(30)))
    assert not ring.reaches(46) and ring.reaches(47)
    ring.append(RingFrame(50, 50, bytes(1_000)))
    assert not ring.reaches(49) and ring.reaches(50), "the newest stays, however large"


def test_attestations_are_the_same_bytes_as_everywhere() -> None:
    attestor = Attestor(KEY, VENUE)
    grant = ApprovalGranted(
        nonce=5,
        purpose="withdraw",
        account=ADDRESS,
        token=VENUE.quote_token,
        amount=7,
        destination=ADDRESS,
        as_cxpt=True,
        owner_nonce=1,
        owner_deadline=2,
        owner_signature="0x",
        deadline=99,
    )
    separator = domain_separator(VENUE.chain_id, VENUE.vault)
    purpose = withdraw_hash(Withdrawal(ADDRESS, VENUE.quote_token, 7, ADDRESS, True, 1, 2))
    digest = approval_digest(separator, ADDRESS, VENUE.quote_token, 7, purpose, 5, 99)
    assert attestor.approval(grant) == "0x" + sign(digest, KEY).hex()
    assert attestor.receipt(1, 2, Digest("0x" + "ab" * 32)) == attestor.receipt(1, 2, Digest("0x" + "ab" * 32))


def test_a_group_travels_as_it_stands_in_the_journal() -> None:
    content, group_hash = Body.of([Record(16, 1, 5, 6, b"{}"), Record(16, 1, 6, 6, b"[]")]).seal(bytes(32))
    group = protocol.read_records(protocol.records_frame(content)[5:])
    assert group == (group.head, content, b"")
    assert (group.first, group.last, group.head.hash) == (5, 6, group_hash)
    digests = bytes(range(64))
    assert protocol.read_records(protocol.records_frame(content, digests)[5:]) == group._replace(digests=digests)
    for damaged in (content[:-1], content + b"x", content[:-1] + b"x", b"", content + digests[1:], content + bytes(96)):
        with pytest.raises(InvalidInput, match="group"):
            protocol.read_records(damaged)
