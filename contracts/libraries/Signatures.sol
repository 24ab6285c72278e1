// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title The two forms of a signature, both with a low s: 65 bytes r || s || v, v 27 or 28, and 64 bytes r || vs
/// @dev ERC-2098: vs is s with the parity of v in its highest bit. One signature has both forms, so that whoever counts
/// uses must count what was signed and not its signature.
library Signatures {
    /// @dev Half the order of secp256k1: of s and -s, one signature is enough.
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @dev The signer of `digest`, or zero if the signature has neither form or recovers nobody. A caller must
    /// therefore never accept the zero address as a signer.
    function recover(bytes32 digest, bytes calldata signature) internal pure returns (address signer) {
        // An error comes with the zero address, and ecrecover itself accepts no v but 27 and 28.
        if (signature.length == 65) {
            (signer,,) =
                ECDSA.tryRecover(digest, uint8(signature[64]), bytes32(signature[0:32]), bytes32(signature[32:64]));
        } else if (signature.length == 64) {
            (signer,,) = ECDSA.tryRecover(digest, bytes32(signature[0:32]), bytes32(signature[32:64]));
        }
    }

    /// @dev The same of a typed message and a signature in the form of EIP-2098, for the hot path.
    /// @param domain Domain separator.
    /// @param at Where the signature is in calldata.
    function recoverTyped(bytes32 domain, bytes32 structHash, uint256 at) internal view returns (address signer) {
        assembly ("memory-safe") {
            // Unallocated memory behind the free pointer serves as scratch space; the pointer stays.
            let free := mload(0x40)
            mstore(free, hex"1901")
            mstore(add(free, 2), domain)
            mstore(add(free, 34), structHash)
            mstore(free, keccak256(free, 66))
            let vs := calldataload(add(at, 0x20))
            mstore(add(free, 0x20), add(27, shr(255, vs)))
            mstore(add(free, 0x40), calldataload(at))
            let s := shr(1, shl(1, vs))
            mstore(add(free, 0x60), s)
            // The precompile says nothing if it recovers nobody.
            mstore(0, 0)
            if iszero(gt(s, HALF_ORDER)) { pop(staticcall(gas(), 1, free, 0x80, 0, 0x20)) }
            signer := mload(0)
        }
    }
}
