// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {Debtors} from "./Debtors.sol";

/// @title SynthIssuer.absorb
contract SynthIssuerAbsorbTest is Debtors {
    function setUp() public override {
        super.setUp();
        open(alice, REQUIRED, ONE);
    }

    function test_absorb_moves_collateral_and_debt() public {
        post(uint256(REQUIRED) + 1);
        vm.expectEmit(address(issuer));
        emit ISynthIssuer.PositionChanged(alice, address(btc), 0, 0);
        vm.expectEmit(address(issuer));
        emit ISynthIssuer.PositionChanged(INSURANCE, address(btc), REQUIRED, ONE);
        vm.expectEmit(address(issuer));
        emit ISynthIssuer.Absorbed(alice, address(btc), REQUIRED, ONE);
        vm.prank(carol);
        issuer.absorb(alice, address(btc));
        assertPosition(alice, 0, 0);
        assertPosition(INSURANCE, REQUIRED, ONE);
        vm.assertEq(issuer.debtOf(address(btc)), ONE);
        vm.assertEq(issuer.positionCount(address(btc)), 1);
        // The synth is still alice's: the debt is no longer.
        vm.assertEq(atoms(alice), ONE);
        vm.assertEq(vault.totalsOf(address(usdc)).locked, REQUIRED);
    }

    function test_absorb_adds_up() public {
        open(bob, REQUIRED + 5, ONE);
        post(2 * uint256(REQUIRED));
        issuer.absorb(alice, address(btc));
        issuer.absorb(bob, address(btc));
        assertPosition(INSURANCE, 2 * REQUIRED + 5, 2 * ONE);
        vm.assertEq(issuer.debtOf(address(btc)), btc.totalSupply());
    }

    function test_absorb_nobody_whose_collateral_is_worth_the_debt() public {
        post(REQUIRED);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.NotUnderWater.selector, REQUIRED, REQUIRED));
        issuer.absorb(alice, address(btc));
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.NotUnderWater.selector, 0, 0));
        issuer.absorb(bob, address(btc));
    }

    function test_absorb_refuses_stale_and_freshly_resumed_prices() public {
        vm.warp(START + 1 hours + 1);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.StalePrice.selector, START));
        issuer.absorb(alice, address(btc));
        post(2 * uint256(REQUIRED));
        uint256 until = START + 1 hours + 1 + 20 minutes;
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.PriceResumed.selector, until));
        issuer.absorb(alice, address(btc));
        vm.warp(until);
        issuer.absorb(alice, address(btc));
    }

    function test_absorb_neither_insurance_nor_after_a_shutdown() public {
        post(2 * uint256(REQUIRED));
        issuer.absorb(alice, address(btc));
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.IsInsurance.selector, INSURANCE));
        issuer.absorb(INSURANCE, address(btc));
        shutDown();
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.IsShutDown.selector, address(btc)));
        issuer.absorb(alice, address(btc));
    }

    function test_insurance_pays_back_like_anybody() public {
        post(2 * uint256(REQUIRED));
        issuer.absorb(alice, address(btc));
        give(alice, INSURANCE, ONE);
        close(INSURANCE, REQUIRED, ONE);
        assertPosition(INSURANCE, 0, 0);
        vm.assertEq(units(INSURANCE), REQUIRED);
    }
}
