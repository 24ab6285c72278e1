// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISettlement} from "../../contracts/interfaces/ISettlement.sol";
import {
    FLAG_POST_ONLY,
    KIND_MARKET,
    Order,
    SIDE_BUY,
    SIDE_SELL,
    TIF_FOK,
    TIF_GTC,
    TIF_IOC
} from "../../contracts/interfaces/Types.sol";
import {Fixture} from "./Fixture.sol";
import {Batch, Fill} from "./ReadableSettlement.sol";

/// @title Whatever only the operator can get wrong sinks the batch
contract SettlementFaultTest is Fixture {
    uint256 internal constant HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
    uint256 internal constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    function setUp() public override {
        super.setUp();
        giveUnits(alice, 1_000_000);
        giveLots(bob, 1_000);
    }

    function pair(Order memory maker, Order memory taker) internal {
        match_(add(maker), add(taker), 1);
    }

    function faulty(bytes4 selector, uint256 argument) internal {
        settleReverts(abi.encodeWithSelector(selector, argument));
        vm.assertEq(settlement.lastFill(), 0);
        vm.assertEq(lotsOf(bob), 1_000);
    }

    /* BATCH */

    function test_fault_empty() public {
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedBatch.selector));
    }

    function test_fault_too_many_fills() public {
        (uint16 maker, uint16 taker) = (add(sell(bob, 100, 100)), add(buy(alice, 100, 100)));
        for (uint256 i; i < 41; ++i) {
            match_(maker, taker, 1);
        }
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedBatch.selector));
    }

    function test_forty_fills_are_taken() public {
        (uint16 maker, uint16 taker) = (add(sell(bob, 100, 100)), add(buy(alice, 100, 100)));
        for (uint256 i; i < 40; ++i) {
            match_(maker, taker, 1);
        }
        vm.assertEq(settle(), "");
        vm.assertEq(lotsOf(alice), 40);
    }

    function test_fault_more_orders_than_fills_can_name() public {
        add(sell(bob, 100, 1));
        add(sell(bob, 101, 1));
        match_(0, add(buy(alice, 100, 1)), 1);
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedBatch.selector));
    }

    function test_fault_signatures_missing() public {
        pair(sell(bob, 100, 1), buy(alice, 100, 1));
        signatures.pop();
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedBatch.selector));
    }

    function test_fault_a_fill_names_no_order() public {
        pair(sell(bob, 100, 1), buy(alice, 100, 1));
        fills[0].taker = 2;
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedBatch.selector));
        pair(sell(bob, 100, 1), buy(alice, 100, 1));
        fills[0].maker = 2;
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedBatch.selector));
    }

    function test_fault_not_the_next_batch() public {
        pair(sell(bob, 100, 1), buy(alice, 100, 1));
        Batch memory batch = take();
        batch.first = 2;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotConsecutive.selector, 2, 1));
        settlement.settle(pack(batch));
        batch.first = 0;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotConsecutive.selector, 0, 1));
        settlement.settle(pack(batch));
    }

    function test_fault_replay() public {
        pair(sell(bob, 100, 1), buy(alice, 100, 1));
        Batch memory batch = take();
        settlement.settle(pack(batch));
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotConsecutive.selector, 1, 2));
        settlement.settle(pack(batch));
    }

    /* SIGNATURES */

    function test_fault_another_signer() public {
        uint16 maker = add(sell(bob, 100, 1), carolKey);
        match_(maker, add(buy(alice, 100, 1)), 1);
        settleReverts(abi.encodeWithSelector(ISettlement.InvalidSigner.selector, 0, carol));
    }

    function test_fault_nobody_signed_for_nobody() public {
        orders.push(sell(address(0), 100, 1));
        signatures.push(new bytes(65));
        match_(0, add(buy(alice, 100, 1)), 1);
        settleReverts(abi.encodeWithSelector(ISettlement.InvalidSigner.selector, 0, address(0)));
    }

    function test_fault_signature_in_another_form() public {
        bytes32 digest = settlement.hashOrder(sell(bob, 100, 1));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(bobKey, digest);
        bytes32 highS = bytes32(ORDER - uint256(s));
        bytes32 compact = bytes32(uint256(s) | (uint256(v - 27) << 255));
        bytes[6] memory forms = [
            abi.encodePacked(r, highS, v == 27 ? uint8(28) : uint8(27)),
            abi.encodePacked(r, s, v - 27),
            abi.encodePacked(r, compact),
            abi.encodePacked(r, s, v, uint8(0)),
            abi.encodePacked(r, s, v == 27 ? uint8(29) : uint8(30)),
            bytes("")
        ];
        for (uint256 i; i < forms.length; ++i) {
            orders.push(sell(bob, 100, 1));
            signatures.push(forms[i]);
            match_(0, add(buy(alice, 100, 1)), 1);
            settleReverts(abi.encodeWithSelector(ISettlement.InvalidSigner.selector, 0, address(0)));
        }
    }

    function testFuzz_fault_any_field_changed_after_signing(uint256 field, uint64 change) public {
        field = bound(field, 0, 8);
        change = uint64(bound(change, 1, type(uint64).max));
        pair(sell(bob, 100, 10), buy(alice, 100, 10));
        Order storage order = orders[0];
        if (field == 0) order.subaccount ^= uint8(bound(change, 1, 255));
        if (field == 1) order.flags ^= uint16(bound(change, 1, 65_535));
        if (field == 2) order.priceTicks ^= change;
        if (field == 3) order.sizeLots ^= change;
        if (field == 4) order.triggerTicks ^= change;
        if (field == 5) order.maxFeePpm ^= int32(uint32(bound(change, 1, type(uint32).max)));
        if (field == 6) order.nonce ^= uint64(bound(change, 1, type(uint48).max));
        if (field == 7) order.expiry ^= uint40(bound(change, 1, type(uint40).max));
        if (field == 8) order.account = address(uint160(order.account) ^ uint160(change));
        if (order.priceTicks == 0 || order.sizeLots == 0) return;

        Batch memory batch = take();
        vm.expectPartialRevert(ISettlement.InvalidSigner.selector);
        settlement.settle(pack(batch));
    }

    /* ORDERS */

    function test_fault_order_without_sense() public {
        for (uint256 i; i < 11; ++i) {
            Order memory maker = sell(bob, 100, 1);
            if (i == 0) maker.priceTicks = 0;
            if (i == 1) maker.sizeLots = 0;
            if (i == 2) maker.side = 2;
            if (i == 3) maker.kind = 2;
            if (i == 4) maker.timeInForce = 4;
            if (i == 5) maker.nonce = nonceOf(0, 1); // resting, in the slot of the immediate ones
            if (i == 6) maker.timeInForce = TIF_IOC; // immediate, in a slot of the resting ones
            if (i == 7) maker.timeInForce = TIF_FOK;
            if (i == 8) maker.kind = KIND_MARKET; // a market order that would rest
            if (i == 9) (maker.kind, maker.nonce) = (KIND_MARKET, nonceOf(0, 1));
            if (i == 10) (maker.kind, maker.timeInForce) = (KIND_MARKET, TIF_IOC);
            pair(maker, buy(alice, 100, 1));
            faulty(ISettlement.MalformedOrder.selector, 0);
        }
    }

    function test_fault_immediate_order_used_again() public {
        trade(sell(bob, 100, 10), immediate(alice, SIDE_BUY, 100, 10, 5), 1);
        pair(sell(bob, 100, 10), immediate(alice, SIDE_BUY, 100, 10, 5));
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedOrder.selector, 1));
        pair(sell(bob, 100, 10), immediate(alice, SIDE_BUY, 100, 10, 4));
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedOrder.selector, 1));
    }

    function test_fault_immediate_orders_out_of_order() public {
        uint16 maker = add(sell(bob, 100, 10));
        match_(maker, add(immediate(alice, SIDE_BUY, 100, 10, 5)), 1);
        match_(maker, add(immediate(alice, SIDE_BUY, 100, 10, 5)), 1);
        faulty(ISettlement.MalformedOrder.selector, 2);
    }

    function test_fault_immediate_order_of_sequence_zero() public {
        pair(sell(bob, 100, 10), immediate(alice, SIDE_BUY, 100, 10, 0));
        faulty(ISettlement.MalformedOrder.selector, 1);
    }

    function test_fault_unknown_market() public {
        Order memory maker = sell(bob, 100, 1);
        maker.market = 2;
        pair(maker, buy(alice, 100, 1));
        faulty(ISettlement.UnknownMarket.selector, 2);
    }

    /* MATCHES */

    function test_fault_mismatched() public {
        settlement.listMarket(2, address(btc), BASE_PER_LOT, QUOTE_PER_TICK_LOT, "XBT-USDC");
        for (uint256 i; i < 5; ++i) {
            (Order memory maker, Order memory taker) = (sell(bob, 100, 1), buy(alice, 100, 1));
            if (i == 0) taker = resting(bob, SIDE_BUY, 100, 1, nonceOf(2, 1));
            if (i == 1) taker.market = 2;
            if (i == 2) taker.side = SIDE_SELL;
            if (i == 3) taker.flags = FLAG_POST_ONLY;
            if (i == 4) maker = immediate(bob, SIDE_SELL, 100, 1, 1);
            pair(maker, taker);
            faulty(ISettlement.Mismatched.selector, 0);
        }
    }

    function test_fault_an_order_against_itself() public {
        match_(add(sell(bob, 100, 1)), 0, 1);
        faulty(ISettlement.Mismatched.selector, 0);
    }

    function test_fault_limit_crossed() public {
        pair(sell(bob, 101, 1), buy(alice, 100, 1));
        faulty(ISettlement.LimitCrossed.selector, 0);
        pair(buy(alice, 100, 1), sell(bob, 101, 1));
        faulty(ISettlement.LimitCrossed.selector, 0);
    }

    function test_fault_overfilled() public {
        (uint16 maker, uint16 taker) = (add(sell(bob, 100, 5)), add(buy(alice, 100, 9)));
        match_(maker, taker, 6);
        faulty(ISettlement.Overfilled.selector, 0);
        (maker, taker) = (add(sell(bob, 100, 9)), add(buy(alice, 100, 5)));
        match_(maker, taker, 6);
        faulty(ISettlement.Overfilled.selector, 1);
        (maker, taker) = (add(sell(bob, 100, 9)), add(immediate(alice, SIDE_BUY, 100, 5, 1)));
        match_(maker, taker, 3);
        match_(maker, taker, 3);
        faulty(ISettlement.Overfilled.selector, 1);
    }

    function test_fault_fee_above_cap() public {
        int32[2][5] memory rates =
            [[int32(501), int32(0)], [int32(0), 501], [int32(-501), 500], [int32(10_001), 0], [int32(0), 10_001]];
        for (uint256 i; i < rates.length; ++i) {
            (Order memory maker, Order memory taker) = (sell(bob, 100, 1), buy(alice, 100, 1));
            (maker.maxFeePpm, taker.maxFeePpm) = i < 3 ? (int32(500), int32(500)) : (int32(20_000), int32(20_000));
            match_(add(maker), add(taker), 1, rates[i][0], rates[i][1]);
            faulty(ISettlement.FeeAboveCap.selector, 0);
        }
    }

    function test_a_negative_cap_demands_a_rebate() public {
        Order memory maker = sell(bob, 10_000, 1);
        maker.maxFeePpm = -100;
        match_(add(maker), add(buy(alice, 10_000, 1)), 1, -99, 100);
        faulty(ISettlement.FeeAboveCap.selector, 0);
        match_(add(maker), add(buy(alice, 10_000, 1)), 1, -100, 100);
        vm.assertEq(settle(), "");
        vm.assertEq(units(bob), 10_001);
    }
}
