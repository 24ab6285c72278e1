// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Header} from "../../contracts/interfaces/Types.sol";
import {IndexedTree} from "../../contracts/libraries/IndexedTree.sol";
import {OrderbookCommitment} from "../../contracts/OrderbookCommitment.sol";
import {Test} from "./Test.sol";
import {Trees} from "./Trees.sol";

/// @title A committer that commits, one that lies, a stranger, and somebody who proves and disproves
/// @dev Every epoch is real: its two trees are over `commands` commands, of which every second one is an order.
contract CommitmentCrowd is Test {
    uint256 internal constant COMMANDS_MOST = 13;
    uint256 internal constant LIES = 8;

    OrderbookCommitment public commitment = new OrderbookCommitment(address(this));
    /// @dev What was committed, once and for all.
    Header[] internal headers;
    uint256 public lies;

    constructor() {
        commitment.grantRole(commitment.COMMITTER_ROLE(), address(this));
    }

    /* EPOCHS */

    function commandLeaf(uint64 sequence) internal pure returns (bytes32) {
        return IndexedTree.leafHash(abi.encode("command", sequence));
    }

    function orderHash(uint64 sequence) internal pure returns (bytes32) {
        return keccak256(abi.encode("order", sequence));
    }

    function orderLeaf(uint64 sequence) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(sequence, orderHash(sequence)))));
    }

    function commandLeaves(uint64 first, uint64 last) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](last - first + 1);
        for (uint64 i; i < leaves.length; ++i) {
            leaves[i] = commandLeaf(first + i);
        }
    }

    function orderLeaves(uint64 first, uint64 last) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[]((last - first) / 2 + 1);
        for (uint64 i; i < leaves.length; ++i) {
            leaves[i] = orderLeaf(first + 2 * i);
        }
    }

    function nextHeader(uint256 size) internal view returns (Header memory header) {
        uint64 epoch = uint64(headers.length);
        header.epoch = epoch + 1;
        header.parent = epoch == 0 ? bytes32(0) : keccak256(abi.encode(headers[epoch - 1]));
        header.first = epoch == 0 ? 1 : headers[epoch - 1].last + 1;
        header.last = header.first + uint64(size % COMMANDS_MOST);
        header.ordersRoot = Trees.standardTree(orderLeaves(header.first, header.last))[0];
        bytes32[] memory leaves = commandLeaves(header.first, header.last);
        header.commandsRoot = Trees.rootOf(leaves, 0, leaves.length);
        header.stateRoot = keccak256(abi.encode("state", epoch));
    }

    /* ACTIONS */

    function commit(uint256 size) external {
        Header memory header = nextHeader(size);
        commitment.commit(header);
        headers.push(header);
    }

    /// @dev A header that is wrong in one place, or one of an epoch that is committed already.
    function lie(uint256 how, uint256 size, uint256 which) external {
        Header memory header = nextHeader(size);
        how %= LIES;
        if (how == 0) header.epoch += uint64(which % 3) + 1;
        else if (how == 1) header.parent = keccak256(abi.encode(which));
        else if (how == 2) header.first += uint64(which % 3) + 1;
        else if (how == 3) header.last = header.first - 1;
        else if (how == 4) header.ordersRoot = 0;
        else if (how == 5) header.commandsRoot = 0;
        else if (how == 6) header.stateRoot = 0;
        else if (headers.length != 0) (header.epoch, header.stateRoot) = (headerAt(which).epoch, bytes32(which | 1));
        else header.epoch = 0;
        try commitment.commit(header) {
            vm.assertTrue(false, "a lie was committed");
        } catch {
            ++lies;
        }
    }

    function stranger(uint256 size) external {
        Header memory header = nextHeader(size);
        vm.prank(address(0xBAD));
        vm.expectRevert();
        commitment.commit(header);
    }

    /// @dev The role comes and goes between epochs.
    function dismiss(uint256 size) external {
        Header memory header = nextHeader(size);
        bytes32 role = commitment.COMMITTER_ROLE();
        commitment.revokeRole(role, address(this));
        vm.expectRevert();
        commitment.commit(header);
        commitment.grantRole(role, address(this));
    }

    /* PROOFS */

    function headerAt(uint256 which) internal view returns (Header memory) {
        return headers[which % headers.length];
    }

    /// @dev A command of an epoch at its place, and nowhere else.
    function proveCommands(uint256 which, uint256 noise) external view {
        if (headers.length == 0) return;
        Header memory header = headerAt(which);
        bytes32[] memory leaves = commandLeaves(header.first, header.last);
        uint64 i = uint64(uint256(keccak256(abi.encode(which, noise))) % leaves.length);
        bytes32[] memory path = Trees.pathOf(leaves, 0, leaves.length, i);
        for (uint64 j; j < leaves.length; ++j) {
            bool isThere = commitment.verifyCommand(header, header.first + j, leaves[i], path);
            vm.assertTrue(isThere == (i == j), "a command at its place only");
        }
        _disproveCommand(header, header.first + i, leaves[i], path, noise);
    }

    function _disproveCommand(Header memory header, uint64 sequence, bytes32 leaf, bytes32[] memory path, uint256 noise)
        private
        view
    {
        vm.assertFalse(commitment.verifyCommand(header, sequence, leaf ^ bytes32(noise | 1), path));
        if (path.length == 0) return;
        // An inner node with what is left of the path, on either side.
        bytes32[] memory rest = new bytes32[](path.length - 1);
        for (uint256 i; i < rest.length; ++i) {
            rest[i] = path[i + 1];
        }
        vm.assertFalse(commitment.verifyCommand(header, sequence, IndexedTree.nodeHash(leaf, path[0]), rest));
        vm.assertFalse(commitment.verifyCommand(header, sequence, IndexedTree.nodeHash(path[0], leaf), rest));
        path[noise % path.length] ^= bytes32(noise | 1);
        vm.assertFalse(commitment.verifyCommand(header, sequence, leaf, path));
    }

    /// @dev An order of an epoch under its sequence, and under no other one, in no other epoch.
    function proveOrders(uint256 which, uint256 noise) external view {
        if (headers.length == 0) return;
        Header memory header = headerAt(which);
        Header memory other = headerAt(which % headers.length + 1);
        bytes32[] memory nodes = Trees.standardTree(orderLeaves(header.first, header.last));
        uint64 orders = (header.last - header.first) / 2 + 1;
        uint64 at = header.first + 2 * uint64(uint256(keccak256(abi.encode(which, noise))) % orders);
        bytes32[] memory proof = Trees.standardProof(nodes, orderLeaf(at));
        vm.assertTrue(commitment.verifyOrder(header, at, orderHash(at), proof), "an order under its sequence");
        vm.assertFalse(commitment.verifyOrder(header, at + 1, orderHash(at), proof));
        vm.assertFalse(commitment.verifyOrder(header, at, orderHash(at) ^ bytes32(noise | 1), proof));
        if (headers.length > 1) vm.assertFalse(commitment.verifyOrder(other, at, orderHash(at), proof));
        if (proof.length == 0) return;
        proof[noise % proof.length] ^= bytes32(noise | 1);
        vm.assertFalse(commitment.verifyOrder(header, at, orderHash(at), proof));
    }

    /// @dev A header that differs in anything proves nothing.
    function proveWithAnotherHeader(uint256 which, uint256 field, uint256 noise) external view {
        if (headers.length == 0) return;
        Header memory header = headerAt(which);
        bytes32[] memory path =
            Trees.pathOf(commandLeaves(header.first, header.last), 0, header.last - header.first + 1, 0);
        field %= 4;
        if (field == 0) header.volume ^= uint128(noise | 1);
        else if (field == 1) header.count ^= uint32(noise | 1);
        else if (field == 2) header.dataHash ^= bytes32(noise | 1);
        else header.parent ^= bytes32(noise | 1);
        vm.assertFalse(commitment.verifyCommand(header, header.first, commandLeaf(header.first), path));
    }

    /* THE LAW */

    /// @dev After every step: nothing is there but what was committed last. Whether all before it is as it was, `checkAll`
    /// asks at the end: words that are never written again cannot change and change back unseen.
    function check() external view {
        uint64 count = uint64(headers.length);
        vm.assertEq(commitment.lastEpoch(), count);
        vm.assertEq(commitment.lastSequence(), count == 0 ? 0 : headers[count - 1].last);
        vm.assertTrue(commitment.headerHash(count + 1) == 0, "nothing ahead");
        if (count == 0) return;
        vm.assertTrue(commitment.headerHash(count) == keccak256(abi.encode(headers[count - 1])), "as committed");
        vm.assertTrue(commitment.headerHash(1) == keccak256(abi.encode(headers[0])), "never rewritten");
    }

    function checkAll() external view {
        vm.assertEq(commitment.lastEpoch(), headers.length);
        uint64 last;
        bytes32 parent;
        for (uint64 i; i < headers.length; ++i) {
            vm.assertTrue(headers[i].parent == parent, "parent");
            vm.assertEq(headers[i].first, last + 1, "no gap");
            parent = keccak256(abi.encode(headers[i]));
            last = headers[i].last;
            vm.assertTrue(commitment.headerHash(i + 1) == parent, "never rewritten");
        }
        vm.assertEq(commitment.lastSequence(), last);
        vm.assertTrue(commitment.headerHash(uint64(headers.length) + 1) == 0, "nothing ahead");
    }
}
