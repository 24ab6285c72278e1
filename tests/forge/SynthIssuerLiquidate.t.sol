// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Authorization, EXIT_DELAY} from "../../contracts/interfaces/Types.sol";
import {Debtors} from "./Debtors.sol";

/// @title SynthIssuer.liquidate
/// @dev Alice owes one tBTC against 90,000; bob has synth of his own.
contract SynthIssuerLiquidateTest is Debtors {
    /// @dev Ratio 112.5 %: above debt and bonus.
    uint256 internal constant WEAK = 80_000e6;
    /// @dev What brings alice back to 150 % at WEAK: (120,000 - 90,000) / (80,000 * 40 %).
    uint128 internal constant MOST = 0.9375e18;

    function setUp() public override {
        super.setUp();
        open(alice, REQUIRED, ONE);
        open(bob, 6 * REQUIRED, 3 * ONE);
    }

    function healthy(uint256 required) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ISynthIssuer.NotLiquidatable.selector, REQUIRED, required);
    }

    function test_liquidate_back_to_the_initial_ratio() public {
        post(WEAK);
        vm.assertTrue(issuer.isLiquidatable(alice, address(btc)));
        vm.assertEq(issuer.liquidatableDebt(alice, address(btc)), MOST);
        Authorization memory approval = mayBurn(bob, MOST);
        vm.expectEmit(address(issuer));
        emit ISynthIssuer.PositionChanged(alice, address(btc), 7_500e6, ONE - MOST);
        vm.expectEmit(address(issuer));
        emit ISynthIssuer.Liquidated(bob, alice, address(btc), MOST, 82_500e6);
        vm.prank(bob);
        (uint128 repaid, uint128 collateral) = issuer.liquidate(alice, address(btc), MOST, 82_500e6, approval);
        vm.assertEq(repaid, MOST);
        vm.assertEq(collateral, 82_500e6);
        assertPosition(alice, 7_500e6, ONE - MOST);
        vm.assertEq(units(bob), WEALTH - 6 * REQUIRED + 82_500e6);
        vm.assertEq(atoms(bob), 3 * ONE - MOST);
        vm.assertEq(issuer.debtOf(address(btc)), btc.totalSupply());
        vm.assertFalse(issuer.isLiquidatable(alice, address(btc)));
        liquidateReverts(bob, alice, 1, abi.encodeWithSelector(ISynthIssuer.NotLiquidatable.selector, 7_500e6, 6_000e6));
    }

    function test_liquidate_a_part() public {
        post(WEAK);
        (uint128 repaid, uint128 collateral) = liquidate(bob, alice, 0.5e18);
        vm.assertEq(repaid, 0.5e18);
        vm.assertEq(collateral, 44_000e6);
        assertPosition(alice, 46_000e6, 0.5e18);
        // The rest is what it always was.
        vm.assertEq(issuer.liquidatableDebt(alice, address(btc)), MOST - 0.5e18);
    }

    function test_liquidate_nobody_at_the_maintenance_ratio() public {
        post(75_000e6);
        vm.assertFalse(issuer.isLiquidatable(alice, address(btc)));
        liquidateReverts(bob, alice, ONE, healthy(REQUIRED));
        post(75_000e6 + 1);
        vm.assertTrue(issuer.isLiquidatable(alice, address(btc)));
        liquidate(bob, alice, 0.1e18);
    }

    function test_liquidate_nobody_without_debt() public {
        open(carol, 5, 0);
        liquidateReverts(bob, carol, 1, abi.encodeWithSelector(ISynthIssuer.NotLiquidatable.selector, 5, 0));
        vm.assertEq(issuer.liquidatableDebt(carol, address(btc)), 0);
    }

    function test_liquidate_all_for_the_bonus_that_is_left() public {
        post(85_000e6);
        vm.assertEq(issuer.liquidatableDebt(alice, address(btc)), ONE);
        // In proportion: a part must not take the collateral and leave the debt.
        (, uint128 half) = liquidate(bob, alice, 0.5e18);
        vm.assertEq(half, 45_000e6);
        (, uint128 rest) = liquidate(bob, alice, 0.5e18);
        vm.assertEq(rest, 45_000e6);
        assertPosition(alice, 0, 0);
        vm.assertEq(issuer.positionCount(address(btc)), 1);
    }

    function test_liquidate_all_of_what_would_be_left_as_dust() public {
        close(alice, 0, ONE - 0.001e18);
        close(alice, REQUIRED - 90e6, 0);
        post(WEAK);
        // 7.5 units would be left.
        vm.assertEq(issuer.liquidatableDebt(alice, address(btc)), 0.001e18);
        (uint128 repaid, uint128 collateral) = liquidate(bob, alice, 0.001e18);
        vm.assertEq(repaid, 0.001e18);
        vm.assertEq(collateral, 88e6);
        // What is left is alice's, without a price.
        assertPosition(alice, 2e6, 0);
        close(alice, 2e6, 0);
    }

    function test_liquidate_leaves_no_dust_by_choice() public {
        close(alice, 0, ONE - 0.001e18);
        close(alice, REQUIRED - 90e6, 0);
        post(WEAK);
        bytes memory reason = abi.encodeWithSelector(ISynthIssuer.CollateralTooSmall.selector, 90e6 - 87.12e6);
        liquidateReverts(bob, alice, 0.00099e18, reason);
    }

    function test_liquidate_refuses_a_stale_price() public {
        post(WEAK);
        vm.warp(START + 1 hours + 1);
        vm.assertFalse(issuer.isLiquidatable(alice, address(btc)));
        liquidateReverts(bob, alice, MOST, abi.encodeWithSelector(ISynthIssuer.StalePrice.selector, START));
    }

    function test_liquidate_refuses_a_freshly_resumed_price() public {
        vm.warp(START + 2 hours);
        post(WEAK);
        bytes memory reason = abi.encodeWithSelector(ISynthIssuer.PriceResumed.selector, START + 2 hours + 20 minutes);
        vm.assertFalse(issuer.isLiquidatable(alice, address(btc)));
        liquidateReverts(bob, alice, MOST, reason);
        vm.warp(START + 2 hours + 20 minutes - 1);
        post(WEAK);
        liquidateReverts(bob, alice, MOST, reason);
        // Meanwhile a debtor may do what helps.
        open(alice, 1e6, 0);
        vm.warp(START + 2 hours + 20 minutes);
        vm.assertTrue(issuer.isLiquidatable(alice, address(btc)));
        liquidate(bob, alice, 0.5e18);
    }

    function test_liquidate_with_a_least_collateral() public {
        post(WEAK);
        Authorization memory approval = mayBurn(bob, MOST);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.TooLittleCollateral.selector, 82_500e6, 82_500e6 + 1));
        issuer.liquidate(alice, address(btc), MOST, 82_500e6 + 1, approval);
    }

    function test_liquidate_oneself() public {
        post(WEAK);
        uint256 before = units(alice);
        liquidate(alice, alice, MOST);
        assertPosition(alice, 7_500e6, ONE - MOST);
        vm.assertEq(units(alice), before + 82_500e6);
    }

    function test_liquidate_without_the_operator() public {
        request(bob, address(btc), 3 * ONE);
        vm.warp(START + EXIT_DELAY);
        post(WEAK);
        vm.prank(bob);
        // A request pays for what there is to pay, however much is asked for.
        (uint128 repaid,) = issuer.liquidate(alice, address(btc), 2 * ONE, 0, drawOnRequest());
        vm.assertEq(repaid, MOST);
    }

    function test_liquidate_needs_the_liquidators_synth() public {
        post(WEAK);
        liquidateReverts(
            carol,
            alice,
            MOST,
            abi.encodeWithSelector(IVault.InsufficientBalance.selector, carol, address(btc), MOST, 0)
        );
        liquidateReverts(bob, alice, 0, abi.encodeWithSelector(IVault.ZeroAmount.selector));
        // Too little for a unit: nobody gives debt back for nothing by mistake.
        liquidateReverts(bob, alice, 1, abi.encodeWithSelector(IVault.ZeroAmount.selector));
        // The countersignature is for what is asked for, not for what turns out to be repaid.
        Authorization memory most = mayBurn(bob, MOST);
        vm.prank(bob);
        vm.expectPartialRevert(IVault.InvalidSigner.selector);
        issuer.liquidate(alice, address(btc), ONE, 0, most);
    }

    /* UP TO WHAT WAS COUNTERSIGNED */

    function test_liquidate_gives_back_what_is_not_repaid() public {
        post(WEAK);
        (uint128 repaid, uint128 collateral) = liquidate(bob, alice, 3 * ONE);
        vm.assertEq(repaid, MOST);
        vm.assertEq(collateral, 82_500e6);
        vm.assertEq(atoms(bob), 3 * ONE - MOST);
        vm.assertEq(btc.totalSupply(), issuer.debtOf(address(btc)));
        vm.assertEq(btc.balanceOf(address(vault)), btc.totalSupply());
    }

    /// @dev An atom paid back, or an atom of collateral more, does not void the countersignature for all of the debt.
    function testFuzz_a_debtor_cannot_dodge_by_a_little(uint256 back, uint256 more) public {
        open(carol, REQUIRED, ONE);
        post(88_000e6);
        Authorization memory approval = mayBurn(bob, ONE);
        back = bound(back, 1, 0.02e18);
        more = bound(more, 1, 1_000e6);
        close(carol, 0, uint128(back));
        open(carol, uint128(more), 0);
        uint256 most = issuer.liquidatableDebt(carol, address(btc));
        vm.assertTrue(most != 0);
        vm.prank(bob);
        (uint128 repaid,) = issuer.liquidate(carol, address(btc), ONE, 80_000e6, approval);
        vm.assertEq(repaid, most);
        vm.assertEq(atoms(bob), 3 * ONE - most);
    }

    function test_a_least_collateral_is_a_price() public {
        post(WEAK);
        // Half of it is repaid already: 88,000 for one tBTC is still what the caller gets.
        liquidate(bob, alice, MOST / 2);
        Authorization memory approval = mayBurn(bob, ONE);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.TooLittleCollateral.selector, 41_250e6, 88_000e6 + 1));
        issuer.liquidate(alice, address(btc), ONE, 88_000e6 + 1, approval);
        vm.prank(bob);
        (uint128 repaid, uint128 collateral) = issuer.liquidate(alice, address(btc), ONE, 88_000e6, approval);
        vm.assertEq(repaid, MOST / 2);
        vm.assertEq(collateral, 41_250e6);
    }

    function test_liquidate_never_insurance_nor_after_a_shutdown() public {
        liquidateReverts(bob, INSURANCE, 1, abi.encodeWithSelector(ISynthIssuer.IsInsurance.selector, INSURANCE));
        vm.assertEq(issuer.liquidatableDebt(INSURANCE, address(btc)), 0);
        shutDown();
        post(WEAK);
        vm.warp(block.timestamp + 20 minutes);
        liquidateReverts(bob, alice, MOST, abi.encodeWithSelector(ISynthIssuer.IsShutDown.selector, address(btc)));
        vm.assertFalse(issuer.isLiquidatable(alice, address(btc)));
    }

    function test_liquidate_after_stricter_terms() public {
        issuer.configure(address(btc), ISynthIssuer.Terms(0, 200, 160, 10));
        vm.assertTrue(issuer.isLiquidatable(alice, address(btc)));
        liquidate(bob, alice, uint128(issuer.liquidatableDebt(alice, address(btc))));
        vm.assertFalse(issuer.isLiquidatable(alice, address(btc)));
    }

    /// @dev The law of a liquidation for any position, price and amount.
    function testFuzz_liquidate(uint256 debt, uint256 spare, uint256 move, uint256 amount) public {
        debt = bound(debt, 1e14, 3e18);
        uint256 collateral = bound(spare, (debt * PRICE * 150 - 1) / 1e20 + 1 + 10e6, WEALTH / 2);
        open(carol, uint128(collateral), uint128(debt));
        post(bound(move, PRICE, 5 * PRICE));
        (uint256 price,,,) = oracle.priceOf(address(btc));

        uint256 most = issuer.liquidatableDebt(carol, address(btc));
        bool isWeak = collateral * 1e20 < debt * price * 120;
        vm.assertEq(most != 0 ? 1 : 0, isWeak ? 1 : 0);
        if (!isWeak) return;
        amount = bound(amount, 1, most);
        Authorization memory approval = mayBurn(bob, amount);
        vm.prank(bob);
        try issuer.liquidate(carol, address(btc), uint128(amount), 0, approval) returns (uint128 repaid, uint128 paid) {
            vm.assertEq(repaid, amount);
            checkLiquidated(collateral, debt, repaid, paid, price, most);
        } catch (bytes memory reason) {
            bytes4 selector = bytes4(reason);
            // Paid is the lesser of value and bonus, and the share of the collateral: down to nothing for a few atoms.
            bool isTiny =
                selector == IVault.ZeroAmount.selector && (amount * price * 110 < 1e20 || collateral * amount < debt);
            vm.assertTrue(isTiny || (selector == ISynthIssuer.CollateralTooSmall.selector && amount < most));
        }
    }

    function checkLiquidated(
        uint256 collateral,
        uint256 debt,
        uint256 repaid,
        uint256 paid,
        uint256 price,
        uint256 most
    ) internal view {
        ISynthIssuer.Position memory left = issuer.positionOf(carol, address(btc));
        vm.assertEq(left.collateral, collateral - paid);
        vm.assertEq(left.debt, debt - repaid);
        // Never more than value and bonus, and never a worse ratio than before.
        vm.assertLe(paid * 1e20, repaid * price * 110);
        vm.assertGe(uint256(left.collateral) * debt, collateral * left.debt);
        if (repaid == most) vm.assertGe(uint256(left.collateral) * 1e20, uint256(left.debt) * price * 150);
    }
}
