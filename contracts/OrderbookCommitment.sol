// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {IOrderbookCommitment} from "./interfaces/IOrderbookCommitment.sol";
import {Header} from "./interfaces/Types.sol";
import {IndexedTree} from "./libraries/IndexedTree.sol";
import {TwoStepAdmin} from "./TwoStepAdmin.sol";

/// @title One word per epoch of the order book; see IOrderbookCommitment
contract OrderbookCommitment is IOrderbookCommitment, TwoStepAdmin, EIP712 {
    bytes32 public constant COMMITTER_ROLE = keccak256("COMMITTER_ROLE");

    /* STORAGE */

    /// @inheritdoc IOrderbookCommitment
    mapping(uint64 epoch => bytes32) public override headerHash;
    /// @inheritdoc IOrderbookCommitment
    uint64 public override lastEpoch;
    /// @inheritdoc IOrderbookCommitment
    uint64 public override lastSequence;

    constructor(address admin_) TwoStepAdmin(admin_) EIP712("HOOATS", "1") {}

    /* COMMITMENT */

    /// @inheritdoc IOrderbookCommitment
    function commit(Header calldata header) external onlyRole(COMMITTER_ROLE) {
        uint64 expected = lastEpoch + 1;
        if (header.epoch != expected) revert NotConsecutive(header.epoch, expected);
        bytes32 parent = headerHash[lastEpoch];
        if (header.parent != parent) revert WrongParent(header.parent, parent);
        if (header.first != lastSequence + 1 || header.last < header.first) {
            revert WrongRange(header.first, header.last);
        }
        if (header.ordersRoot == 0 || header.commandsRoot == 0 || header.stateRoot == 0) revert ZeroRoot();

        bytes32 hash = hashHeader(header);
        headerHash[header.epoch] = hash;
        lastEpoch = header.epoch;
        lastSequence = header.last;

        emit EpochCommitted(header.epoch, hash, header);
    }

    /* VERIFICATION */

    /// @inheritdoc IOrderbookCommitment
    function verifyOrder(Header calldata header, uint64 sequence, bytes32 orderHash, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        if (!_contains(header, sequence)) return false;

        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(sequence, orderHash))));
        return MerkleProof.verifyCalldata(proof, header.ordersRoot, leaf);
    }

    /// @inheritdoc IOrderbookCommitment
    function verifyCommand(Header calldata header, uint64 sequence, bytes32 leaf, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        if (!_contains(header, sequence)) return false;

        uint256 count = uint256(header.last) - header.first + 1;
        return IndexedTree.verify(header.commandsRoot, leaf, sequence - header.first, count, proof);
    }

    /// @dev True if this very header is committed and its range holds `sequence`.
    function _contains(Header calldata header, uint64 sequence) private view returns (bool) {
        return header.epoch != 0 && headerHash[header.epoch] == hashHeader(header) && sequence >= header.first
            && sequence <= header.last;
    }

    /* VIEWS */

    /// @inheritdoc IOrderbookCommitment
    function hashHeader(Header calldata header) public pure returns (bytes32) {
        return keccak256(abi.encode(header));
    }

    /// @inheritdoc IOrderbookCommitment
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }
}
