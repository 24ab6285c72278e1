// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {AgentTerms, Authorization, Header, Order, Withdrawal} from "../../contracts/interfaces/Types.sol";
import {AgentHash} from "../../contracts/libraries/AgentHash.sol";
import {BulkTree} from "../../contracts/libraries/BulkTree.sol";
import {FeeMath} from "../../contracts/libraries/FeeMath.sol";
import {IndexedTree} from "../../contracts/libraries/IndexedTree.sol";
import {OrderHash} from "../../contracts/libraries/OrderHash.sol";
import {Signatures} from "../../contracts/libraries/Signatures.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";

/// @title The contracts' own hashing, a batch of cases a call; tests/parity compares it with its Python twins
contract ParityHarness {
    struct Approval {
        address account;
        address token;
        uint256 amount;
        bytes32 purpose;
        uint256 nonce;
        uint256 deadline;
    }

    struct Inclusion {
        bytes32 root;
        bytes32 leaf;
        uint256 position;
        uint256 count;
        bytes32[] proof;
    }

    function orderDigests(bytes32 separator, Order[] calldata orders) external pure returns (bytes32[] memory digests) {
        digests = new bytes32[](orders.length);
        for (uint256 i; i < orders.length; ++i) {
            digests[i] = MessageHashUtils.toTypedDataHash(separator, OrderHash.structHash(orders[i]));
        }
    }

    struct AgentCase {
        address account;
        AgentTerms terms;
        uint256 nonce;
        uint256 deadline;
    }

    function agentHashes(AgentCase[] calldata cases) external pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](cases.length);
        for (uint256 i; i < cases.length; ++i) {
            AgentCase calldata c = cases[i];
            hashes[i] = AgentHash.structHash(c.account, c.terms, c.nonce, c.deadline);
        }
    }

    /// @param siblings BulkTree.DEPTH of 32 bytes for each order, one after the other.
    function bulkHashes(Order[] calldata orders, uint256[] calldata positions, bytes calldata siblings)
        external
        pure
        returns (bytes32[] memory hashes)
    {
        uint256 siblingsAt;
        assembly ("memory-safe") {
            siblingsAt := siblings.offset
        }
        hashes = new bytes32[](orders.length);
        for (uint256 i; i < orders.length; ++i) {
            bytes32 orderHash = OrderHash.structHash(orders[i]);
            hashes[i] = BulkTree.structHash(orderHash, positions[i], siblingsAt + i * BulkTree.DEPTH * 32);
        }
    }

    /// @dev Of the harness itself, as the Vault has its own.
    function vaultDomain() external view returns (bytes32) {
        return VaultMessages.domainSeparator();
    }

    /// @dev Whom the Vault takes for the signers of each withdrawal and of its countersignature, one after the other.
    function withdrawalSigners(
        Withdrawal[] calldata withdrawals,
        bytes[] calldata signatures,
        Authorization[] calldata authorizations
    ) external view returns (address[] memory found) {
        found = new address[](2 * withdrawals.length);
        for (uint256 i; i < withdrawals.length; ++i) {
            (found[2 * i], found[2 * i + 1]) =
                VaultMessages.signersOf(VaultMessages.wordsOf(withdrawals[i]), signatures[i], authorizations[i]);
        }
    }

    function approvalHashes(Approval[] calldata approvals) external pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](approvals.length);
        for (uint256 i; i < approvals.length; ++i) {
            Approval calldata a = approvals[i];
            hashes[i] = VaultMessages.approvalHash(a.account, a.token, a.amount, a.purpose, a.nonce, a.deadline);
        }
    }

    /// @dev Zero for what no contract takes.
    function signers(bytes32[] calldata digests, bytes[] calldata signatures)
        external
        view
        returns (address[] memory found)
    {
        found = new address[](digests.length);
        for (uint256 i; i < digests.length; ++i) {
            found[i] = Signatures.recover(digests[i], signatures[i]);
        }
    }

    function headerHashes(Header[] calldata headers) external pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](headers.length);
        for (uint256 i; i < headers.length; ++i) {
            hashes[i] = keccak256(abi.encode(headers[i]));
        }
    }

    function fees(uint256[] calldata notionals, int32[] calldata ppms) external pure returns (int256[] memory results) {
        results = new int256[](notionals.length);
        for (uint256 i; i < notionals.length; ++i) {
            results[i] = FeeMath.feeUp(notionals[i], ppms[i]);
        }
    }

    function orderLeaves(uint64[] calldata sequences, bytes32[] calldata orderHashes)
        external
        pure
        returns (bytes32[] memory leaves)
    {
        leaves = new bytes32[](sequences.length);
        for (uint256 i; i < sequences.length; ++i) {
            leaves[i] = keccak256(bytes.concat(keccak256(abi.encode(sequences[i], orderHashes[i]))));
        }
    }

    function commandLeaves(bytes[] calldata records) external pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](records.length);
        for (uint256 i; i < records.length; ++i) {
            leaves[i] = IndexedTree.leafHash(records[i]);
        }
    }

    /// @dev Root of a StandardMerkleTree over leaves that are sorted already, by the package's array layout.
    function standardRoot(bytes32[] calldata leaves) external pure returns (bytes32) {
        uint256 length = 2 * leaves.length - 1;
        bytes32[] memory tree = new bytes32[](length);
        for (uint256 i; i < leaves.length; ++i) {
            tree[length - 1 - i] = leaves[i];
        }
        for (uint256 i = length - leaves.length; i > 0; --i) {
            tree[i - 1] = Hashes.commutativeKeccak256(tree[2 * i - 1], tree[2 * i]);
        }
        return tree[0];
    }

    /// @dev Root of RFC 6962's tree, by its recursive definition.
    function indexedRoot(bytes32[] calldata leaves) public pure returns (bytes32) {
        if (leaves.length == 1) return leaves[0];
        uint256 split = 1;
        while (split * 2 < leaves.length) split *= 2;
        return IndexedTree.nodeHash(indexedRoot(leaves[:split]), indexedRoot(leaves[split:]));
    }

    function areStandard(Inclusion[] calldata cases) external pure returns (bool[] memory results) {
        results = new bool[](cases.length);
        for (uint256 i; i < cases.length; ++i) {
            results[i] = MerkleProof.verifyCalldata(cases[i].proof, cases[i].root, cases[i].leaf);
        }
    }

    function areIndexed(Inclusion[] calldata cases) external pure returns (bool[] memory results) {
        results = new bool[](cases.length);
        for (uint256 i; i < cases.length; ++i) {
            Inclusion calldata c = cases[i];
            results[i] = IndexedTree.verify(c.root, c.leaf, c.position, c.count, c.proof);
        }
    }
}
