// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISettlement} from "../../contracts/interfaces/ISettlement.sol";
import {
    REASON_CANCELLED,
    REASON_TAKER,
    SETTLEMENT_WINDOW,
    SIDE_BUY,
    SIDE_SELL
} from "../../contracts/interfaces/Types.sol";
import {Change} from "../../contracts/libraries/Changes.sol";
import {Fixture} from "./Fixture.sol";

/// @title Cancels on chain: what they log, and that none weakens another
contract SettlementCancelTest is Fixture {
    function setUp() public override {
        super.setUp();
        giveUnits(alice, 1_000_000);
        giveLots(bob, 1_000);
    }

    function cancel(uint48 sequence) internal {
        vm.prank(bob);
        settlement.cancel(nonceOf(1, sequence));
    }

    function cancelAll(uint48 floor) internal {
        vm.prank(bob);
        settlement.cancelAll(floor);
    }

    /// @dev True if an order of bob with this sequence settles now.
    function settles(uint16 slot, uint48 sequence) internal returns (bool) {
        bytes memory refusals =
            trade(resting(bob, SIDE_SELL, 1, 1_000, nonceOf(slot, sequence)), buy(alice, 1, 10_000), 1);
        if (refusals.length == 0) return true;
        vm.assertEq(refusals, refusal(0, REASON_CANCELLED));
        return false;
    }

    function test_cancel_logs_when_it_binds() public {
        uint64 sequence = vault.sequence();
        vm.expectEmit(address(settlement));
        emit ISettlement.OrderCancelled(sequence + 1, bob, nonceOf(1, 7), uint40(START + SETTLEMENT_WINDOW));
        cancel(7);
        vm.assertEq(vault.sequence(), sequence + 1);
    }

    function test_cancelAll_logs_when_it_binds() public {
        uint64 sequence = vault.sequence();
        vm.expectEmit(address(settlement));
        emit ISettlement.AllOrdersCancelled(sequence + 1, bob, 7, uint40(START + SETTLEMENT_WINDOW));
        cancelAll(7);
        vm.assertEq(vault.sequence(), sequence + 1);
        vm.assertEq(vault.accountOf(bob).cancelFloor, 0);
        vm.warp(START + SETTLEMENT_WINDOW);
        vm.assertEq(vault.accountOf(bob).cancelFloor, 7);
    }

    function test_cancel_of_the_highest_sequence_kills_the_slot() public {
        cancel(type(uint48).max);
        vm.warp(START + SETTLEMENT_WINDOW);
        vm.assertFalse(settles(1, type(uint48).max));
        vm.assertTrue(settles(2, 1));
    }

    function test_cancel_that_binds_is_not_unbound_by_a_later_one() public {
        cancel(5);
        vm.warp(START + SETTLEMENT_WINDOW);
        vm.assertFalse(settles(1, 5));
        cancel(9);
        vm.assertFalse(settles(1, 5));
        vm.assertTrue(settles(1, 6));
        cancel(2);
        vm.assertFalse(settles(1, 5));
        vm.warp(START + 2 * SETTLEMENT_WINDOW);
        vm.assertFalse(settles(1, 9));
    }

    function test_cancel_is_not_postponed_by_a_later_one() public {
        cancel(5);
        vm.warp(START + SETTLEMENT_WINDOW - 1);
        cancel(9);
        cancel(5);
        vm.warp(START + SETTLEMENT_WINDOW);
        vm.assertFalse(settles(1, 5));
        vm.assertTrue(settles(1, 6));
        vm.warp(START + 2 * SETTLEMENT_WINDOW - 1);
        vm.assertFalse(settles(1, 9));
        vm.assertTrue(settles(1, 10));
    }

    function test_cancelAll_that_binds_is_not_unbound_or_postponed_by_a_later_one() public {
        cancelAll(5);
        vm.warp(START + SETTLEMENT_WINDOW - 1);
        cancelAll(9);
        cancelAll(3);
        vm.assertTrue(settles(1, 4));
        vm.warp(START + SETTLEMENT_WINDOW);
        vm.assertFalse(settles(1, 4));
        vm.assertTrue(settles(1, 5));
        cancelAll(100);
        vm.assertFalse(settles(1, 4));
        vm.warp(START + 2 * SETTLEMENT_WINDOW - 1);
        vm.assertFalse(settles(1, 8));
        vm.assertTrue(settles(1, 9));
    }

    function test_cancelMany_is_a_cancel_of_each() public {
        uint64[] memory nonces = new uint64[](3);
        (nonces[0], nonces[1], nonces[2]) = (nonceOf(1, 5), nonceOf(2, 3), nonceOf(1, 7));
        uint64 number = vault.sequence();
        for (uint64 i; i < 3; ++i) {
            vm.expectEmit(address(settlement));
            emit ISettlement.OrderCancelled(number + 1 + i, bob, nonces[i], uint40(START + SETTLEMENT_WINDOW));
        }
        vm.prank(bob);
        settlement.cancelMany(nonces);
        vm.assertEq(vault.sequence(), number + 3);

        vm.warp(START + SETTLEMENT_WINDOW - 1);
        vm.assertTrue(settles(1, 5));
        vm.warp(START + SETTLEMENT_WINDOW);
        vm.assertFalse(settles(1, 7));
        vm.assertTrue(settles(1, 8));
        vm.assertFalse(settles(2, 3));
        vm.assertTrue(settles(2, 4));
        vm.assertTrue(settles(3, 1));
    }

    function test_cancelMany_of_none() public {
        uint64 number = vault.sequence();
        vm.prank(bob);
        settlement.cancelMany(new uint64[](0));
        vm.assertEq(vault.sequence(), number);
    }

    /// @dev True if an immediate order of bob with this sequence settles now.
    function settlesAtOnce(uint48 sequence) internal returns (bool) {
        match_(
            add(resting(alice, SIDE_BUY, 1, 1_000, nonceOf(9, sequence))),
            add(immediate(bob, SIDE_SELL, 1, 1, sequence)),
            1
        );
        bytes memory refusals = settle();
        if (refusals.length == 0) return true;
        vm.assertEq(refusals, refusal(0, REASON_CANCELLED | REASON_TAKER));
        return false;
    }

    function cancelImmediates(uint48 sequence) internal {
        vm.prank(bob);
        settlement.cancel(nonceOf(0, sequence));
    }

    function test_a_cancel_of_slot_0_kills_immediate_orders() public {
        cancelImmediates(7);
        vm.warp(START + SETTLEMENT_WINDOW - 1);
        vm.assertTrue(settlesAtOnce(5));
        vm.warp(START + SETTLEMENT_WINDOW);
        vm.assertFalse(settlesAtOnce(6));
        vm.assertFalse(settlesAtOnce(7));
        vm.assertTrue(settlesAtOnce(8));
        // And nothing else: neither what rests, nor a floor.
        vm.assertTrue(settles(1, 1));
        vm.assertEq(vault.accountOf(bob).cancelFloor, 0);
    }

    function test_a_cancel_of_slot_0_does_not_shorten_a_cancel_of_all() public {
        cancelAll(20);
        cancelImmediates(3);
        vm.warp(START + SETTLEMENT_WINDOW);
        vm.assertFalse(settlesAtOnce(19));
        vm.assertTrue(settlesAtOnce(20));
        vm.assertFalse(settles(1, 19));
        vm.assertTrue(settles(1, 20));
    }

    function test_a_cancel_of_slot_0_that_binds_is_not_unbound_by_a_later_one() public {
        cancelImmediates(5);
        vm.warp(START + SETTLEMENT_WINDOW);
        cancelImmediates(9);
        vm.assertFalse(settlesAtOnce(5));
        vm.assertTrue(settlesAtOnce(6));
        vm.warp(START + 2 * SETTLEMENT_WINDOW);
        vm.assertFalse(settlesAtOnce(9));
        cancelImmediates(type(uint48).max);
        vm.warp(START + 3 * SETTLEMENT_WINDOW);
        vm.assertFalse(settlesAtOnce(type(uint48).max));
        vm.assertTrue(settles(1, 1));
    }

    /// @dev Whatever is asked and when: what binds at a time is the highest of what was asked a window before.
    /// Orders are tried at one of the times.
    function testFuzz_cancels_bind_the_highest_asked_a_window_ago(
        uint48[8] memory asked,
        uint256[8] memory waits,
        uint256 when
    ) public {
        uint256[8] memory times;
        for (uint256 i; i < 8; ++i) {
            vm.warp(block.timestamp + bound(waits[i], 0, 2 minutes));
            times[i] = block.timestamp;
            asked[i] = uint48(bound(asked[i], 1, 1_000));
            cancelAll(asked[i]);
            cancel(asked[i]);
        }
        for (uint256 k; k < 8; ++k) {
            uint48 floor;
            for (uint256 i; i < 8; ++i) {
                if (times[i] + SETTLEMENT_WINDOW <= block.timestamp && asked[i] > floor) floor = asked[i];
            }
            vm.assertEq(vault.accountOf(bob).cancelFloor, floor);
            if (k == when % 8) {
                if (floor > 0) vm.assertFalse(settles(1, floor));
                vm.assertTrue(settles(1, floor + 1));
                vm.assertTrue(floor == 0 || !settles(2, floor - 1));
            }
            vm.warp(block.timestamp + 97);
        }
    }

    function test_raiseCancelFloor_and_takeSequence_are_for_settlement_only() public {
        vm.expectRevert();
        vault.raiseCancelFloor(bob, 1, 1);
        vm.expectRevert();
        vault.takeSequence();
        vm.expectRevert();
        vault.applySettlement(address(usdc), new address[](0), new Change[](0));
    }
}
