// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Authorization, Withdrawal} from "../interfaces/Types.sol";
import {Signatures} from "./Signatures.sol";

/// @dev A Withdrawal whose words are known to be clean: reading a word here costs a tenth of reading an address there.
struct Words {
    uint256 account;
    uint256 token;
    uint256 amount;
    uint256 destination;
    uint256 asCxpt;
    uint256 nonce;
    uint256 deadline;
}

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
    function domainSeparator() internal view returns (bytes32 separator) {
        (bytes32 typeHash, bytes32 nameHash, bytes32 versionHash) = (DOMAIN_TYPE_HASH, NAME_HASH, VERSION_HASH);
        assembly ("memory-safe") {
            // Unallocated memory behind the free pointer serves as scratch space here and below.
            let free := mload(0x40)
            mstore(free, typeHash)
            mstore(add(free, 0x20), nameHash)
            mstore(add(free, 0x40), versionHash)
            mstore(add(free, 0x60), chainid())
            mstore(add(free, 0x80), address())
            separator := keccak256(free, 0xa0)
        }
    }

    /// @dev Reverts on high bits that an address or a flag does not have, as the compiler would with each look.
    function wordsOf(Withdrawal calldata withdrawal) internal pure returns (Words calldata words) {
        assembly ("memory-safe") {
            words := withdrawal
            let account := calldataload(withdrawal)
            let token := calldataload(add(withdrawal, 0x20))
            let destination := calldataload(add(withdrawal, 0x60))
            let asCxpt := calldataload(add(withdrawal, 0x80))
            if or(shr(160, or(or(account, token), destination)), shr(1, asCxpt)) { revert(0, 0) }
        }
    }

    /// @dev Both signers of a withdrawal, zero for a signature that recovers nobody: the typed messages hashed in
    /// place, and `Signatures.recover` twice. The purpose of the countersignature is the hash of the withdrawal:
    /// whoever countersigns it countersigns all of it, and the owner's nonce uses up both signatures. An owner who
    /// sends it himself need not sign it.
    /// @param authorization Nobody asks whether its signature ends within calldata: behind the end there are zeros, of
    /// which nobody is recovered.
    function signersOf(Words calldata withdrawal, bytes calldata ownerSignature, Authorization calldata authorization)
        internal
        view
        returns (address owner, address cosigner)
    {
        bytes32 separator = domainSeparator();
        (bytes32 withdrawType, bytes32 approvalType) = (WITHDRAW_TYPE_HASH, APPROVAL_TYPE_HASH);
        uint256 half = Signatures.HALF_ORDER;
        assembly ("memory-safe") {
            // Of the digest at `free`.
            function signer(free, highest, signature, length) -> found {
                let s := calldataload(add(signature, 0x20))
                switch length
                case 64 {
                    mstore(add(free, 0x20), add(27, shr(255, s)))
                    s := shr(1, shl(1, s))
                }
                case 65 { mstore(add(free, 0x20), byte(0, calldataload(add(signature, 0x40)))) }
                default { mstore(add(free, 0x20), 0) }
                mstore(add(free, 0x40), calldataload(signature))
                mstore(add(free, 0x60), s)
                mstore(0, 0)
                if iszero(gt(s, highest)) { pop(staticcall(gas(), 1, free, 0x80, 0, 0x20)) }
                found := mload(0)
            }

            let free := mload(0x40)
            mstore(free, withdrawType)
            calldatacopy(add(free, 0x20), withdrawal, 0xe0)
            let hash := keccak256(free, 0x100)
            // Account, token and amount are the same words of both messages.
            mstore(free, approvalType)
            mstore(add(free, 0x80), hash)
            calldatacopy(add(free, 0xa0), authorization, 0x40)
            // What is signed: 0x1901, the domain, and the hash of the message.
            let signed := add(free, 0x80)
            mstore(add(free, 0xa2), keccak256(free, 0xe0))
            mstore(signed, hex"1901")
            mstore(add(free, 0x82), separator)
            mstore(free, keccak256(signed, 66))
            let at := add(authorization, calldataload(add(authorization, 0x40)))
            cosigner := signer(free, half, add(at, 0x20), calldataload(at))
            switch ownerSignature.length
            case 0 { owner := mul(caller(), eq(caller(), calldataload(withdrawal))) }
            default {
                mstore(add(free, 0xa2), hash)
                mstore(free, keccak256(signed, 66))
                owner := signer(free, half, ownerSignature.offset, ownerSignature.length)
            }
        }
    }

    function approvalHash(
        address account,
        address token,
        uint256 amount,
        bytes32 purpose,
        uint256 nonce,
        uint256 deadline
    ) internal pure returns (bytes32 hash) {
        bytes32 typeHash = APPROVAL_TYPE_HASH;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typeHash)
            mstore(add(free, 0x20), account)
            mstore(add(free, 0x40), token)
            mstore(add(free, 0x60), amount)
            mstore(add(free, 0x80), purpose)
            mstore(add(free, 0xa0), nonce)
            mstore(add(free, 0xc0), deadline)
            hash := keccak256(free, 0xe0)
        }
    }
}
