// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Order} from "../interfaces/Types.sol";

/// @title What a trader signs, hashed. Python twin: `offchain.domain.eip712.order_struct_hash`
library OrderHash {
    bytes32 internal constant TYPE_HASH = keccak256(
        "Order(address account,uint8 subaccount,uint32 market,uint8 side,uint8 kind,uint8 timeInForce,uint16 flags,uint64 priceTicks,uint64 sizeLots,uint64 triggerTicks,int32 maxFeePpm,uint64 nonce,uint40 expiry)" // solhint-disable-line max-line-length
    );

    uint256 private constant BYTES = 14 * 32;

    /// @return order Room for the words that are hashed: the type hash, which is written, and 13 fields, which are not.
    function reserve() internal pure returns (uint256 order) {
        bytes32 typeHash = TYPE_HASH;
        assembly ("memory-safe") {
            order := mload(0x40)
            mstore(order, typeHash)
            mstore(0x40, add(order, BYTES))
        }
    }

    /// @dev keccak256(abi.encode(TYPE_HASH, order)) of the words at `order`; see `reserve`.
    function hashAt(uint256 order) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            hash := keccak256(order, BYTES)
        }
    }

    /// @dev The same of an order in memory.
    function structHash(Order memory order) internal pure returns (bytes32) {
        return keccak256(abi.encode(TYPE_HASH, order));
    }

    /// @dev The same of an order as it came. A word with dirty high bits hashes to what nobody signed.
    function structHashOf(Order calldata order) internal pure returns (bytes32 hash) {
        bytes32 typeHash = TYPE_HASH;
        assembly ("memory-safe") {
            // Unallocated memory behind the free pointer serves as scratch space; the pointer stays.
            let free := mload(0x40)
            mstore(free, typeHash)
            calldatacopy(add(free, 0x20), order, 416)
            hash := keccak256(free, BYTES)
        }
    }
}
