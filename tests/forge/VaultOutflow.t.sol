// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Authorization, EXIT_DELAY, Withdrawal} from "../../contracts/interfaces/Types.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {Fixture} from "./Fixture.sol";

/// @title The cap on what leaves with a countersignature
contract VaultOutflowTest is Fixture {
    uint128 internal constant CAP_UNITS = 3_600;

    uint256 internal lastNonce;

    function setUp() public override {
        super.setUp();
        giveUnits(alice, 1e15);
        giveLots(alice, 1_000_000);
        vault.setOutflowCap(address(usdc), CAP_UNITS);
    }

    /// @dev Alice sends them herself, which needs no signature of hers.
    function prepare(address token, uint256 amount)
        internal
        returns (Withdrawal memory withdrawal, Authorization memory approval)
    {
        withdrawal = withdrawalOf(alice, token, amount, ++lastNonce);
        approval = approveWithdrawal(withdrawal);
    }

    function take(address token, uint256 amount) internal {
        (Withdrawal memory withdrawal, Authorization memory approval) = prepare(token, amount);
        vm.prank(alice);
        vault.withdrawApproved(withdrawal, "", approval);
    }

    function refused(address token, uint256 amount, uint256 left) internal {
        (Withdrawal memory withdrawal, Authorization memory approval) = prepare(token, amount);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IVault.OutflowCapped.selector, token, amount, left));
        vault.withdrawApproved(withdrawal, "", approval);
    }

    function leftOf(address token) internal view returns (uint256 left) {
        (, left) = vault.outflowOf(token);
    }

    function test_the_first_cap_is_set_at_initialize() public {
        super.setUp();
        (uint256 perHour, uint256 left) = vault.outflowOf(address(usdc));
        vm.assertEq(perHour, OUTFLOW_PER_HOUR);
        vm.assertEq(left, OUTFLOW_PER_HOUR);
        (perHour, left) = vault.outflowOf(address(btc));
        vm.assertEq(perHour, 0);
        vm.assertEq(left, type(uint256).max);
    }

    function test_setOutflowCap() public {
        uint64 sequence = vault.sequence();
        vm.expectEmit(address(vault));
        emit IVault.OutflowCapSet(address(btc), 5);
        vault.setOutflowCap(address(btc), 5);
        vm.assertEq(vault.sequence(), sequence);
        vm.expectRevert(abi.encodeWithSelector(IVault.UnknownToken.selector, address(cxpt)));
        vault.setOutflowCap(address(cxpt), 5);
        vm.expectRevert();
        vault.setOutflowCap(address(usdc), 2 ** 96);
        vault.setOutflowCap(address(usdc), 2 ** 96 - 1);
        vm.prank(alice);
        vm.expectRevert();
        vault.setOutflowCap(address(usdc), 5);
    }

    function test_no_more_leaves_at_once_than_the_cap() public {
        take(address(usdc), CAP_UNITS - 1);
        refused(address(usdc), 2, 1);
        take(address(usdc), 1);
        refused(address(usdc), 1, 0);
        vm.warp(START + 1);
        refused(address(usdc), 2, 1);
        take(address(usdc), 1);
        vm.warp(START + 1 + 1 hours);
        refused(address(usdc), CAP_UNITS + 1, CAP_UNITS);
        take(address(usdc), CAP_UNITS);
    }

    /// @dev The worst hour: a full bucket at its beginning, and all that drains until its end.
    function test_the_worst_hour_lets_out_twice_the_cap() public {
        vm.warp(START + 10 hours);
        uint256 before = usdc.balanceOf(alice);
        take(address(usdc), CAP_UNITS);
        for (uint256 i; i < 60; ++i) {
            vm.warp(block.timestamp + 1 minutes);
            take(address(usdc), CAP_UNITS / 60);
            refused(address(usdc), 1, 0);
        }
        vm.assertEq(usdc.balanceOf(alice) - before, 2 * CAP_UNITS);
    }

    /// @dev Whatever is asked for, and whenever: no 60 minutes let out more than twice the cap, no moment more than once.
    function testFuzz_no_hour_lets_out_more_than_twice_the_cap(
        uint96 perHour,
        uint16[12] memory waits,
        uint96[12] memory wanted
    ) public {
        perHour = uint96(bound(perHour, 1, 1e12));
        vault.setOutflowCap(address(usdc), perHour);
        uint256[12] memory times;
        uint256[12] memory amounts;
        for (uint256 i; i < 12; ++i) {
            vm.warp(block.timestamp + waits[i] % 20 minutes);
            uint256 left = leftOf(address(usdc));
            vm.assertLe(left, perHour);
            uint256 amount = bound(wanted[i], 1, 2 * uint256(perHour));
            times[i] = block.timestamp;
            if (amount > left) {
                // One in three is tried: signatures are what costs time here.
                if (i % 3 == 0) refused(address(usdc), amount, left);
                amount = left;
            }
            if (amount == 0) continue;
            take(address(usdc), amount);
            amounts[i] = amount;
            // Rounded so that never more is left, by a part of a second's worth at most.
            uint256 leftNow = leftOf(address(usdc));
            vm.assertLe(leftNow, left - amount);
            vm.assertLe(left - amount - leftNow, perHour / (256 * 1 hours) + 1);
        }
        for (uint256 from; from < 12; ++from) {
            uint256 sum;
            for (uint256 i = from; i < 12 && times[i] <= times[from] + 1 hours; ++i) {
                sum += amounts[i];
            }
            vm.assertLe(sum, 2 * uint256(perHour), "an hour");
        }
    }

    function testFuzz_what_has_left_drains_in_an_hour(uint104 used, uint16 wait) public {
        used = uint104(bound(used, 1, CAP_UNITS));
        take(address(usdc), used);
        vm.warp(START + wait);
        uint256 drained = uint256(CAP_UNITS) * wait / 1 hours;
        vm.assertEq(leftOf(address(usdc)), CAP_UNITS - (drained < used ? used - drained : 0));
    }

    function test_a_changed_cap_forgets_nothing() public {
        take(address(usdc), 3_000);
        vault.setOutflowCap(address(usdc), 4_000);
        vm.assertEq(leftOf(address(usdc)), 1_000);
        vault.setOutflowCap(address(usdc), 2_000);
        refused(address(usdc), 1, 0);
        vm.warp(START + 45 minutes);
        vm.assertEq(leftOf(address(usdc)), 500);
        vault.setOutflowCap(address(usdc), 0);
        take(address(usdc), 1e9);
    }

    /// @dev A synth's numbers are in a word of their own: the same rules once more.
    function test_a_changed_cap_of_a_synth_forgets_nothing() public {
        vault.setOutflowCap(address(btc), 3_600 * BASE_PER_LOT);
        take(address(btc), 3_000 * BASE_PER_LOT);
        vm.assertEq(leftOf(address(btc)), 600 * BASE_PER_LOT);
        vault.setOutflowCap(address(btc), 4_000 * BASE_PER_LOT);
        vm.assertEq(leftOf(address(btc)), 1_000 * BASE_PER_LOT);
        vault.setOutflowCap(address(btc), 2_000 * BASE_PER_LOT);
        refused(address(btc), 1, 0);
        vm.warp(START + 45 minutes);
        vm.assertEq(leftOf(address(btc)), 500 * BASE_PER_LOT);
        take(address(btc), 500 * BASE_PER_LOT);
        refused(address(btc), 1, 0);
        vault.setOutflowCap(address(btc), 0);
        take(address(btc), 10_000 * BASE_PER_LOT);
        vault.setOutflowCap(address(btc), BASE_PER_LOT);
        vm.assertEq(leftOf(address(btc)), BASE_PER_LOT);
        vm.assertEq(leftOf(address(usdc)), CAP_UNITS);
    }

    /// @dev What would drain until after the year 2106 is kept as if until then.
    function test_a_cap_of_next_to_nothing_after_a_large_one() public {
        vault.setOutflowCap(address(usdc), 2 ** 96 - 1);
        take(address(usdc), 1e15 - 10);
        vault.setOutflowCap(address(usdc), 1);
        refused(address(usdc), 1, 0);
        vm.warp(START + 28_000 days);
        vm.assertEq(leftOf(address(usdc)), 0);
        vm.warp(START + 30_000 days);
        vm.assertEq(leftOf(address(usdc)), 1);
    }

    function test_as_cxpt_counts() public {
        Withdrawal memory withdrawal = withdrawalOf(alice, address(usdc), CAP_UNITS, 1_000);
        withdrawal.asCxpt = true;
        vault.withdrawApproved(withdrawal, signWithdrawal(withdrawal), approveWithdrawal(withdrawal));
        refused(address(usdc), 1, 0);
    }

    function test_each_token_has_its_own_cap() public {
        vault.setOutflowCap(address(btc), uint128(BASE_PER_LOT));
        take(address(usdc), CAP_UNITS);
        take(address(btc), BASE_PER_LOT);
        refused(address(btc), 1, 0);
    }

    function test_a_refused_withdrawal_uses_up_nothing() public {
        (Withdrawal memory withdrawal, Authorization memory approval) = prepare(address(usdc), CAP_UNITS + 1);
        vm.prank(alice);
        vm.expectPartialRevert(IVault.OutflowCapped.selector);
        vault.withdrawApproved(withdrawal, "", approval);
        vault.setOutflowCap(address(usdc), CAP_UNITS + 1);
        vm.prank(alice);
        vault.withdrawApproved(withdrawal, "", approval);
    }

    function test_requests_collateral_and_burning_are_never_capped() public {
        vault.setOutflowCap(address(usdc), 1);
        vault.setOutflowCap(address(btc), 1);
        take(address(usdc), 1);
        request(alice, address(usdc), 1e12);
        request(alice, address(btc), uint128(2 * BASE_PER_LOT));
        vm.warp(START + EXIT_DELAY);
        vm.prank(alice);
        vault.withdraw(5e11, false);
        vault.completeWithdrawal(alice, address(usdc));
        vault.completeWithdrawal(alice, address(btc));
        vm.assertEq(usdc.balanceOf(alice), 1e12 + 1);
        vault.lockCollateral(alice, 1e12, approve(alice, address(usdc), 1e12, VaultMessages.PURPOSE_LOCK));
        vault.burnSynth(
            address(btc), alice, BASE_PER_LOT, approve(alice, address(btc), BASE_PER_LOT, VaultMessages.PURPOSE_BURN)
        );
    }
}
