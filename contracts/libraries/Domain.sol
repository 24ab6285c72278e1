// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title The EIP-712 domain of the calling contract. Python twin: `offchain.domain.eip712`
/// @dev Computed anew each time: right behind a proxy and after a fork of the chain, and nothing to store.
library Domain {
    bytes32 private constant TYPE_HASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant NAME_HASH = keccak256("HOOATS");
    bytes32 private constant VERSION_HASH = keccak256("1");

    function separator() internal view returns (bytes32) {
        return keccak256(abi.encode(TYPE_HASH, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
    }
}
