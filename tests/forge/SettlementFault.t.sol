// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {ISettlement} from "../../contracts/interfaces/ISettlement.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {
    FLAG_POST_ONLY,
    KIND_MARKET,
    Order,
    SIDE_BUY,
    SIDE_SELL,
    TIF_FOK,
    TIF_IOC
} from "../../contracts/interfaces/Types.sol";
import {Fixture} from "./Fixture.sol";
import {PackedBatch} from "./PackedBatch.sol";
import {Batch} from "./ReadableSettlement.sol";

/// @title Whatever only the operator can get wrong sinks the batch
contract SettlementFaultTest is Fixture {
    uint256 internal constant HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
    uint256 internal constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    uint256 internal constant HEADER_BYTES = 15;
    uint256 internal constant SIGNATURE_BYTES = 64;
    uint256 internal constant TERMS_AT = 3;
    uint256 internal constant SIGNATURE_AT = 47;

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

    /* BYTES */

    function malformed(bytes memory packed) internal {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.MalformedBatch.selector));
        settlement.settle(packed);
    }

    /// @return Where an order's record begins; behind the last: where the orders end.
    function orderAt(bytes memory packed, uint256 index) internal pure returns (uint256) {
        return HEADER_BYTES + 4 * uint256(uint8(packed[8])) + 20 * uint256(uint8(packed[9])) + 111 * index;
    }

    function read(bytes memory packed, uint256 at) internal pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(packed, 32), at))
        }
    }

    function write(bytes memory packed, uint256 at, uint256 word) internal pure {
        assembly ("memory-safe") {
            mstore(add(add(packed, 32), at), word)
        }
    }

    /* THE VAULT */

    /// @dev Its calls are made by hand: what it says when it refuses must come out as it is.
    function test_fault_what_the_vault_reverts_with_is_passed_on() public {
        pair(sell(bob, 100, 1), buy(alice, 100, 1));
        bytes memory packed = pack(take());
        bytes4[2] memory calls = [IVault.standingsOf.selector, IVault.applySettlement.selector];
        for (uint256 i; i < calls.length; ++i) {
            bytes memory reason = abi.encodeWithSelector(IVault.UnknownToken.selector, address(btc));
            vm.mockCallRevert(address(vault), abi.encodePacked(calls[i]), reason);
            vm.expectRevert(reason);
            settlement.settle(packed);
            vm.clearMockedCalls();
        }
        vm.assertEq(settlement.lastFill(), 0);
        settlement.settle(packed);
    }

    function test_fault_settlement_without_its_role() public {
        pair(sell(bob, 100, 1), buy(alice, 100, 1));
        bytes32 role = vault.SETTLEMENT_ROLE();
        vault.revokeRole(role, address(settlement));
        settleReverts(
            abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, address(settlement), role)
        );
        vm.assertEq(units(alice), 1_000_000);
    }

    /* BATCH */

    function test_fault_empty() public {
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedBatch.selector));
    }

    function test_fault_too_many_fills() public {
        (uint16 maker, uint16 taker) = (add(sell(bob, 100, 200)), add(buy(alice, 100, 200)));
        for (uint256 i; i < 101; ++i) {
            match_(maker, taker, 1);
        }
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedBatch.selector));
    }

    function test_a_hundred_fills_are_taken() public {
        (uint16 maker, uint16 taker) = (add(sell(bob, 100, 200)), add(buy(alice, 100, 200)));
        for (uint256 i; i < 100; ++i) {
            match_(maker, taker, 1);
        }
        vm.assertEq(settle(), "");
        vm.assertEq(lotsOf(alice), 100);
    }

    function test_fault_more_orders_than_fills_can_name() public {
        add(sell(bob, 100, 1));
        add(sell(bob, 101, 1));
        match_(0, add(buy(alice, 100, 1)), 1);
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedBatch.selector));
    }

    function test_fault_signatures_missing() public {
        pair(sell(bob, 100, 1), buy(alice, 100, 1));
        bytes memory packed = pack(take());
        uint256 end = orderAt(packed, 2);
        bytes memory shorter = new bytes(packed.length - SIGNATURE_BYTES);
        for (uint256 i; i < shorter.length; ++i) {
            shorter[i] = packed[i < end - SIGNATURE_BYTES ? i : i + SIGNATURE_BYTES];
        }
        malformed(shorter);
        settlement.settle(packed);
    }

    function test_fault_any_byte_too_few_or_too_many() public {
        pair(sell(bob, 100, 1), buy(alice, 100, 1));
        bytes memory packed = pack(take());
        for (uint256 length; length < packed.length; ++length) {
            bytes memory part = new bytes(length);
            for (uint256 i; i < length; ++i) {
                part[i] = packed[i];
            }
            malformed(part);
        }
        malformed(bytes.concat(packed, hex"00"));
        settlement.settle(packed);
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
        // No fill is number 0.
        batch.first = 0;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.MalformedBatch.selector));
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
        pair(sell(bob, 100, 1), buy(alice, 100, 1));
        orders[0].account = address(0);
        bytes memory packed = pack(take());
        write(packed, orderAt(packed, 0) + SIGNATURE_AT, 0);
        write(packed, orderAt(packed, 0) + SIGNATURE_AT + 32, 0);
        malformed(packed);
    }

    function test_fault_a_signature_of_nobody() public {
        pair(sell(bob, 100, 1), buy(alice, 100, 1));
        bytes memory packed = pack(take());
        uint256 at = orderAt(packed, 0) + SIGNATURE_AT;
        (uint256 r, uint256 vs) = (read(packed, at), read(packed, at + 32));
        // No point has x = 5; s above half the order is the other form of a lower one.
        uint256[2][9] memory forms = [
            [uint256(0), 0],
            [uint256(0), vs],
            [r, 0],
            [r, 1 << 255],
            [uint256(5), vs],
            [ORDER, vs],
            [type(uint256).max, vs],
            [r, HALF_ORDER + 1],
            [r, type(uint256).max]
        ];
        for (uint256 i; i < forms.length; ++i) {
            write(packed, at, forms[i][0]);
            write(packed, at + 32, forms[i][1]);
            vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidSigner.selector, 0, address(0)));
            settlement.settle(packed);
        }
        write(packed, at, r);
        write(packed, at + 32, vs ^ (1 << 255));
        vm.expectPartialRevert(ISettlement.InvalidSigner.selector);
        settlement.settle(packed);
        write(packed, at + 32, vs);
        settlement.settle(packed);
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
        for (uint256 i; i < 8; ++i) {
            Order memory maker = sell(bob, 100, 1);
            if (i == 0) maker.priceTicks = 0;
            if (i == 1) maker.sizeLots = 0;
            if (i == 2) maker.nonce = nonceOf(0, 1); // resting, in the slot of the immediate ones
            if (i == 3) maker.timeInForce = TIF_IOC; // immediate, in a slot of the resting ones
            if (i == 4) maker.timeInForce = TIF_FOK;
            if (i == 5) maker.kind = KIND_MARKET; // a market order that would rest
            if (i == 6) (maker.kind, maker.nonce) = (KIND_MARKET, nonceOf(0, 1));
            if (i == 7) (maker.kind, maker.timeInForce) = (KIND_MARKET, TIF_IOC);
            pair(maker, buy(alice, 100, 1));
            faulty(ISettlement.MalformedOrder.selector, 0);
        }
    }

    function test_fault_bits_of_the_terms_that_mean_nothing() public {
        pair(sell(bob, 100, 1), buy(alice, 100, 1));
        bytes memory packed = pack(take());
        uint256 at = orderAt(packed, 0) + TERMS_AT;
        bytes1 terms = packed[at];
        for (uint256 bit = 5; bit < 8; ++bit) {
            packed[at] = terms | bytes1(uint8(1 << bit));
            vm.expectRevert(abi.encodeWithSelector(ISettlement.MalformedOrder.selector, 0));
            settlement.settle(packed);
        }
        packed[at] = terms;
        settlement.settle(packed);
    }

    function test_fault_immediate_order_used_again() public {
        trade(sell(bob, 100, 10), immediate(alice, SIDE_BUY, 100, 10, 5), 1);
        pair(sell(bob, 100, 10), immediate(alice, SIDE_BUY, 100, 10, 5));
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedOrder.selector, 1));
        pair(sell(bob, 100, 10), immediate(alice, SIDE_BUY, 100, 10, 4));
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedOrder.selector, 1));
    }

    function test_fault_an_immediate_order_listed_twice() public {
        uint16 maker = add(sell(bob, 100, 10));
        match_(maker, add(immediate(alice, SIDE_BUY, 100, 10, 5)), 1);
        match_(maker, add(immediate(alice, SIDE_BUY, 100, 10, 5)), 1);
        settleReverts(abi.encodeWithSelector(ISettlement.MalformedBatch.selector));
    }

    function test_fault_orders_out_of_order() public {
        for (uint256 i; i < 3; ++i) {
            uint16 maker = add(sell(bob, 100, 10));
            if (i != 0) match_(maker, add(immediate(alice, SIDE_BUY, 100, 10, 9)), 1);
            if (i == 1) match_(maker, add(immediate(alice, SIDE_BUY, 100, 10, 7)), 1);
            else match_(maker, add(immediate(alice, SIDE_BUY, 100, 10, 12)), 1);
            Batch memory batch = take();
            uint256 last = batch.orders.length - 1;
            // Bob before Alice; and of two of one account the lower nonce first.
            if (i == 0) (batch.orders[0], batch.orders[last]) = (batch.orders[last], batch.orders[0]);
            if (i == 0) (batch.signatures[0], batch.signatures[last]) = (batch.signatures[last], batch.signatures[0]);
            if (i == 0) (batch.fills[0].maker, batch.fills[0].taker) = (1, 0);
            bytes memory packed = PackedBatch.pack(batch, fees);
            if (i != 2) malformed(packed);
            else settlement.settle(packed);
        }
    }

    function test_fault_accounts_or_markets_out_of_order_or_twice() public {
        Order memory other = resting(bob, SIDE_SELL, 100, 1, nonceOf(2, 1));
        Order memory taker = resting(alice, SIDE_BUY, 100, 1, nonceOf(2, 1));
        settlement.listMarket(2, address(btc), BASE_PER_LOT, QUOTE_PER_TICK_LOT, "XBT-USDC");
        (other.market, taker.market) = (2, 2);
        pair(sell(bob, 100, 1), buy(alice, 100, 1));
        match_(add(other), add(taker), 1);
        bytes memory packed = pack(take());
        uint256[2][2] memory sections = [[HEADER_BYTES, 4], [HEADER_BYTES + 8, 20]];
        for (uint256 i; i < 2; ++i) {
            (uint256 at, uint256 size) = (sections[i][0], sections[i][1]);
            bytes memory swapped = bytes.concat(packed);
            bytes memory twice = bytes.concat(packed);
            for (uint256 j = at; j < at + size; ++j) {
                (swapped[j], swapped[j + size]) = (packed[j + size], packed[j]);
                twice[j + size] = packed[j];
            }
            malformed(swapped);
            malformed(twice);
        }
        settlement.settle(packed);
    }

    function test_fault_the_fee_account_is_elsewhere() public {
        pair(sell(bob, 100, 1), buy(alice, 100, 1));
        bytes memory packed = pack(take());
        bytes1 index = packed[14];
        for (uint8 i; i < 5; ++i) {
            packed[14] = bytes1(i);
            if (bytes1(i) != index) malformed(packed);
        }
        packed[14] = index;
        settlement.settle(packed);
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
