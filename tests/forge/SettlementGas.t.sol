// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Order, SIDE_BUY, SIDE_SELL} from "../../contracts/interfaces/Types.sol";
import {SynthERC20} from "../../contracts/SynthERC20.sol";
import {Fixture} from "./Fixture.sol";
import {Batch} from "./ReadableSettlement.sol";

/// @title What a batch costs, and that the batcher's estimate is an upper bound of it
/// @dev Every call is a transaction of its own, as on chain. Fresh: slots, and the balances that receive, were never
/// used. forge-config: default.isolate = true
contract SettlementGasTest is Fixture {
    // Twins: `offchain.domain.batch`.
    uint256 internal constant GAS_BATCH_BASE = 120_000;
    uint256 internal constant GAS_PER_ORDER = 76_000;
    uint256 internal constant GAS_PER_FILL = 14_000;

    /// @dev forge prints it with -vv.
    event log_named_uint(string name, uint256 value); // solhint-disable-line event-name-capwords

    uint256 internal constant BLOCK_GAS = 3_000_000;
    int32 internal constant MAKER_PPM = 2_500;
    int32 internal constant TAKER_PPM = 2_500;

    uint48 internal sequence = 1_000_000;

    function setUp() public override {
        super.setUp();
        giveUnits(fees, 1);
    }

    function buyerKey(uint256 i) internal pure returns (uint256) {
        return 0xB000 + i;
    }

    function sellerKey(uint256 i) internal pure returns (uint256) {
        return 0x5000 + i;
    }

    function endow(uint256 count) internal {
        for (uint256 i; i < count; ++i) {
            giveUnits(vm.addr(buyerKey(i)), 10 ** 12);
            giveLots(vm.addr(sellerKey(i)), 10 ** 6);
        }
    }

    function order(uint256 key, uint8 side, uint16 slot) internal returns (Order memory) {
        return resting(vm.addr(key), side, 65_432, 1_234, nonceOf(slot, ++sequence));
    }

    /// @dev n pairs of strangers; returns the gas of settling them.
    function pairs(uint256 count) internal returns (uint256) {
        for (uint256 i; i < count; ++i) {
            uint16 maker = add(order(sellerKey(i), SIDE_SELL, 1), sellerKey(i));
            match_(maker, add(order(buyerKey(i), SIDE_BUY, 1), buyerKey(i)), 1_234, MAKER_PPM, TAKER_PPM);
        }
        return measure();
    }

    /// @dev One immediate taker (bob) against n makers.
    function sweep(uint256 count, uint8 takerSide) internal returns (uint256) {
        Order memory taker = immediate(bob, takerSide, 65_432, uint64(1_234 * count), ++sequence);
        uint16 index = add(taker, bobKey);
        for (uint256 i; i < count; ++i) {
            uint256 key = takerSide == SIDE_BUY ? sellerKey(i) : buyerKey(i);
            uint8 side = takerSide == SIDE_BUY ? SIDE_SELL : SIDE_BUY;
            match_(add(order(key, side, 1), key), index, 1_234, MAKER_PPM, TAKER_PPM);
        }
        return measure();
    }

    function measure() internal returns (uint256 used) {
        Batch memory batch = take();
        settlement.settle(pack(batch));
        used = vm.lastCallGas().gasTotalUsed;
        uint256 estimate = GAS_BATCH_BASE + GAS_PER_ORDER * batch.orders.length + GAS_PER_FILL * batch.fills.length;
        vm.assertLe(used, estimate, "the batcher's estimate is an upper bound");
    }

    function record(string memory name, uint256 count, uint256 used) internal {
        emit log_named_uint(string.concat(name, ", ", vm.toString(count)), used);
    }

    function test_gas_pairs_of_strangers() public {
        endow(20);
        uint256[4] memory counts = [uint256(1), 5, 12, 20];
        for (uint256 j; j < counts.length; ++j) {
            // Each round has strangers of its own.
            super.setUp();
            giveUnits(fees, 1);
            endow(counts[j]);
            uint256 used = pairs(counts[j]);
            record("pairs of strangers, all fresh", counts[j], used);
            record("pairs of strangers, recycled slots", counts[j], pairs(counts[j]));
        }
    }

    function test_gas_pairs_of_strangers_who_hold_both_tokens() public {
        endow(20);
        for (uint256 i; i < 20; ++i) {
            giveUnits(vm.addr(sellerKey(i)), 1);
            giveLots(vm.addr(buyerKey(i)), 1);
        }
        uint256 used = pairs(20);
        vm.assertLe(used, BLOCK_GAS);
        record("pairs of strangers, fresh slots only", 20, used);
    }

    function test_gas_taker_against_makers() public {
        uint256[4] memory counts = [uint256(1), 5, 12, 20];
        for (uint256 j; j < counts.length; ++j) {
            super.setUp();
            giveUnits(fees, 1);
            endow(counts[j]);
            giveUnits(bob, 10 ** 12);
            giveLots(bob, 10 ** 6);
            record("taker buys from fresh makers", counts[j], sweep(counts[j], SIDE_BUY));
            record("taker buys from known makers", counts[j], sweep(counts[j], SIDE_BUY));
            record("taker sells to fresh makers", counts[j], sweep(counts[j], SIDE_SELL));
        }
    }

    function test_gas_pairs_of_strangers_on_markets_of_their_own() public {
        endow(20);
        buildOnOwnMarkets(20, false);
        record("pairs of strangers, all fresh, own markets", 20, measure());
    }

    /// @dev Requests on both balances, and cancels that do not bind yet.
    function test_gas_pairs_of_strangers_with_everything_open() public {
        endow(8);
        buildOnOwnMarkets(8, true);
        record("pairs of strangers, own markets, everything open", 8, measure());
    }

    function buildOnOwnMarkets(uint256 count, bool isEncumbered) internal {
        for (uint32 i; i < count; ++i) {
            uint32 market = 100 + i;
            SynthERC20 token = newSynth("Other", string.concat("OTHER", vm.toString(i)));
            vault.registerSynth(address(token));
            settlement.listMarket(market, address(token), BASE_PER_LOT, QUOTE_PER_TICK_LOT, "OTHER-USDC");
            vault.mintSynth(address(token), vm.addr(sellerKey(i)), 1e24);
            if (isEncumbered) {
                encumber(vm.addr(sellerKey(i)), address(token));
                encumber(vm.addr(buyerKey(i)), address(token));
            }

            Order memory maker = order(sellerKey(i), SIDE_SELL, 1);
            Order memory taker = order(buyerKey(i), SIDE_BUY, 1);
            (maker.market, taker.market) = (market, market);
            match_(add(maker, sellerKey(i)), add(taker, buyerKey(i)), 1_234, MAKER_PPM, TAKER_PPM);
        }
    }

    function encumber(address account, address token) internal {
        vm.startPrank(account);
        vault.requestWithdrawal(address(usdc), 1, account);
        vault.requestWithdrawal(token, 1, account);
        settlement.cancel(nonceOf(1, sequence + 1_000));
        settlement.cancelAll(sequence + 1_000);
        vm.stopPrank();
    }
}
