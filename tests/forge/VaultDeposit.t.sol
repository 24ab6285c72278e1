// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Fixture} from "./Fixture.sol";

/// @title Ways in
contract VaultDepositTest is Fixture {
    bytes32 internal constant PERMIT_TYPE_HASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    function endow(address account, uint256 atoms) internal {
        usdc.mint(account, atoms);
        vm.prank(account);
        usdc.approve(address(vault), type(uint256).max);
    }

    function permit(uint256 key, uint256 atoms, uint256 deadline)
        internal
        view
        returns (uint8 v, bytes32 r, bytes32 s)
    {
        address owner = vm.addr(key);
        bytes32 hash =
            keccak256(abi.encode(PERMIT_TYPE_HASH, owner, address(vault), atoms, usdc.nonces(owner), deadline));
        return vm.sign(key, digestOf(usdc.DOMAIN_SEPARATOR(), hash));
    }

    function testFuzz_deposit(uint88 atoms) public {
        atoms = uint88(bound(atoms, 1, type(uint88).max));
        endow(alice, atoms);
        vm.expectEmit(address(vault));
        emit IVault.Deposited(vault.sequence() + 1, alice, address(usdc), atoms, atoms);
        vm.prank(alice);
        vault.deposit(atoms);

        vm.assertEq(units(alice), atoms);
        vm.assertEq(usdc.balanceOf(address(vault)), atoms);
        vm.assertEq(vault.totalsOf(address(usdc)).deposits, atoms);
        vm.assertEq(vault.totalsOf(address(usdc)).internalTotal, atoms);
    }

    function test_deposit_again_adds_up() public {
        endow(alice, 100);
        vm.startPrank(alice);
        vault.deposit(40);
        vm.expectEmit(address(vault));
        emit IVault.Deposited(vault.sequence() + 1, alice, address(usdc), 60, 100);
        vault.deposit(60);
        vm.stopPrank();
    }

    function test_deposit_refuses_nothing_and_what_is_not_there() public {
        vm.expectRevert(IVault.ZeroAmount.selector);
        vault.deposit(0);
        vm.prank(alice);
        vm.expectRevert();
        vault.deposit(1);
    }

    function test_deposit_refuses_what_does_not_fit() public {
        endow(alice, type(uint256).max);
        vm.prank(alice);
        vm.expectRevert();
        vault.deposit(uint256(type(uint88).max) + 1);
    }

    function test_depositFor_credits_another() public {
        endow(alice, 100);
        vm.expectEmit(address(vault));
        emit IVault.Deposited(vault.sequence() + 1, bob, address(usdc), 100, 100);
        vm.prank(alice);
        vault.depositFor(bob, 100);
        vm.assertEq(units(bob), 100);
        vm.assertEq(units(alice), 0);

        vm.expectRevert(IVault.ZeroAddress.selector);
        vault.depositFor(address(0), 1);
        vm.expectRevert(IVault.ZeroAmount.selector);
        vault.depositFor(bob, 0);
    }

    function test_depositWithPermit_sent_by_anyone() public {
        usdc.mint(alice, 100);
        (uint8 v, bytes32 r, bytes32 s) = permit(aliceKey, 100, START);
        vm.expectEmit(address(vault));
        emit IVault.Deposited(vault.sequence() + 1, alice, address(usdc), 100, 100);
        vm.prank(carol);
        vault.depositWithPermit(alice, 100, START, v, r, s);
        vm.assertEq(units(alice), 100);
    }

    function test_depositWithPermit_survives_a_front_run() public {
        usdc.mint(alice, 100);
        (uint8 v, bytes32 r, bytes32 s) = permit(aliceKey, 100, START);
        usdc.permit(alice, address(vault), 100, START, v, r, s);
        vault.depositWithPermit(alice, 100, START, v, r, s);
        vm.assertEq(units(alice), 100);
    }

    function test_depositWithPermit_needs_the_owner() public {
        usdc.mint(alice, 100);
        (uint8 v, bytes32 r, bytes32 s) = permit(bobKey, 100, START);
        vm.expectRevert();
        vault.depositWithPermit(alice, 100, START, v, r, s);
        (v, r, s) = permit(aliceKey, 100, START - 1);
        vm.expectRevert();
        vault.depositWithPermit(alice, 100, START - 1, v, r, s);
    }

    function test_depositSynth() public {
        giveLots(alice, 5);
        request(alice, address(btc), uint128(5 * BASE_PER_LOT));
        vm.warp(START + 1 days);
        vault.completeWithdrawal(alice, address(btc));
        vm.assertEq(btc.balanceOf(alice), 5 * BASE_PER_LOT);

        vm.startPrank(alice);
        btc.approve(address(vault), type(uint256).max);
        vm.expectEmit(address(vault));
        emit IVault.Deposited(vault.sequence() + 1, alice, address(btc), 2 * BASE_PER_LOT, 2 * BASE_PER_LOT);
        vault.depositSynth(address(btc), 2 * BASE_PER_LOT);
        vm.stopPrank();
        vm.assertEq(lotsOf(alice), 2);
        vm.assertEq(btc.balanceOf(address(vault)), 2 * BASE_PER_LOT);
        vm.assertEq(btc.totalSupply(), 5 * BASE_PER_LOT);

        vm.expectRevert(IVault.ZeroAmount.selector);
        vault.depositSynth(address(btc), 0);
        vm.expectRevert(abi.encodeWithSelector(IVault.UnknownToken.selector, address(usdc)));
        vault.depositSynth(address(usdc), 1);
        vm.expectRevert(abi.encodeWithSelector(IVault.UnknownToken.selector, address(cxpt)));
        vault.depositSynth(address(cxpt), 1);
    }
}
