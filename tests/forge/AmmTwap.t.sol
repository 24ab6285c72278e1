// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AmmFixture} from "./AmmFixture.sol";

/// @title Cumulative prices: each price counts for as long as it stood
contract AmmTwapTest is AmmFixture {
    uint256 internal constant Q112 = 2 ** 112;

    /// @dev Both averages since the given sums, as a reader takes them: differences of wrapping numbers.
    function average(uint256 baseBefore, uint256 quoteBefore, uint32 before)
        internal
        view
        returns (uint256 baseAverage, uint256 quoteAverage)
    {
        (uint256 baseSum, uint256 quoteSum, uint32 at) = pair.cumulativePrices();
        unchecked {
            uint32 elapsed = at - before;
            return ((baseSum - baseBefore) / elapsed, (quoteSum - quoteBefore) / elapsed);
        }
    }

    /// @dev Uniswap v2's own test: 3:3 for ten seconds, then 6:2 for ten.
    function test_history_of_two_prices() public {
        addLiquidity(alice, 3e18, 3e18);
        vm.warp(START + 1);
        pair.sync();
        (uint256 baseSum, uint256 quoteSum, uint32 at) = pair.cumulativePrices();
        vm.assertEq(baseSum, Q112);
        vm.assertEq(quoteSum, Q112);
        vm.assertEq(at, START + 1);

        vm.warp(START + 10);
        giveBase(address(pair), 3e18);
        pair.swap(0, 1e18, bob);
        (baseSum, quoteSum,) = pair.cumulativePrices();
        vm.assertEq(baseSum, 10 * Q112);
        vm.assertEq(quoteSum, 10 * Q112);

        vm.warp(START + 20);
        pair.sync();
        (baseSum, quoteSum,) = pair.cumulativePrices();
        vm.assertEq(baseSum, 10 * Q112 + 10 * (Q112 / 3));
        vm.assertEq(quoteSum, 10 * Q112 + 10 * (3 * Q112));
    }

    /// @dev No call is needed for the view to be up to date.
    function test_view_counts_up_to_now() public {
        addLiquidity(alice, 1e18, 4e18);
        vm.warp(START + 1 hours);
        (uint256 baseSum, uint256 quoteSum,) = pair.cumulativePrices();
        vm.assertEq(baseSum, 4 * Q112 * 1 hours);
        vm.assertEq(quoteSum, Q112 / 4 * 1 hours);
        (,, uint32 at) = pair.reserves();
        vm.assertEq(at, START);
    }

    /// @dev A trade does not change what was counted before it, and counts for nothing in its own second.
    function test_price_of_a_moment_counts_for_nothing() public {
        addLiquidity(alice, 1e18, 1e18);
        vm.warp(START + 100);
        uint256 out = sellBase(bob, 100e18);
        (uint256 baseSum,,) = pair.cumulativePrices();
        vm.assertEq(baseSum, 100 * Q112);
        giveQuote(address(pair), out);
        pair.swap(pair.getAmountOut(out, false), 0, bob);
        vm.warp(START + 101);
        (uint256 after_,,) = pair.cumulativePrices();
        vm.assertTrue(after_ - baseSum < 2 * Q112);
    }

    function test_empty_pool_counts_nothing() public {
        vm.warp(START + 1 days);
        (uint256 baseSum, uint256 quoteSum,) = pair.cumulativePrices();
        vm.assertEq(baseSum + quoteSum, 0);
        addLiquidity(alice, 1e18, 1e18);
        (baseSum, quoteSum,) = pair.cumulativePrices();
        vm.assertEq(baseSum + quoteSum, 0);
    }

    /// @dev In February 2106 the time starts again: differences stay right.
    function test_average_across_the_wrap_of_time() public {
        vm.warp(2 ** 32 - 100);
        addLiquidity(alice, 1e18, 5e18);
        (uint256 baseBefore, uint256 quoteBefore, uint32 before) = pair.cumulativePrices();
        vm.warp(2 ** 32 + 50);
        pair.sync();
        (,, uint32 at) = pair.reserves();
        vm.assertEq(at, 50);
        vm.warp(2 ** 32 + 200);
        (uint256 baseAverage, uint256 quoteAverage) = average(baseBefore, quoteBefore, before);
        vm.assertEq(baseAverage, 5 * Q112);
        vm.assertEq(quoteAverage, Q112 / 5);
    }

    /// @dev The highest price there is, for long enough that the sum passes 2^256.
    function test_average_across_the_wrap_of_the_sum() public {
        uint256 highest = type(uint112).max;
        addLiquidity(alice, 1, highest);
        uint256 time = START;
        for (uint256 i; i < 4; ++i) {
            vm.warp(time += 2 ** 31);
            pair.sync();
        }
        (uint256 baseBefore, uint256 quoteBefore, uint32 before) = pair.cumulativePrices();
        vm.warp(time += 2 ** 31);
        pair.sync();
        vm.warp(time += 2 ** 30);
        (uint256 baseSum,,) = pair.cumulativePrices();
        vm.assertTrue(baseSum < baseBefore, "the sum has wrapped");
        (uint256 baseAverage, uint256 quoteAverage) = average(baseBefore, quoteBefore, before);
        vm.assertEq(baseAverage, highest * Q112);
        vm.assertEq(quoteAverage, Q112 / highest);
    }

    /// @dev Any history: prices change by trades, liquidity and gifts, after waits of any length.
    function test_fuzz_history(uint256 seed) public {
        uint256 time = 2 ** 32 - 1 days;
        vm.warp(time);
        addLiquidity(alice, 1e18, 1e12);
        (uint256 baseExpected, uint256 quoteExpected,) = pair.cumulativePrices();
        for (uint256 i; i < 20; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 elapsed = (seed >> 8) & ((1 << (seed % 24)) - 1);
            baseExpected += quoteReserve() * Q112 / baseReserve() * elapsed;
            quoteExpected += baseReserve() * Q112 / quoteReserve() * elapsed;
            vm.warp(time += elapsed);
            change(seed);
            (uint256 baseSum, uint256 quoteSum, uint32 at) = pair.cumulativePrices();
            vm.assertEq(baseSum, baseExpected);
            vm.assertEq(quoteSum, quoteExpected);
            vm.assertEq(at, time % 2 ** 32);
        }
    }

    function change(uint256 seed) internal {
        uint256 base = bound(seed >> 48, 1e6, 1e18);
        uint256 quote = bound(seed >> 112, 1e6, 1e12);
        uint256 action = (seed >> 40) % 4;
        if (action == 0) sellBase(bob, base);
        else if (action == 1) buyBase(bob, quote);
        else if (action == 2) addLiquidity(bob, base * 1e6, quote * 1e6);
        else giveBase(address(pair), base); // Counts from the next call on only.
    }
}
