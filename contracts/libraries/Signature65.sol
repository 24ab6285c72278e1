// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title One canonical form of signature: 65 bytes r || s || v, v 27 or 28, low s
library Signature65 {
    /// @dev The signer of `digest`, or zero if the signature is not in canonical form or recovers nobody. A caller must
    /// therefore never accept the zero address as a signer.
    function recover(bytes32 digest, bytes calldata signature) internal pure returns (address signer) {
        if (signature.length != 65) return address(0);

        // An error comes with the zero address, and ecrecover itself accepts no v but 27 and 28.
        (signer,,) = ECDSA.tryRecover(digest, uint8(signature[64]), bytes32(signature[0:32]), bytes32(signature[32:64]));
    }
}
