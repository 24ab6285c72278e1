// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AgentTerms, Order, SIDE_BUY, SIDE_SELL} from "../../contracts/interfaces/Types.sol";
import {Fixture} from "./Fixture.sol";

/// @title What one more fill costs, and a batch without any
/// @dev Every call is a transaction of its own, as on chain: 21,000 and calldata included, storage cold. Everybody has
/// traded before, holds both tokens and has used its slot; fees are on. Agents have budgets that are not counted. forge-config: default.isolate = true
contract SettlementSlopeGasTest is Fixture {
    uint256 internal constant LEVELS = 5;
    uint64 internal constant LOTS = 1_234;
    int32 internal constant PPM = 2_500;

    /// @dev forge prints it with -vv.
    event log_named_uint(string name, uint256 value); // solhint-disable-line event-name-capwords

    uint48 internal sequence = 1_000_000;

    /// @dev A wallet's, written out: a call of `walletSign` would be in the snapshot too.
    function sign(uint256 key, bytes32 digest) internal pure override returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function setUp() public override {
        super.setUp();
        giveUnits(fees, 1);
        giveUnits(bob, 10 ** 12);
        giveLots(bob, 10 ** 7);
        for (uint256 i; i < 50; ++i) {
            giveUnits(vm.addr(takerKey(i)), 10 ** 12);
            giveLots(vm.addr(takerKey(i)), 10 ** 6);
            register(i, type(uint128).max);
        }
        // Slots and immediate sequences that were used before.
        for (uint256 round; round < 2; ++round) {
            ladder(25);
            takers(round * 25, 25, false);
            settle();
        }
    }

    function takerKey(uint256 i) internal pure returns (uint256) {
        return 0x7A000 + i;
    }

    function agentKey(uint256 i) internal pure returns (uint256) {
        return 0xA6000 + i;
    }

    function register(uint256 i, uint128 notional) internal {
        vm.prank(vm.addr(takerKey(i)));
        settlement.registerAgent(
            AgentTerms(vm.addr(agentKey(i)), uint40(block.timestamp + 30 days), notional, new uint32[](0))
        );
    }

    /// @dev bob's: LEVELS sell orders, each in a slot of its own, for `count` fills in all.
    function ladder(uint256 count) internal {
        for (uint16 level; level < LEVELS; ++level) {
            uint64 size = uint64(LOTS * count);
            add(resting(bob, SIDE_SELL, 65_000 + level, size, nonceOf(level + 1, ++sequence)));
        }
    }

    /// @dev Each takes from one level, in turn.
    function takers(uint256 first, uint256 count, bool isAgent) internal {
        for (uint256 i = first; i < first + count; ++i) {
            Order memory order = immediate(vm.addr(takerKey(i)), SIDE_BUY, 66_000, LOTS, ++sequence);
            match_(uint16(i % LEVELS), add(order, isAgent ? agentKey(i) : takerKey(i)), LOTS, PPM, PPM);
        }
    }

    function measure(uint256 count, bool isAgent) internal returns (uint256) {
        ladder(count);
        takers(0, count, isAgent);
        settlement.settle(pack(take()));
        return vm.lastCallGas().gasTotalUsed;
    }

    function test_gas_slope_of_immediate_fills_signed_by_owners() public {
        uint256 slope = (measure(50, false) - measure(25, false)) / 25;
        emit log_named_uint("marginal immediate fill against a ladder, signed by its owner", slope);
        vm.assertLe(slope, 25_000);
    }

    function test_gas_slope_of_immediate_fills_signed_by_agents() public {
        uint256 slope = (measure(50, true) - measure(25, true)) / 25;
        emit log_named_uint("marginal immediate fill against a ladder, signed by an agent", slope);
        vm.assertLe(slope, 28_000);
    }

    /// @dev One word more of each agent is written.
    function test_gas_slope_of_immediate_fills_signed_by_agents_with_budgets() public {
        vm.warp(block.timestamp + 31 days);
        for (uint256 i; i < 50; ++i) {
            register(i, 10 ** 15);
        }
        measure(50, true);
        uint256 slope = (measure(50, true) - measure(25, true)) / 25;
        emit log_named_uint("marginal immediate fill against a ladder, signed by an agent with a budget", slope);
        vm.assertLe(slope, 28_000);
    }

    function test_gas_empty_batch() public {
        fills.push();
        settlement.settle(pack(take()));
        uint256 used = vm.lastCallGas().gasTotalUsed;
        emit log_named_uint("a batch without a fill that settles", used);
        vm.assertLe(used, 60_000);
    }

    function test_gas_slope_of_pairs_of_strangers() public {
        uint256 slope = (pairs(25) - pairs(12)) / 13;
        emit log_named_uint("marginal pair of strangers, recycled slots", slope);
        vm.assertLe(slope, 50_000);
    }

    /// @dev Both orders rest, in slots that were used before.
    function pairs(uint256 count) internal returns (uint256) {
        for (uint256 warm; warm < 2; ++warm) {
            for (uint256 i; i < count; ++i) {
                (uint256 one, uint256 other) = (takerKey(2 * i), takerKey(2 * i + 1));
                uint16 maker = add(resting(vm.addr(one), SIDE_SELL, 65_000, LOTS, nonceOf(1, ++sequence)), one);
                uint16 taker = add(resting(vm.addr(other), SIDE_BUY, 65_000, LOTS, nonceOf(1, ++sequence)), other);
                match_(maker, taker, LOTS, PPM, PPM);
            }
            settlement.settle(pack(take()));
        }
        return vm.lastCallGas().gasTotalUsed;
    }
}
