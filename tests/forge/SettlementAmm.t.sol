// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISettlement} from "../../contracts/interfaces/ISettlement.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Order, SIDE_BUY, SIDE_SELL} from "../../contracts/interfaces/Types.sol";
import {Pool} from "./Pool.sol";
import {Batch} from "./ReadableSettlement.sol";

/// @title What an AMM fill moves, alone and among others
/// @dev A lot costs about 10,000 units in the pools, and 10,050 with their fee and some slippage.
contract SettlementAmmTest is Pool {
    function setUp() public override {
        super.setUp();
        giveUnits(alice, 10_000_000);
        giveLots(bob, 1_000);
    }

    function giveEthLots(address account, uint256 lots) internal {
        vault.mintSynth(address(eth), account, lots * BASE_PER_LOT);
    }

    function ethLotsOf(address account) internal view returns (uint256) {
        return vault.balanceOf(account, address(eth)) / BASE_PER_LOT;
    }

    /* ONE LEG */

    function test_a_purchase_costs_its_quote_and_brings_what_the_pool_gives() public {
        uint256 quote = cost(btc, btcPool, 100);
        uint256 given = bought(btc, btcPool, quote);
        leg(ammBuy(alice, 10_100, 100), quote);
        vm.assertEq(settle(), "");

        vm.assertEq(units(alice), 10_000_000 - quote);
        vm.assertEq(vault.balanceOf(alice, address(btc)), given);
        vm.assertGe(given, 100 * BASE_PER_LOT);
        vm.assertEq(usdc.balanceOf(address(btcPool)), POOL_UNITS + quote);
        vm.assertEq(btc.balanceOf(address(btcPool)), POOL_LOTS * BASE_PER_LOT - given);
        assertPoolsConserved();
    }

    function test_a_sale_brings_what_the_pool_gives() public {
        uint256 quote = proceeds(btc, btcPool, 100);
        leg(ammSell(bob, 9_900, 100), quote);
        vm.assertEq(settle(), "");

        vm.assertEq(units(bob), quote);
        vm.assertEq(lotsOf(bob), 900);
        vm.assertEq(usdc.balanceOf(address(btcPool)), POOL_UNITS - quote);
        vm.assertEq(btc.balanceOf(address(btcPool)), (POOL_LOTS + 100) * BASE_PER_LOT);
        assertPoolsConserved();
    }

    function test_a_leg_is_logged_before_its_batch_with_a_number_of_its_own() public {
        uint64 sequence = vault.sequence();
        uint256 quote = cost(btc, btcPool, 100);
        uint256 given = bought(btc, btcPool, quote);
        fills.push(); // a fill that was taken back comes first
        leg(ammBuy(alice, 10_100, 100), quote);
        Batch memory batch = take();

        // What the pool got and gave is in the log of the leg. A base token that is bought is written last.
        bytes memory changes = bytes.concat(
            changed(address(usdc), changeOf(alice, -int136(int256(quote)))),
            changed(address(btc), changeOf(alice, int136(int256(given))))
        );

        vm.expectEmit(address(settlement));
        emit ISettlement.AmmLegSettled(sequence + 1, BTC_USDC, 2, true, uint128(quote), uint128(given));
        vm.expectEmit(address(settlement));
        emit ISettlement.BatchSettled(sequence + 2, 1, 2, refusal(0, 5), changes);
        settlement.settle(pack(batch));
        vm.assertEq(vault.sequence(), sequence + 2);
    }

    function test_a_sale_is_logged_with_what_came_back() public {
        uint256 quote = proceeds(btc, btcPool, 100);
        leg(ammSell(bob, 9_000, 100), quote - 500);
        Batch memory batch = take();
        uint64 next = vault.sequence() + 1;
        vm.expectEmit(address(settlement));
        emit ISettlement.AmmLegSettled(next, BTC_USDC, 1, false, uint128(100 * BASE_PER_LOT), uint128(quote));
        settlement.settle(pack(batch));
    }

    /// @dev A pool of 10^23 units and 10^28 atoms; 10^12 lots are 10^25 atoms, and cost about 10^20 units.
    function test_amounts_beyond_64_bits_are_logged_whole() public {
        hand(btc, address(btcPool), 1e28);
        usdc.mint(address(btcPool), 1e23);
        btcPool.mint(STRANGER);
        giveUnits(alice, 2e20);
        giveLots(bob, 1e12);

        uint256 quote = cost(btc, btcPool, 1e12);
        uint256 given = bought(btc, btcPool, quote);
        leg(ammBuy(alice, 1.1e8, 1e12), quote);
        Batch memory batch = take();
        vm.expectEmit(address(settlement));
        emit ISettlement.AmmLegSettled(vault.sequence() + 1, BTC_USDC, 1, true, uint128(quote), uint128(given));
        settlement.settle(pack(batch));

        quote = proceeds(btc, btcPool, 1e12);
        leg(ammSell(bob, 0.9e8, 1e12), quote);
        batch = take();
        vm.expectEmit(address(settlement));
        emit ISettlement.AmmLegSettled(vault.sequence() + 1, BTC_USDC, 2, false, 1e25, uint128(quote));
        settlement.settle(pack(batch));
        assertPoolsConserved();
    }

    function test_what_goes_to_the_pool_is_withdrawn_and_what_comes_back_deposited() public {
        IVault.Totals memory before = vault.totalsOf(address(usdc));
        uint256 quote = cost(btc, btcPool, 100);
        uint256 given = bought(btc, btcPool, quote);
        leg(ammBuy(alice, 10_100, 100), quote);
        settle();

        vm.assertEq(vault.totalsOf(address(usdc)).withdrawals, before.withdrawals + quote);
        vm.assertEq(vault.totalsOf(address(usdc)).deposits, before.deposits);
        vm.assertEq(vault.totalsOf(address(btc)).deposits, given);
    }

    /* SURPLUS */

    function test_the_surplus_of_a_purchase_is_the_takers_to_the_atom() public {
        uint256 quote = cost(btc, btcPool, 100) + 777;
        uint256 given = bought(btc, btcPool, quote);
        leg(ammBuy(alice, 10_100, 100), quote, 2_500);
        vm.assertEq(settle(), "");
        vm.assertEq(vault.balanceOf(alice, address(btc)), given);
        vm.assertEq(units(alice) + units(fees), 10_000_000 - quote);
        assertPoolsConserved();
    }

    function test_the_surplus_of_a_sale_is_the_takers_to_the_atom() public {
        uint256 quote = proceeds(btc, btcPool, 100);
        leg(ammSell(bob, 9_000, 100), quote - 777, 2_500);
        vm.assertEq(settle(), "");
        // The fee is that of the promise.
        vm.assertEq(units(bob), quote - feeOf(quote - 777, 2_500));
        assertPoolsConserved();
    }

    function test_a_pool_that_moved_for_the_taker_pays_it_the_difference() public {
        uint256 quote = cost(btc, btcPool, 100);
        sellTo(btcPool, btc, 5_000 * BASE_PER_LOT);
        uint256 given = bought(btc, btcPool, quote);
        leg(ammBuy(alice, 10_100, 100), quote);
        vm.assertEq(settle(), "");
        vm.assertEq(vault.balanceOf(alice, address(btc)), given);
        vm.assertGe(given, 100 * BASE_PER_LOT + BASE_PER_LOT / 2);
        assertPoolsConserved();
    }

    /* FEES */

    function feeOf(uint256 quote, uint256 ppm) internal pure returns (uint256) {
        return (quote * ppm + 999_999) / 1_000_000;
    }

    function test_the_fee_is_of_the_quote_and_rounded_up() public {
        uint256 quote = cost(btc, btcPool, 100);
        leg(ammBuy(alice, 10_100, 100), quote, 333);
        settle();
        vm.assertEq(units(fees), feeOf(quote, 333));
        vm.assertEq(units(alice), 10_000_000 - quote - feeOf(quote, 333));
    }

    function test_a_purchase_needs_its_fee_too() public {
        uint256 quote = cost(btc, btcPool, 100);
        giveUnits(carol, quote + feeOf(quote, 2_500) - 1);
        leg(ammBuy(carol, 10_100, 100), quote, 2_500);
        vm.assertEq(settle(), refusal(0, 0x81));
        giveUnits(carol, 1);
        leg(amm(carol, SIDE_BUY, 10_100, 100, 2), quote, 2_500);
        vm.assertEq(settle(), "");
        vm.assertEq(units(carol), 0);
    }

    function test_the_fee_account_may_trade_with_the_pool() public {
        giveUnits(fees, 2_000_000);
        uint256 quote = cost(btc, btcPool, 100);
        leg(ammBuy(fees, 10_100, 100), quote, 2_500);
        vm.assertEq(settle(), "");
        vm.assertEq(units(fees), 2_000_000 - quote);
        assertPoolsConserved();
    }

    /* AMONG OTHER FILLS, IN MATCH ORDER */

    function test_a_book_fill_before_pays_for_the_leg() public {
        // Carol has nothing but lots; what Alice pays for them buys more from the pool.
        giveLots(carol, 200);
        uint256 quote = cost(btc, btcPool, 100);
        match_(add(sell(carol, 10_500, 100)), add(buy(alice, 10_500, 100)), 100);
        leg(ammBuy(carol, 10_100, 100), quote);
        vm.assertEq(settle(), "");
        vm.assertEq(units(carol), 100 * 10_500 - quote);
        vm.assertEq(vault.balanceOf(carol, address(btc)) / BASE_PER_LOT, 200);
        assertPoolsConserved();
    }

    function test_what_a_leg_brought_fills_an_order_of_the_book_after_it() public {
        uint256 quote = cost(btc, btcPool, 100);
        giveUnits(carol, quote);
        leg(ammBuy(carol, 10_100, 100), quote);
        match_(add(sell(carol, 10_500, 100)), add(buy(alice, 10_500, 100)), 100);
        vm.assertEq(settle(), "");
        vm.assertEq(lotsOf(alice), 100);
        vm.assertEq(units(carol), 100 * 10_500);
        assertPoolsConserved();
    }

    function test_what_a_sale_brought_pays_for_a_fill_of_the_book_after_it() public {
        uint256 quote = proceeds(btc, btcPool, 100);
        giveEthLots(carol, 10);
        leg(ammSell(bob, 9_900, 100), quote);
        Order memory purchase = onEth(buy(bob, uint64(quote / 10), 10));
        match_(add(onEth(sell(carol, uint64(quote / 10), 10))), add(purchase), 10);
        vm.assertEq(settle(), "");
        vm.assertEq(units(bob), quote % 10);
        vm.assertEq(ethLotsOf(bob), 10);
        assertPoolsConserved();
    }

    function test_before_the_leg_its_proceeds_are_not_there() public {
        uint256 quote = cost(btc, btcPool, 100);
        giveUnits(carol, quote);
        match_(add(sell(carol, 10_500, 100)), add(buy(alice, 10_500, 100)), 100);
        leg(ammBuy(carol, 10_100, 100), quote);
        vm.assertEq(settle(), refusal(0, 1));
        vm.assertEq(lotsOf(alice), 0);
        vm.assertEq(vault.balanceOf(carol, address(btc)) / BASE_PER_LOT, 100);
        assertPoolsConserved();
    }

    function test_the_surplus_cannot_be_spent_in_its_own_batch() public {
        // The pool would give ten lots more than promised; the fill after the leg still finds only what was promised.
        uint256 quote = cost(btc, btcPool, 110);
        giveUnits(carol, quote);
        leg(ammBuy(carol, 11_200, 100), quote);
        match_(add(sell(carol, 10_500, 110)), add(buy(alice, 10_500, 110)), 101);
        vm.assertEq(settle(), refusal(1, 1));
        vm.assertEq(vault.balanceOf(carol, address(btc)) / BASE_PER_LOT, 110);
    }

    /* TWO POOLS */

    function test_a_sale_in_one_pool_pays_for_a_purchase_in_another() public {
        uint256 earned = proceeds(btc, btcPool, 100);
        uint256 quote = cost(eth, ethPool, 99);
        leg(ammSell(bob, 9_900, 100), earned);
        leg(onEth(amm(bob, SIDE_BUY, 10_100, 99, 2)), quote);
        vm.assertEq(settle(), "");
        vm.assertEq(units(bob), earned - quote);
        vm.assertEq(ethLotsOf(bob), 99);
        vm.assertEq(vault.accountOf(bob).immediateSequence, 2);
        assertPoolsConserved();
    }

    function test_the_other_way_round_the_purchase_finds_no_money() public {
        leg(onEth(amm(bob, SIDE_BUY, 10_100, 99, 1)), cost(eth, ethPool, 99));
        leg(amm(bob, SIDE_SELL, 9_900, 100, 2), proceeds(btc, btcPool, 100));
        vm.assertEq(settle(), refusal(0, 0x81));
        vm.assertEq(lotsOf(bob), 900);
        assertPoolsConserved();
    }

    function test_two_purchases_and_two_sales() public {
        giveEthLots(bob, 100);
        uint256 first = cost(btc, btcPool, 100);
        uint256 second = cost(eth, ethPool, 200);
        leg(ammBuy(alice, 10_100, 100), first);
        leg(onEth(amm(alice, SIDE_BUY, 10_100, 200, 2)), second);
        vm.assertEq(settle(), "");
        vm.assertEq(units(alice), 10_000_000 - first - second);

        first = proceeds(btc, btcPool, 70);
        second = proceeds(eth, ethPool, 80);
        leg(ammSell(bob, 9_900, 70), first);
        leg(onEth(amm(bob, SIDE_SELL, 9_900, 80, 2)), second);
        vm.assertEq(settle(), "");
        vm.assertEq(units(bob), first + second);
        assertPoolsConserved();
    }

    function test_a_refused_leg_leaves_the_other_alone() public {
        uint256 quote = proceeds(btc, btcPool, 100);
        leg(onEth(amm(alice, SIDE_BUY, 10_100, 99, 1)), cost(eth, ethPool, 99) - 1);
        leg(ammSell(bob, 9_900, 100), quote);
        match_(add(sell(bob, 100, 10)), add(buy(alice, 100, 10)), 10);
        vm.assertEq(settle(), refusal(0, 6));
        vm.assertEq(units(bob), quote + 1_000);
        vm.assertEq(units(alice), 10_000_000 - 1_000);
        assertPoolsConserved();
    }

    /* ODDS */

    function test_a_leg_uses_up_its_order() public {
        uint256 quote = cost(btc, btcPool, 100);
        Order memory order = amm(alice, SIDE_BUY, 10_100, 100, 7);
        leg(order, quote);
        settle();
        vm.assertEq(vault.accountOf(alice).immediateSequence, 7);
        leg(order, quote);
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedOrder.selector, 0));
    }

    function test_what_somebody_deposits_for_a_pool_is_in_nobodys_way() public {
        giveUnits(address(btcPool), 5);
        giveLots(address(btcPool), 3);
        uint256 quote = cost(btc, btcPool, 100);
        leg(ammBuy(alice, 10_100, 100), quote);
        vm.assertEq(settle(), "");
        leg(ammSell(bob, 9_000, 100), 900_000);
        vm.assertEq(settle(), "");
        vm.assertEq(units(address(btcPool)), 5);
        vm.assertEq(lotsOf(address(btcPool)), 3);
    }

    function test_what_somebody_sends_to_a_pool_is_in_nobodys_way() public {
        usdc.mint(address(btcPool), 12_345);
        hand(btc, address(btcPool), 6_789);
        uint256 quote = btcPool.getAmountOut(100 * BASE_PER_LOT, true);
        leg(ammSell(bob, 9_900, 100), quote);
        vm.assertEq(settle(), "");
        vm.assertEq(units(bob), quote);
    }

    function test_two_batches_of_one_transaction_trade_with_one_pool() public {
        leg(ammBuy(alice, 10_100, 100), cost(btc, btcPool, 100));
        vm.assertEq(settle(), "");
        leg(amm(alice, SIDE_BUY, 10_100, 100, 2), cost(btc, btcPool, 100));
        vm.assertEq(settle(), "");
        vm.assertEq(vault.balanceOf(alice, address(btc)) / BASE_PER_LOT, 200);
        assertPoolsConserved();
    }
}
