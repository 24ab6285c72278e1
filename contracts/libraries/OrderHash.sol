// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Order} from "../interfaces/Types.sol";

/// @dev Where a batch has the order at hand in memory, one after the other: fixed positions, as sums of another cost
/// much. First what its struct hash is of, the type hash and the fields.
uint256 constant DESK = 0x80;
uint256 constant DESK_ACCOUNT = 0xa0;
uint256 constant DESK_SUBACCOUNT = 0xc0;
uint256 constant DESK_MARKET = 0xe0;
uint256 constant DESK_SIDE = 0x100;
uint256 constant DESK_KIND = 0x120;
uint256 constant DESK_TIME_IN_FORCE = 0x140;
uint256 constant DESK_FLAGS = 0x160;
uint256 constant DESK_PRICE_TICKS = 0x180;
uint256 constant DESK_SIZE_LOTS = 0x1a0;
uint256 constant DESK_TRIGGER_TICKS = 0x1c0;
uint256 constant DESK_MAX_FEE_PPM = 0x1e0;
uint256 constant DESK_NONCE = 0x200;
uint256 constant DESK_EXPIRY = 0x220;
/// @dev Then what its digest is of: 0x1901, which is the end of a word, domain separator, and what was signed.
uint256 constant DESK_MESSAGE = 0x25e;
uint256 constant DESK_DOMAIN = 0x260;
uint256 constant DESK_SIGNED = 0x280;
/// @dev And what its signer is of.
uint256 constant DESK_DIGEST = 0x2a0;
uint256 constant DESK_V = 0x2c0;
uint256 constant DESK_R = 0x2e0;
uint256 constant DESK_S = 0x300;
uint256 constant DESK_SIGNER = 0x320;
uint256 constant DESK_END = 0x340;

/// @title What a trader signs, hashed. Python twin: `offchain.domain.eip712.order_struct_hash`
library OrderHash {
    bytes32 internal constant TYPE_HASH = keccak256(
        "Order(address account,uint8 subaccount,uint32 market,uint8 side,uint8 kind,uint8 timeInForce,uint16 flags,uint64 priceTicks,uint64 sizeLots,uint64 triggerTicks,int32 maxFeePpm,uint64 nonce,uint40 expiry)" // solhint-disable-line max-line-length
    );

    uint256 private constant BYTES = 14 * 32;

    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @dev Before anything else is reserved.
    function reserveDesk() internal pure {
        (bytes32 typeHash, bool isFirst) = (TYPE_HASH, false);
        assembly ("memory-safe") {
            isFirst := eq(mload(0x40), DESK)
            mstore(0x40, DESK_END)
            mstore(DESK, typeHash)
            mstore(sub(DESK_DOMAIN, 0x20), 0x1901)
        }
        assert(isFirst);
    }

    /// @param separator Of the domain.
    function setDomain(bytes32 separator) internal pure {
        assembly ("memory-safe") {
            mstore(DESK_DOMAIN, separator)
        }
    }

    /// @dev Writes the fields of a record's first word, but for account and market, which are there with those of its
    /// second; see Orders. And the hash of them all, keccak256(abi.encode(TYPE_HASH, order)): what was signed, unless
    /// in bulk.
    /// @param at Where the record is in calldata.
    function write(uint256 at) internal pure {
        assembly ("memory-safe") {
            let record := calldataload(at)
            let bits := byte(3, record)
            mstore(DESK_SUBACCOUNT, byte(2, record))
            mstore(DESK_SIDE, and(bits, 1))
            mstore(DESK_KIND, and(shr(1, bits), 1))
            mstore(DESK_TIME_IN_FORCE, and(shr(2, bits), 3))
            mstore(DESK_FLAGS, shr(240, shl(32, record)))
            mstore(DESK_PRICE_TICKS, shr(192, shl(48, record)))
            mstore(DESK_SIZE_LOTS, shr(192, shl(112, record)))
            mstore(DESK_TRIGGER_TICKS, shr(192, shl(176, record)))
            mstore(DESK_SIGNED, keccak256(DESK, BYTES))
        }
    }

    /// @return hash What was signed, as the desk has it.
    function signed() internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            hash := mload(DESK_SIGNED)
        }
    }

    /// @param hash What was signed instead.
    function setSigned(bytes32 hash) internal pure {
        assembly ("memory-safe") {
            mstore(DESK_SIGNED, hash)
        }
    }

    /// @dev As `Signatures.recover`, of a signature in the form of EIP-2098, by which the desk's order was signed.
    /// @param at Where the signature is in calldata.
    /// @return isOther Not 0 if it is not the account of the order on the desk.
    function recover(uint256 at) internal view returns (uint256 isOther) {
        assembly ("memory-safe") {
            mstore(DESK_DIGEST, keccak256(DESK_MESSAGE, 66))
            let vs := calldataload(add(at, 0x20))
            let s := shr(1, shl(1, vs))
            mstore(DESK_V, add(27, shr(255, vs)))
            mstore(DESK_R, calldataload(at))
            mstore(DESK_S, s)
            // The precompile says nothing if it recovers nobody.
            mstore(DESK_SIGNER, 0)
            if iszero(gt(s, HALF_ORDER)) { pop(staticcall(gas(), 1, DESK_DIGEST, 0x80, DESK_SIGNER, 0x20)) }
            isOther := xor(mload(DESK_SIGNER), mload(DESK_ACCOUNT))
        }
    }

    /// @return word Whose order is on the desk.
    function account() internal pure returns (address word) {
        assembly ("memory-safe") {
            word := mload(DESK_ACCOUNT)
        }
    }

    /// @return word Whom `recover` found.
    function signer() internal pure returns (address word) {
        assembly ("memory-safe") {
            word := mload(DESK_SIGNER)
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
