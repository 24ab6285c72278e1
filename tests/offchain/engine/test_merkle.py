"""Both trees: against the public package, against RFC 6962's definition, and their proofs."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain.domain.keccak import keccak
from offchain.engine.merkle import (
    indexed_leaf,
    indexed_proof,
    indexed_root,
    standard_leaf,
    standard_proof,
    standard_root,
    verify_indexed,
    verify_standard,
)

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "node_modules" / "@openzeppelin" / "merkle-tree"
SCRIPT = """
const { StandardMerkleTree } = require("@openzeppelin/merkle-tree");
const trees = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(trees.map((leaves) => {
  const tree = StandardMerkleTree.of(leaves, ["uint64", "bytes32"]);
  const hashes = leaves.map((leaf) => tree.leafHash(leaf));
  return { root: tree.root, proofs: leaves.map((_, i) => tree.getProof(i)), leaves: hashes };
})));
"""


def leaves_of(count: int, salt: int = 0) -> list[tuple[int, bytes]]:
    def digest(number: int) -> bytes:
        return hashlib.sha256(bytes([salt]) + number.to_bytes(4, "big")).digest()

    return [(number * 7 + 1, digest(number)) for number in range(count)]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not there: the public package cannot be asked")
def test_against_the_public_package() -> None:
    counts = [*range(1, 34), 64, 100, 257]
    trees = [leaves_of(count, count % 256) for count in counts]
    asked = json.dumps([[[str(sequence), "0x" + digest.hex()] for sequence, digest in leaves] for leaves in trees])
    done = subprocess.run(["node", "-e", SCRIPT], input=asked, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    for leaves, answer in zip(trees, json.loads(done.stdout), strict=True):
        assert "0x" + standard_root(leaves).hex() == answer["root"]
        for position, leaf in enumerate(leaves):
            assert "0x" + standard_leaf(*leaf).hex() == answer["leaves"][position]
            assert ["0x" + node.hex() for node in standard_proof(leaves, position)] == answer["proofs"][position]


@given(st.integers(1, 70), st.data())
def test_standard_proofs(count: int, data: st.DataObject) -> None:
    leaves = leaves_of(count)
    position = data.draw(st.integers(0, count - 1))
    root, proof, leaf = standard_root(leaves), standard_proof(leaves, position), standard_leaf(*leaves[position])
    assert verify_standard(root, leaf, proof)
    assert not verify_standard(root, standard_leaf(leaves[position][0] + 1, leaves[position][1]), proof)
    assert not verify_standard(root, leaf, [*proof, bytes(32)])
    shuffled = data.draw(st.permutations(leaves))
    assert standard_root(shuffled) == root, "leaves are sorted by hash"


def rfc_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, to the letter, with keccak256 and hashed leaves given."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return keccak(b"\x01" + rfc_root(leaves[:split]) + rfc_root(leaves[split:]))


def rfc_path(position: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if position < split:
        return [*rfc_path(position, leaves[:split]), rfc_root(leaves[split:])]
    return [*rfc_path(position - split, leaves[split:]), rfc_root(leaves[:split])]


@given(st.integers(1, 130), st.data())
def test_indexed_tree(count: int, data: st.DataObject) -> None:
    leaves = [indexed_leaf(bytes([number])) for number in range(count)]
    root = indexed_root(leaves)
    assert root == rfc_root(leaves) and leaves[0] == keccak(b"\x00" + b"\x00")
    position = data.draw(st.integers(0, count - 1))
    proof = indexed_proof(leaves, position)
    assert proof == rfc_path(position, leaves)
    assert verify_indexed(root, leaves[position], position, count, proof)
    other = data.draw(st.integers(-1, count))
    if other != position:
        assert not verify_indexed(root, leaves[position], other, count, proof)
    assert not verify_indexed(root, indexed_leaf(b"other"), position, count, proof)
    assert not verify_indexed(root, leaves[position], position, count, [*proof, bytes(32)])
    assert not proof or not verify_indexed(root, leaves[position], position, count, proof[:-1])


@pytest.mark.parametrize("root_of", [standard_root, indexed_root])
def test_an_empty_tree_has_no_root(root_of: object) -> None:
    with pytest.raises(AssertionError):
        root_of([])  # type: ignore[operator]
