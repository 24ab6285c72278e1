// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IVault} from "../../contracts/interfaces/IVault.sol";
import {
    Authorization,
    EXIT_DELAY,
    Order,
    SETTLEMENT_WINDOW,
    SIDE_BUY,
    TIF_GTD,
    Withdrawal
} from "../../contracts/interfaces/Types.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {Fixture} from "./Fixture.sol";

/// @title No free option against matched fills
/// @dev Alice bought 10 lots at 100 off chain, at START. The market moves against her before the batch is on chain, and
/// she tries each way she has to make the fill fail. Inside SETTLEMENT_WINDOW none works; afterwards each does what it
/// was made for.
contract FreeOptionTest is Fixture {
    Order internal hers;
    Order internal his;

    function setUp() public override {
        super.setUp();
        giveUnits(alice, 1_000);
        giveLots(bob, 10);
        hers = buy(alice, 100, 10);
        his = sell(bob, 100, 10);

        createIssuer();
        oracle.set(address(btc), 1_000_000);
    }

    function assertSettles() internal {
        vm.assertEq(trade(his, hers, 10), "");
        vm.assertEq(lotsOf(alice), 10);
        vm.assertEq(units(alice), 0);
    }

    function assertRefused(uint8 reason) internal {
        uint256 before = lotsOf(bob);
        vm.assertEq(trade(his, hers, 10), refusal(0, reason));
        vm.assertEq(lotsOf(bob), before);
    }

    /* (a) A WITHDRAWAL */

    function test_free_option_withdrawal_request() public {
        request(alice, address(usdc), 1_000);
        // Not even at the last moment before maturity, long after the window.
        vm.warp(START + EXIT_DELAY - 1);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IVault.RequestNotMatured.selector, START + EXIT_DELAY));
        vault.withdraw(1_000, false);
        assertSettles();
        // The request then finds nothing.
        vm.warp(START + EXIT_DELAY);
        vm.expectRevert(IVault.ZeroAmount.selector);
        vault.completeWithdrawal(alice, address(usdc));
    }

    function test_free_option_withdrawal_request_made_before_the_match() public {
        // An earlier request matures right after the match: the engine took it out of tradable on sight, 15 minutes
        // ago.
        request(alice, address(usdc), 1_000);
        vm.warp(START + EXIT_DELAY);
        assertRefused(0x81);
        vault.completeWithdrawal(alice, address(usdc));
        vm.assertEq(usdc.balanceOf(alice), 1_000);
    }

    function test_free_option_withdrawal_as_cxpt() public {
        request(alice, address(usdc), 1_000);
        vm.warp(START + SETTLEMENT_WINDOW);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IVault.RequestNotMatured.selector, START + EXIT_DELAY));
        vault.withdraw(1_000, true);
        assertSettles();
    }

    function test_free_option_instant_withdrawal_needs_the_countersignature() public {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 1_000, 1);
        bytes32 purpose = purposeOf(withdrawal);
        Authorization memory own = approveBy(aliceKey, alice, address(usdc), 1_000, purpose, 1, START + 1 days);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IVault.InvalidSigner.selector, alice));
        vault.withdrawApproved(withdrawal, "", own);
        assertSettles();
    }

    /* (b) A CANCEL */

    function test_free_option_cancel() public {
        vm.prank(alice);
        settlement.cancel(hers.nonce);
        vm.warp(START + SETTLEMENT_WINDOW - 1);
        assertSettles();
    }

    function test_free_option_cancel_binds_after_the_window() public {
        vm.prank(alice);
        settlement.cancel(hers.nonce);
        vm.warp(START + SETTLEMENT_WINDOW);
        assertRefused(0x82);
    }

    function test_free_option_cancel_all() public {
        vm.prank(alice);
        settlement.cancelAll(type(uint48).max);
        vm.warp(START + SETTLEMENT_WINDOW - 1);
        assertSettles();
    }

    function test_free_option_cancel_all_binds_after_the_window() public {
        vm.prank(alice);
        settlement.cancelAll(type(uint48).max);
        vm.warp(START + SETTLEMENT_WINDOW);
        assertRefused(0x82);
    }

    function test_free_option_cancel_of_an_immediate_order() public {
        hers = immediate(alice, SIDE_BUY, 100, 10, 1);
        vm.startPrank(alice);
        settlement.cancel(hers.nonce);
        settlement.cancelAll(2);
        vm.stopPrank();
        vm.warp(START + SETTLEMENT_WINDOW - 1);
        assertSettles();
    }

    function test_free_option_replacing_needs_a_fill_of_the_new_order() public {
        // A newer order in her slot kills the old one only when the operator settles it, in match order.
        Order memory newer = resting(alice, SIDE_BUY, 100, 10, nonceOf(1, 2));
        uint16 maker = add(his);
        match_(maker, add(hers), 5);
        match_(maker, add(newer), 5);
        vm.assertEq(settle(), "");
        vm.assertEq(lotsOf(alice), 10);
    }

    /* (c) COLLATERAL */

    function test_free_option_lock_collateral() public {
        vm.startPrank(alice);
        vm.expectRevert(IVault.NoRequest.selector);
        issuer.open(address(btc), 1_000, 0, drawOnRequest());
        vault.requestWithdrawal(address(usdc), 1_000, alice);
        vm.expectRevert(abi.encodeWithSelector(IVault.RequestNotMatured.selector, START + EXIT_DELAY));
        issuer.open(address(btc), 1_000, 0, drawOnRequest());
        vm.stopPrank();

        Authorization memory own =
            approveBy(aliceKey, alice, address(usdc), 1_000, VaultMessages.PURPOSE_LOCK, 1, START + 1 days);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IVault.InvalidSigner.selector, alice));
        issuer.open(address(btc), 1_000, 0, own);
        vm.warp(START + SETTLEMENT_WINDOW);
        assertSettles();
    }

    function test_free_option_lock_collateral_with_a_matured_request() public {
        request(alice, address(usdc), 1_000);
        vm.warp(START + EXIT_DELAY);
        vm.prank(alice);
        issuer.open(address(btc), 1_000, 0, drawOnRequest());
        assertRefused(0x81);
        vm.assertEq(vault.totalsOf(address(usdc)).locked, 1_000);
    }

    /* (d) EXPIRY */

    function test_free_option_expiry() public {
        hers.timeInForce = TIF_GTD;
        hers.expiry = uint40(START + 1);
        vm.warp(START + 1 + SETTLEMENT_WINDOW - 1);
        assertSettles();
    }

    function test_free_option_expiry_binds_after_the_window() public {
        hers.timeInForce = TIF_GTD;
        hers.expiry = uint40(START + 1);
        vm.warp(START + 1 + SETTLEMENT_WINDOW);
        assertRefused(0x83);
    }

    /* (e) BURNING WHAT WAS SOLD */

    function test_free_option_burn_synth() public {
        // Bob is the one who wants out: he pays back a debt with the lots that he sold.
        openDebt(bob, 10 * BASE_PER_LOT);
        vm.startPrank(bob);
        vm.expectRevert(IVault.NoRequest.selector);
        issuer.close(address(btc), 0, uint128(10 * BASE_PER_LOT), drawOnRequest());
        vault.requestWithdrawal(address(btc), uint128(20 * BASE_PER_LOT), bob);
        vm.expectRevert(abi.encodeWithSelector(IVault.RequestNotMatured.selector, START + EXIT_DELAY));
        issuer.close(address(btc), 0, uint128(10 * BASE_PER_LOT), drawOnRequest());
        vm.stopPrank();
        vm.warp(START + SETTLEMENT_WINDOW);
        assertSettles();
    }

    function test_free_option_burn_synth_with_a_matured_request() public {
        openDebt(bob, 10 * BASE_PER_LOT);
        request(bob, address(btc), uint128(20 * BASE_PER_LOT));
        vm.warp(START + EXIT_DELAY);
        vm.prank(bob);
        issuer.close(address(btc), 0, uint128(10 * BASE_PER_LOT), drawOnRequest());
        assertRefused(1);
    }

    function test_free_option_withdraw_synth() public {
        request(bob, address(btc), uint128(10 * BASE_PER_LOT));
        vm.warp(START + EXIT_DELAY - 1);
        vm.expectRevert(abi.encodeWithSelector(IVault.RequestNotMatured.selector, START + EXIT_DELAY));
        vault.completeWithdrawal(bob, address(btc));
        assertSettles();
    }

    /// @dev An account with collateral, ready to owe `debt`.
    function openDebt(address account, uint256 debt) internal {
        giveUnits(account, 10_000_000);
        Authorization memory approval = approve(account, address(usdc), 10_000_000, VaultMessages.PURPOSE_LOCK);
        vm.prank(account);
        issuer.open(address(btc), 10_000_000, uint128(debt), approval);
        vm.assertEq(lotsOf(account), 20);
        // The ten lots beyond the sale are gone, so that the burn would take what was sold.
        uint256 atoms = 10 * BASE_PER_LOT;
        vault.burnSynth(address(btc), account, atoms, approve(account, address(btc), atoms, VaultMessages.PURPOSE_BURN));
    }
}
