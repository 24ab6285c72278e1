// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IVault} from "../../contracts/interfaces/IVault.sol";
import {EXIT_DELAY, SIDE_BUY, SIDE_SELL} from "../../contracts/interfaces/Types.sol";
import {Debtors} from "./Debtors.sol";

/// @title A loss: bounded by what is missing, borne in proportion, declared once
contract VaultLossTest is Debtors {
    address internal constant THIEF = address(0x7417);

    /// @dev As if the settlement token had taken it away.
    function lose(uint256 atoms) internal {
        vm.prank(address(vault));
        usdc.transfer(THIEF, atoms);
    }

    /// @dev Units of everybody, free and locked.
    function unitsInAll() internal view returns (uint256) {
        IVault.Totals memory totals = vault.totalsOf(address(usdc));
        return totals.internalTotal + totals.locked;
    }

    function withdrawAll(address account) internal returns (uint256 paid) {
        uint256 before = usdc.balanceOf(account);
        request(account, address(usdc), type(uint128).max);
        vm.warp(block.timestamp + EXIT_DELAY);
        vault.completeWithdrawal(account, address(usdc));
        return usdc.balanceOf(account) - before;
    }

    function test_declareLoss_needs_a_shortfall() public {
        vm.expectRevert(IVault.NoShortfall.selector);
        vault.declareLoss();
        // What somebody gave is not owed to anybody, and its loss is none.
        usdc.mint(address(vault), 10);
        lose(10);
        vm.expectRevert(IVault.NoShortfall.selector);
        vault.declareLoss();
        lose(1);
        vm.prank(THIEF);
        vault.declareLoss();
        vm.assertTrue(vault.index() < 1e18);
    }

    function test_declareLoss_of_an_empty_vault() public {
        super.setUp();
        uint256 held = usdc.balanceOf(address(vault));
        if (held != 0) lose(held);
        if (unitsInAll() != 0) vault.declareLoss();
        vm.expectRevert(IVault.NoShortfall.selector);
        vault.declareLoss();
    }

    function test_declareLoss_is_logged_with_what_is_missing() public {
        uint256 owed = usdc.balanceOf(address(vault));
        vm.assertEq(unitsInAll(), owed);
        lose(owed / 4);
        uint256 expected = (owed - owed / 4) * 1e18 / owed;
        vm.expectEmit(address(vault));
        emit IVault.LossDeclared(vault.sequence() + 1, 1e18, expected, owed / 4);
        vault.declareLoss();
        vm.assertEq(vault.index(), expected);
        vm.expectRevert(IVault.NoShortfall.selector);
        vault.declareLoss();
    }

    function testFuzz_a_loss_is_bounded_by_the_shortfall_and_declared_once(uint256 first, uint256 second) public {
        uint256 all = unitsInAll();
        uint256[2] memory losses = [first, second];
        for (uint256 i; i < 2; ++i) {
            uint256 held = usdc.balanceOf(address(vault));
            uint256 owedBefore = all * vault.index() / 1e18;
            lose(bound(losses[i], 0, held));
            uint256 left = usdc.balanceOf(address(vault));
            if (left >= owedBefore) {
                vm.expectRevert(IVault.NoShortfall.selector);
                vault.declareLoss();
                continue;
            }
            uint256 before = vault.index();
            vault.declareLoss();
            uint256 index = vault.index();
            vm.assertTrue(index < before, "the index falls");
            vm.assertEq(unitsInAll(), all, "no unit is made or lost");
            uint256 owed = all * index / 1e18;
            vm.assertLe(owed, left, "what is owed is there");
            // Next to nothing of what is there is withheld: less than all units are worth at one step of the index.
            vm.assertLe(left - owed, all / 1e18 + 1, "and no more is taken");
            vm.expectRevert(IVault.NoShortfall.selector);
            vault.declareLoss();
        }
    }

    function testFuzz_everybody_bears_the_loss_in_proportion(uint96[3] memory amounts, uint256 lost) public {
        address[3] memory people = [address(0x111), address(0x222), address(0x333)];
        for (uint256 i; i < 3; ++i) {
            amounts[i] = uint96(bound(amounts[i], 1e6, 1e18));
            giveUnits(people[i], amounts[i]);
        }
        uint256 held = usdc.balanceOf(address(vault));
        lost = bound(lost, 1, held - 1);
        lose(lost);
        vault.declareLoss();
        uint256 all = unitsInAll();
        for (uint256 i; i < 3; ++i) {
            uint256 share = (held - lost) * amounts[i] / all;
            if (share < 2) continue;
            uint256 paid = withdrawAll(people[i]);
            vm.assertLe(paid, share, "no more than the share");
            vm.assertLe(share - paid, 2 + amounts[i] / 1e18, "and no less, but for dust");
        }
        vm.expectRevert(IVault.NoShortfall.selector);
        vault.declareLoss();
    }

    function testFuzz_a_deposit_after_a_loss_bears_nothing_of_it(uint256 lost, uint256 atoms) public {
        uint256 held = usdc.balanceOf(address(vault));
        lose(bound(lost, 1, held * 99 / 100));
        vault.declareLoss();
        atoms = bound(atoms, 1e6, 1e15);
        address late = address(0x444);
        giveUnits(late, atoms);
        uint256 paid = withdrawAll(late);
        vm.assertLe(paid, atoms, "nothing is gained");
        vm.assertLe(atoms - paid, 1, "less than one unit is lost, and a unit is less than an atom");
    }

    function test_after_the_loss_of_everything_nobody_can_deposit() public {
        lose(usdc.balanceOf(address(vault)));
        vault.declareLoss();
        vm.assertEq(vault.index(), 0);
        usdc.mint(address(this), 1e18);
        usdc.approve(address(vault), 1e18);
        vm.expectRevert(IVault.ZeroAmount.selector);
        vault.deposit(1e18);
        vm.expectRevert(IVault.NoShortfall.selector);
        vault.declareLoss();
    }

    /* WHAT IS LOCKED */

    /// @dev Collateral is units: a loss takes from it what it takes from every unit, and no unit of it is lost.
    function test_collateral_follows_the_index() public {
        open(alice, REQUIRED, ONE);
        uint256 locked = vault.totalsOf(address(usdc)).locked;
        uint256 held = usdc.balanceOf(address(vault));
        lose(held / 10);
        vault.declareLoss();
        vm.assertEq(vault.totalsOf(address(usdc)).locked, locked);
        assertPosition(alice, REQUIRED, ONE);

        close(alice, REQUIRED, ONE);
        uint256 free = units(alice);
        uint256 paid = withdrawAll(alice);
        vm.assertEq(paid, free * vault.index() / 1e18);
        vm.assertTrue(paid < free * 91 / 100 && paid > free * 89 / 100);
    }

    /* WHAT DOES NOT CHANGE */

    function test_settlement_after_a_loss_moves_units_as_before() public {
        lose(usdc.balanceOf(address(vault)) / 3);
        vault.declareLoss();
        giveUnits(carol, 1_000_000);
        open(bob, REQUIRED, ONE);
        uint256 before = units(carol) + units(bob);
        trade(resting(bob, SIDE_SELL, 100, 10, nonceOf(1, 1)), resting(carol, SIDE_BUY, 100, 10, nonceOf(1, 1)), 10);
        vm.assertEq(units(carol) + units(bob), before);
        vm.assertEq(lotsOf(carol), 10);
    }

    function test_asCxpt_mints_what_the_units_are_worth() public {
        giveUnits(carol, 1_000_000);
        lose(usdc.balanceOf(address(vault)) / 2);
        vault.declareLoss();
        request(carol, address(usdc), 1_000_000);
        vm.warp(block.timestamp + EXIT_DELAY);
        vm.prank(carol);
        vault.withdraw(1_000_000, true);
        vm.assertEq(cxpt.balanceOf(carol), 1_000_000 * vault.index() / 1e18 * 10 ** 12);
    }
}
