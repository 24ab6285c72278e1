// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Header} from "../../contracts/interfaces/Types.sol";
import {IndexedTree} from "../../contracts/libraries/IndexedTree.sol";
import {OrderbookCommitment} from "../../contracts/OrderbookCommitment.sol";
import {Proof} from "./Proof.sol";

/// @title Epochs are appended and never rewritten, and a root binds what is at each position
/// @dev keccak256 counts as free of collisions, as everywhere.
contract CommitmentProof is Proof {
    OrderbookCommitment internal commitment;

    function setUp() public {
        commitment = new OrderbookCommitment(address(this));
        commitment.grantRole(commitment.COMMITTER_ROLE(), address(this));
    }

    /// @dev Any two headers that are accepted, one after the other.
    function check_epochs_follow_each_other_without_a_gap(Header memory first, Header memory second) public {
        commitment.commit(first);
        bytes32 kept = commitment.headerHash(first.epoch);
        commitment.commit(second);
        assert(first.epoch == 1 && first.first == 1 && first.last >= first.first);
        assert(second.epoch == 2 && second.first == first.last + 1 && second.last >= second.first);
        assert(second.parent == kept);
        assert(commitment.headerHash(first.epoch) == kept);
        assert(commitment.lastSequence() == second.last);
    }

    function check_nobody_else_commits(address caller, Header memory header) public {
        vm.assume(caller != address(this));
        vm.prank(caller);
        try commitment.commit(header) {
            assert(false);
        } catch {}
    }

    function verify(bytes32 root, bytes32 leaf, uint256 position, uint256 count, bytes32[] calldata proof)
        external
        pure
        returns (bool)
    {
        return IndexedTree.verify(root, leaf, position, count, proof);
    }

    /// @dev Proofs of up to two siblings, trees of up to four leaves: two leaves at one position are one leaf.
    function check_a_root_has_one_leaf_at_each_position(
        bytes32 root,
        bytes32[2] memory leaves,
        uint8 position,
        uint8 count,
        bytes32[2] memory some,
        bytes32[2] memory others,
        uint8 lengths
    ) public view {
        vm.assume(count <= 4 && position < count);
        bytes32[] memory proof = cut(some, lengths & 3);
        bytes32[] memory other = cut(others, (lengths >> 2) & 3);
        bool isFirst = this.verify(root, leaves[0], position, count, proof);
        bool isSecond = this.verify(root, leaves[1], position, count, other);
        assert(!(isFirst && isSecond) || leaves[0] == leaves[1]);
    }

    function cut(bytes32[2] memory siblings, uint256 length) internal pure returns (bytes32[] memory proof) {
        if (length == 0) return new bytes32[](0);
        proof = new bytes32[](length == 1 ? 1 : 2);
        proof[0] = siblings[0];
        if (length != 1) proof[1] = siblings[1];
    }
}
