// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISettlement} from "../../contracts/interfaces/ISettlement.sol";
import {EXIT_DELAY, Order, SETTLEMENT_WINDOW, SIDE_BUY, SIDE_SELL} from "../../contracts/interfaces/Types.sol";
import {SynthERC20} from "../../contracts/SynthERC20.sol";
import {Pool} from "./Pool.sol";
import {AMM_MAKER_INDEX, Fill} from "./ReadableSettlement.sol";

/// @title Every reason for which an AMM fill is refused while its batch goes on
contract SettlementAmmRefusalTest is Pool {
    uint8 internal constant AMM = 6;
    uint256 internal quote;
    uint64 internal behind = nonceOf(1, 0);

    function setUp() public override {
        super.setUp();
        giveUnits(alice, 10_000_000);
        giveLots(bob, 1_000);
        quote = cost(btc, btcPool, 100);
    }

    /// @dev The leg is refused for `reason`, moves nothing, and the fill behind it settles.
    function assertRefused(Order memory order, uint256 quote_, uint8 reason) internal {
        (uint256 poolUnits, uint256 poolAtoms) = (usdc.balanceOf(address(btcPool)), btc.balanceOf(address(btcPool)));
        (uint256 before, uint256 lots) = (units(order.account), lotsOf(order.account));
        leg(order, quote_, 2_500);
        behind += 1;
        match_(add(resting(bob, SIDE_SELL, 1, 1, behind)), add(resting(fees, SIDE_BUY, 1, 1, behind)), 1);
        giveUnits(fees, 1);
        uint64 sequence = vault.sequence();

        vm.assertEq(settle(), refusal(0, reason));
        vm.assertEq(vault.sequence(), sequence + 1, "no number for a leg that was refused");
        vm.assertEq(units(order.account), order.account == bob ? before + 1 : before);
        vm.assertEq(lotsOf(order.account), order.account == bob ? lots - 1 : lots);
        vm.assertEq(usdc.balanceOf(address(btcPool)), poolUnits);
        vm.assertEq(btc.balanceOf(address(btcPool)), poolAtoms);
        vm.assertEq(vault.accountOf(order.account).immediateSequence, uint48(order.nonce));
        assertPoolsConserved();
    }

    /* THE POOL */

    function test_refused_if_the_pool_gives_one_atom_too_little() public {
        assertRefused(ammBuy(alice, 10_100, 100), quote - 1, AMM);
    }

    function test_refused_if_the_pool_pays_one_unit_too_little() public {
        assertRefused(ammSell(bob, 9_900, 100), proceeds(btc, btcPool, 100) + 1, AMM);
    }

    function test_refused_if_the_pool_moved_against_a_purchase() public {
        buyFrom(btcPool, 100_000);
        assertRefused(ammBuy(alice, 10_100, 100), quote, AMM);
    }

    function test_refused_if_the_pool_moved_against_a_sale() public {
        uint256 promised = proceeds(btc, btcPool, 100);
        sellTo(btcPool, btc, 10 * BASE_PER_LOT);
        assertRefused(ammSell(bob, 9_900, 100), promised, AMM);
    }

    function test_refused_if_the_pool_was_drained() public {
        uint256 promised = proceeds(btc, btcPool, 100);
        drain(btcPool);
        assertRefused(ammBuy(alice, 10_100, 100), quote, AMM);
        assertRefused(ammSell(bob, 9_900, 100), promised, AMM);
    }

    function test_refused_if_there_is_no_pool() public {
        SynthERC20 sol = newSynth("Test Sol", "tSOL");
        vault.registerSynth(address(sol));
        settlement.listMarket(3, address(sol), BASE_PER_LOT, QUOTE_PER_TICK_LOT, "SOL-USDC");
        Order memory order = ammBuy(alice, 10_100, 100);
        order.market = 3;
        assertRefused(order, quote, AMM);
    }

    function test_refused_if_the_pool_does_not_answer() public {
        takeOver(btcPool).fallSilent();
        assertRefused(ammBuy(alice, 10_100, 100), quote, AMM);
    }

    function test_refused_if_the_pool_could_not_hold_it() public {
        // Otherwise whoever gave the pool so much could sink every batch that sells to it.
        uint256 promised = proceeds(btc, btcPool, 100);
        hand(btc, address(btcPool), type(uint112).max - btc.balanceOf(address(btcPool)) - 99 * BASE_PER_LOT);
        assertRefused(ammSell(bob, 9_900, 100), promised, AMM);
        leg(amm(bob, SIDE_SELL, 9_900, 99, 2), promised - 10_000);
        vm.assertEq(settle(), "");
    }

    function test_refused_if_a_lot_is_more_than_any_pool_holds() public {
        settlement.listMarket(3, address(btc), type(uint128).max, 1, "HUGE-USDC");
        Order memory order = ammBuy(alice, 1, type(uint64).max);
        order.market = 3;
        leg(order, 1_000_000);
        vm.assertEq(settle(), refusal(0, AMM));
    }

    function test_refused_if_a_purchase_is_promised_for_nothing() public {
        assertRefused(ammBuy(alice, 10_100, 100), 0, AMM);
    }

    /* THE TAKER */

    function test_refused_if_the_taker_cannot_pay() public {
        giveUnits(carol, quote - 1);
        assertRefused(ammBuy(carol, 10_100, 100), quote, 0x81);
        assertRefused(ammSell(bob, 9_900, 1_001), proceeds(btc, btcPool, 1_001), 0x81);
    }

    function test_refused_if_a_matured_request_holds_the_money() public {
        request(alice, address(usdc), 9_000_000);
        vm.warp(START + EXIT_DELAY - 1);
        leg(ammBuy(alice, 10_100, 100), quote);
        vm.assertEq(settle(), "");
        vm.warp(START + EXIT_DELAY);
        leg(amm(alice, SIDE_BUY, 10_100, 1, 2), cost(btc, btcPool, 1));
        vm.assertEq(settle(), refusal(0, 0x81));
    }

    function test_refused_if_the_order_expired() public {
        Order memory order = ammBuy(alice, 10_100, 100);
        order.expiry = uint40(START + 60);
        vm.warp(START + 60 + SETTLEMENT_WINDOW);
        assertRefused(order, quote, 0x83);
        order = amm(alice, SIDE_BUY, 10_100, 100, 2);
        order.expiry = uint40(block.timestamp - SETTLEMENT_WINDOW + 1);
        leg(order, quote);
        vm.assertEq(settle(), "");
    }

    function test_refused_if_the_order_was_cancelled() public {
        vm.prank(alice);
        settlement.cancel(nonceOf(0, 1));
        vm.warp(START + SETTLEMENT_WINDOW);
        assertRefused(ammBuy(alice, 10_100, 100), quote, 0x82);
    }

    function test_refused_if_all_orders_were_cancelled() public {
        vm.prank(alice);
        settlement.cancelAll(5);
        vm.warp(START + SETTLEMENT_WINDOW - 1);
        leg(amm(alice, SIDE_BUY, 10_100, 10, 3), cost(btc, btcPool, 10));
        vm.assertEq(settle(), "");
        vm.warp(START + SETTLEMENT_WINDOW);
        leg(amm(alice, SIDE_BUY, 10_100, 10, 4), cost(btc, btcPool, 10));
        vm.assertEq(settle(), refusal(0, 0x82));
    }

    function test_the_taker_is_examined_before_the_pool() public {
        drain(btcPool);
        leg(ammBuy(carol, 10_100, 100), quote);
        vm.assertEq(settle(), refusal(0, 0x81));
    }

    /* THE OPERATOR */

    function test_a_leg_that_was_taken_back_needs_no_quote_and_no_order() public {
        fills.push(Fill(AMM_MAKER_INDEX, 9, 0, 0, 0));
        leg(ammBuy(alice, 10_100, 100), quote);
        vm.assertEq(settle(), refusal(0, 5));
        vm.assertEq(vault.balanceOf(alice, address(btc)) / BASE_PER_LOT, 100);
    }

    function test_a_leg_that_was_taken_back_makes_room_for_another_of_its_pool() public {
        leg(ammBuy(alice, 10_100, 100), quote);
        fills.push(Fill(AMM_MAKER_INDEX, 0, 0, 0, 0));
        vm.assertEq(settle(), refusal(1, 5));
    }

    /* A SANDWICH */

    /// @dev Between match and settlement somebody buys `before` units' worth; afterwards the stranger sells it all back.
    function testFuzz_a_sandwich_takes_no_more_than_the_promise_allows(uint256 before, uint256 slack) public {
        before = bound(before, 0, POOL_UNITS);
        uint256 promise_ = quote + bound(slack, 0, quote / 100);
        uint256 stolen = before == 0 ? 0 : buyFrom(btcPool, before);
        leg(ammBuy(alice, 10_200, 100), promise_);
        bytes memory refusals = settle();

        bool isFilled = refusals.length == 0;
        if (!isFilled) vm.assertEq(refusals, refusal(0, AMM));
        // Either nothing happened to her, or she has her hundred lots and paid what she was told.
        vm.assertEq(units(alice), isFilled ? 10_000_000 - promise_ : 10_000_000);
        if (isFilled) vm.assertGe(vault.balanceOf(alice, address(btc)), 100 * BASE_PER_LOT);
        else vm.assertEq(vault.balanceOf(alice, address(btc)), 0);
        if (stolen == 0) return;

        // And what the attacker makes of it is less than what she was ready to lose.
        vm.prank(STRANGER);
        btc.transfer(address(this), stolen);
        uint256 back = btcPool.getAmountOut(stolen, true);
        vm.assertLe(back, before + (isFilled ? promise_ - quote : 0));
    }

    /* NO REFUSAL */

    function test_what_only_the_operator_gets_wrong_is_no_refusal() public {
        leg(ammBuy(alice, 10_000, 100), 1_000_001);
        settleReverts(abi.encodeWithSelector(ISettlement.LimitCrossed.selector, 0));
    }
}
