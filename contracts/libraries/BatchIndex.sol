// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {TransientSlot} from "@openzeppelin/contracts/utils/TransientSlot.sol";

/// @title Where a batch keeps the balance of (account, token): a map from the pair to an index, in transient storage
/// @dev Every key names the batch by its first fill, which no other batch has: an entry never outlives its batch, even
/// when one transaction settles two. Unlike a hash table in memory, nobody can slow it down by choosing addresses.
library BatchIndex {
    using TransientSlot for bytes32;
    using TransientSlot for TransientSlot.Uint256Slot;

    function keyOf(uint64 batch, address account, address token) internal pure returns (bytes32) {
        return Hashes.efficientKeccak256(
            bytes32(uint256(uint160(account)) | (uint256(batch) << 160)), bytes32(uint256(uint160(token)))
        );
    }

    /// @return index 0 if the pair is not there.
    function get(bytes32 key) internal view returns (uint256 index) {
        return key.asUint256().tload();
    }

    function put(bytes32 key, uint256 index) internal {
        key.asUint256().tstore(index);
    }
}
