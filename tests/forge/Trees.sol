// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IndexedTree} from "../../contracts/libraries/IndexedTree.sol";

/// @title The two trees of an epoch, built straight from their definitions
library Trees {
    /* RFC 6962: COMMANDS */

    /// @dev Root of the leaves [from, to), straight from RFC 6962.
    function rootOf(bytes32[] memory leaves, uint256 from, uint256 to) internal pure returns (bytes32) {
        if (to - from == 1) return leaves[from];
        uint256 split = splitOf(to - from);
        return IndexedTree.nodeHash(rootOf(leaves, from, from + split), rootOf(leaves, from + split, to));
    }

    /// @dev The largest power of two below `count`.
    function splitOf(uint256 count) internal pure returns (uint256 split) {
        split = 1;
        while (split * 2 < count) split *= 2;
    }

    /// @dev The audit path of `position`, lowest sibling first, straight from RFC 6962.
    function pathOf(bytes32[] memory leaves, uint256 from, uint256 to, uint256 position)
        internal
        pure
        returns (bytes32[] memory path)
    {
        if (to - from == 1) return new bytes32[](0);
        uint256 split = from + splitOf(to - from);
        bool isLeft = position < split;
        bytes32[] memory inner = isLeft ? pathOf(leaves, from, split, position) : pathOf(leaves, split, to, position);
        path = new bytes32[](inner.length + 1);
        for (uint256 i; i < inner.length; ++i) {
            path[i] = inner[i];
        }
        path[inner.length] = isLeft ? rootOf(leaves, split, to) : rootOf(leaves, from, split);
    }

    /* OPENZEPPELIN'S STANDARD MERKLE TREE: ORDERS */

    function pairHash(bytes32 a, bytes32 b) internal pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    /// @return nodes The root first; the leaves, sorted, from the end backwards.
    function standardTree(bytes32[] memory leaves) internal pure returns (bytes32[] memory nodes) {
        uint256 count = leaves.length;
        nodes = new bytes32[](2 * count - 1);
        for (uint256 i; i < count; ++i) {
            uint256 rank;
            for (uint256 j; j < count; ++j) {
                if (leaves[j] < leaves[i]) ++rank;
            }
            nodes[2 * count - 2 - rank] = leaves[i];
        }
        for (uint256 i = count - 1; i != 0; --i) {
            nodes[i - 1] = pairHash(nodes[2 * i - 1], nodes[2 * i]);
        }
    }

    function standardProof(bytes32[] memory nodes, bytes32 leaf) internal pure returns (bytes32[] memory proof) {
        uint256 at = nodes.length - 1;
        while (nodes[at] != leaf) --at;
        uint256 length;
        for (uint256 i = at; i != 0; i = (i - 1) / 2) {
            ++length;
        }
        proof = new bytes32[](length);
        for (uint256 i; i < length; ++i) {
            proof[i] = nodes[at % 2 == 1 ? at + 1 : at - 1];
            at = (at - 1) / 2;
        }
    }
}
