"""Receipts of a whole group: one signature over a root, and the path from an order to it.

The leaves are the orders of a journal group, in their order; the tree is `engine.merkle`'s indexed one. Invariant: what
is signed is a function of the journal's group alone, so that signature and path can be given again at any time.
"""

from collections.abc import Callable, Sequence

import msgspec

from offchain.domain.command import PlaceOrder, decode
from offchain.domain.eip712 import receipt_leaf, receipt_leaves
from offchain.domain.units import Digest, from_hex
from offchain.domain.wire import ATTESTATION
from offchain.engine.merkle import indexed_proof, indexed_root
from offchain.sequencer.attestation import Attestor
from offchain.storage.frames import Group


class GroupReceipt(msgspec.Struct, frozen=True, rename="camel"):
    """That an order has its place. `position` of `orders` in the tree; hashes and signature as 0x-hex."""

    sequence: int
    at: int
    order_hash: Digest
    first: int
    last: int
    orders: int
    position: int
    root: str
    proof: tuple[str, ...]
    signature: str


def attest(attestor: Attestor, first: int, last: int, at: int, leaves: Sequence[tuple[int, bytes]]) -> bytes:
    """`leaves`: sequence and digest of every order in the group of the commands first..last."""
    root = indexed_root(receipt_leaves(at, leaves))
    return ATTESTATION.pack(first, last, len(leaves), root, attestor.receipts(first, last, len(leaves), root))


def group_receipt(
    attestor: Attestor, group: Group, sequence: int, digest_of: Callable[[PlaceOrder], Digest]
) -> GroupReceipt | None:
    """Of the order at `sequence`; None if there is none in this group."""
    orders: list[tuple[int, int, bytes]] = []
    for record in group.records():
        command = decode(record.kind, record.version, record.payload)
        if isinstance(command, PlaceOrder):
            orders.append((record.sequence, record.at, from_hex(digest_of(command))))
    places = {order[0]: position for position, order in enumerate(orders)}
    if sequence not in places:
        return None
    position = places[sequence]
    leaves = [receipt_leaf(*order) for order in orders]
    root = indexed_root(leaves)
    return GroupReceipt(
        sequence=sequence,
        at=orders[position][1],
        order_hash=Digest("0x" + orders[position][2].hex()),
        first=group.first,
        last=group.last,
        orders=len(orders),
        position=position,
        root="0x" + root.hex(),
        proof=tuple("0x" + node.hex() for node in indexed_proof(leaves, position)),
        signature="0x" + attestor.receipts(group.first, group.last, len(orders), root).hex(),
    )
