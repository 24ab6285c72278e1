// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Order} from "../interfaces/Types.sol";

/// @dev Where a batch hashes its orders, one after the other: a fixed position, as sums of another cost much. 14 words:
/// the type hash and the fields.
uint256 constant DESK = 0x80;
/// @dev Behind it: 0x1901 | domain separator | what was signed | digest | v | r | s | signer.
uint256 constant TYPED = 0x240;
uint256 constant DESK_END = 0x340;

/// @title What a trader signs, hashed. Python twin: `offchain.domain.eip712.order_struct_hash`
library OrderHash {
    bytes32 internal constant TYPE_HASH = keccak256(
        "Order(address account,uint8 subaccount,uint32 market,uint8 side,uint8 kind,uint8 timeInForce,uint16 flags,uint64 priceTicks,uint64 sizeLots,uint64 triggerTicks,int32 maxFeePpm,uint64 nonce,uint40 expiry)" // solhint-disable-line max-line-length
    );

    uint256 private constant BYTES = 14 * 32;

    uint256 private constant TAIL = 30;
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @dev Before anything else is reserved.
    function reserveDesk() internal pure {
        (bytes32 typeHash, bool isFirst) = (TYPE_HASH, false);
        assembly ("memory-safe") {
            isFirst := eq(mload(0x40), DESK)
            mstore(0x40, DESK_END)
            mstore(DESK, typeHash)
            mstore(TYPED, 0x1901)
        }
        assert(isFirst);
    }

    /// @param separator Of the domain.
    function setDomain(bytes32 separator) internal pure {
        assembly ("memory-safe") {
            mstore(add(TYPED, 0x20), separator)
        }
    }

    /// @dev Writes a record's fields, but for account and market, which are there, and hashes it. See Orders.
    /// @param at Where the record is in calldata.
    /// @return hash keccak256(abi.encode(TYPE_HASH, order)): what was signed.
    function write(uint256 at) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let record := calldataload(at)
            let tail := calldataload(add(at, TAIL))
            let bits := byte(3, record)
            mstore(add(DESK, 0x40), byte(2, record)) // subaccount
            mstore(add(DESK, 0x80), and(bits, 1)) // side
            mstore(add(DESK, 0xa0), and(shr(1, bits), 1)) // kind
            mstore(add(DESK, 0xc0), and(shr(2, bits), 3)) // timeInForce
            mstore(add(DESK, 0xe0), shr(240, shl(32, record))) // flags
            mstore(add(DESK, 0x100), shr(192, shl(48, record))) // priceTicks
            mstore(add(DESK, 0x120), shr(192, shl(112, record))) // sizeLots
            mstore(add(DESK, 0x140), shr(192, shl(176, record))) // triggerTicks
            mstore(add(DESK, 0x160), sar(224, tail)) // maxFeePpm
            mstore(add(DESK, 0x180), shr(192, shl(32, tail))) // nonce
            mstore(add(DESK, 0x1a0), shr(216, shl(96, tail))) // expiry
            hash := keccak256(DESK, BYTES)
        }
    }

    /// @dev As `Signatures.recover`, of a signature in the form of EIP-2098.
    /// @param hash What was signed.
    /// @param at Where the signature is in calldata.
    /// @return isOther Not 0 if it is not the account of the order on the desk.
    function recover(bytes32 hash, uint256 at) internal view returns (uint256 isOther) {
        assembly ("memory-safe") {
            mstore(add(TYPED, 0x40), hash)
            mstore(add(TYPED, 0x60), keccak256(add(TYPED, 0x1e), 66))
            let vs := calldataload(add(at, 0x20))
            let s := shr(1, shl(1, vs))
            mstore(add(TYPED, 0x80), add(27, shr(255, vs)))
            mstore(add(TYPED, 0xa0), calldataload(at))
            mstore(add(TYPED, 0xc0), s)
            // The precompile says nothing if it recovers nobody.
            mstore(add(TYPED, 0xe0), 0)
            if iszero(gt(s, HALF_ORDER)) {
                pop(staticcall(gas(), 1, add(TYPED, 0x60), 0x80, add(TYPED, 0xe0), 0x20))
            }
            isOther := xor(mload(add(TYPED, 0xe0)), mload(add(DESK, 0x20)))
        }
    }

    /// @return word Whom `recover` found.
    function signer() internal pure returns (address word) {
        assembly ("memory-safe") {
            word := mload(add(TYPED, 0xe0))
        }
    }

    /// @dev The struct hash of an order in memory.
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
