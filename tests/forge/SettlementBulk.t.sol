// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISettlement} from "../../contracts/interfaces/ISettlement.sol";
import {
    AgentTerms,
    Order,
    REASON_AGENT,
    SETTLEMENT_WINDOW,
    SIDE_BUY,
    SIDE_SELL
} from "../../contracts/interfaces/Types.sol";
import {OrderHash} from "../../contracts/libraries/OrderHash.sol";
import {Fixture} from "./Fixture.sol";
import {BulkProof} from "./ReadableSettlement.sol";

/// @title One signature for up to 32 orders of an agent
contract SettlementBulkTest is Fixture {
    uint256 internal constant LEAVES = 32;
    uint256 internal constant AGENT_KEY = 0xA9E;

    address internal agent = vm.addr(AGENT_KEY);
    /// @dev All nodes of the tree: the root first, the children of node i are 2 i + 1 and 2 i + 2.
    bytes32[2 * LEAVES - 1] internal nodes;
    Order[] internal quotes;
    bytes internal signature;

    function setUp() public override {
        super.setUp();
        giveUnits(alice, 1_000_000);
        giveLots(bob, 1_000);
        vm.prank(bob);
        settlement.registerAgent(AgentTerms(agent, type(uint40).max, 10 ** 30, new uint32[](0)));
        for (uint16 i; i < LEAVES; ++i) {
            quotes.push(resting(bob, SIDE_SELL, 100 + i, 10, nonceOf(i + 1, 1)));
        }
        plant(LEAVES);
    }

    /// @dev The first `count` quotes; other leaves are 0.
    function plant(uint256 count) internal {
        for (uint256 i; i < LEAVES; ++i) {
            nodes[LEAVES - 1 + i] = i < count ? leafOf(quotes[i]) : bytes32(0);
        }
        for (uint256 i = LEAVES - 1; i > 0; --i) {
            nodes[i - 1] = keccak256(abi.encodePacked(bytes1(0x01), nodes[2 * i - 1], nodes[2 * i]));
        }
        signature = signRoot(AGENT_KEY, nodes[0]);
    }

    function leafOf(Order memory order) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(bytes1(0x00), OrderHash.structHash(order)));
    }

    function proofOf(uint256 position) internal view returns (BulkProof memory proof) {
        (proof.isBulk, proof.position) = (true, uint8(position));
        uint256 node = LEAVES - 1 + position;
        for (uint256 level; level < 5; ++level) {
            proof.siblings[level] = nodes[node % 2 == 0 ? node - 1 : node + 1];
            node = (node - 1) / 2;
        }
    }

    function addQuote(Order memory order, BulkProof memory proof) internal returns (uint16) {
        orders.push(order);
        signatures.push(signature);
        proofs.push(proof);
        return uint16(orders.length - 1);
    }

    function reverts() internal {
        bytes memory packed = pack(take());
        vm.expectPartialRevert(ISettlement.InvalidSigner.selector);
        settlement.settle(packed);
    }

    function test_every_leaf_of_a_tree_settles() public {
        for (uint256 i; i < LEAVES; ++i) {
            uint16 maker = addQuote(quotes[i], proofOf(i));
            match_(maker, add(immediate(alice, SIDE_BUY, 200, 1, uint48(i + 1))), 1);
            vm.assertEq(settle(), "");
        }
        vm.assertEq(lotsOf(alice), LEAVES);
    }

    function test_all_leaves_in_one_batch_cost_one_notional() public {
        uint16 taker = add(immediate(alice, SIDE_BUY, 200, uint64(LEAVES), 1));
        uint256 sum;
        for (uint256 i; i < LEAVES; ++i) {
            match_(addQuote(quotes[i], proofOf(i)), taker, 1);
            sum += 100 + i;
        }
        vm.assertEq(settle(), "");
        vm.assertEq(units(bob), sum);
        (, uint256 notional,) = settlement.agentOf(bob, agent, BTC_USDC);
        vm.assertEq(notional, 10 ** 30 - sum);
    }

    function test_a_tree_with_empty_leaves() public {
        plant(3);
        uint16 taker = add(immediate(alice, SIDE_BUY, 200, 3, 1));
        for (uint256 i; i < 3; ++i) {
            match_(addQuote(quotes[i], proofOf(i)), taker, 1);
        }
        vm.assertEq(settle(), "");
        match_(addQuote(quotes[3], proofOf(3)), add(immediate(alice, SIDE_BUY, 200, 3, 2)), 1);
        reverts();
    }

    function test_fault_another_position() public {
        for (uint256 i; i < LEAVES; ++i) {
            if (i == 11) continue;
            BulkProof memory proof = proofOf(11);
            proof.position = uint8(i);
            match_(addQuote(quotes[11], proof), add(buy(alice, 200, 1)), 1);
            reverts();
        }
    }

    function test_fault_a_position_beyond_the_tree() public {
        for (uint256 i = 32; i < 256; i += 32) {
            BulkProof memory proof = proofOf(11);
            proof.position = uint8(11 + i);
            match_(addQuote(quotes[11], proof), add(buy(alice, 200, 1)), 1);
            settleReverts(abi.encodeWithSelector(ISettlement.MalformedOrder.selector, 0));
        }
    }

    function test_fault_another_sibling_or_the_proof_of_another() public {
        for (uint256 level; level < 5; ++level) {
            BulkProof memory proof = proofOf(11);
            proof.siblings[level] ^= bytes32(uint256(1));
            match_(addQuote(quotes[11], proof), add(buy(alice, 200, 1)), 1);
            reverts();
        }
        match_(addQuote(quotes[11], proofOf(12)), add(buy(alice, 200, 1)), 1);
        reverts();
    }

    function test_fault_an_order_that_is_not_in_the_tree() public {
        Order memory order = quotes[11];
        order.priceTicks -= 1;
        match_(addQuote(order, proofOf(11)), add(buy(alice, 200, 1)), 1);
        reverts();
    }

    /// @dev The struct hash itself is no leaf, a leaf no node, a node no leaf.
    function test_fault_a_tree_with_other_prefixes() public {
        bytes32 hash = OrderHash.structHash(quotes[0]);
        bytes32[5] memory empty;
        for (uint256 i; i < 3; ++i) {
            bytes32 node = i == 0 ? hash : keccak256(abi.encodePacked(bytes1(uint8(i == 1 ? 0 : 1)), hash));
            for (uint256 level; level < 5; ++level) {
                node = i == 1
                    ? keccak256(abi.encodePacked(bytes1(0x00), node, bytes32(0)))
                    : keccak256(abi.encodePacked(bytes1(0x01), node, bytes32(0)));
            }
            signature = signRoot(AGENT_KEY, node);
            match_(addQuote(quotes[0], BulkProof(true, 0, empty)), add(buy(alice, 200, 1)), 1);
            reverts();
        }
        match_(addBulk(quotes[0], AGENT_KEY, 0, empty), add(buy(alice, 200, 1)), 1);
        vm.assertEq(settle(), "");
    }

    /// @dev Of another depth: the root of a half, the leaf alone, and a tree of twice as many.
    function test_fault_a_tree_of_another_depth() public {
        bytes32[3] memory roots =
            [nodes[1], nodes[LEAVES - 1], keccak256(abi.encodePacked(bytes1(0x01), nodes[0], nodes[0]))];
        for (uint256 i; i < 3; ++i) {
            signature = signRoot(AGENT_KEY, roots[i]);
            match_(addQuote(quotes[0], proofOf(0)), add(buy(alice, 200, 1)), 1);
            reverts();
        }
    }

    function test_fault_the_root_signed_as_an_order_and_the_order_signed_as_a_root() public {
        signature = sign(AGENT_KEY, digestOf(settlement.domainSeparator(), nodes[0]));
        match_(addQuote(quotes[0], proofOf(0)), add(buy(alice, 200, 1)), 1);
        reverts();
        signature = sign(AGENT_KEY, settlement.hashOrder(quotes[0]));
        match_(addQuote(quotes[0], proofOf(0)), add(buy(alice, 200, 1)), 1);
        reverts();
        // The tree's signature without a proof.
        plant(LEAVES);
        match_(addQuote(quotes[0], BulkProof(false, 0, proofOf(0).siblings)), add(buy(alice, 200, 1)), 1);
        reverts();
    }

    function test_fault_the_account_signs_in_bulk() public {
        signature = signRoot(bobKey, nodes[0]);
        match_(addQuote(quotes[0], proofOf(0)), add(buy(alice, 200, 1)), 1);
        settleReverts(abi.encodeWithSelector(ISettlement.InvalidSigner.selector, 0, bob));
    }

    function test_fault_a_stranger_signs_in_bulk() public {
        signature = signRoot(carolKey, nodes[0]);
        match_(addQuote(quotes[0], proofOf(0)), add(buy(alice, 200, 1)), 1);
        settleReverts(abi.encodeWithSelector(ISettlement.InvalidSigner.selector, 0, carol));
    }

    function test_fault_proofs_missing_or_left_over() public {
        for (uint256 i; i < 2; ++i) {
            match_(addQuote(quotes[0], proofOf(0)), add(buy(alice, 200, 1)), 1);
            bytes memory packed = pack(take());
            // The mark in the terms of the first order: two markets' or accounts' worth of bytes are before it.
            uint256 at = 15 + 4 * uint256(uint8(packed[8])) + 20 * uint256(uint8(packed[9])) + 3;
            if (i == 0) packed[at] = packed[at] ^ bytes1(uint8(16)); // the proof is nobody's
            else packed[at + 111] = packed[at + 111] ^ bytes1(uint8(16)); // a second mark, one proof
            vm.expectRevert();
            settlement.settle(packed);
        }
    }

    function test_a_tree_of_an_agent_that_is_over_is_refused() public {
        vm.prank(bob);
        settlement.revokeAgent(bob, agent);
        vm.warp(START + SETTLEMENT_WINDOW);
        match_(addQuote(quotes[0], proofOf(0)), add(buy(alice, 200, 1)), 1);
        vm.assertEq(settle(), refusal(0, REASON_AGENT));
    }
}
