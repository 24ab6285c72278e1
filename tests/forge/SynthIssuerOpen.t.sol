// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IPausable} from "../../contracts/interfaces/IPausable.sol";
import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Authorization, EXIT_DELAY} from "../../contracts/interfaces/Types.sol";
import {Debtors} from "./Debtors.sol";

/// @title SynthIssuer.open, and the guardian's pause of it
contract SynthIssuerOpenTest is Debtors {
    function test_open() public {
        Authorization memory approval = mayLock(alice, REQUIRED);
        vm.expectEmit(address(issuer));
        emit ISynthIssuer.PositionChanged(alice, address(btc), REQUIRED, ONE);
        vm.prank(alice);
        issuer.open(address(btc), REQUIRED, ONE, approval);
        assertPosition(alice, REQUIRED, ONE);
        vm.assertEq(units(alice), WEALTH - REQUIRED);
        vm.assertEq(atoms(alice), ONE);
        vm.assertEq(btc.totalSupply(), ONE);
        vm.assertEq(issuer.debtOf(address(btc)), ONE);
        vm.assertEq(vault.totalsOf(address(usdc)).locked, REQUIRED);
    }

    function test_open_refuses_too_little_collateral() public {
        openReverts(
            alice,
            REQUIRED - 1,
            ONE,
            abi.encodeWithSelector(ISynthIssuer.Undercollateralized.selector, REQUIRED - 1, REQUIRED)
        );
    }

    function testFuzz_open_is_never_below_the_initial_ratio(uint128 collateral, uint128 debt, uint256 price) public {
        collateral = uint128(bound(collateral, issuer.MIN_COLLATERAL(), WEALTH));
        debt = uint128(bound(debt, 1, type(uint128).max));
        price = bound(price, 1, type(uint128).max);
        post(price);
        Authorization memory approval = mayLock(alice, collateral);
        vm.prank(alice);
        try issuer.open(address(btc), collateral, debt, approval) {
            // collateral >= debt * price / 1e18 * 1.5, without a rounding in the debtor's favour
            vm.assertGe(uint256(collateral) * 1e18 * 100, uint256(debt) * price * 150);
        } catch (bytes memory reason) {
            vm.assertTrue(bytes4(reason) == ISynthIssuer.Undercollateralized.selector);
            vm.assertTrue(
                uint256(debt) > type(uint256).max / price / 150
                    || uint256(collateral) * 1e20 < uint256(debt) * price * 150
            );
        }
    }

    function test_open_needs_a_young_price() public {
        vm.warp(START + 1 hours);
        open(alice, REQUIRED, ONE);
        vm.warp(START + 1 hours + 1);
        openReverts(alice, REQUIRED, ONE, abi.encodeWithSelector(ISynthIssuer.StalePrice.selector, START));
        // More collateral alone needs none.
        open(alice, 1e6, 0);
        assertPosition(alice, REQUIRED + 1e6, ONE);
    }

    function test_open_needs_a_price() public {
        oracle.set(address(btc), 0);
        openReverts(alice, REQUIRED, ONE, abi.encodeWithSelector(ISynthIssuer.StalePrice.selector, START));
    }

    function test_open_needs_terms() public {
        oracle.set(address(cxpt), 1);
        Authorization memory approval = mayLock(alice, 10e6);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.NoTerms.selector, address(cxpt)));
        issuer.open(address(cxpt), 10e6, 1, approval);
    }

    function test_open_of_an_unregistered_synth_is_refused() public {
        oracle.set(address(cxpt), 1);
        issuer.configure(address(cxpt), terms(ONE));
        Authorization memory approval = mayLock(alice, 10e6);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IVault.UnknownToken.selector, address(cxpt)));
        issuer.open(address(cxpt), 10e6, 1, approval);
    }

    function test_open_leaves_no_dust() public {
        openReverts(alice, 10e6 - 1, 1, abi.encodeWithSelector(ISynthIssuer.CollateralTooSmall.selector, 10e6 - 1));
        open(alice, 10e6, 1);
        // Without debt nothing must ever be settled, so that it may be as small as it likes.
        open(bob, 1, 0);
    }

    function test_open_stops_at_the_ceiling() public {
        issuer.configure(address(btc), terms(3 * ONE));
        open(alice, 2 * REQUIRED, 2 * ONE);
        openReverts(
            bob,
            2 * REQUIRED,
            ONE + 1,
            abi.encodeWithSelector(ISynthIssuer.CeilingExceeded.selector, 3 * ONE + 1, 3 * ONE)
        );
        open(bob, REQUIRED, ONE);
        openReverts(alice, 1, 1, abi.encodeWithSelector(ISynthIssuer.CeilingExceeded.selector, 3 * ONE + 1, 3 * ONE));
        // Room comes back with what is paid back, and from nowhere else.
        close(alice, 0, 1);
        open(bob, 1e6, 1);
    }

    function test_open_uses_each_countersignature_once() public {
        Authorization memory approval = mayLock(alice, REQUIRED);
        vm.startPrank(alice);
        issuer.open(address(btc), REQUIRED, ONE, approval);
        vm.expectRevert(abi.encodeWithSelector(IVault.NonceUsed.selector, approval.nonce));
        issuer.open(address(btc), REQUIRED, ONE, approval);
        vm.stopPrank();
    }

    function test_open_with_a_matured_request() public {
        request(alice, address(usdc), REQUIRED);
        vm.warp(START + EXIT_DELAY);
        vm.prank(alice);
        issuer.open(address(btc), REQUIRED, ONE, drawOnRequest());
        assertPosition(alice, REQUIRED, ONE);
    }

    function test_open_after_a_shutdown_is_refused() public {
        open(alice, REQUIRED, ONE);
        shutDown();
        post(PRICE);
        bytes memory reason = abi.encodeWithSelector(ISynthIssuer.IsShutDown.selector, address(btc));
        openReverts(bob, REQUIRED, ONE, reason);
        openReverts(alice, 1, 0, reason);
    }

    /* PAUSE */

    function test_pause_stops_new_debt_only() public {
        open(alice, 3 * REQUIRED, ONE);
        vm.expectEmit(address(issuer));
        emit IPausable.Paused(address(this), START + 24 hours);
        issuer.pause();
        vm.assertEq(issuer.pausedUntil(), START + 24 hours);
        openReverts(alice, 0, 1, abi.encodeWithSelector(IPausable.IsPaused.selector, START + 24 hours));
        open(alice, 1e6, 0);
        close(alice, REQUIRED, 0.5e18);
        post(20 * PRICE);
        give(alice, bob, 0.1e18);
        issuer.absorb(alice, address(btc));
        vm.warp(START + 24 hours);
        post(PRICE);
        vm.warp(START + 24 hours + issuer.RESUME_GRACE());
        open(bob, REQUIRED, ONE);
    }

    /// @dev The accepted price lags behind a jump: what it lags would be minted unbacked.
    function test_open_and_close_value_debt_at_the_median_ahead() public {
        open(alice, 2 * REQUIRED, ONE);
        oracle.setMedian(address(btc), 2 * PRICE);
        openReverts(
            bob,
            2 * REQUIRED - 1,
            ONE,
            abi.encodeWithSelector(ISynthIssuer.Undercollateralized.selector, 2 * REQUIRED - 1, 2 * REQUIRED)
        );
        open(bob, 2 * REQUIRED, ONE);
        Authorization memory none;
        vm.expectRevert(
            abi.encodeWithSelector(ISynthIssuer.Undercollateralized.selector, 2 * REQUIRED - 1, 2 * REQUIRED)
        );
        vm.prank(alice);
        issuer.close(address(btc), 1, 0, none);
        oracle.setMedian(address(btc), PRICE / 2);
        openReverts(
            carol,
            REQUIRED - 1,
            ONE,
            abi.encodeWithSelector(ISynthIssuer.Undercollateralized.selector, REQUIRED - 1, REQUIRED)
        );
    }

    /// @dev While nobody may be liquidated, nobody may go into debt.
    function test_open_waits_for_the_end_of_the_grace() public {
        open(alice, 3 * REQUIRED, ONE);
        vm.warp(START + 2 hours);
        post(PRICE);
        uint256 graceUntil = START + 2 hours + issuer.RESUME_GRACE();
        openReverts(bob, REQUIRED, ONE, abi.encodeWithSelector(ISynthIssuer.PriceResumed.selector, graceUntil));
        open(alice, 1e6, 0);
        vm.warp(graceUntil);
        open(bob, REQUIRED, ONE);
    }

    function test_pause_ends_early_and_rests() public {
        issuer.pause();
        vm.warp(START + 1 hours);
        vm.expectEmit(address(issuer));
        emit IPausable.Unpaused(address(this));
        issuer.unpause();
        open(alice, REQUIRED, ONE);
        vm.expectRevert(abi.encodeWithSelector(IPausable.PauseTooSoon.selector, START + 1 hours + 7 days));
        issuer.pause();
        vm.warp(START + 1 hours + 7 days);
        issuer.pause();
    }

    function test_pause_is_the_guardians() public {
        vm.startPrank(alice);
        vm.expectRevert();
        issuer.pause();
        vm.expectRevert();
        issuer.unpause();
        vm.stopPrank();
    }

    /// @dev Nobody may liquidate it, so that its debt must be others' only.
    function test_open_is_not_for_the_insurance_account() public {
        openReverts(INSURANCE, 0, 1, abi.encodeWithSelector(ISynthIssuer.IsInsurance.selector, INSURANCE));
    }
}
