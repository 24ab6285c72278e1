// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {Debtors} from "./Debtors.sol";

/// @title SynthIssuer.configure
contract SynthIssuerTermsTest is Debtors {
    address internal constant OTHER = address(0x07E2);
    address internal constant LISTER = address(0x1157);

    function setUp() public override {
        super.setUp();
        issuer.grantRole(issuer.LISTER_ROLE(), LISTER);
    }

    function set(uint16 initial, uint16 maintenance, uint16 bonus) internal {
        issuer.configure(address(btc), ISynthIssuer.Terms(1, initial, maintenance, bonus));
    }

    function setReverts(uint16 initial, uint16 maintenance, uint16 bonus) internal {
        vm.expectRevert(ISynthIssuer.MalformedTerms.selector);
        set(initial, maintenance, bonus);
    }

    function refused(address account, bytes32 role) internal {
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, account, role));
        issuer.configure(address(OTHER), terms(1));
    }

    function test_configure_once_by_the_lister_then_by_the_admin() public {
        issuer.revokeRole(issuer.LISTER_ROLE(), address(this));
        refused(address(this), issuer.LISTER_ROLE());
        vm.expectEmit(address(issuer));
        emit ISynthIssuer.TermsConfigured(OTHER, 1, 150, 120, 10);
        vm.prank(LISTER);
        issuer.configure(OTHER, terms(1));
        vm.assertEq(issuer.termsOf(OTHER).ceiling, 1);
        bytes32 admin = issuer.DEFAULT_ADMIN_ROLE();
        vm.prank(LISTER);
        refused(LISTER, admin);
        issuer.configure(OTHER, terms(2));
        vm.assertEq(issuer.termsOf(OTHER).ceiling, 2);
        vm.prank(alice);
        refused(alice, admin);
    }

    function test_configure_within_bounds() public {
        set(111, 110, 1);
        set(1000, 999, 898);
        setReverts(110, 109, 1);
        setReverts(110, 110, 1);
        setReverts(1001, 120, 1);
        setReverts(150, 120, 0);
        setReverts(150, 120, 20);
        setReverts(150, 120, type(uint16).max);
        set(150, 120, 19);
    }

    function testFuzz_configure_keeps_the_order(uint16 initial, uint16 maintenance, uint16 bonus) public {
        bool isFine = maintenance >= 110 && maintenance < initial && initial <= 1000 && bonus > 0
            && uint256(bonus) + 100 < maintenance;
        if (isFine) set(initial, maintenance, bonus);
        else setReverts(initial, maintenance, bonus);
    }
}
