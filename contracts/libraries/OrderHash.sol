// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Order} from "../interfaces/Types.sol";

/// @title What a trader signs, hashed. Python twin: `offchain.domain.eip712.order_struct_hash`
library OrderHash {
    bytes32 internal constant TYPE_HASH = keccak256(
        "Order(address account,uint8 subaccount,uint32 market,uint8 side,uint8 kind,uint8 timeInForce,uint16 flags,uint64 priceTicks,uint64 sizeLots,uint64 triggerTicks,int32 maxFeePpm,uint64 nonce,uint40 expiry)" // solhint-disable-line max-line-length
    );

    /// @dev keccak256(abi.encode(TYPE_HASH, order)). The 13 words of a static struct lie in memory as EIP-712 encodes
    /// them; the word before them is lent for the type hash.
    function structHash(Order memory order) internal pure returns (bytes32 hash) {
        bytes32 typeHash = TYPE_HASH;
        assembly ("memory-safe") {
            let start := sub(order, 0x20)
            let lent := mload(start)
            mstore(start, typeHash)
            hash := keccak256(start, 448)
            mstore(start, lent)
        }
    }

    /// @dev The same of an order as it came. A word with dirty high bits hashes to what nobody signed.
    function structHashOf(Order calldata order) internal pure returns (bytes32 hash) {
        bytes32 typeHash = TYPE_HASH;
        assembly ("memory-safe") {
            // Unallocated memory behind the free pointer serves as scratch space; the pointer stays.
            let free := mload(0x40)
            mstore(free, typeHash)
            calldatacopy(add(free, 0x20), order, 416)
            hash := keccak256(free, 448)
        }
    }
}
