// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AmmFactory} from "../../contracts/AmmFactory.sol";
import {ISettlement} from "../../contracts/interfaces/ISettlement.sol";
import {FLAG_AMM, FLAG_POST_ONLY, Order, SIDE_BUY, SIDE_SELL, TIF_FOK} from "../../contracts/interfaces/Types.sol";
import {Settlement} from "../../contracts/Settlement.sol";
import {VaultProxy} from "../../contracts/VaultProxy.sol";
import {PlainPair} from "./PlainPair.sol";
import {Pool} from "./Pool.sol";
import {AMM_MAKER_INDEX, Fill} from "./ReadableSettlement.sol";

/// @title Whatever of an AMM fill only the operator can get wrong sinks the batch
contract SettlementAmmFaultTest is Pool {
    uint256 internal quote;

    function setUp() public override {
        super.setUp();
        giveUnits(alice, 10_000_000);
        giveLots(bob, 1_000);
        quote = cost(btc, btcPool, 100);
    }

    function faulty(bytes4 selector, uint256 argument) internal {
        settleReverts(abi.encodeWithSelector(selector, argument));
        vm.assertEq(settlement.lastFill(), 0);
        vm.assertEq(units(alice), 10_000_000);
        vm.assertEq(lotsOf(bob), 1_000);
        vm.assertEq(usdc.balanceOf(address(btcPool)), POOL_UNITS);
    }

    function malformed() internal {
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedBatch.selector));
    }

    /* THE BATCH */

    function test_fault_a_quote_is_missing() public {
        leg(ammBuy(alice, 10_100, 100), quote);
        ammQuotes.pop();
        malformed();
    }

    function test_fault_a_quote_too_many() public {
        leg(ammBuy(alice, 10_100, 100), quote);
        ammQuotes.push(1);
        malformed();
        match_(add(sell(bob, 100, 1)), add(buy(alice, 100, 1)), 1);
        ammQuotes.push(1);
        malformed();
    }

    function test_fault_a_quote_for_a_leg_that_was_taken_back() public {
        leg(ammBuy(alice, 10_100, 100), quote);
        fills[0].sizeLots = 0;
        malformed();
    }

    function test_fault_the_takers_order_is_not_there() public {
        leg(ammBuy(alice, 10_100, 100), quote);
        fills[0].taker = 1;
        malformed();
        leg(ammBuy(alice, 10_100, 100), quote);
        fills[0].taker = AMM_MAKER_INDEX;
        malformed();
    }

    function test_fault_two_legs_of_one_market() public {
        leg(ammBuy(alice, 10_100, 100), quote);
        leg(ammSell(bob, 9_900, 100), 900_000);
        malformed();
    }

    function test_fault_two_legs_of_one_pool_under_two_markets() public {
        settlement.listMarket(3, address(btc), BASE_PER_LOT, QUOTE_PER_TICK_LOT, "XBT-USDC");
        leg(ammBuy(alice, 10_100, 100), quote);
        Order memory order = ammSell(bob, 9_900, 100);
        order.market = 3;
        leg(order, 900_000);
        malformed();
    }

    function test_fault_two_legs_of_one_pool_of_which_one_is_refused() public {
        leg(ammBuy(carol, 10_100, 100), quote);
        leg(ammBuy(alice, 10_100, 100), quote);
        malformed();
    }

    /* THE ORDER */

    function test_fault_mismatched() public {
        for (uint256 i; i < 6; ++i) {
            Order memory order = ammBuy(alice, 10_100, 100);
            if (i == 0) order.flags = 0;
            if (i == 1) order.flags = FLAG_POST_ONLY;
            if (i == 2) (order.timeInForce, order.nonce) = (0, nonceOf(1, 1)); // one that rests
            leg(order, quote);
            if (i == 3) fills[0].sizeLots = 99;
            if (i == 4) fills[0].sizeLots = 101;
            if (i == 5) fills[0].makerFeePpm = -1;
            faulty(ISettlement.Mismatched.selector, 0);
        }
    }

    function test_fault_a_fee_for_the_pool() public {
        leg(ammBuy(alice, 10_100, 100), quote);
        fills[0].makerFeePpm = 1;
        faulty(ISettlement.Mismatched.selector, 0);
    }

    function test_fault_an_order_for_the_pool_in_the_book() public {
        for (uint256 i; i < 3; ++i) {
            (Order memory maker, Order memory taker) = (sell(bob, 100, 1), buy(alice, 100, 1));
            if (i == 0) taker.flags = FLAG_AMM;
            if (i == 1) maker.flags = FLAG_AMM;
            if (i == 2) taker = amm(alice, SIDE_BUY, 100, 1, 1);
            match_(add(maker), add(taker), 1);
            faulty(ISettlement.Mismatched.selector, 0);
        }
    }

    function test_fault_one_order_in_the_book_and_in_the_pool() public {
        leg(ammBuy(alice, 10_100, 100), quote);
        match_(add(sell(bob, 100, 1)), 0, 1);
        faulty(ISettlement.Mismatched.selector, 1);
    }

    function test_other_flags_and_fill_or_kill_are_no_fault() public {
        Order memory order = ammBuy(alice, 10_100, 100);
        (order.flags, order.timeInForce) = (FLAG_AMM | FLAG_POST_ONLY, TIF_FOK);
        leg(order, quote);
        vm.assertEq(settle(), "");
    }

    /* THE PRICE */

    function test_fault_limit_crossed() public {
        leg(ammBuy(alice, 10_100, 100), 1_010_001);
        faulty(ISettlement.LimitCrossed.selector, 0);
        leg(ammSell(bob, 9_900, 100), 989_999);
        faulty(ISettlement.LimitCrossed.selector, 0);
        leg(ammSell(bob, 9_900, 100), 0);
        faulty(ISettlement.LimitCrossed.selector, 0);
    }

    function test_at_the_limit_is_no_fault() public {
        leg(ammBuy(alice, 10_100, 100), 1_010_000);
        vm.assertEq(settle(), "");
        leg(ammSell(bob, 9_900, 100), 990_000);
        vm.assertEq(settle(), "");
    }

    function test_fault_fee_above_cap() public {
        int32[3] memory rates = [int32(501), -1, 10_001];
        for (uint256 i; i < rates.length; ++i) {
            Order memory order = ammBuy(alice, 10_100, 100);
            order.maxFeePpm = i == 2 ? int32(20_000) : int32(500);
            leg(order, quote, rates[i]);
            faulty(ISettlement.FeeAboveCap.selector, 0);
        }
    }

    /* THE AMM */

    function test_a_pool_that_breaks_its_promise_sinks_the_batch() public {
        PlainPair pool = takeOver(btcPool);
        pool.lie(BASE_PER_LOT);
        leg(ammBuy(alice, 10_100, 100), quote);
        uint256 given = bought(btc, btcPool, quote) - BASE_PER_LOT;
        settleReverts(abi.encodeWithSelector(ISettlement.BrokenPromise.selector, 1, 100 * BASE_PER_LOT, given));

        pool.lie(1);
        quote = proceeds(btc, btcPool, 100);
        leg(ammSell(bob, 9_900, 100), quote);
        settleReverts(abi.encodeWithSelector(ISettlement.BrokenPromise.selector, 1, quote, quote - 1));
        leg(ammSell(bob, 9_900, 100), quote - 1);
        vm.assertEq(settle(), "");
    }

    function test_settlement_takes_no_factory_but_its_vaults() public {
        address another = address(new VaultProxy(address(implementation), _initialization()));
        address foreign = address(new AmmFactory(another, ammFactory.IMPLEMENTATION()));
        address[3] memory wrong = [address(0), alice, foreign];
        for (uint256 i; i < wrong.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ISettlement.ForeignAmmFactory.selector, wrong[i]));
            new Settlement(address(this), address(vault), wrong[i]);
        }
        vm.assertEq(address(settlement.AMM_FACTORY()), address(ammFactory));
    }
}
