// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {Authorization, EXIT_DELAY} from "../../contracts/interfaces/Types.sol";
import {Debtors} from "./Debtors.sol";

/// @title SynthIssuer.close, and the list of positions
contract SynthIssuerCloseTest is Debtors {
    function test_close() public {
        open(alice, 2 * REQUIRED, 2 * ONE);
        Authorization memory approval = mayBurn(alice, ONE);
        vm.expectEmit(address(issuer));
        emit ISynthIssuer.PositionChanged(alice, address(btc), REQUIRED, ONE);
        vm.prank(alice);
        issuer.close(address(btc), REQUIRED, ONE, approval);
        assertPosition(alice, REQUIRED, ONE);
        // All of it needs no price.
        vm.warp(START + 1 weeks);
        close(alice, REQUIRED, ONE);
        assertPosition(alice, 0, 0);
        vm.assertEq(units(alice), WEALTH);
        vm.assertEq(btc.totalSupply(), 0);
        vm.assertEq(vault.totalsOf(address(usdc)).locked, 0);
    }

    function test_close_keeps_the_initial_ratio() public {
        open(alice, 2 * REQUIRED, 2 * ONE);
        closeReverts(
            alice,
            REQUIRED + 1,
            ONE,
            abi.encodeWithSelector(ISynthIssuer.Undercollateralized.selector, REQUIRED - 1, REQUIRED)
        );
        closeReverts(alice, 2 * REQUIRED + 1, 0, abi.encodeWithSelector(ISynthIssuer.ExceedsPosition.selector));
        closeReverts(alice, 0, 2 * ONE + 1, abi.encodeWithSelector(ISynthIssuer.ExceedsPosition.selector));
    }

    function test_close_with_a_stale_price_lets_no_collateral_out() public {
        open(alice, 2 * REQUIRED, ONE);
        vm.warp(START + 1 hours + 1);
        closeReverts(alice, 1, 0, abi.encodeWithSelector(ISynthIssuer.StalePrice.selector, START));
    }

    function test_close_leaves_no_dust() public {
        open(alice, 20e6, 1);
        closeReverts(alice, 10e6 + 1, 0, abi.encodeWithSelector(ISynthIssuer.CollateralTooSmall.selector, 10e6 - 1));
        close(alice, 10e6, 0);
        close(alice, 10e6, 1);
        assertPosition(alice, 0, 0);
    }

    function test_close_pays_back_below_the_ratio_and_without_a_price() public {
        open(alice, REQUIRED, ONE);
        post(PRICE * 2);
        vm.warp(START + 1 days);
        close(alice, 0, 0.5e18);
        assertPosition(alice, REQUIRED, 0.5e18);
    }

    function test_close_without_the_operator() public {
        open(alice, REQUIRED, ONE);
        request(alice, address(btc), ONE);
        vm.warp(START + EXIT_DELAY);
        vm.prank(alice);
        issuer.close(address(btc), REQUIRED, ONE, drawOnRequest());
        vm.assertEq(units(alice), WEALTH);
    }

    function test_close_after_a_shutdown_is_for_those_without_debt() public {
        open(alice, 10 * REQUIRED, ONE);
        open(bob, 7, 0);
        shutDown();
        // A price of today that is lower than the shutdown's must not let alice leave the holders less.
        post(PRICE / 100);
        bytes memory reason = abi.encodeWithSelector(ISynthIssuer.IsShutDown.selector, address(btc));
        closeReverts(alice, REQUIRED, 0, reason);
        closeReverts(alice, 0, ONE, reason);
        close(bob, 7, 0);
        vm.assertEq(units(bob), WEALTH);
    }

    function test_positions_are_listed() public {
        open(alice, REQUIRED, ONE);
        open(bob, 5, 0);
        vm.assertEq(issuer.positionCount(address(btc)), 2);
        (address[] memory accounts, ISynthIssuer.Position[] memory positions) =
            issuer.positionsOf(address(btc), 0, type(uint256).max);
        vm.assertEq(accounts.length, 2);
        vm.assertEq(accounts[0], alice);
        vm.assertEq(positions[0].debt, ONE);
        vm.assertEq(positions[1].collateral, 5);
        (accounts,) = issuer.positionsOf(address(btc), 1, 1);
        vm.assertEq(accounts[0], bob);
        (accounts,) = issuer.positionsOf(address(btc), 2, 1);
        vm.assertEq(accounts.length, 0);
        close(alice, REQUIRED, ONE);
        vm.assertEq(issuer.positionCount(address(btc)), 1);
    }
}
