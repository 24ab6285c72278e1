// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title Inclusion in a tree of RFC 6962's shape, hashed with keccak256
/// @dev leaf = keccak256(0x00 || record), node = keccak256(0x01 || left || right), split at the largest power of two
/// below the count. The walk is that of RFC 9162, 2.1.3.2. Python twin: `offchain.engine.merkle.verify_indexed`.
library IndexedTree {
    function leafHash(bytes memory record) internal pure returns (bytes32) {
        return keccak256(bytes.concat(hex"00", record));
    }

    function nodeHash(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return keccak256(bytes.concat(hex"01", left, right));
    }

    /// @dev True if `leaf` is at `position` of the tree over `count` leaves with this root. Position and count fix the
    /// proof's length, so that no inner node passes for a leaf.
    function verify(bytes32 root, bytes32 leaf, uint256 position, uint256 count, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        if (position >= count) return false;

        uint256 node = position;
        uint256 lastNode = count - 1;
        bytes32 hash = leaf;

        for (uint256 i; i < proof.length; ++i) {
            if (lastNode == 0) return false;

            if (node & 1 == 1 || node == lastNode) {
                hash = nodeHash(proof[i], hash);
                // A node without a right sibling is lifted until it has a left one.
                while (node & 1 == 0 && node != 0) {
                    node >>= 1;
                    lastNode >>= 1;
                }
            } else {
                hash = nodeHash(hash, proof[i]);
            }
            node >>= 1;
            lastNode >>= 1;
        }

        return lastNode == 0 && hash == root;
    }
}
