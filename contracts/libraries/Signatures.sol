// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title The two forms of a signature, both with a low s: 65 bytes r || s || v, v 27 or 28, and 64 bytes r || vs
/// @dev ERC-2098: vs is s with the parity of v in its highest bit. One signature has both forms, so that whoever counts
/// uses must count what was signed and not its signature.
library Signatures {
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
}
