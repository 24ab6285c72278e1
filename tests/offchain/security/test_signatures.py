"""The accepted set of signatures is exactly the contracts'."""

from coincurve import PublicKey
from hypothesis import given
from hypothesis import strategies as st

from offchain.domain.keccak import keccak
from offchain.security.signatures import CURVE_ORDER, LOW_S_MAX, Signers, address_of, canonical, recover, sign

keys = st.integers(1, CURVE_ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
digests = st.binary(min_size=32, max_size=32)


def pack(r: int, s: int, v: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((v,))


def parts(signature: bytes) -> tuple[int, int, int]:
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]


@given(keys, digests)
def test_own_signatures_recover(key: bytes, digest: bytes) -> None:
    signature = sign(digest, key)
    assert recover(digest, signature) == address_of(key)
    assert signature[64] in (27, 28)
    assert parts(signature)[1] <= LOW_S_MAX


def test_known_address() -> None:
    assert address_of(bytes(31) + b"\x01") == "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"


@given(keys, digests)
def test_high_s_is_refused(key: bytes, digest: bytes) -> None:
    """The other signature of the same key over the same digest, which plain ecrecover takes."""
    r, s, v = parts(sign(digest, key))
    assert recover(digest, pack(r, CURVE_ORDER - s, 55 - v)) is None


@given(keys, digests, st.integers(0, 255).filter(lambda v: v not in (27, 28)))
def test_other_v_is_refused(key: bytes, digest: bytes, v: int) -> None:
    r, s, _ = parts(sign(digest, key))
    assert recover(digest, pack(r, s, v)) is None


@given(keys, digests, st.integers(0, 200).filter(lambda n: n not in (64, 65)))
def test_other_lengths_are_refused(key: bytes, digest: bytes, length: int) -> None:
    signature = sign(digest, key)
    assert recover(digest, (signature * 4)[:length]) is None


@given(digests, st.sampled_from([0, CURVE_ORDER, 2**256 - 1]), st.integers(1, LOW_S_MAX), st.sampled_from([27, 28]))
def test_r_out_of_range_is_refused(digest: bytes, r: int, s: int, v: int) -> None:
    assert recover(digest, pack(r, s, v)) is None


@given(digests, st.integers(1, CURVE_ORDER - 1), st.sampled_from([0, LOW_S_MAX + 1, CURVE_ORDER, 2**256 - 1]))
def test_s_out_of_range_is_refused(digest: bytes, r: int, s: int) -> None:
    assert recover(digest, pack(r, s, 27)) is None


@given(st.binary(max_size=80), st.binary(max_size=40))
def test_no_bytes_raise(signature: bytes, digest: bytes) -> None:
    found = recover(digest, signature)
    assert found is None or len(found) == 42


@given(digests, st.integers(1, CURVE_ORDER - 1), st.integers(1, LOW_S_MAX), st.sampled_from([27, 28]))
def test_agrees_with_the_library_inside_the_set(digest: bytes, r: int, s: int, v: int) -> None:
    """Random r is an abscissa half of the time: what is refused then is refused by the curve, not by us."""
    signature = pack(r, s, v)
    try:
        point = PublicKey.from_signature_and_message(signature[:64] + bytes((v - 27,)), digest, hasher=None)
        expected = "0x" + keccak(point.format(compressed=False)[1:])[12:].hex()
    except ValueError:
        expected = None
    assert recover(digest, signature) == expected


def test_one_signature_has_one_form() -> None:
    """Whatever recovers in 64 bytes recovers in the 65 that are kept; other bytes stay what they are."""
    for number in range(64):
        digest = number.to_bytes(32, "big")
        long = sign(digest, bytes((1 + number,)) * 32)
        short = long[:32] + (int.from_bytes(long[32:64], "big") | (long[64] - 27) << 255).to_bytes(32, "big")
        assert canonical(short) == canonical(long) == long
        assert recover(digest, short) == recover(digest, canonical(short)) is not None
    for odd in (b"", bytes(63), bytes(65), bytes(66)):
        assert canonical(odd) == odd
    assert recover(bytes(32), canonical(b"\xff" * 64)) is None


SIGNERS = Signers(keys_max=16)
"""One for all examples, as in a gateway: whatever it has seen must change nothing."""


def agree(digest: bytes, signature: bytes) -> None:
    """For signatures of 65 bytes: the other form never gets there."""
    expected = recover(digest, signature) if len(signature) == 65 else None
    found = SIGNERS.recover(digest, signature)
    assert found == SIGNERS.recover(digest, signature), "known by now"
    assert (None if found is None else "0x" + found.hex()) == expected


edges = st.sampled_from([0, 1, LOW_S_MAX, LOW_S_MAX + 1, CURVE_ORDER - 1, CURVE_ORDER, 2**256 - 1])
words = st.one_of(edges, st.integers(0, 2**256 - 1))


@given(digests, words, words, st.integers(0, 255) | st.sampled_from([26, 27, 28, 29]))
def test_remembered_signers_have_the_same_accept_set(digest: bytes, r: int, s: int, v: int) -> None:
    agree(digest, pack(r, s, v))


@given(keys, digests, st.integers(0, 64), st.integers(0, 255))
def test_no_change_of_a_good_signature_is_taken_for_its_signer(key: bytes, digest: bytes, at: int, byte: int) -> None:
    signature = sign(digest, key)
    agree(digest, signature)
    changed = signature[:at] + bytes((byte,)) + signature[at + 1 :]
    agree(digest, changed)
    r, s, v = parts(signature)
    for other in (pack(r, s, 55 - v), pack(r, CURVE_ORDER - s, 55 - v), pack(r, CURVE_ORDER - s, v)):
        agree(digest, other)
        assert SIGNERS.recover(digest, other) != bytes.fromhex(address_of(key)[2:])


@given(st.binary(max_size=80), st.binary(max_size=40))
def test_remembered_signers_never_raise(signature: bytes, digest: bytes) -> None:
    agree(digest, signature)
