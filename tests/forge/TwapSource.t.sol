// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IPriceSource} from "../../contracts/interfaces/IPriceSource.sol";
import {ITwapSource} from "../../contracts/interfaces/ITwapSource.sol";
import {TwapSource} from "../../contracts/TwapSource.sol";
import {AmmFixture} from "./AmmFixture.sol";

/// @title The average price of a real pool
contract TwapSourceTest is AmmFixture {
    uint32 internal constant WINDOW = 1_800;

    TwapSource internal twap;

    function setUp() public override {
        super.setUp();
        twap = new TwapSource(address(factory), WINDOW);
    }

    /// @dev 10 tBTC at 60,000.
    function fill() internal {
        addLiquidity(alice, 10e18, 600_000e6);
    }

    function priceNow() internal view returns (uint256 price) {
        uint40 at;
        (price, at) = twap.read(address(btc));
        vm.assertEq(at, price == 0 ? 0 : block.timestamp);
    }

    function spot() internal view returns (uint256) {
        return quoteReserve() * 1e18 / baseReserve();
    }

    function assertNear(uint256 found, uint256 expected) internal pure {
        vm.assertLe(found, expected + 2);
        vm.assertGe(found + 2, expected);
    }

    function test_construction() public {
        vm.expectRevert(IPriceSource.MalformedSource.selector);
        new TwapSource(address(0x999), WINDOW);
        vm.expectRevert(IPriceSource.MalformedSource.selector);
        new TwapSource(address(factory), 59);
        vm.expectRevert(IPriceSource.MalformedSource.selector);
        new TwapSource(address(factory), 1 days + 1);
        vm.assertEq(twap.WINDOW(), WINDOW);
    }

    function test_without_pool_liquidity_or_observation_there_is_no_price() public {
        vm.assertFalse(twap.update(address(0x999)));
        (uint256 price, uint40 at) = twap.read(address(0x999));
        vm.assertEq(price + at, 0);
        vm.assertFalse(twap.update(address(btc)));
        vm.assertEq(priceNow(), 0);
        vm.assertEq(twap.lastUpdate(address(btc)), 0);
        fill();
        vm.assertEq(priceNow(), 0);
    }

    function test_the_average_counts_between_one_and_two_windows() public {
        fill();
        vm.expectEmit(address(twap));
        emit ITwapSource.Observed(address(btc), 0);
        vm.assertTrue(twap.update(address(btc)));
        vm.assertEq(twap.lastUpdate(address(btc)), START);
        vm.warp(START + WINDOW - 1);
        vm.assertEq(priceNow(), 0);
        vm.warp(START + WINDOW);
        assertNear(priceNow(), 60_000e6);
        vm.warp(START + 2 * WINDOW);
        assertNear(priceNow(), 60_000e6);
        vm.warp(START + 2 * WINDOW + 1);
        vm.assertEq(priceNow(), 0);
    }

    function test_time_before_the_first_liquidity_is_not_averaged() public {
        vm.assertFalse(twap.update(address(btc)));
        vm.warp(START + WINDOW);
        fill();
        vm.assertTrue(twap.update(address(btc)));
        vm.warp(START + 2 * WINDOW);
        assertNear(priceNow(), 60_000e6);
    }

    function test_the_average_is_weighted_by_time() public {
        fill();
        twap.update(address(btc));
        vm.warp(START + WINDOW / 3);
        buyBase(bob, 100_000e6);
        uint256 after_ = spot();
        vm.warp(START + WINDOW);
        assertNear(priceNow(), (60_000e6 + 2 * after_) / 3);
    }

    function test_what_happens_within_a_block_weighs_nothing() public {
        fill();
        twap.update(address(btc));
        vm.warp(START + WINDOW);
        uint256 before = priceNow();
        buyBase(bob, 500_000e6);
        vm.assertEq(priceNow(), before);
        uint256 dearest = spot();
        vm.warp(START + WINDOW + 1);
        assertNear(priceNow(), (uint256(60_000e6) * WINDOW + dearest) / (WINDOW + 1));
    }

    function test_updates_are_spaced_so_that_nobody_pushes_the_old_ones_out() public {
        fill();
        for (uint256 i; i <= 4 * WINDOW; i += 30) {
            vm.warp(START + i);
            vm.assertTrue(twap.update(address(btc)) == (i % (WINDOW / 4) == 0));
            if (i < WINDOW) vm.assertEq(priceNow(), 0);
            else assertNear(priceNow(), 60_000e6);
        }
    }

    function test_the_youngest_observation_that_is_old_enough_counts() public {
        fill();
        twap.update(address(btc));
        vm.warp(START + WINDOW / 2);
        buyBase(bob, 100_000e6);
        twap.update(address(btc));
        vm.warp(START + WINDOW * 3 / 2);
        assertNear(priceNow(), spot());
    }

    /// @dev Fewer runs, each of thirty updates.
    /// forge-config: default.fuzz.runs = 1000
    /// forge-config: fuzz.fuzz.runs = 10000
    function testFuzz_with_an_update_every_three_quarters_of_a_window_there_is_always_a_price(uint256 seed) public {
        fill();
        twap.update(address(btc));
        uint256 time = START;
        for (uint256 i; i < 30; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            time += bound(seed, 1, WINDOW * 3 / 4);
            vm.warp(time);
            if (time >= START + WINDOW) assertNear(priceNow(), 60_000e6);
            twap.update(address(btc));
        }
    }

    function test_reading_costs_a_small_part_of_what_the_oracle_gives() public {
        fill();
        for (uint256 i; i < 20; ++i) {
            vm.warp(START + i * (WINDOW / 4));
            twap.update(address(btc));
        }
        (bool isAnswered, bytes memory answer) =
            address(twap).staticcall{gas: 100_000}(abi.encodeCall(IPriceSource.read, (address(btc))));
        vm.assertTrue(isAnswered && answer.length == 64);
    }
}
