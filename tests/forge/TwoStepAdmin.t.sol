// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {ITwoStepAdmin} from "../../contracts/interfaces/ITwoStepAdmin.sol";
import {MIN_UPGRADE_DELAY} from "../../contracts/interfaces/Types.sol";
import {OrderbookCommitment} from "../../contracts/OrderbookCommitment.sol";
import {PriceOracle} from "../../contracts/PriceOracle.sol";
import {SynthFactory} from "../../contracts/SynthFactory.sol";
import {SynthIssuer} from "../../contracts/SynthIssuer.sol";
import {Timelock} from "../../contracts/Timelock.sol";
import {TwoStepAdmin} from "../../contracts/TwoStepAdmin.sol";
import {Fixture} from "./Fixture.sol";

/// @title The admin of every contract but the Vault, Settlement and CXPT changes by offer and acceptance only
contract TwoStepAdminTest is Fixture {
    bytes32 internal constant ADMIN = 0;

    Timelock internal timelock;
    TwoStepAdmin[4] internal all;

    function setUp() public override {
        super.setUp();
        address[] memory self = new address[](1);
        self[0] = address(this);
        timelock = new Timelock(MIN_UPGRADE_DELAY, self, self, address(0));
        PriceOracle prices = new PriceOracle(address(this));
        all = [
            TwoStepAdmin(prices),
            new SynthIssuer(address(this), address(vault), address(prices)),
            new SynthFactory(address(this), synthFactory.IMPLEMENTATION()),
            new OrderbookCommitment(address(this))
        ];
    }

    function assertAdmin(TwoStepAdmin target, address admin) internal view {
        vm.assertEq(target.admin(), admin);
        vm.assertEq(target.offeredTo(), address(0));
        vm.assertTrue(target.hasRole(ADMIN, admin));
    }

    /// @dev Within one transaction after the offer, without the day that a proposal takes.
    function test_the_timelock_accepts_at_once_and_the_deployer_is_nothing() public {
        for (uint256 i; i < all.length; ++i) {
            assertAdmin(all[i], address(this));
            vm.expectEmit(address(all[i]));
            emit ITwoStepAdmin.AdminOffered(address(this), address(timelock));
            all[i].offerAdmin(address(timelock));
            // Nothing has moved yet.
            vm.assertTrue(all[i].hasRole(ADMIN, address(this)));
            vm.assertFalse(all[i].hasRole(ADMIN, address(timelock)));

            vm.prank(carol);
            timelock.acceptAdminOf(all[i]);
            assertAdmin(all[i], address(timelock));
            vm.assertFalse(all[i].hasRole(ADMIN, address(this)));
            vm.expectRevert(
                abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, address(this), ADMIN)
            );
            all[i].offerAdmin(address(this));
        }
    }

    function test_there_is_no_third_way() public {
        for (uint256 i; i < all.length; ++i) {
            vm.expectRevert(ITwoStepAdmin.AdminMovesInTwoSteps.selector);
            all[i].grantRole(ADMIN, alice);
            vm.expectRevert(ITwoStepAdmin.AdminMovesInTwoSteps.selector);
            all[i].revokeRole(ADMIN, address(this));
            vm.expectRevert(ITwoStepAdmin.AdminMovesInTwoSteps.selector);
            all[i].renounceRole(ADMIN, address(this));
            assertAdmin(all[i], address(this));
        }
    }

    function test_only_to_whom_it_was_offered_last() public {
        TwoStepAdmin target = all[0];
        bytes memory notAlice = abi.encodeWithSelector(ITwoStepAdmin.NotOffered.selector, alice);
        vm.prank(alice);
        vm.expectRevert(notAlice);
        target.acceptAdmin();
        target.offerAdmin(alice);
        target.offerAdmin(bob);
        vm.prank(alice);
        vm.expectRevert(notAlice);
        target.acceptAdmin();
        target.offerAdmin(address(0));
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(ITwoStepAdmin.NotOffered.selector, bob));
        target.acceptAdmin();
        assertAdmin(target, address(this));
        // To a timelock to which nothing was offered nobody can give anything.
        vm.expectRevert(abi.encodeWithSelector(ITwoStepAdmin.NotOffered.selector, address(timelock)));
        timelock.acceptAdminOf(target);
    }

    function test_an_offer_to_oneself_changes_nothing() public {
        all[0].offerAdmin(address(this));
        all[0].acceptAdmin();
        assertAdmin(all[0], address(this));
    }

    function test_an_acceptance_holds_once() public {
        TwoStepAdmin target = all[0];
        target.offerAdmin(alice);
        vm.startPrank(alice);
        target.acceptAdmin();
        target.offerAdmin(bob);
        vm.stopPrank();
        vm.prank(bob);
        target.acceptAdmin();
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ITwoStepAdmin.NotOffered.selector, alice));
        target.acceptAdmin();
        assertAdmin(target, bob);
        vm.assertFalse(target.hasRole(ADMIN, alice));
    }

    function test_no_contract_without_an_admin() public {
        vm.expectRevert(abi.encodeWithSelector(ITwoStepAdmin.NotOffered.selector, address(0)));
        new PriceOracle(address(0));
    }

    /// @dev The posters' list follows the role still.
    function test_other_roles_are_as_they_were() public {
        PriceOracle prices = PriceOracle(address(all[0]));
        bytes32 role = prices.POSTER_ROLE();
        prices.grantRole(role, alice);
        prices.grantRole(role, bob);
        vm.assertEq(prices.posters().length, 2);
        // A poster whose key is lost or stolen leaves at once, without the timelock.
        vm.prank(alice);
        prices.renounceRole(role, alice);
        vm.assertEq(prices.posters().length, 1);
        vm.assertEq(prices.posters()[0], bob);
        prices.revokeRole(role, bob);
        vm.assertEq(prices.posters().length, 0);
    }
}
