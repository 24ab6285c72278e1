// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IOrderbookCommitment} from "../../contracts/interfaces/IOrderbookCommitment.sol";
import {Header} from "../../contracts/interfaces/Types.sol";
import {IndexedTree} from "../../contracts/libraries/IndexedTree.sol";
import {OrderbookCommitment} from "../../contracts/OrderbookCommitment.sol";
import {Test} from "./Test.sol";
import {Trees} from "./Trees.sol";

/// @title Epochs follow each other, and what is in them can be proved
contract CommitmentTest is Test {
    OrderbookCommitment internal commitment;

    function setUp() public {
        commitment = new OrderbookCommitment(address(this));
        commitment.grantRole(commitment.COMMITTER_ROLE(), address(this));
    }

    function headerOf(uint64 epoch, uint64 first, uint64 last) internal view returns (Header memory) {
        return Header(
            epoch,
            commitment.headerHash(epoch - 1),
            first,
            last,
            keccak256("orders"),
            keccak256("commands"),
            keccak256("state"),
            123,
            4,
            keccak256("data")
        );
    }

    /* COMMIT */

    function test_commit_chains_epochs() public {
        Header memory header = headerOf(1, 1, 10);
        bytes32 hash = keccak256(abi.encode(header));
        vm.expectEmit(address(commitment));
        emit IOrderbookCommitment.EpochCommitted(1, hash, header);
        commitment.commit(header);
        vm.assertEq(commitment.headerHash(1), hash);
        vm.assertEq(commitment.hashHeader(header), hash);
        vm.assertEq(commitment.lastEpoch(), 1);
        vm.assertEq(commitment.lastSequence(), 10);

        header = headerOf(2, 11, 11);
        vm.assertEq(header.parent, hash);
        commitment.commit(header);
        vm.assertEq(commitment.lastEpoch(), 2);
        vm.assertEq(commitment.lastSequence(), 11);
    }

    function refused(Header memory header, bytes memory reason) internal {
        vm.expectRevert(reason);
        commitment.commit(header);
    }

    function test_commit_refuses_gaps_and_rewrites() public {
        refused(headerOf(2, 1, 10), abi.encodeWithSelector(IOrderbookCommitment.NotConsecutive.selector, 2, 1));
        commitment.commit(headerOf(1, 1, 10));
        refused(headerOf(1, 1, 10), abi.encodeWithSelector(IOrderbookCommitment.NotConsecutive.selector, 1, 2));
        refused(headerOf(2, 10, 20), abi.encodeWithSelector(IOrderbookCommitment.WrongRange.selector, 10, 20));
        refused(headerOf(2, 12, 20), abi.encodeWithSelector(IOrderbookCommitment.WrongRange.selector, 12, 20));
        refused(headerOf(2, 11, 10), abi.encodeWithSelector(IOrderbookCommitment.WrongRange.selector, 11, 10));
        Header memory header = headerOf(2, 11, 20);
        bytes32 parent = header.parent;
        header.parent = keccak256("another");
        refused(header, abi.encodeWithSelector(IOrderbookCommitment.WrongParent.selector, keccak256("another"), parent));
    }

    function test_commit_refuses_zero_roots() public {
        bytes memory reason = abi.encodeWithSelector(IOrderbookCommitment.ZeroRoot.selector);
        for (uint256 i; i < 3; ++i) {
            Header memory header = headerOf(1, 1, 10);
            if (i == 0) header.ordersRoot = 0;
            if (i == 1) header.commandsRoot = 0;
            if (i == 2) header.stateRoot = 0;
            refused(header, reason);
        }
    }

    /// @dev It hashes calldata as it lies there: nothing may lie there that a decoder refuses.
    function testFuzz_commit_refuses_dirty_bits(uint256 field, uint256 dirt) public {
        field = bound(field, 0, 4);
        uint256[5] memory words = [uint256(0), 2, 3, 7, 8];
        uint256[5] memory bits = [uint256(64), 64, 64, 128, 32];
        bytes memory payload = abi.encodeCall(commitment.commit, (headerOf(1, 1, 10)));
        uint256 at = 36 + 32 * words[field];
        dirt = bound(dirt, 1, type(uint256).max >> bits[field]) << bits[field];
        // solhint-disable-next-line no-inline-assembly
        assembly {
            let word := add(payload, at)
            mstore(word, or(mload(word), dirt))
        }
        // solhint-disable-next-line avoid-low-level-calls
        (bool success,) = address(commitment).call(payload);
        vm.assertFalse(success);
        vm.assertEq(commitment.lastEpoch(), 0);
    }

    /// @dev What it stores and logs is what the compiler encodes.
    function testFuzz_commit_hashes_and_logs_as_the_compiler(Header memory header) public {
        (header.epoch, header.parent, header.first) = (1, 0, 1);
        header.last = uint64(bound(header.last, 1, type(uint48).max));
        vm.assume(header.ordersRoot != 0 && header.commandsRoot != 0 && header.stateRoot != 0);
        bytes32 hash = keccak256(abi.encode(header));
        vm.expectEmit(address(commitment));
        emit IOrderbookCommitment.EpochCommitted(1, hash, header);
        commitment.commit(header);
        vm.assertEq(commitment.headerHash(1), hash);
        vm.assertEq(commitment.hashHeader(header), hash);
        vm.assertEq(commitment.lastSequence(), header.last);
    }

    function test_commit_ends_with_the_role() public {
        commitment.commit(headerOf(1, 1, 10));
        Header memory header = headerOf(2, 11, 20);
        bytes32 role = commitment.COMMITTER_ROLE();
        bytes memory reason =
            abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, address(this), role);
        commitment.revokeRole(role, address(this));
        refused(header, reason);
        // Somebody else's revocation changes nothing, and several may commit in turn.
        commitment.grantRole(role, address(this));
        commitment.grantRole(role, address(0xC0));
        commitment.commit(header);
        commitment.revokeRole(role, address(0xC0));
        commitment.commit(headerOf(3, 21, 30));
        header = headerOf(4, 31, 40);
        commitment.renounceRole(role, address(this));
        refused(header, reason);
    }

    function test_commit_within_48_bits() public {
        uint64 most = type(uint48).max;
        refused(headerOf(1, 1, most + 1), abi.encodeWithSelector(IOrderbookCommitment.WrongRange.selector, 1, most + 1));
        commitment.commit(headerOf(1, 1, most));
        vm.assertEq(commitment.lastSequence(), most);
    }

    function test_commit_is_for_the_committer_only() public {
        Header memory header = headerOf(1, 1, 10);
        vm.prank(address(0xBAD));
        vm.expectRevert();
        commitment.commit(header);
    }

    /* ORDERS */

    function leafOf(uint64 sequence, bytes32 orderHash) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(sequence, orderHash))));
    }

    /// @dev Nobody is kept as the last committer at first, and again after a revocation: that must not let zero in.
    function test_commit_is_not_for_the_zero_address() public {
        Header memory header = headerOf(1, 1, 10);
        vm.prank(address(0));
        vm.expectPartialRevert(IAccessControl.AccessControlUnauthorizedAccount.selector);
        commitment.commit(header);
        commitment.commit(header);
        commitment.revokeRole(commitment.COMMITTER_ROLE(), address(this));
        header = headerOf(2, 11, 11);
        vm.prank(address(0));
        vm.expectPartialRevert(IAccessControl.AccessControlUnauthorizedAccount.selector);
        commitment.commit(header);
    }

    function test_verifyOrder() public {
        bytes32 left = leafOf(3, keccak256("left"));
        bytes32 right = leafOf(7, keccak256("right"));
        Header memory header = headerOf(1, 1, 10);
        header.ordersRoot = Trees.pairHash(left, right);
        commitment.commit(header);
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = right;

        vm.assertTrue(commitment.verifyOrder(header, 3, keccak256("left"), proof));
        vm.assertFalse(commitment.verifyOrder(header, 4, keccak256("left"), proof));
        vm.assertFalse(commitment.verifyOrder(header, 3, keccak256("right"), proof));
        header.volume += 1;
        vm.assertFalse(commitment.verifyOrder(header, 3, keccak256("left"), proof));
        header.volume -= 1;
        header.epoch = 2;
        vm.assertFalse(commitment.verifyOrder(header, 3, keccak256("left"), proof));
        header.epoch = 0;
        vm.assertFalse(commitment.verifyOrder(header, 3, keccak256("left"), proof));
    }

    function test_verifyOrder_outside_the_range() public {
        Header memory header = headerOf(1, 1, 10);
        header.ordersRoot = leafOf(11, keccak256("later"));
        commitment.commit(header);
        vm.assertFalse(commitment.verifyOrder(header, 11, keccak256("later"), new bytes32[](0)));
    }

    /* COMMANDS */

    function leavesOf(uint256 count) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            leaves[i] = IndexedTree.leafHash(abi.encode("record", i));
        }
    }

    function commitCommands(bytes32[] memory leaves) internal returns (Header memory header) {
        header = headerOf(1, 1, uint64(leaves.length));
        header.commandsRoot = Trees.rootOf(leaves, 0, leaves.length);
        commitment.commit(header);
    }

    function testFuzz_verifyCommand(uint256 count, uint256 position) public {
        count = bound(count, 1, 70);
        position = bound(position, 0, count - 1);
        bytes32[] memory leaves = leavesOf(count);
        Header memory header = commitCommands(leaves);
        bytes32[] memory path = Trees.pathOf(leaves, 0, count, position);
        for (uint64 at; at < count; ++at) {
            vm.assertTrue(commitment.verifyCommand(header, at + 1, leaves[position], path) == (at == position));
        }
        vm.assertFalse(commitment.verifyCommand(header, 0, leaves[position], path));
        vm.assertFalse(commitment.verifyCommand(header, uint64(count) + 1, leaves[position], path));
    }

    function test_verifyCommand_refuses_other_lengths_and_inner_nodes() public {
        bytes32[] memory leaves = leavesOf(4);
        Header memory header = commitCommands(leaves);
        bytes32[] memory path = Trees.pathOf(leaves, 0, 4, 0);
        bytes32[] memory longer = new bytes32[](3);
        (longer[0], longer[1]) = (path[0], path[1]);
        vm.assertFalse(commitment.verifyCommand(header, 1, leaves[0], longer));
        bytes32[] memory shorter = new bytes32[](1);
        shorter[0] = path[1];
        vm.assertFalse(commitment.verifyCommand(header, 1, IndexedTree.nodeHash(leaves[0], leaves[1]), shorter));
        header.stateRoot = keccak256("another");
        vm.assertFalse(commitment.verifyCommand(header, 1, leaves[0], path));
    }

    function test_verifyCommand_of_a_single_command() public {
        bytes32[] memory leaves = leavesOf(1);
        Header memory header = commitCommands(leaves);
        vm.assertTrue(commitment.verifyCommand(header, 1, leaves[0], new bytes32[](0)));
        vm.assertFalse(commitment.verifyCommand(header, 1, keccak256("another"), new bytes32[](0)));
    }

    function verifyAt(bytes32 leaf, uint256 position, uint256 count, bytes32[] calldata proof)
        external
        pure
        returns (bool)
    {
        return IndexedTree.verify(leaf, leaf, position, count, proof);
    }

    /// @dev Without its own check the tree would find its one leaf at every odd position.
    function test_a_tree_has_nothing_beyond_its_count() public view {
        bytes32 leaf = IndexedTree.leafHash("record");
        vm.assertTrue(this.verifyAt(leaf, 0, 1, new bytes32[](0)));
        vm.assertFalse(this.verifyAt(leaf, 1, 1, new bytes32[](0)));
        vm.assertFalse(this.verifyAt(leaf, type(uint256).max, 1, new bytes32[](0)));
        vm.assertFalse(this.verifyAt(leaf, 0, 0, new bytes32[](0)));
    }

    function test_domainSeparator() public view {
        bytes32 typeHash =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        vm.assertEq(
            commitment.domainSeparator(),
            keccak256(abi.encode(typeHash, keccak256("HOOATS"), keccak256("1"), block.chainid, address(commitment)))
        );
    }
}
