// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {AmmFixture} from "./AmmFixture.sol";
import {NaivePool} from "./NaivePool.sol";

/// @title One actor (bob) who does whatever he likes to a pool in which alice holds the first shares
/// @dev Everything happens to the twin too, and after every step both are compared. Nothing here is bounded to what
/// succeeds: a call that the twin refuses must be refused.
contract AmmCrowd is AmmFixture {
    using NaivePool for NaivePool.Pool;

    NaivePool.Pool internal twin;
    /// @dev Amounts are 0 to this, or of any magnitude below 2^80 if it is 0.
    uint256 internal most;

    uint256 internal firstBase;
    uint256 internal firstQuote;
    /// @dev What bob's wallet has won since the beginning.
    int256 internal wonBase;
    int256 internal wonQuote;

    function found(uint256 baseAtoms, uint256 quoteAtoms, uint256 most_, uint256 time) external {
        super.setUp();
        vm.warp(time);
        // Brings the word of the twin to the pool's: nothing has counted before.
        pair.sync();
        twin.sync();
        (firstBase, firstQuote, most) = (baseAtoms, quoteAtoms, most_);
        addLiquidity(alice, baseAtoms, quoteAtoms);
        twin.receiveTokens(baseAtoms, quoteAtoms);
        twin.mint();
        compare();
    }

    /* ACTIONS */

    function add(uint256 baseSeed, uint256 quoteSeed) external {
        send(amount(baseSeed), amount(quoteSeed));
        (uint256 k, uint256 supply) = strength();
        (bool isPossible, uint256 shares) = twin.mint();
        try pair.mint(bob) returns (uint256 got) {
            vm.assertTrue(isPossible, "mint");
            vm.assertEq(got, shares);
        } catch {
            vm.assertFalse(isPossible);
        }
        finish(k, supply);
    }

    function remove(uint256 seed) external {
        uint256 shares = Math.min(amount(seed), pair.balanceOf(bob));
        vm.prank(bob);
        pair.transfer(address(pair), shares);
        twin.receiveShares(shares);
        (uint256 k, uint256 supply) = strength();
        (bool isPossible, uint256 baseOut, uint256 quoteOut) = twin.burn();
        try pair.burn(bob) returns (uint256 baseGot, uint256 quoteGot) {
            vm.assertTrue(isPossible, "burn");
            vm.assertEq(baseGot, baseOut);
            vm.assertEq(quoteGot, quoteOut);
            win(baseOut, quoteOut);
        } catch {
            vm.assertFalse(isPossible);
        }
        finish(k, supply);
    }

    /// @dev As quoted; `greed` asks for an atom more.
    function trade(uint256 seed, bool isBaseIn, bool greed) external {
        uint256 amountIn = amount(seed);
        uint256 out = pair.getAmountOut(amountIn, isBaseIn);
        vm.assertEq(out, twin.mostOut(amountIn, isBaseIn));
        if (greed) ++out;
        if (isBaseIn) swap(amountIn, 0, 0, out);
        else swap(0, amountIn, out, 0);
    }

    /// @dev Anything against anything, also the same token in and out, also out of what was donated.
    function barter(uint256 baseIn, uint256 quoteIn, uint256 baseOut, uint256 quoteOut) external {
        swap(amount(baseIn), amount(quoteIn), amount(baseOut), amount(quoteOut));
    }

    function donate(uint256 baseSeed, uint256 quoteSeed) external {
        (uint256 k, uint256 supply) = strength();
        send(amount(baseSeed), amount(quoteSeed));
        finish(k, supply);
    }

    function skim() external {
        (uint256 k, uint256 supply) = strength();
        (uint256 baseOut, uint256 quoteOut) = twin.skim();
        pair.skim(bob);
        win(baseOut, quoteOut);
        finish(k, supply);
    }

    function sync() external {
        (uint256 k, uint256 supply) = strength();
        twin.sync();
        pair.sync();
        finish(k, supply);
    }

    /// @dev Up to 68 years at a step, but mostly less. The pool is touched then: it counts differences of 32 bits.
    function wait_(uint256 seed) external {
        vm.warp(block.timestamp + ((seed >> 8) & ((1 << (seed % 32)) - 1)));
        compare();
        twin.sync();
        pair.sync();
    }

    function swap(uint256 baseIn, uint256 quoteIn, uint256 baseOut, uint256 quoteOut) internal {
        send(baseIn, quoteIn);
        (uint256 k, uint256 supply) = strength();
        bool isPossible = twin.swap(baseOut, quoteOut);
        try pair.swap(baseOut, quoteOut, bob) {
            vm.assertTrue(isPossible, "swap");
            win(baseOut, quoteOut);
        } catch {
            vm.assertFalse(isPossible);
        }
        finish(k, supply);
    }

    function send(uint256 baseAtoms, uint256 quoteAtoms) internal {
        giveBase(address(pair), baseAtoms);
        giveQuote(address(pair), quoteAtoms);
        twin.receiveTokens(baseAtoms, quoteAtoms);
        wonBase -= int256(baseAtoms);
        wonQuote -= int256(quoteAtoms);
    }

    function win(uint256 baseAtoms, uint256 quoteAtoms) internal {
        wonBase += int256(baseAtoms);
        wonQuote += int256(quoteAtoms);
    }

    function amount(uint256 seed) internal view returns (uint256) {
        if (most != 0) return bound(seed, 0, most);
        return (seed >> 8) & ((1 << (seed % 80)) - 1);
    }

    /* LAWS */

    function finish(uint256 k, uint256 supply) internal view {
        compare();
        checkStrength(k, supply);
        if (most != 0) checkValue();
    }

    function compare() internal view {
        assertReserves(twin.baseReserve, twin.quoteReserve);
        vm.assertEq(btc.balanceOf(address(pair)), twin.baseBalance);
        vm.assertEq(usdc.balanceOf(address(pair)), twin.quoteBalance);
        vm.assertEq(pair.totalSupply(), twin.supply);
        vm.assertEq(pair.balanceOf(address(pair)), twin.ownShares);
        (uint256 baseSum, uint256 quoteSum, uint32 at) = pair.cumulativePrices();
        (uint256 baseExpected, uint256 quoteExpected) = twin.cumulative();
        vm.assertEq(baseSum, baseExpected);
        vm.assertEq(quoteSum, quoteExpected);
        vm.assertEq(at, block.timestamp % 2 ** 32);
    }

    function strength() internal view returns (uint256 k, uint256 supply) {
        return (baseReserve() * quoteReserve(), pair.totalSupply());
    }

    /// @dev sqrt(k) per share never falls.
    function checkStrength(uint256 kBefore, uint256 supplyBefore) internal view {
        (uint256 k, uint256 supply) = strength();
        (uint256 highNow, uint256 lowNow) = Math.mul512(k, supplyBefore * supplyBefore);
        (uint256 highBefore, uint256 lowBefore) = Math.mul512(kBefore, supply * supply);
        vm.assertTrue(highNow > highBefore || highNow == highBefore && lowNow >= lowBefore, "k per share");
    }

    /// @dev At the first price bob never has more than in the beginning, whatever he makes of the price since: wallet and
    /// his part of the reserves. It follows from the law above and the inequality of the means.
    function checkValue() internal view {
        int256 wallet = wonBase * int256(firstQuote) + wonQuote * int256(firstBase);
        uint256 reserves = baseReserve() * firstQuote + quoteReserve() * firstBase;
        int256 part = int256(reserves * pair.balanceOf(bob));
        vm.assertGe(int256(0), wallet * int256(pair.totalSupply()) + part);
    }
}
