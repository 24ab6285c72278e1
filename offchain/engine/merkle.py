"""The two trees of an epoch.

`standard_*`: OpenZeppelin's StandardMerkleTree over [uint64 sequence, bytes32 orderHash] (leaves hashed twice, sorted;
pairs hashed in sorted order). `indexed_*`: RFC 6962's shape with keccak256 (leaf 0x00 || record, node 0x01 || left ||
right, split at the largest power of two below the count), where position is part of what is proved.
"""

from collections.abc import Iterable, Sequence

from offchain.domain.keccak import keccak


def standard_leaf(sequence: int, order_hash: bytes) -> bytes:
    """Leaf of the orders tree: keccak256(keccak256(abi.encode(sequence, orderHash)))."""
    return keccak(keccak(sequence.to_bytes(32, "big") + order_hash))


def standard_root(leaves: Sequence[tuple[int, bytes]]) -> bytes:
    """Root over (sequence, order hash) pairs, at least one."""
    return _standard_tree([keccak(keccak(number.to_bytes(32, "big") + order)) for number, order in leaves])[0]


def standard_proof(leaves: Sequence[tuple[int, bytes]], position: int) -> list[bytes]:
    """Path of the leaf at `position` of `leaves`."""
    hashes = [standard_leaf(*leaf) for leaf in leaves]
    tree = _standard_tree(hashes)
    node = len(tree) - 1 - sorted(hashes).index(hashes[position])
    path = []
    while node > 0:
        path.append(tree[node + 1 if node % 2 else node - 1])
        node = (node - 1) // 2
    return path


def verify_standard(root: bytes, leaf: bytes, proof: Sequence[bytes]) -> bool:
    for sibling in proof:
        leaf = _pair(leaf, sibling)
    return leaf == root


def _standard_tree(hashes: list[bytes]) -> list[bytes]:
    """The package's array layout: leaves at the end in reverse order, node i above 2i + 1 and 2i + 2."""
    assert hashes, "an epoch holds at least one order"
    count = len(hashes)
    tree = [b""] * (count - 1) + _descending(hashes)
    last = count - 1
    while last:  # a level at a time, from the lowest: nodes first to last - 1 have all of theirs below them
        first = (1 << last.bit_length() - 1) - 1
        pairs = zip(tree[2 * first + 1 : 2 * last + 1 : 2], tree[2 * first + 2 : 2 * last + 1 : 2], strict=True)
        tree[first:last] = [keccak(left + right if left < right else right + left) for left, right in pairs]
        last = first
    return tree


def _descending(hashes: Iterable[bytes]) -> list[bytes]:
    """Sorted by first byte first: many small sorts take half the time of one whose list no cache holds."""
    heaps: list[list[bytes]] = [[] for _ in range(256)]
    for one in hashes:
        heaps[one[0]].append(one)
    found = list[bytes]()
    for heap in reversed(heaps):
        heap.sort(reverse=True)
        found += heap
    return found


def _pair(left: bytes, right: bytes) -> bytes:
    return keccak(left + right if left < right else right + left)


def indexed_leaf(record: bytes) -> bytes:
    return keccak(b"\x00" + record)


def indexed_root(leaves: Sequence[bytes]) -> bytes:
    """Root over at least one leaf."""
    assert leaves
    level = list(leaves)
    while len(level) > 1:
        paired = [keccak(b"\x01" + left + right) for left, right in zip(level[::2], level[1::2], strict=False)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def indexed_proof(leaves: Sequence[bytes], position: int) -> list[bytes]:
    """Audit path of RFC 6962, bottom up."""
    level, path = list(leaves), list[bytes]()
    while len(level) > 1:
        sibling = position ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        paired = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level, position = paired, position // 2
    return path


def verify_indexed(root: bytes, leaf: bytes, position: int, count: int, proof: Sequence[bytes]) -> bool:
    """RFC 9162, 2.1.3.2. Twin: `contracts/libraries/IndexedTree.sol`."""
    if not 0 <= position < count:
        return False
    node, last = position, count - 1
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            leaf = _node(sibling, leaf)
            while node & 1 == 0 and node:
                node, last = node >> 1, last >> 1
        else:
            leaf = _node(leaf, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and leaf == root


def _node(left: bytes, right: bytes) -> bytes:
    return keccak(b"\x01" + left + right)
