// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISettlement} from "../../contracts/interfaces/ISettlement.sol";
import {
    AgentTerms,
    Order,
    REASON_AGENT,
    REASON_BALANCE,
    REASON_DEAD,
    REASON_EXPIRED,
    REASON_GROUP,
    REASON_OPERATOR,
    REASON_TAKER,
    SETTLEMENT_WINDOW,
    SIDE_BUY,
    SIDE_SELL,
    TIF_FOK,
    TIF_GTD
} from "../../contracts/interfaces/Types.sol";
import {Fixture} from "./Fixture.sol";

/// @title The fills of a fill-or-kill order settle all or none, and none leaves no trace
contract SettlementFillOrKillTest is Fixture {
    uint256 internal constant AGENT_KEY = 0xA9E;
    int32 internal constant PPM = 2_500;

    function setUp() public override {
        super.setUp();
        giveUnits(alice, 1_000_000);
        giveLots(bob, 1_000);
        giveLots(carol, 20);
    }

    function fok(address account, uint8 side, uint64 price, uint64 size, uint48 sequence)
        internal
        pure
        returns (Order memory order)
    {
        order = immediate(account, side, price, size, sequence);
        order.timeInForce = TIF_FOK;
    }

    function filledOf(address account, uint16 slot) internal view returns (uint256) {
        (, uint64 filled) = settlement.slotOf(account, slot);
        return filled;
    }

    function allOf(uint16 from, uint16 count, uint16 at, uint8 reason) internal pure returns (bytes memory refused) {
        for (uint16 i = from; i < from + count; ++i) {
            refused = bytes.concat(refused, refusal(i, i == at ? reason : REASON_GROUP));
        }
    }

    function assertNothingMoved() internal view {
        vm.assertEq(units(alice), 1_000_000);
        vm.assertEq(lotsOf(alice), 0);
        vm.assertEq(units(bob) + units(carol) + units(fees), 0);
        vm.assertEq(lotsOf(bob), 1_000);
        vm.assertEq(lotsOf(carol), 20);
        vm.assertEq(filledOf(bob, 1) + filledOf(bob, 2) + filledOf(carol, 1), 0);
    }

    /* ALL */

    function test_all_fills_settle() public {
        uint16 taker = add(fok(alice, SIDE_BUY, 120, 50, 1));
        match_(add(sell(bob, 100, 30)), taker, 30, PPM, PPM);
        match_(add(sell(carol, 110, 20)), taker, 20, PPM, PPM);
        vm.assertEq(settle(), "");
        vm.assertEq(lotsOf(alice), 50);
        vm.assertEq(units(alice), 1_000_000 - 3_000 - 2_200 - 8 - 6);
        vm.assertEq(units(fees), 2 * (8 + 6));
        vm.assertEq(vault.accountOf(alice).immediateSequence, 1);
    }

    function test_a_maker_may_fill_it_in_several_parts() public {
        (uint16 maker, uint16 taker) = (add(sell(bob, 100, 30)), add(fok(alice, SIDE_BUY, 120, 30, 1)));
        for (uint256 i; i < 3; ++i) {
            match_(maker, taker, 10);
        }
        vm.assertEq(settle(), "");
        vm.assertEq(filledOf(bob, 1), 30);
    }

    function test_it_sells_too() public {
        giveUnits(carol, 10_000);
        uint16 taker = add(fok(bob, SIDE_SELL, 90, 50, 1));
        match_(add(buy(alice, 100, 30)), taker, 30);
        match_(add(buy(carol, 95, 20)), taker, 20);
        vm.assertEq(settle(), "");
        vm.assertEq(units(bob), 3_000 + 1_900);
    }

    /* NONE */

    function test_none_when_the_last_maker_cannot() public {
        uint16 taker = add(fok(alice, SIDE_BUY, 120, 60, 1));
        match_(add(sell(bob, 100, 30)), taker, 30, PPM, PPM);
        match_(add(resting(bob, SIDE_SELL, 105, 9, nonceOf(2, 1))), taker, 9, PPM, PPM);
        match_(add(sell(carol, 110, 21)), taker, 21, PPM, PPM);
        vm.assertEq(settle(), allOf(0, 3, 2, REASON_BALANCE));
        assertNothingMoved();
        vm.assertEq(vault.accountOf(alice).immediateSequence, 1, "used up all the same");
    }

    function test_none_when_the_first_cannot_and_the_rest_is_not_asked() public {
        uint16 taker = add(fok(alice, SIDE_BUY, 120, 60, 1));
        match_(add(sell(carol, 110, 21)), taker, 21);
        match_(add(sell(bob, 100, 39)), taker, 39);
        vm.assertEq(settle(), allOf(0, 2, 0, REASON_BALANCE));
        assertNothingMoved();
    }

    function test_none_when_the_taker_runs_out_of_money_on_the_way() public {
        giveUnits(carol, 4_999);
        uint16 taker = add(fok(carol, SIDE_BUY, 120, 50, 1));
        match_(add(sell(bob, 100, 30)), taker, 30);
        match_(add(resting(bob, SIDE_SELL, 100, 20, nonceOf(2, 1))), taker, 20);
        vm.assertEq(settle(), allOf(0, 2, 1, REASON_BALANCE | REASON_TAKER));
        vm.assertEq(units(carol), 4_999);
        vm.assertEq(lotsOf(bob), 1_000);
    }

    function test_none_when_the_taker_is_expired_dead_or_its_agent_over() public {
        Order memory taker = fok(alice, SIDE_BUY, 120, 50, 1);
        taker.expiry = uint40(START);
        vm.warp(START + SETTLEMENT_WINDOW);
        uint16 index = add(taker);
        match_(add(sell(bob, 100, 30)), index, 30);
        match_(add(sell(carol, 100, 20)), index, 20);
        vm.assertEq(settle(), allOf(0, 2, 0, REASON_EXPIRED | REASON_TAKER));
        assertNothingMoved();
    }

    function test_none_when_a_maker_was_replaced() public {
        trade(resting(bob, SIDE_SELL, 100, 5, nonceOf(1, 9)), buy(alice, 100, 5), 5);
        uint16 taker = add(fok(alice, SIDE_BUY, 120, 50, 1));
        match_(add(resting(bob, SIDE_SELL, 100, 30, nonceOf(2, 1))), taker, 30);
        match_(add(sell(bob, 100, 20)), taker, 20);
        vm.assertEq(settle(), allOf(0, 2, 1, REASON_DEAD));
        vm.assertEq(filledOf(bob, 2), 0);
        vm.assertEq(lotsOf(alice), 5);
    }

    function test_none_when_the_agents_notional_ends_on_the_way_and_it_is_given_back() public {
        vm.prank(alice);
        settlement.registerAgent(AgentTerms(vm.addr(AGENT_KEY), type(uint40).max, 4_000, new uint32[](0)));
        uint16 taker = add(fok(alice, SIDE_BUY, 120, 50, 1), AGENT_KEY);
        match_(add(sell(bob, 100, 30)), taker, 30);
        match_(add(sell(carol, 100, 20)), taker, 20);
        // The notional is there again: forty lots use all of it.
        uint16 second = add(fok(alice, SIDE_BUY, 120, 40, 2), AGENT_KEY);
        match_(add(resting(bob, SIDE_SELL, 100, 40, nonceOf(3, 1))), second, 40);
        vm.assertEq(settle(), allOf(0, 2, 1, REASON_AGENT | REASON_TAKER));
        (, uint256 notional,) = settlement.agentOf(alice, vm.addr(AGENT_KEY), BTC_USDC);
        vm.assertEq(notional, 0);
        vm.assertEq(lotsOf(alice), 40);
    }

    /* WHAT COMES AFTER FINDS EVERYTHING AS IT WAS */

    function test_a_group_that_was_refused_gives_back_money_lots_and_fees() public {
        giveUnits(carol, 3_008);
        // Carol pays all that she has, and Bob's last lots; then the second maker fails.
        uint16 taker = add(fok(carol, SIDE_BUY, 100, 31, 1));
        uint16 bobs = add(sell(bob, 100, 1_000));
        match_(bobs, taker, 30, PPM, PPM);
        match_(add(sell(fees, 100, 1)), taker, 1);
        // With all of it again.
        match_(bobs, add(immediate(carol, SIDE_BUY, 100, 30, 2)), 30, PPM, PPM);
        match_(bobs, add(buy(alice, 100, 970)), 970);
        vm.assertEq(settle(), allOf(0, 2, 1, REASON_BALANCE));
        vm.assertEq(units(carol), 0);
        vm.assertEq(lotsOf(carol), 50);
        vm.assertEq(lotsOf(bob), 0);
        vm.assertEq(units(fees), 16);
    }

    function test_a_slot_is_as_full_as_it_was() public {
        trade(sell(bob, 100, 50), immediate(alice, SIDE_BUY, 100, 7, 1), 7);
        (uint16 maker, uint16 taker) = (add(sell(bob, 100, 50)), add(fok(alice, SIDE_BUY, 100, 60, 2)));
        match_(maker, taker, 20);
        match_(maker, taker, 19);
        match_(add(sell(carol, 100, 21)), taker, 21);
        match_(maker, add(immediate(alice, SIDE_BUY, 100, 43, 3)), 43);
        vm.assertEq(settle(), allOf(0, 3, 2, REASON_BALANCE));
        vm.assertEq(filledOf(bob, 1), 50);
    }

    function test_an_order_that_a_group_replaced_lives_again() public {
        trade(sell(bob, 100, 50), immediate(alice, SIDE_BUY, 100, 7, 1), 7);
        uint16 taker = add(fok(alice, SIDE_BUY, 100, 60, 2));
        match_(add(resting(bob, SIDE_SELL, 100, 50, nonceOf(1, 2))), taker, 39);
        match_(add(sell(carol, 100, 21)), taker, 21);
        match_(add(sell(bob, 100, 50)), add(immediate(alice, SIDE_BUY, 100, 43, 3)), 43);
        vm.assertEq(settle(), allOf(0, 2, 1, REASON_BALANCE));
        (uint48 sequence, uint64 filled) = settlement.slotOf(bob, 1);
        vm.assertEq(sequence, 1);
        vm.assertEq(filled, 50);
    }

    function test_an_order_replaced_twice_within_a_group_lives_again() public {
        trade(sell(bob, 100, 50), immediate(alice, SIDE_BUY, 100, 7, 1), 7);
        uint16 taker = add(fok(alice, SIDE_BUY, 100, 60, 2));
        match_(add(sell(bob, 100, 50)), taker, 10);
        match_(add(resting(bob, SIDE_SELL, 100, 50, nonceOf(1, 2))), taker, 10);
        match_(add(resting(bob, SIDE_SELL, 100, 50, nonceOf(1, 3))), taker, 19);
        match_(add(sell(carol, 100, 21)), taker, 21);
        vm.assertEq(settle(), allOf(0, 4, 3, REASON_BALANCE));
        (uint48 sequence, uint64 filled) = settlement.slotOf(bob, 1);
        vm.assertEq(sequence, 1);
        vm.assertEq(filled, 7);
    }

    function test_a_second_group_settles_after_a_refused_one() public {
        (uint16 first, uint16 second) = (add(fok(alice, SIDE_BUY, 120, 60, 1)), add(fok(alice, SIDE_BUY, 120, 45, 2)));
        (uint16 bobs, uint16 carols) = (add(sell(bob, 100, 60)), add(sell(carol, 110, 60)));
        match_(bobs, first, 39);
        match_(carols, first, 21);
        match_(bobs, second, 25);
        match_(carols, second, 20);
        vm.assertEq(settle(), allOf(0, 2, 1, REASON_BALANCE));
        vm.assertEq(lotsOf(alice), 45);
        vm.assertEq(filledOf(bob, 1), 25);
        vm.assertEq(filledOf(carol, 1), 20);
        vm.assertEq(units(alice), 1_000_000 - 2_500 - 2_200);
    }

    function test_a_second_group_is_refused_for_itself() public {
        (uint16 first, uint16 second) = (add(fok(alice, SIDE_BUY, 120, 21, 1)), add(fok(alice, SIDE_BUY, 120, 22, 2)));
        uint16 carols = add(sell(carol, 110, 60));
        match_(add(sell(bob, 100, 60)), first, 10);
        match_(carols, first, 11);
        match_(carols, second, 10);
        match_(carols, second, 12);
        // Carol sold 11 of her 20 before.
        vm.assertEq(settle(), allOf(2, 2, 2, REASON_BALANCE));
        vm.assertEq(lotsOf(alice), 21);
    }

    /* FAULTS */

    function test_fault_the_fills_are_not_all_there() public {
        uint64[2][3] memory lots = [[uint64(30), 19], [uint64(30), 21], [uint64(50), 50]];
        for (uint256 i; i < 3; ++i) {
            uint16 taker = add(fok(alice, SIDE_BUY, 120, 50, 1));
            match_(add(sell(bob, 100, 100)), taker, lots[i][0]);
            match_(add(sell(carol, 110, 100)), taker, lots[i][1]);
            settleReverts(abi.encodeWithSelector(ISettlement.Mismatched.selector, 0));
        }
        assertNothingMoved();
    }

    function test_fault_something_between_them() public {
        (uint16 bobs, uint16 taker) = (add(sell(bob, 100, 100)), add(fok(alice, SIDE_BUY, 120, 50, 1)));
        match_(bobs, taker, 30);
        match_(bobs, add(buy(alice, 100, 1)), 1);
        match_(bobs, taker, 20);
        settleReverts(abi.encodeWithSelector(ISettlement.Mismatched.selector, 0));
    }

    function test_fault_one_of_them_taken_back() public {
        for (uint256 i; i < 2; ++i) {
            (uint16 bobs, uint16 taker) = (add(sell(bob, 100, 100)), add(fok(alice, SIDE_BUY, 120, 50, 1)));
            match_(bobs, taker, i == 0 ? 0 : 30);
            match_(bobs, taker, i == 0 ? 20 : 0);
            settleReverts(abi.encodeWithSelector(ISettlement.Mismatched.selector, i == 0 ? 1 : 0));
        }
    }

    function test_all_of_them_taken_back() public {
        (uint16 bobs, uint16 taker) = (add(sell(bob, 100, 100)), add(fok(alice, SIDE_BUY, 120, 50, 1)));
        match_(bobs, taker, 0);
        match_(bobs, taker, 0);
        vm.assertEq(settle(), bytes.concat(refusal(0, REASON_OPERATOR), refusal(1, REASON_OPERATOR)));
        assertNothingMoved();
    }

    function test_fault_a_group_tried_twice() public {
        (uint16 bobs, uint16 taker) = (add(sell(bob, 100, 100)), add(fok(alice, SIDE_BUY, 120, 50, 1)));
        match_(bobs, taker, 50);
        match_(bobs, taker, 50);
        settleReverts(abi.encodeWithSelector(ISettlement.Mismatched.selector, 0));

        (bobs, taker) = (add(sell(bob, 100, 200)), add(fok(alice, SIDE_BUY, 120, 50, 1)));
        match_(bobs, taker, 50);
        match_(bobs, add(buy(alice, 100, 1)), 1);
        match_(bobs, taker, 50);
        settleReverts(abi.encodeWithSelector(ISettlement.Overfilled.selector, taker == 1 ? 1 : taker));
    }

    function test_fault_a_refused_group_tried_again() public {
        uint16 taker = add(fok(alice, SIDE_BUY, 120, 30, 1));
        match_(add(sell(carol, 110, 30)), taker, 30);
        uint16 bobs = add(sell(bob, 100, 100));
        match_(bobs, add(resting(alice, SIDE_BUY, 100, 1, nonceOf(1, 1))), 1);
        match_(bobs, taker, 30);
        bytes memory packed = pack(take());
        vm.expectPartialRevert(ISettlement.Overfilled.selector);
        settlement.settle(packed);
    }

    function test_fault_in_a_group_sinks_the_batch() public {
        for (uint256 i; i < 4; ++i) {
            uint16 taker = add(fok(alice, SIDE_BUY, 120, 50, 1));
            match_(add(sell(bob, 100, 30)), taker, 30);
            Order memory maker = sell(carol, 110, 20);
            if (i == 0) maker.priceTicks = 121;
            if (i == 1) maker.side = SIDE_BUY;
            if (i == 2) maker.sizeLots = 19;
            match_(add(maker), taker, 20, i == 3 ? int32(10_001) : int32(0), 0);
            bytes memory packed = pack(take());
            bytes4[4] memory errors = [
                ISettlement.LimitCrossed.selector,
                ISettlement.Mismatched.selector,
                ISettlement.Overfilled.selector,
                ISettlement.FeeAboveCap.selector
            ];
            vm.expectPartialRevert(errors[i]);
            settlement.settle(packed);
        }
        assertNothingMoved();
    }

    /* OTHER ORDERS ARE NO GROUP */

    function test_an_immediate_or_cancel_order_settles_in_part() public {
        uint16 taker = add(immediate(alice, SIDE_BUY, 120, 60, 1));
        match_(add(sell(bob, 100, 30)), taker, 30);
        match_(add(sell(carol, 110, 30)), taker, 21);
        vm.assertEq(settle(), refusal(1, REASON_BALANCE));
        vm.assertEq(lotsOf(alice), 30);
    }

    function test_a_maker_good_till_a_date_that_passed_takes_the_group_with_it() public {
        Order memory maker = sell(carol, 110, 20);
        (maker.timeInForce, maker.expiry) = (TIF_GTD, uint40(START));
        vm.warp(START + SETTLEMENT_WINDOW);
        uint16 taker = add(fok(alice, SIDE_BUY, 120, 50, 1));
        match_(add(sell(bob, 100, 30)), taker, 30);
        match_(add(maker), taker, 20);
        vm.assertEq(settle(), allOf(0, 2, 1, REASON_EXPIRED));
        assertNothingMoved();
    }
}
