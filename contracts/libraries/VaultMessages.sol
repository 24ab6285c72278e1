// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Withdrawal} from "../interfaces/Types.sol";

/// @title What owners and the cosigner sign for the Vault, hashed. Python twins: `offchain.domain.eip712`
library VaultMessages {
    bytes32 private constant DOMAIN_TYPE_HASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant NAME_HASH = keccak256("HOOATS");
    bytes32 private constant VERSION_HASH = keccak256("1");

    bytes32 internal constant WITHDRAW_TYPE_HASH = keccak256(
        "Withdraw(address account,address token,uint256 amount,address destination,bool asCxpt,uint256 nonce,uint256 deadline)" // solhint-disable-line max-line-length
    );
    bytes32 internal constant APPROVAL_TYPE_HASH = keccak256(
        "Approval(address account,address token,uint256 amount,bytes32 purpose,uint256 nonce,uint256 deadline)"
    );

    bytes32 internal constant PURPOSE_LOCK = keccak256("HOOATS.lock");
    bytes32 internal constant PURPOSE_BURN = keccak256("HOOATS.burn");

    /// @dev Of the contract that calls, on the chain that it runs on; behind a proxy, of the proxy.
    function domainSeparator() internal view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE_HASH, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
    }

    /// @return What is signed of the message with this hash.
    function digestOf(bytes32 structHash) internal view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domainSeparator(), structHash);
    }

    function withdrawHash(Withdrawal calldata withdrawal) internal pure returns (bytes32) {
        return keccak256(abi.encode(WITHDRAW_TYPE_HASH, withdrawal));
    }

    function withdrawalPurpose(address destination, bool asCxpt) internal pure returns (bytes32) {
        return keccak256(abi.encode(destination, asCxpt));
    }

    function approvalHash(
        address account,
        address token,
        uint256 amount,
        bytes32 purpose,
        uint256 nonce,
        uint256 deadline
    ) internal pure returns (bytes32) {
        return keccak256(abi.encode(APPROVAL_TYPE_HASH, account, token, amount, purpose, nonce, deadline));
    }
}
