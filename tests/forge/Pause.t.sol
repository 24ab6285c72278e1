// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IPausable} from "../../contracts/interfaces/IPausable.sol";
import {EXIT_DELAY, Withdrawal} from "../../contracts/interfaces/Types.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {PAUSE_MAX, PAUSE_REST} from "../../contracts/libraries/PauseRules.sol";
import {Pool} from "./Pool.sol";
import {Batch} from "./ReadableSettlement.sol";

/// @title A guardian stops what comes in and what is settled, for a day at most, and never what goes out
contract PauseTest is Pool {
    address internal constant GUARDIAN = address(0x60A2D);

    function setUp() public override {
        super.setUp();
        vault.grantRole(vault.GUARDIAN_ROLE(), GUARDIAN);
        settlement.grantRole(settlement.GUARDIAN_ROLE(), GUARDIAN);
        giveUnits(alice, 2_000_000);
        giveLots(alice, 10);
        giveLots(bob, 10);
    }

    function both() internal view returns (IPausable[2] memory) {
        return [IPausable(address(vault)), IPausable(address(settlement))];
    }

    function pauseBoth() internal {
        vm.startPrank(GUARDIAN);
        vault.pause();
        settlement.pause();
        vm.stopPrank();
    }

    function expectPaused() internal {
        vm.expectRevert(abi.encodeWithSelector(IPausable.IsPaused.selector, START + PAUSE_MAX));
    }

    /* THE RULES, IN BOTH CONTRACTS */

    function test_a_pause_is_a_day_and_the_next_comes_a_week_later() public {
        vm.assertEq(PAUSE_MAX, 24 hours);
        vm.assertEq(PAUSE_REST, 7 days);
        for (uint256 i; i < 2; ++i) {
            vm.warp(START);
            IPausable paused = both()[i];
            vm.assertEq(paused.pausedUntil(), 0);
            vm.startPrank(GUARDIAN);
            vm.expectEmit(address(paused));
            emit IPausable.Paused(GUARDIAN, START + 24 hours);
            paused.pause();
            vm.assertEq(paused.pausedUntil(), START + 24 hours);

            bytes memory tooSoon = abi.encodeWithSelector(IPausable.PauseTooSoon.selector, START + 8 days);
            vm.expectRevert(tooSoon);
            paused.pause(); // not while it lasts
            vm.warp(START + 8 days - 1);
            vm.expectRevert(tooSoon);
            paused.pause();
            vm.warp(START + 8 days);
            paused.pause();
            vm.assertEq(paused.pausedUntil(), START + 9 days);
            vm.stopPrank();
        }
    }

    function test_a_pause_that_is_ended_counts_from_its_end() public {
        for (uint256 i; i < 2; ++i) {
            vm.warp(START);
            IPausable paused = both()[i];
            vm.startPrank(GUARDIAN);
            paused.pause();
            vm.warp(START + 1 hours);
            vm.expectEmit(address(paused));
            emit IPausable.Unpaused(GUARDIAN);
            paused.unpause();
            vm.assertEq(paused.pausedUntil(), START + 1 hours);

            vm.expectRevert(abi.encodeWithSelector(IPausable.PauseTooSoon.selector, START + 1 hours + 7 days));
            paused.pause();
            vm.warp(START + 2 days);
            paused.unpause(); // what has ended stays as it ended
            vm.assertEq(paused.pausedUntil(), START + 1 hours);
            vm.warp(START + 1 hours + 7 days);
            paused.pause();
            vm.stopPrank();
        }
    }

    function test_only_a_guardian_pauses_and_ends_a_pause() public {
        bytes32 role = keccak256("GUARDIAN_ROLE");
        for (uint256 i; i < 2; ++i) {
            IPausable paused = both()[i];
            // Not even who grants the roles.
            bytes memory reason =
                abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, address(this), role);
            vm.expectRevert(reason);
            paused.pause();
            vm.expectRevert(reason);
            paused.unpause();
        }
    }

    /* THE VAULT: DEPOSITS */

    function test_no_deposits_until_the_pause_ends_by_itself() public {
        pauseBoth();
        usdc.mint(address(this), 100);
        usdc.approve(address(vault), 100);
        for (uint256 i; i < 2; ++i) {
            vm.warp(i == 0 ? START : START + 24 hours - 1);
            expectPaused();
            vault.deposit(10);
            expectPaused();
            vault.depositFor(alice, 10);
            expectPaused();
            vault.depositWithPermit(address(this), 10, 0, 27, 0, 0);
        }
        vm.warp(START + 24 hours);
        vault.deposit(10);
        vault.depositFor(alice, 10);
        vm.assertEq(units(alice), 2_000_010);
    }

    /// @dev Whoever pays a debt back, liquidates or redeems may hold the synth in a wallet.
    function test_a_synth_from_a_wallet_comes_in_while_deposits_are_paused() public {
        request(alice, address(btc), BASE_PER_LOT);
        pauseBoth();
        vm.warp(START + 15 minutes);
        vault.completeWithdrawal(alice, address(btc));
        vm.startPrank(alice);
        btc.approve(address(vault), BASE_PER_LOT);
        vault.depositSynth(address(btc), BASE_PER_LOT);
        vm.stopPrank();
        vm.assertEq(btc.balanceOf(alice), 0);
    }

    function test_every_way_out_stays_open() public {
        request(alice, address(usdc), 100);
        request(alice, address(btc), BASE_PER_LOT);
        request(bob, address(btc), 3 * BASE_PER_LOT);
        vm.warp(START + EXIT_DELAY);
        vm.startPrank(GUARDIAN);
        vault.pause();
        settlement.pause();
        vm.stopPrank();

        vm.prank(alice);
        vault.withdraw(60, false);
        vault.completeWithdrawal(alice, address(usdc));
        vault.completeWithdrawal(alice, address(btc));
        vm.assertEq(usdc.balanceOf(alice), 100);
        vm.assertEq(btc.balanceOf(alice), BASE_PER_LOT);

        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), 50, 1);
        vault.withdrawApproved(withdrawal, signWithdrawal(withdrawal), approveWithdrawal(withdrawal));
        vm.assertEq(usdc.balanceOf(alice), 150);
        vm.prank(bob);
        vault.cancelWithdrawalRequest(address(btc));
        request(bob, address(btc), BASE_PER_LOT);
    }

    function test_cancelling_and_unlocking_stay_open() public {
        vault.lockCollateral(alice, 500, approve(alice, address(usdc), 500, VaultMessages.PURPOSE_LOCK));
        pauseBoth();
        vm.startPrank(alice);
        settlement.cancel(nonceOf(1, 1));
        settlement.cancelAll(5);
        vm.stopPrank();
        vault.unlockCollateral(alice, 500);
        vault.burnSynth(
            address(btc), alice, BASE_PER_LOT, approve(alice, address(btc), BASE_PER_LOT, VaultMessages.PURPOSE_BURN)
        );
        vm.assertEq(units(alice), 2_000_000);
        vm.assertEq(lotsOf(alice), 9);
    }

    function test_a_pause_of_deposits_does_not_stop_settlement() public {
        vm.prank(GUARDIAN);
        vault.pause();
        vm.assertEq(trade(sell(bob, 100, 10), buy(alice, 100, 10), 10), "");
        leg(ammBuy(alice, 10_100, 100), cost(btc, btcPool, 100));
        vm.assertEq(settle(), "");
    }

    /* SETTLEMENT: BATCHES */

    function test_no_batch_settles_until_the_pause_ends_by_itself() public {
        vm.prank(GUARDIAN);
        settlement.pause();
        match_(add(sell(bob, 100, 10)), add(buy(alice, 100, 10)), 10);
        leg(ammBuy(alice, 10_100, 100), cost(btc, btcPool, 100));
        Batch memory batch = take();
        expectPaused();
        settlement.settle(pack(batch));
        vm.warp(START + 24 hours - 1);
        expectPaused();
        settlement.settle(pack(batch));
        vm.warp(START + 24 hours);
        vm.assertEq(settle(batch), "");
    }

    function test_a_pause_of_settlement_does_not_stop_deposits() public {
        vm.prank(GUARDIAN);
        settlement.pause();
        giveUnits(alice, 5);
        vm.assertEq(units(alice), 2_000_005);
    }

    function test_an_exit_needs_no_settlement() public {
        pauseBoth();
        request(alice, address(usdc), 2_000_000);
        vm.warp(START + EXIT_DELAY);
        vault.completeWithdrawal(alice, address(usdc));
        vm.assertEq(usdc.balanceOf(alice), 2_000_000);
    }
}
