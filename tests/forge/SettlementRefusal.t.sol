// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISettlement} from "../../contracts/interfaces/ISettlement.sol";
import {EXIT_DELAY, Order, SETTLEMENT_WINDOW, SIDE_BUY, SIDE_SELL, TIF_GTD} from "../../contracts/interfaces/Types.sol";
import {Fixture} from "./Fixture.sol";
import {Batch, Fill} from "./ReadableSettlement.sol";

/// @title Every reason for which a fill is refused while its batch goes on
contract SettlementRefusalTest is Fixture {
    function setUp() public override {
        super.setUp();
        giveUnits(alice, 1_000);
        giveLots(bob, 10);
    }

    function assertNothingMoved() internal view {
        vm.assertEq(units(alice), 1_000);
        vm.assertEq(units(bob), 0);
        vm.assertEq(lotsOf(alice), 0);
        vm.assertEq(lotsOf(bob), 10);
    }

    /* BALANCE */

    function test_refusal_maker_sells_what_it_has_not() public {
        vm.assertEq(trade(sell(bob, 10, 11), buy(alice, 10, 11), 11), refusal(0, 1));
        assertNothingMoved();
    }

    function test_refusal_taker_sells_what_it_has_not() public {
        vm.assertEq(trade(buy(alice, 10, 11), sell(bob, 10, 11), 11), refusal(0, 0x81));
        assertNothingMoved();
    }

    function test_refusal_taker_pays_what_it_has_not() public {
        vm.assertEq(trade(sell(bob, 101, 10), buy(alice, 101, 10), 10), refusal(0, 0x81));
        assertNothingMoved();
    }

    function test_refusal_maker_pays_what_it_has_not() public {
        vm.assertEq(trade(buy(alice, 101, 10), sell(bob, 101, 10), 10), refusal(0, 1));
        assertNothingMoved();
    }

    function test_refusal_the_fee_counts_and_the_exact_amount_is_enough() public {
        // 998 units and a fee of 1 % leave 8 missing; 99 * 10 = 990 and 10 fit exactly.
        match_(add(sell(bob, 100, 10)), add(buy(alice, 100, 10)), 10, 0, 1);
        vm.assertEq(settle(), refusal(0, 0x81));
        match_(add(sell(bob, 99, 10)), add(buy(alice, 99, 10)), 10, 0, 10_000);
        vm.assertEq(settle(), "");
        vm.assertEq(units(alice), 0);
        vm.assertEq(units(fees), 10);
    }

    function test_refusal_the_makers_fault_comes_first() public {
        vm.assertEq(trade(sell(bob, 1_000, 11), buy(alice, 1_000, 11), 11), refusal(0, 1));
    }

    function test_refusal_the_batch_goes_on_and_nothing_is_filled() public {
        giveUnits(carol, 1_000);
        giveLots(bob, 40);
        uint16 maker = add(sell(bob, 100, 50));
        match_(maker, add(buy(alice, 100, 11)), 6);
        match_(maker, add(buy(carol, 500, 10)), 3);
        match_(maker, 1, 5);
        match_(maker, 2, 4);
        vm.assertEq(settle(), refusal(2, 0x81));

        (, uint64 filled) = settlement.slotOf(alice, 1);
        vm.assertEq(filled, 6);
        (, filled) = settlement.slotOf(bob, 1);
        vm.assertEq(filled, 13);
        vm.assertEq(lotsOf(carol), 7);
        vm.assertEq(settlement.lastFill(), 4);
    }

    function test_refusal_lists_every_one_in_order() public {
        uint16 maker = add(sell(bob, 100, 50));
        uint16 taker = add(buy(alice, 100, 50));
        match_(maker, taker, 20);
        match_(maker, taker, 5);
        match_(maker, taker, 0);
        match_(maker, taker, 6);
        vm.assertEq(settle(), abi.encodePacked(refusal(0, 1), refusal(2, 5), refusal(3, 1)));
    }

    function test_refusal_matured_request_is_out_of_reach() public {
        request(alice, address(usdc), 400);
        vm.warp(block.timestamp + EXIT_DELAY - 1);
        vm.assertEq(trade(sell(bob, 100, 1), buy(alice, 100, 20), 1), "");
        vm.warp(block.timestamp + 1);
        vm.assertEq(trade(sell(bob, 100, 10), buy(alice, 100, 20), 6), refusal(0, 0x81));
        vm.assertEq(trade(sell(bob, 100, 10), buy(alice, 100, 20), 5), "");
        vm.assertEq(units(alice), 400);
    }

    function test_refusal_matured_request_of_the_base_token_is_out_of_reach() public {
        request(bob, address(btc), uint128(4 * BASE_PER_LOT));
        vm.warp(block.timestamp + EXIT_DELAY);
        vm.assertEq(trade(sell(bob, 100, 10), buy(alice, 100, 20), 7), refusal(0, 1));
        vm.assertEq(trade(sell(bob, 100, 10), buy(alice, 100, 20), 6), "");
    }

    function test_refusal_a_request_above_the_balance_swallows_what_comes_in() public {
        giveUnits(carol, 1_000);
        request(alice, address(usdc), 5_000);
        request(bob, address(usdc), 300);
        vm.warp(block.timestamp + EXIT_DELAY);
        // Bob earns 500, of which his request keeps 300: he can spend 200 in the same batch.
        giveLots(carol, 10);
        uint16 bobSells = add(sell(bob, 100, 5));
        uint16 carolBuys = add(buy(carol, 100, 5));
        uint16 bobBuys = add(resting(bob, SIDE_BUY, 100, 5, nonceOf(2, 1)));
        uint16 carolSells = add(resting(carol, SIDE_SELL, 100, 5, nonceOf(2, 1)));
        match_(bobSells, carolBuys, 5);
        match_(carolSells, bobBuys, 3);
        match_(carolSells, bobBuys, 2);
        vm.assertEq(settle(), refusal(1, 0x81));
        vm.assertEq(units(bob), 300);
        vm.assertEq(vault.debitable(alice, address(usdc)), 0);
    }

    /* CANCELLED */

    function test_refusal_cancelled_slot_of_the_maker() public {
        vm.prank(bob);
        settlement.cancel(nonceOf(1, 1));
        vm.warp(START + SETTLEMENT_WINDOW - 1);
        vm.assertEq(trade(sell(bob, 100, 10), buy(alice, 100, 10), 1), "");
        vm.warp(START + SETTLEMENT_WINDOW);
        vm.assertEq(trade(sell(bob, 100, 10), buy(alice, 100, 10), 1), refusal(0, 2));
    }

    function test_refusal_cancelled_slot_of_the_taker() public {
        vm.prank(alice);
        settlement.cancel(nonceOf(1, 1));
        vm.warp(START + SETTLEMENT_WINDOW);
        vm.assertEq(trade(sell(bob, 100, 10), buy(alice, 100, 10), 1), refusal(0, 0x82));
    }

    function test_refusal_cancelled_immediate_order() public {
        vm.prank(alice);
        settlement.cancel(nonceOf(0, 5));
        vm.warp(START + SETTLEMENT_WINDOW);
        vm.assertEq(trade(sell(bob, 100, 10), immediate(alice, SIDE_BUY, 100, 1, 5), 1), refusal(0, 0x82));
        vm.assertEq(trade(sell(bob, 100, 10), immediate(alice, SIDE_BUY, 100, 1, 6), 1), "");
    }

    function test_refusal_cancel_covers_lower_sequences_and_no_other_slot() public {
        vm.prank(bob);
        settlement.cancel(nonceOf(1, 7));
        vm.warp(START + SETTLEMENT_WINDOW);
        vm.assertEq(trade(resting(bob, SIDE_SELL, 100, 1, nonceOf(1, 6)), buy(alice, 100, 10), 1), refusal(0, 2));
        vm.assertEq(trade(resting(bob, SIDE_SELL, 100, 1, nonceOf(1, 7)), buy(alice, 100, 10), 1), refusal(0, 2));
        vm.assertEq(trade(resting(bob, SIDE_SELL, 100, 1, nonceOf(1, 8)), buy(alice, 100, 10), 1), "");
        vm.assertEq(trade(resting(bob, SIDE_SELL, 100, 1, nonceOf(2, 1)), buy(alice, 100, 10), 1), "");
    }

    function test_refusal_cancel_all() public {
        vm.prank(bob);
        settlement.cancelAll(10);
        vm.warp(START + SETTLEMENT_WINDOW - 1);
        vm.assertEq(trade(resting(bob, SIDE_SELL, 100, 9, nonceOf(3, 9)), buy(alice, 100, 10), 1), "");
        vm.warp(START + SETTLEMENT_WINDOW);
        vm.assertEq(trade(resting(bob, SIDE_SELL, 100, 9, nonceOf(3, 9)), buy(alice, 100, 10), 1), refusal(0, 2));
        vm.assertEq(trade(resting(bob, SIDE_SELL, 100, 9, nonceOf(3, 10)), buy(alice, 100, 10), 1), "");
    }

    /* EXPIRED */

    function test_refusal_expired() public {
        Order memory maker = sell(bob, 100, 10);
        maker.timeInForce = TIF_GTD;
        maker.expiry = uint40(START + 60);
        vm.warp(START + 60 + SETTLEMENT_WINDOW - 1);
        vm.assertEq(trade(maker, buy(alice, 100, 10), 1), "");
        vm.warp(START + 60 + SETTLEMENT_WINDOW);
        vm.assertEq(trade(maker, buy(alice, 100, 10), 1), refusal(0, 3));
        Order memory taker = buy(alice, 100, 10);
        taker.expiry = uint40(START + 60);
        vm.assertEq(trade(sell(bob, 100, 10), taker, 1), refusal(0, 0x83));
    }

    /* DEAD */

    function test_refusal_superseded() public {
        trade(resting(bob, SIDE_SELL, 100, 1, nonceOf(1, 5)), resting(alice, SIDE_BUY, 100, 1, nonceOf(1, 5)), 1);
        vm.assertEq(
            trade(resting(bob, SIDE_SELL, 100, 1, nonceOf(1, 4)), resting(alice, SIDE_BUY, 100, 2, nonceOf(1, 5)), 1),
            refusal(0, 4)
        );
        vm.assertEq(
            trade(resting(bob, SIDE_SELL, 100, 2, nonceOf(1, 5)), resting(alice, SIDE_BUY, 100, 1, nonceOf(1, 4)), 1),
            refusal(0, 0x84)
        );
    }

    /* OPERATOR */

    function test_refusal_taken_back_needs_no_orders() public {
        fills.push(Fill(7, 9, 0, 100, -100));
        vm.assertEq(settle(), refusal(0, 5));
        vm.assertEq(settlement.lastFill(), 1);
    }

    function test_refusal_taken_back_among_others() public {
        match_(add(sell(bob, 100, 10)), add(buy(alice, 100, 10)), 0);
        match_(0, 1, 1);
        vm.assertEq(settle(), refusal(0, 5));
        vm.assertEq(lotsOf(alice), 1);
    }

    /* WHAT A REFUSED IMMEDIATE ORDER LEAVES */

    function test_refusal_uses_up_an_immediate_order() public {
        vm.assertEq(trade(sell(bob, 100, 10), immediate(alice, SIDE_BUY, 200, 11, 3), 11 - 1), "");
        vm.assertEq(trade(sell(bob, 100, 20), immediate(alice, SIDE_BUY, 200, 11, 4), 10), refusal(0, 1));
        vm.assertEq(vault.accountOf(alice).immediateSequence, 4);

        match_(add(sell(bob, 100, 20)), add(immediate(alice, SIDE_BUY, 200, 11, 4)), 1);
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedOrder.selector, 1));
    }
}
