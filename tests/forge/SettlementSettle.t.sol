// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISettlement} from "../../contracts/interfaces/ISettlement.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {
    FLAG_POST_ONLY,
    KIND_MARKET,
    Order,
    REASON_DEAD,
    SIDE_BUY,
    SIDE_SELL,
    TIF_FOK,
    TIF_GTD
} from "../../contracts/interfaces/Types.sol";
import {Fixture} from "./Fixture.sol";
import {Batch} from "./ReadableSettlement.sol";
import {FeeMath} from "../../contracts/libraries/FeeMath.sol";

/// @title What settle() does when nobody is at fault
contract SettlementSettleTest is Fixture {
    function setUp() public override {
        super.setUp();
        giveUnits(alice, 1_000_000);
        giveLots(bob, 1_000);
    }

    function test_settle_moves_both_sides_at_the_makers_price() public {
        bytes memory refusals = trade(sell(bob, 100, 10), buy(alice, 120, 10), 10);

        vm.assertEq(refusals, "");
        vm.assertEq(units(alice), 1_000_000 - 1_000);
        vm.assertEq(units(bob), 1_000);
        vm.assertEq(lotsOf(alice), 10);
        vm.assertEq(lotsOf(bob), 990);
    }

    function test_settle_logs_the_range_and_takes_a_sequence() public {
        uint64 sequence = vault.sequence();
        match_(add(sell(bob, 100, 10)), add(buy(alice, 100, 10)), 4);
        match_(0, 1, 6);
        Batch memory batch = take();
        // Base before quote, accounts ascending: whose address is lower is the same in every run.
        assert(bob < alice);
        int136 base = 10 * int128(BASE_PER_LOT);
        bytes memory changes = bytes.concat(
            changed(address(btc), bytes.concat(changeOf(bob, -base), changeOf(alice, base))),
            changed(address(usdc), bytes.concat(changeOf(bob, 1_000), changeOf(alice, -1_000)))
        );

        vm.expectEmit(address(settlement));
        emit ISettlement.BatchSettled(sequence + 1, 1, 2, "", changes);
        settlement.settle(pack(batch));

        vm.assertEq(settlement.lastFill(), 2);
        vm.assertEq(vault.sequence(), sequence + 1);
    }

    function test_settle_takes_a_buying_maker_too() public {
        trade(buy(alice, 100, 10), sell(bob, 90, 10), 10);
        vm.assertEq(units(bob), 1_000);
        vm.assertEq(lotsOf(alice), 10);
    }

    function test_settle_charges_both_sides_and_rounds_up() public {
        // 3 lots at 111 = 333 units; 2,500 ppm = 0.8325, 5,000 ppm = 1.665.
        match_(add(sell(bob, 111, 3)), add(buy(alice, 111, 3)), 3, 2_500, 5_000);
        settle();
        vm.assertEq(units(alice), 1_000_000 - 333 - 2);
        vm.assertEq(units(bob), 333 - 1);
        vm.assertEq(units(fees), 3);
    }

    function test_settle_pays_a_rebate_rounded_down() public {
        match_(add(sell(bob, 111, 3)), add(buy(alice, 111, 3)), 3, -2_500, 5_000);
        settle();
        vm.assertEq(units(bob), 333);
        vm.assertEq(units(fees), 2);

        // 333,000 units: the rebate is 832.5, the fee 1,665.
        match_(
            add(resting(bob, SIDE_SELL, 333, 1_000, nonceOf(2, 1))),
            add(resting(alice, SIDE_BUY, 333, 900, nonceOf(2, 1))),
            900,
            -2_500,
            5_000
        );
        settle();
        vm.assertEq(units(bob), 333 + 299_700 + 749);
        vm.assertEq(units(fees), 2 + 1_499 - 749);
    }

    function testFuzz_settle_conserves_every_token(
        uint64 price,
        uint64 lots,
        int32 makerPpm,
        int32 takerPpm,
        bool makerBuys
    ) public {
        price = uint64(bound(price, 1, 2 ** 40));
        lots = uint64(bound(lots, 1, 2 ** 40));
        takerPpm = int32(int256(bound(uint32(takerPpm), 0, 10_000)));
        makerPpm = int32(int256(bound(uint32(makerPpm), 0, uint32(takerPpm) + 10_000))) - takerPpm;
        giveUnits(alice, uint256(price) * lots * 2);
        giveLots(bob, lots);

        (uint16 buyer, uint16 seller) = (add(buy(alice, price, lots)), add(sell(bob, price, lots)));
        if (makerBuys) match_(buyer, seller, lots, makerPpm, takerPpm);
        else match_(seller, buyer, lots, makerPpm, takerPpm);
        vm.assertEq(settle(), "");

        address[] memory accounts = new address[](3);
        (accounts[0], accounts[1], accounts[2]) = (alice, bob, fees);
        assertConserved(address(usdc), accounts);
        assertConserved(address(btc), accounts);
        int256 earned = FeeMath.feeUp(uint256(price) * lots, makerPpm);
        earned += FeeMath.feeUp(uint256(price) * lots, takerPpm);
        vm.assertEq(int256(units(fees)), earned);
    }

    function test_settle_spends_what_an_earlier_fill_of_the_batch_brought() public {
        // Carol has nothing: she buys from bob with what alice pays her, and sells what bob gave her.
        giveUnits(carol, 1_000);
        uint16 bobSells = add(sell(bob, 100, 10));
        uint16 carolBuys = add(resting(carol, SIDE_BUY, 100, 20, nonceOf(1, 1)));
        uint16 carolSells = add(resting(carol, SIDE_SELL, 150, 10, nonceOf(2, 1)));
        uint16 aliceBuys = add(buy(alice, 150, 10));
        uint16 bobSellsMore = add(resting(bob, SIDE_SELL, 75, 20, nonceOf(2, 1)));
        match_(bobSells, carolBuys, 10);
        match_(carolSells, aliceBuys, 10);
        match_(bobSellsMore, carolBuys, 10);
        vm.assertEq(settle(), "");

        vm.assertEq(units(carol), 1_000 - 1_000 + 1_500 - 750);
        vm.assertEq(lotsOf(carol), 10);
        vm.assertEq(lotsOf(alice), 10);
    }

    function test_settle_nets_to_nothing_without_a_write() public {
        giveLots(alice, 10);
        giveUnits(bob, 1_000);
        (uint256 aliceBefore, uint256 bobBefore) = (units(alice), units(bob));
        match_(add(sell(bob, 100, 10)), add(buy(alice, 100, 10)), 10);
        match_(
            add(resting(alice, SIDE_SELL, 100, 10, nonceOf(2, 1))),
            add(resting(bob, SIDE_BUY, 100, 10, nonceOf(2, 1))),
            10
        );
        vm.assertEq(settle(), "");
        vm.assertEq(units(alice), aliceBefore);
        vm.assertEq(units(bob), bobBefore);
    }

    function test_settle_sums_fills_of_an_order_over_batches() public {
        (Order memory maker, Order memory taker) = (sell(bob, 100, 10), buy(alice, 100, 10));
        trade(maker, taker, 3);
        trade(maker, taker, 4);
        (uint48 sequence, uint64 filled) = settlement.slotOf(bob, 1);
        vm.assertEq(sequence, 1);
        vm.assertEq(filled, 7);

        match_(add(maker), add(taker), 4);
        settleReverts(abi.encodeWithSelector(ISettlement.Overfilled.selector, 0));
        trade(maker, taker, 3);
        vm.assertEq(lotsOf(alice), 10);
    }

    function test_settle_takes_no_order_that_is_listed_twice() public {
        (Order memory maker, Order memory taker) = (sell(bob, 100, 10), buy(alice, 100, 20));
        (uint16 first, uint16 second) = (add(maker), add(maker));
        uint16 buyer = add(taker);
        match_(first, buyer, 6);
        match_(second, buyer, 6);
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedBatch.selector));
    }

    function test_settle_replaces_the_order_of_a_slot() public {
        trade(sell(bob, 100, 10), buy(alice, 100, 30), 10);
        trade(resting(bob, SIDE_SELL, 100, 10, nonceOf(1, 2)), buy(alice, 100, 30), 10);

        (uint48 sequence, uint64 filled) = settlement.slotOf(bob, 1);
        vm.assertEq(sequence, 2);
        vm.assertEq(filled, 10);
        vm.assertEq(trade(sell(bob, 100, 20), buy(alice, 100, 30), 10), refusal(0, REASON_DEAD), "old order");
    }

    function test_settle_replaces_the_order_of_a_slot_inside_a_batch() public {
        uint16 old = add(sell(bob, 100, 10));
        uint16 newer = add(resting(bob, SIDE_SELL, 100, 10, nonceOf(1, 2)));
        uint16 buyer = add(buy(alice, 100, 30));
        match_(old, buyer, 5);
        match_(newer, buyer, 5);
        match_(old, buyer, 5);
        vm.assertEq(settle(), refusal(2, REASON_DEAD));
        vm.assertEq(lotsOf(alice), 10);
    }

    function test_settle_immediate_order_sweeps_inside_one_batch() public {
        giveLots(carol, 10);
        uint16 first = add(sell(bob, 100, 10));
        uint16 second = add(sell(carol, 110, 10));
        uint16 taker = add(immediate(alice, SIDE_BUY, 120, 20, 7));
        match_(first, taker, 10);
        match_(second, taker, 10);
        vm.assertEq(settle(), "");

        vm.assertEq(lotsOf(alice), 20);
        vm.assertEq(vault.accountOf(alice).immediateSequence, 7);
        (uint48 sequence, uint64 filled) = settlement.slotOf(alice, 0);
        vm.assertEq(sequence, 0);
        vm.assertEq(filled, 0);
    }

    function test_settle_immediate_orders_increase_inside_a_batch() public {
        uint16 maker = add(sell(bob, 100, 100));
        match_(maker, add(immediate(alice, SIDE_BUY, 120, 20, 7)), 10);
        match_(maker, add(immediate(alice, SIDE_BUY, 120, 20, 9)), 10);
        vm.assertEq(settle(), "");
        vm.assertEq(vault.accountOf(alice).immediateSequence, 9);
    }

    function test_settle_takes_market_fok_and_gtd_orders() public {
        Order memory maker = sell(bob, 100, 30);
        maker.timeInForce = TIF_GTD;
        maker.expiry = uint40(START + 1 hours);
        maker.flags = FLAG_POST_ONLY;
        Order memory taker = immediate(alice, SIDE_BUY, 120, 10, 1);
        taker.timeInForce = TIF_FOK;
        vm.assertEq(trade(maker, taker, 10), "");
        taker = immediate(alice, SIDE_BUY, 120, 10, 2);
        taker.kind = KIND_MARKET;
        vm.assertEq(trade(maker, taker, 10), "");
    }

    function test_settle_the_fee_account_may_trade() public {
        giveUnits(fees, 1_000);
        match_(add(sell(bob, 100, 5)), add(buy(fees, 100, 5)), 5, 1_000, 1_000);
        vm.assertEq(settle(), "");
        vm.assertEq(units(fees), 1_000 - 500 + 1);
        vm.assertEq(lotsOf(fees), 5);
    }

    /// @dev A size of which only the highest bit is set, and one of which all are.
    function test_settle_takes_the_largest_sizes() public {
        giveLots(bob, type(uint64).max);
        giveUnits(alice, type(uint64).max);
        uint64 half = 2 ** 63;
        vm.assertEq(trade(sell(bob, 1, type(uint64).max), buy(alice, 1, type(uint64).max), half), "");
        vm.assertEq(lotsOf(alice), half);
        vm.assertEq(trade(sell(bob, 1, type(uint64).max), buy(alice, 1, type(uint64).max), half - 1), "");
        vm.assertEq(lotsOf(alice), type(uint64).max);
    }

    function test_settle_is_for_the_settler_only() public {
        match_(add(sell(bob, 100, 10)), add(buy(alice, 100, 10)), 10);
        Batch memory batch = take();
        bytes memory packed = pack(batch);
        expectUnauthorized(alice, settlement.SETTLER_ROLE());
        vm.prank(alice);
        settlement.settle(packed);
    }

    function test_settle_signatures_are_bound_to_the_contract() public {
        match_(add(sell(bob, 100, 10)), add(buy(alice, 100, 10)), 10);
        vm.chainId(999);
        Batch memory batch = take();
        vm.expectPartialRevert(ISettlement.InvalidSigner.selector);
        settlement.settle(pack(batch));
    }

    function testFuzz_hashOrder_is_what_eip712_says(Order calldata order) public view {
        bytes32 typeHash = keccak256(
            bytes.concat(
                "Order(address account,uint8 subaccount,uint32 market,uint8 side,uint8 kind,uint8 timeInForce,uint16 flags,",
                "uint64 priceTicks,uint64 sizeLots,uint64 triggerTicks,int32 maxFeePpm,uint64 nonce,uint40 expiry)"
            )
        );
        bytes32 plain = digestOf(settlement.domainSeparator(), keccak256(abi.encode(typeHash, order)));
        vm.assertEq(settlement.hashOrder(order), plain);
    }
}
