// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

/// @title The tree of orders under one signature. Python twin: `offchain.domain.eip712`
/// @dev Always 32 leaves; one that is not used is 0. A leaf is keccak256(0x00 | order's struct hash), a node
/// keccak256(0x01 | left | right): neither passes for the other.
library BulkTree {
    uint256 internal constant DEPTH = 5;

    bytes32 internal constant TYPE_HASH = keccak256("BulkOrder(bytes32 root)");

    /// @param orderHash The order's struct hash.
    /// @param position Of the leaf, from 0; only its lowest DEPTH bits are looked at.
    /// @param siblingsAt Where DEPTH siblings are in calldata, the leaf's first.
    /// @return hash Struct hash of the `BulkOrder` that the signer signed.
    function structHash(bytes32 orderHash, uint256 position, uint256 siblingsAt) internal pure returns (bytes32 hash) {
        hash = _hash(0, orderHash, 0, 33);
        for (uint256 level; level < DEPTH; ++level) {
            bytes32 sibling;
            assembly ("memory-safe") {
                sibling := calldataload(add(siblingsAt, shl(5, level)))
            }
            bool isRight = (position >> level) & 1 != 0;
            (bytes32 left, bytes32 right) = isRight ? (sibling, hash) : (hash, sibling);
            hash = _hash(1, left, right, 65);
        }
        return Hashes.efficientKeccak256(TYPE_HASH, hash);
    }

    /// @return hash keccak256 of the first `length` bytes of prefix | left | right.
    function _hash(uint256 prefix, bytes32 left, bytes32 right, uint256 length) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore8(free, prefix)
            mstore(add(free, 1), left)
            mstore(add(free, 33), right)
            hash := keccak256(free, length)
        }
    }
}
