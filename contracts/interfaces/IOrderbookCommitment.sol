// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Header} from "./Types.sol";

/// @title One word per epoch of the order book: what was received, in which order, with which result
///
/// Evidence, never custody: no balance depends on a root. The header's fields travel in the event and come back as
/// calldata; one word per epoch is stored, and never written again.
///
/// PROMISES
/// - Epochs are numbered without gaps and so are the commands in them; each names the hash of the one before.
/// - `verifyOrder` and `verifyCommand` are true for what is in a committed tree, and for nothing else: a leaf is hashed
///   twice there and under a prefix here, so that no inner node passes for one, and a header that differs from the
///   committed one in anything proves nothing.
/// - By position `verifyCommand` proves absence, too: another command stands where one was promised.
///
/// WHO MAY CALL: COMMITTER_ROLE commits; everybody verifies. The admin (ITwoStepAdmin, the timelock) changes
/// committers. Nobody takes an epoch back.
///
/// WARNINGS
/// - That a root is committed does not say that it is right: replay says so. A committer that lies convicts the
///   operator.
/// - An epoch that is never committed proves nothing: what convicts then are signed receipts.
interface IOrderbookCommitment {
    /// @notice The epoch's header in full, and its `hashHeader`, which is what is kept.
    event EpochCommitted(uint64 indexed epoch, bytes32 indexed headerHash, Header header);

    /// @notice Thrown when an epoch is not the next one.
    error NotConsecutive(uint64 epoch, uint64 expected);
    /// @notice Thrown when the header does not name the previous header's hash.
    error WrongParent(bytes32 parent, bytes32 expected);
    /// @notice Thrown when the header's command range does not follow the previous one.
    error WrongRange(uint64 first, uint64 last);
    /// @notice Thrown when a root is zero.
    error ZeroRoot();

    /// @notice Commits the next epoch (COMMITTER_ROLE). `last` is below 2^48. `volume`, `count` and `dataHash` are not
    /// looked at: they are part of the hash.
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

    /// @return hash Of a committed epoch's header, 0 for one that is not.
    function headerHash(uint64 epoch) external view returns (bytes32 hash);
    /// @return epoch The last one committed, 0 before the first.
    function lastEpoch() external view returns (uint64 epoch);
    /// @return sequence The last command of the last epoch.
    function lastSequence() external view returns (uint64 sequence);
    /// @return hash keccak256(abi.encode(header)).
    function hashHeader(Header calldata header) external pure returns (bytes32 hash);
    /// @return separator Of the EIP-712 domain in which receipts are signed.
    function domainSeparator() external view returns (bytes32 separator);
}
