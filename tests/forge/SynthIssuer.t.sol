// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Authorization, EXIT_DELAY} from "../../contracts/interfaces/Types.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {Fixture} from "./Fixture.sol";

/// @title Debt positions
contract SynthIssuerTest is Fixture {
    /// @dev 60,000 USDC for one tBTC.
    uint256 internal constant PRICE = 60_000e6;

    function setUp() public override {
        super.setUp();
        createIssuer();
        vault.revokeRole(vault.CORE_ROLE(), address(this));
        oracle.set(address(btc), PRICE);
        giveUnits(alice, 1_000_000e6);
    }

    function lockApproval(uint256 amount) internal returns (Authorization memory) {
        return approve(alice, address(usdc), amount, VaultMessages.PURPOSE_LOCK);
    }

    function burnApproval(uint256 amount) internal returns (Authorization memory) {
        return approve(alice, address(btc), amount, VaultMessages.PURPOSE_BURN);
    }

    function open(uint128 collateral, uint128 debt) internal {
        Authorization memory approval = lockApproval(collateral);
        vm.prank(alice);
        issuer.open(address(btc), collateral, debt, approval);
    }

    function close(uint128 collateral, uint128 debt) internal {
        Authorization memory approval = burnApproval(debt);
        vm.prank(alice);
        issuer.close(address(btc), collateral, debt, approval);
    }

    function assertPosition(uint256 collateral, uint256 debt) internal view {
        ISynthIssuer.Position memory position = issuer.positionOf(alice, address(btc));
        vm.assertEq(position.collateral, collateral);
        vm.assertEq(position.debt, debt);
        vm.assertEq(btc.totalSupply(), debt);
        vm.assertEq(vault.totalsOf(address(usdc)).locked, collateral);
    }

    function test_open() public {
        Authorization memory approval = lockApproval(90_000e6);
        vm.expectEmit(address(issuer));
        emit ISynthIssuer.PositionChanged(alice, address(btc), 90_000e6, 1e18);
        vm.prank(alice);
        issuer.open(address(btc), 90_000e6, 1e18, approval);
        assertPosition(90_000e6, 1e18);
        vm.assertEq(units(alice), 910_000e6);
        vm.assertEq(vault.balanceOf(alice, address(btc)), 1e18);
    }

    function test_open_refuses_too_little_collateral() public {
        Authorization memory approval = lockApproval(90_000e6 - 1);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.Undercollateralized.selector, 90_000e6 - 1, 90_000e6));
        issuer.open(address(btc), 90_000e6 - 1, 1e18, approval);
    }

    function testFuzz_open_is_never_below_the_initial_ratio(uint128 collateral, uint128 debt, uint256 price) public {
        collateral = uint128(bound(collateral, 10e6, 1_000_000e6));
        debt = uint128(bound(debt, 1, type(uint128).max));
        price = bound(price, 1, type(uint128).max);
        oracle.set(address(btc), price);
        Authorization memory approval = lockApproval(collateral);
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
        open(90_000e6, 1e18);
        vm.warp(START + 1 hours + 1);
        Authorization memory approval = lockApproval(90_000e6);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.StalePrice.selector, START));
        issuer.open(address(btc), 90_000e6, 1e18, approval);
        // More collateral alone needs none.
        open(1e6, 0);
        assertPosition(90_001e6, 1e18);
    }

    function test_open_of_an_unregistered_synth_is_refused() public {
        oracle.set(address(cxpt), 1);
        issuer.configure(address(cxpt), ISynthIssuer.Terms(type(uint128).max, 150, 120, 10));
        Authorization memory approval = lockApproval(10e6);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IVault.UnknownToken.selector, address(cxpt)));
        issuer.open(address(cxpt), 10e6, 1, approval);
    }

    function test_open_uses_each_countersignature_once() public {
        Authorization memory approval = lockApproval(90_000e6);
        vm.startPrank(alice);
        issuer.open(address(btc), 90_000e6, 1e18, approval);
        vm.expectRevert(abi.encodeWithSelector(IVault.NonceUsed.selector, approval.nonce));
        issuer.open(address(btc), 90_000e6, 1e18, approval);
        vm.stopPrank();
    }

    function test_open_with_a_matured_request() public {
        request(alice, address(usdc), 90_000e6);
        vm.warp(START + EXIT_DELAY);
        vm.prank(alice);
        issuer.open(address(btc), 90_000e6, 1e18, drawOnRequest());
        assertPosition(90_000e6, 1e18);
    }

    function test_close() public {
        open(180_000e6, 2e18);
        Authorization memory approval = burnApproval(1e18);
        vm.expectEmit(address(issuer));
        emit ISynthIssuer.PositionChanged(alice, address(btc), 90_000e6, 1e18);
        vm.prank(alice);
        issuer.close(address(btc), 90_000e6, 1e18, approval);
        assertPosition(90_000e6, 1e18);
        // All of it needs no price.
        vm.warp(START + 1 weeks);
        close(90_000e6, 1e18);
        assertPosition(0, 0);
        vm.assertEq(units(alice), 1_000_000e6);
    }

    function test_close_keeps_the_initial_ratio() public {
        open(180_000e6, 2e18);
        Authorization memory approval = burnApproval(1e18);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.Undercollateralized.selector, 90_000e6 - 1, 90_000e6));
        issuer.close(address(btc), 90_000e6 + 1, 1e18, approval);
        vm.expectRevert(ISynthIssuer.ExceedsPosition.selector);
        issuer.close(address(btc), 180_000e6 + 1, 0, approval);
        vm.expectRevert(ISynthIssuer.ExceedsPosition.selector);
        issuer.close(address(btc), 0, 2e18 + 1, approval);
        vm.stopPrank();
    }

    function test_close_pays_back_below_the_ratio_and_without_a_price() public {
        open(90_000e6, 1e18);
        oracle.set(address(btc), PRICE * 2);
        vm.warp(START + 1 days);
        close(0, 0.5e18);
        assertPosition(90_000e6, 0.5e18);
    }
}
