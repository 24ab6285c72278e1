// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {AmmFixture} from "./AmmFixture.sol";

/// @title Attacks on depositors cost the attacker money
/// @dev One atom of either token is worth the same here: value is a sum. The attacker is bob, the victim alice.
contract AmmAttackTest is AmmFixture {
    /// @dev What bob took out of the pool less what he put in.
    int256 internal profit;

    function attackerAdds(uint256 baseAtoms, uint256 quoteAtoms) internal {
        addLiquidity(bob, baseAtoms, quoteAtoms);
        profit -= int256(baseAtoms + quoteAtoms);
    }

    function attackerDonates(uint256 baseAtoms, uint256 quoteAtoms) internal {
        giveBase(address(pair), baseAtoms);
        giveQuote(address(pair), quoteAtoms);
        pair.sync();
        profit -= int256(baseAtoms + quoteAtoms);
    }

    function attackerLeaves() internal {
        (uint256 baseAtoms, uint256 quoteAtoms) = removeLiquidity(bob, pair.balanceOf(bob));
        profit += int256(baseAtoms + quoteAtoms);
    }

    function assertLoss() internal view {
        vm.assertGe(int256(-1), profit);
    }

    /// @dev The attacker holds the first shares, blows up what one is worth, and lets the victim's deposit be rounded
    /// down: by up to one share's worth, of which the locked shares take a thousand parts to each one of his.
    function test_fuzz_first_depositor_inflation(uint256 first, uint256 gift, uint256 deposit) public {
        first = bound(first, 1_001, 1e6);
        gift = bound(gift, 1, 1e24);
        deposit = bound(deposit, 1, 1e24);
        attackerAdds(first, first);
        attackerDonates(gift, gift);
        giveBase(address(pair), deposit);
        giveQuote(address(pair), deposit);
        try pair.mint(alice) {} catch {} // solhint-disable-line no-empty-blocks
        // A refused deposit stays where it was: by the router its whole transaction fails.
        if (pair.balanceOf(alice) == 0) pair.skim(alice);
        attackerLeaves();
        assertLoss();
    }

    /// @dev The best there is for the attacker: all but one share's worth is rounded away.
    function test_first_depositor_inflation_at_its_worst() public {
        attackerAdds(1_001, 1_001);
        attackerDonates(1e18, 1e18);
        uint256 share = baseReserve() / pair.totalSupply();
        addLiquidity(alice, 2 * share, 2 * share);
        vm.assertEq(pair.balanceOf(alice), 1);
        attackerLeaves();
        // He holds 1 of 1,002 shares.
        vm.assertGe(-int256(199 * 1e16), profit);
    }

    /// @dev A gift before the first mint: the victim gets it.
    function test_fuzz_gift_to_an_empty_pool(uint256 gift, uint256 other, bool isSynced) public {
        gift = bound(gift, 1, 1e18);
        other = bound(other, 0, 1e18);
        giveBase(address(pair), gift);
        giveQuote(address(pair), other);
        profit -= int256(gift + other);
        if (isSynced) pair.sync();
        addLiquidity(alice, 1e18, 1e18);
        arbitrage();
        assertLoss();
    }

    /// @dev A gift to a pool that others hold, on either side or both, and the attacker trades its price back to one.
    function test_fuzz_gift_to_a_pool_of_others(uint256 gift, uint256 other, uint256 held) public {
        held = bound(held, 0, 1e18);
        addLiquidity(alice, 1e18, 1e18);
        if (held > 1e6) attackerAdds(held, held);
        gift = bound(gift, 1, 1e18);
        other = bound(other, 0, 1e18);
        attackerDonates(gift, other);
        arbitrage();
        if (held > 1e6) attackerLeaves();
        assertLoss();
    }

    /// @dev A gift moves the price just before another's deposit, and the attacker trades it back. With the router's
    /// minimums narrower than the fee the deposit is refused, or the way back costs more than it brings.
    function test_fuzz_gift_before_a_deposit(uint256 held, uint256 gift, uint256 deposit) public {
        addLiquidity(carol, 1e12, 1e12);
        // Others hold half of it or more, so that a gift is one, and more than the dust of a deposit's rounding.
        held = bound(held, 1e6, 1e12);
        attackerAdds(held, held);
        deposit = bound(deposit, 1e6, 1e18);
        attackerDonates(bound(gift, 1e6, baseReserve() / 100), 0);
        depositByRouter(deposit);
        arbitrage();
        attackerLeaves();
        assertLoss();
    }

    /// @dev At one to one, or a thousandth beside it.
    function depositByRouter(uint256 deposit) internal {
        giveBase(alice, deposit);
        giveQuote(alice, deposit);
        uint256 least = deposit - deposit / 1_000;
        vm.startPrank(alice);
        btc.approve(address(router), deposit);
        usdc.approve(address(router), deposit);
        try router.addLiquidity(address(btc), deposit, deposit, least, least, alice, START) {} catch {} // solhint-disable-line no-empty-blocks
        vm.stopPrank();
    }

    /// @dev The attacker takes what the price gives: he trades until base and quote are worth the same again.
    function arbitrage() internal {
        (uint256 baseAtoms, uint256 quoteAtoms) = (baseReserve(), quoteReserve());
        uint256 even = Math.sqrt(baseAtoms * quoteAtoms);
        if (baseAtoms > quoteAtoms) {
            uint256 quoteIn = even - quoteAtoms;
            if (pair.getAmountOut(quoteIn, false) == 0) return;
            profit += int256(buyBase(bob, quoteIn)) - int256(quoteIn);
        } else {
            uint256 baseIn = even - baseAtoms;
            if (pair.getAmountOut(baseIn, true) == 0) return;
            profit += int256(sellBase(bob, baseIn)) - int256(baseIn);
        }
    }
}
