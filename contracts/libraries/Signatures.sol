// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

/// @title The two forms of a signature, both with a low s: 65 bytes r || s || v, v 27 or 28, and 64 bytes r || vs
/// @dev ERC-2098: vs is s with the parity of v in its highest bit. One signature has both forms, so that whoever counts
/// uses must count what was signed and not its signature.
library Signatures {
    /// @dev Half the order of secp256k1: of s and -s, one signature is enough.
    uint256 internal constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @dev The signer of `digest`, or zero if the signature has neither form or recovers nobody. A caller must
    /// therefore never accept the zero address as a signer.
    function recover(bytes32 digest, bytes calldata signature) internal view returns (address signer) {
        assembly ("memory-safe") {
            // Unallocated memory behind the free pointer serves as scratch space; the pointer stays.
            let free := mload(0x40)
            let s := calldataload(add(signature.offset, 0x20))
            // No other length has a v, and without one the precompile recovers nobody.
            let v := 0
            switch signature.length
            case 65 { v := byte(0, calldataload(add(signature.offset, 0x40))) }
            case 64 {
                v := add(27, shr(255, s))
                s := shr(1, shl(1, s))
            }
            mstore(free, digest)
            mstore(add(free, 0x20), v)
            mstore(add(free, 0x40), calldataload(signature.offset))
            mstore(add(free, 0x60), s)
            // The precompile says nothing if it recovers nobody.
            mstore(0, 0)
            if iszero(gt(s, HALF_ORDER)) { pop(staticcall(gas(), 1, free, 0x80, 0, 0x20)) }
            signer := mload(0)
        }
    }

    /// @dev Whether `signer`, as recovered, is `expected`. Never of zero.
    function isBy(address signer, address expected) internal pure returns (bool isEqual) {
        assembly ("memory-safe") {
            isEqual := and(eq(signer, expected), iszero(iszero(signer)))
        }
    }

    /// @dev The same as `recover` of a typed message.
    /// @param domain Domain separator.
    function recoverTyped(bytes32 domain, bytes32 structHash, bytes calldata signature)
        internal
        view
        returns (address signer)
    {
        return recover(MessageHashUtils.toTypedDataHash(domain, structHash), signature);
    }
}
