"""The commitments, and the proofs that the engine makes against them."""

from typing import Any

import pytest
from venue import Venue, only, reverts

from offchain.domain import eip712
from offchain.domain.keccak import keccak
from offchain.engine.merkle import indexed_leaf, indexed_proof, indexed_root, standard_proof, standard_root

FIELDS = ("epoch", "parent", "first", "last", "ordersRoot", "commandsRoot", "stateRoot", "volume", "count", "dataHash")
ZERO = bytes(32)


def digest(number: int) -> bytes:
    return keccak(b"%d" % number)


def header(**changes: Any) -> dict[str, Any]:
    """The first epoch, of 7 commands; `changes` are fields."""
    values = (1, ZERO, 1, 7, digest(1), digest(2), digest(3), 123_456, 3, digest(4))
    return dict(zip(FIELDS, values, strict=True)) | changes


def commit(venue: Venue, epoch: dict[str, Any]) -> Any:
    return venue.commitment.commit(tuple(epoch.values()), sender=venue.committer)


def hash_of(venue: Venue, epoch: dict[str, Any]) -> bytes:
    return bytes(venue.commitment.hashHeader(tuple(epoch.values())))


def test_commit_two_epochs(venue: Venue) -> None:
    commitment, first = venue.commitment, header()
    logged = only(commit(venue, first), commitment.EpochCommitted)
    hashed = keccak(
        b"".join(value if isinstance(value, bytes) else value.to_bytes(32, "big") for value in first.values())
    )
    assert (logged["epoch"], bytes(logged["headerHash"])) == (1, hashed)
    assert hash_of(venue, first) == bytes(commitment.headerHash(1)) == hashed
    commit(venue, header(epoch=2, parent=hashed, first=8, last=8))
    assert (commitment.lastEpoch(), commitment.lastSequence()) == (2, 8)


@pytest.mark.parametrize(
    ("changes", "error", "inputs"),
    [
        ({"epoch": 1}, "NotConsecutive", {"epoch": 1, "expected": 2}),
        ({"epoch": 3}, "NotConsecutive", {"epoch": 3, "expected": 2}),
        ({"parent": ZERO}, "WrongParent", {"parent": ZERO}),
        ({"first": 9, "last": 9}, "WrongRange", {"first": 9}),
        ({"first": 7}, "WrongRange", {"first": 7}),
        ({"last": 7}, "WrongRange", {"last": 7}),
        ({"ordersRoot": ZERO}, "ZeroRoot", {}),
        ({"commandsRoot": ZERO}, "ZeroRoot", {}),
        ({"stateRoot": ZERO}, "ZeroRoot", {}),
    ],
)
def test_an_epoch_follows_the_one_before(venue: Venue, changes: Any, error: str, inputs: Any) -> None:
    commit(venue, header())
    second = header(epoch=2, parent=hash_of(venue, header()), first=8, last=10)
    with reverts(error, **inputs):
        commit(venue, second | changes)


def test_only_the_committer_commits(venue: Venue) -> None:
    role = keccak(b"COMMITTER_ROLE")
    with reverts("AccessControlUnauthorizedAccount", account=venue.settler.address, neededRole=role):
        venue.commitment.commit(tuple(header().values()), sender=venue.settler)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_verify_order(venue: Venue, count: int) -> None:
    leaves = [(number, digest(number)) for number in range(1, count + 1)]
    epoch = header(ordersRoot=standard_root(leaves), count=count)
    commit(venue, epoch)

    def verify(sequence: int, order_hash: bytes, proof: list[bytes], shown: dict[str, Any] = epoch) -> bool:
        return bool(venue.commitment.verifyOrder(tuple(shown.values()), sequence, order_hash, proof))

    for position, (sequence, order_hash) in enumerate(leaves):
        proof = standard_proof(leaves, position)
        assert verify(sequence, order_hash, proof)
        assert not verify(sequence + 1, order_hash, proof)
        assert not verify(sequence, digest(99), proof)
        assert not verify(sequence, order_hash, [*proof, digest(99)])
        assert not verify(sequence, order_hash, proof, epoch | {"volume": 1})


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
def test_verify_command(venue: Venue, count: int) -> None:
    leaves = [indexed_leaf(b"record %d" % number) for number in range(count)]
    epoch = header(last=count, commandsRoot=indexed_root(leaves))
    commit(venue, epoch)

    def verify(sequence: int, leaf: bytes, proof: list[bytes]) -> bool:
        return bool(venue.commitment.verifyCommand(tuple(epoch.values()), sequence, leaf, proof))

    for position, leaf in enumerate(leaves):
        proof = indexed_proof(leaves, position)
        assert verify(position + 1, leaf, proof)
        assert not verify(position + 2, leaf, proof)
        assert not verify(position, leaf, proof)
        assert not verify(position + 1, digest(99), proof)
        assert not verify(position + 1, leaf, [*proof, digest(99)])
        assert not proof or not verify(position + 1, leaf, proof[:-1])


def test_nothing_is_proved_against_an_epoch_that_is_not_committed(venue: Venue) -> None:
    leaves = [(1, digest(1))]
    unknown = header(ordersRoot=standard_root(leaves))
    assert not venue.commitment.verifyOrder(tuple(unknown.values()), 1, digest(1), [])
    nothing = header(epoch=0, first=0, last=9, ordersRoot=standard_root(leaves))
    assert not venue.commitment.verifyOrder(tuple(nothing.values()), 1, digest(1), [])


def test_a_receipt_is_signed_for_this_contract(venue: Venue) -> None:
    order_hash = digest(5)
    message = {"sequence": 7, "at": 1_800_000_000_000, "orderHash": order_hash}
    signature = venue.sign(venue.cosigner, venue.commitment, eip712.RECEIPT_TYPE, message)
    expected = eip712.receipt_digest(venue.separator(venue.commitment), 7, 1_800_000_000_000, order_hash)
    assert venue.signer_of(expected, signature) == venue.vault.cosigner()
