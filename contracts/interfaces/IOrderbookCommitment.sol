// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Header} from "./Types.sol";

/// @title One word per epoch of the order book: what was received, in which order, with which result
///
/// Evidence, never custody: no balance depends on a root. Epochs are contiguous and never rewritten; the header's
/// fields travel in the event and come back as calldata.
interface IOrderbookCommitment {
    event EpochCommitted(uint64 indexed epoch, bytes32 indexed headerHash, Header header);

    /// @notice Thrown when an epoch is not the next one.
    error NotConsecutive(uint64 epoch, uint64 expected);
    /// @notice Thrown when the header does not name the previous header's hash.
    error WrongParent(bytes32 parent, bytes32 expected);
    /// @notice Thrown when the header's command range does not follow the previous one.
    error WrongRange(uint64 first, uint64 last);
    /// @notice Thrown when a root is zero.
    error ZeroRoot();

    /// @notice Commits the next epoch (COMMITTER_ROLE).
    function commit(Header calldata header) external;

    /// @notice True if an order with this hash was sequenced at `sequence` in the committed epoch of `header`.
    function verifyOrder(Header calldata header, uint64 sequence, bytes32 orderHash, bytes32[] calldata proof)
        external
        view
        returns (bool);

    /// @notice True if the command at `sequence` of the committed epoch of `header` has these canonical bytes' leaf.
    /// The tree is RFC 6962's (leaf 0x00 || record, node 0x01 || left || right), hashed with keccak256.
    function verifyCommand(Header calldata header, uint64 sequence, bytes32 leaf, bytes32[] calldata proof)
        external
        view
        returns (bool);

    function headerHash(uint64 epoch) external view returns (bytes32);
    function lastEpoch() external view returns (uint64);
    function lastSequence() external view returns (uint64);
    function hashHeader(Header calldata header) external pure returns (bytes32);
    function domainSeparator() external view returns (bytes32);
}
