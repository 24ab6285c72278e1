// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Authorization, EXIT_DELAY, SHUTDOWN_GRACE} from "../../contracts/interfaces/Types.sol";
import {Change} from "../../contracts/libraries/Changes.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {SynthERC20} from "../../contracts/SynthERC20.sol";
import {Debtors} from "./Debtors.sol";

/// @title Three debtors and the insurance account, two synths, prices that jump, shutdowns at any time
/// @dev Every action is bounded so that it must succeed, or says which error it must end in. What a liquidation may do is
/// computed here a second time, in the plainest way.
contract DebtCrowd is Debtors {
    uint256 internal constant LOWEST = 1e6;
    uint256 internal constant HIGHEST = 1e13;

    SynthERC20[2] public synths;
    address[4] public people;

    /// @dev Supply whose debt was settled and that was not redeemed.
    mapping(address synth => uint256) public settled;
    uint256 public given;
    uint256 public liquidations;
    uint256 public absorptions;
    uint256 public shutdowns;
    uint256 public redemptions;

    constructor() {
        setUp();
        synths = [btc, newSynth("Test Ether", "tETH")];
        vault.registerSynth(address(synths[1]));
        issuer.configure(address(synths[1]), ISynthIssuer.Terms(1_000e18, 200, 130, 20));
        oracle.set(address(synths[1]), 3_000e6);
        people = [alice, bob, carol, INSURANCE];
        giveUnits(INSURANCE, WEALTH);
        given = 4 * WEALTH;
    }

    /* PRICES AND TIME */

    /// @dev Mostly a step, sometimes a gap: up to five times as much, or down to a fifth.
    function move(uint256 which, uint256 factor) external {
        address synth = synthOf(which);
        (uint256 price,,,) = oracle.priceOf(synth);
        price = price * (factor % 5 == 0 ? bound(factor, 20, 500) : bound(factor, 80, 130)) / 100;
        oracle.set(synth, price < LOWEST ? LOWEST : price > HIGHEST ? HIGHEST : price);
    }

    /// @dev A new price that is the old one: what the keeper does every minute.
    function refresh(uint256 which) external {
        address synth = synthOf(which);
        (uint256 price,,,) = oracle.priceOf(synth);
        oracle.set(synth, price);
    }

    function wait_(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, 40 minutes));
    }

    /// @dev An outage of prices; a long one may be the end of a synth.
    function sleep(uint256 time, uint256 which) external {
        if (time % 8 != 0) return;
        vm.warp(block.timestamp + bound(time / 8, 1 hours, 10 hours));
        if (which % 3 == 0) shutDown_(which / 3);
    }

    /* POSITIONS */

    function open_(uint256 who, uint256 which, uint256 collateral, uint256 debt) external {
        (address account, address synth) = (personOf(who), synthOf(which));
        if (isShutDown(synth)) return;
        collateral = bound(collateral, 0, units(account) / 4);
        ISynthIssuer.Position memory position = issuer.positionOf(account, synth);
        (uint256 price, bool isForced) = freshPrice(synth);
        uint256 total = position.collateral + collateral;
        uint256 most = price == 0 || !isForced ? 0 : total * 1e20 / (price * issuer.termsOf(synth).initialPercent);
        // Often as much as may be, so that little makes it weak.
        debt = total < 10e6 || most <= position.debt
            ? 0
            : debt % 4 != 0 ? most - position.debt : bound(debt, 0, most - position.debt);
        if (issuer.debtOf(synth) + debt > issuer.termsOf(synth).ceiling) debt = 0;
        if (account == vault.insuranceAccount()) debt = 0;
        Authorization memory approval = approve(account, address(usdc), collateral, VaultMessages.PURPOSE_LOCK);
        vm.prank(account);
        issuer.open(synth, uint128(collateral), uint128(debt), approval);
    }

    function close_(uint256 who, uint256 which, uint256 collateral, uint256 debt) external {
        (address account, address synth) = (personOf(who), synthOf(which));
        ISynthIssuer.Position memory position = issuer.positionOf(account, synth);
        if (isShutDown(synth) && position.debt != 0) return;
        uint256 balance = vault.balanceOf(account, synth);
        debt = bound(debt, 0, balance < position.debt ? balance : position.debt);
        (uint256 price, bool isForced) = freshPrice(synth);
        uint256 needed;
        if (position.debt > debt) {
            needed = ((position.debt - debt) * price * issuer.termsOf(synth).initialPercent + 1e20 - 1) / 1e20;
            if (price == 0 || !isForced) needed = position.collateral;
            if (needed < 10e6) needed = 10e6;
        }
        collateral = needed >= position.collateral ? 0 : bound(collateral, 0, position.collateral - needed);
        Authorization memory approval = approve(account, synth, debt, VaultMessages.PURPOSE_BURN);
        vm.prank(account);
        issuer.close(synth, uint128(collateral), uint128(debt), approval);
    }

    function trade_(uint256 from, uint256 to, uint256 which, uint256 amount) external {
        address synth = synthOf(which);
        amount = bound(amount, 0, vault.balanceOf(personOf(from), synth));
        (address[] memory accounts, Change[] memory changes) = movement(personOf(from), personOf(to), amount);
        vm.prank(address(settlement));
        vault.applySettlement(synth, accounts, changes);
    }

    /* LIQUIDATION */

    /// @dev By somebody who has the synth, on somebody who is weak, if there is one; otherwise it must be refused.
    function liquidate_(uint256 by, uint256 who, uint256 which, uint256 amount, bool isWhole) external {
        address synth = synthOf(which);
        (by, who) = (by % 4, who % 4);
        for (uint256 i; i < 3 && issuer.liquidatableDebt(personOf(who), synth) == 0; ++i) {
            ++who;
        }
        for (uint256 i; i < 3 && vault.balanceOf(personOf(by), synth) == 0; ++i) {
            ++by;
        }
        (address liquidator, address account) = (personOf(by), personOf(who));
        ISynthIssuer.Position memory position = issuer.positionOf(account, synth);
        uint256 most = mostRepaid(account, synth, position);
        vm.assertEq(issuer.liquidatableDebt(account, synth), most, "liquidatableDebt");
        uint256 balance = vault.balanceOf(liquidator, synth);
        if (balance == 0) return;
        // More than may be repaid comes back.
        amount = isWhole ? most + amount % 3 : bound(amount, 1, most == 0 ? 1 : most);
        if (amount > balance) amount = balance;

        Authorization memory approval = approve(liquidator, synth, amount, VaultMessages.PURPOSE_BURN);
        vm.prank(liquidator);
        try issuer.liquidate(account, synth, uint128(amount), 0, approval) returns (uint128 repaid, uint128 paid) {
            vm.assertTrue(most != 0, "nobody healthy is liquidated");
            vm.assertEq(repaid, amount < most ? amount : most);
            vm.assertEq(vault.balanceOf(liquidator, synth), balance - repaid, "the rest comes back");
            ++liquidations;
            _checkLiquidated(account, synth, position, repaid, paid, repaid == most);
        } catch (bytes memory reason) {
            bytes4 error = bytes4(reason);
            bool isDust = error == ISynthIssuer.CollateralTooSmall.selector && amount < most
                || error == IVault.ZeroAmount.selector;
            vm.assertTrue(most == 0 || isDust, "a liquidation that is due was refused");
        }
    }

    function _checkLiquidated(
        address account,
        address synth,
        ISynthIssuer.Position memory before,
        uint256 repaid,
        uint256 paid,
        bool isWhole
    ) private view {
        ISynthIssuer.Position memory left = issuer.positionOf(account, synth);
        ISynthIssuer.Terms memory terms_ = issuer.termsOf(synth);
        (uint256 price,) = freshPrice(synth);
        vm.assertEq(left.collateral + paid, before.collateral);
        vm.assertEq(left.debt + repaid, before.debt);
        vm.assertLe(paid * 1e20, repaid * price * (100 + terms_.bonusPercent), "no more than value and bonus");
        vm.assertGe(uint256(left.collateral) * before.debt, uint256(before.collateral) * left.debt);
        bool isAtInitial = uint256(left.collateral) * 1e20 >= uint256(left.debt) * price * terms_.initialPercent;
        vm.assertTrue(!isWhole || isAtInitial, "at the initial ratio, or without debt");
        vm.assertTrue(left.debt == 0 || left.collateral >= 10e6, "no dust");
    }

    /// @dev By search instead of by formula: the least debt whose payment restores the initial ratio.
    function mostRepaid(address account, address synth, ISynthIssuer.Position memory position)
        internal
        view
        returns (uint256)
    {
        ISynthIssuer.Terms memory terms_ = issuer.termsOf(synth);
        (uint256 price, bool isForced) = freshPrice(synth);
        bool isWeak = uint256(position.collateral) * 1e20 < uint256(position.debt) * price * terms_.maintenancePercent;
        if (!isForced || !isWeak || isShutDown(synth) || account == INSURANCE) return 0;
        uint256 paid = price * (100 + terms_.bonusPercent);
        if (position.collateral <= position.debt * paid / 1e20) return position.debt;
        (uint256 low, uint256 high) = (0, position.debt);
        while (low < high) {
            uint256 middle = (low + high) / 2;
            bool isEnough = uint256(position.collateral) * 1e20 >= middle * paid
                && uint256(position.collateral) * 1e20 - middle * paid
                    >= (position.debt - middle) * price * terms_.initialPercent;
            if (isEnough) high = middle;
            else low = middle + 1;
        }
        return position.collateral - low * paid / 1e20 < 10e6 ? position.debt : low;
    }

    function absorb_(uint256 who, uint256 which) external {
        (address account, address synth) = (personOf(who), synthOf(which));
        ISynthIssuer.Position memory position = issuer.positionOf(account, synth);
        (uint256 price, bool isForced) = freshPrice(synth);
        bool isDue = isForced && !isShutDown(synth) && account != INSURANCE
            && uint256(position.collateral) * 1e18 < uint256(position.debt) * price;
        try issuer.absorb(account, synth) {
            vm.assertTrue(isDue, "absorbed what was not due");
            ++absorptions;
        } catch {
            vm.assertFalse(isDue);
        }
    }

    /* SHUTDOWN */

    function shutDown_(uint256 which) public {
        address synth = synthOf(which);
        (, uint40 at,,) = oracle.priceOf(synth);
        bool isDue = !isShutDown(synth) && issuer.debtOf(synth) != 0 && block.timestamp > at + 6 hours;
        try issuer.shutDown(synth) {
            vm.assertTrue(isDue, "shut down too soon");
            ++shutdowns;
        } catch {
            vm.assertFalse(isDue);
        }
    }

    /// @dev A price that was accepted after the shutdown replaces the old one for an hour.
    function reprice_(uint256 which) external {
        address synth = synthOf(which);
        (, uint40 shutDownAt,,) = issuer.shutdownOf(synth);
        (uint256 price, uint40 at,,) = oracle.priceOf(synth);
        bool isDue = shutDownAt != 0 && at >= shutDownAt && block.timestamp <= shutDownAt + SHUTDOWN_GRACE;
        try issuer.reprice(synth) {
            vm.assertTrue(isDue, "repriced too late");
            (uint256 now_,,,) = issuer.shutdownOf(synth);
            vm.assertEq(now_, price);
        } catch {
            vm.assertFalse(isDue);
        }
    }

    /// @dev One, or more of them.
    function settle_(uint256 who, uint256 which, uint256 count) external {
        for (uint256 i; i < count % 4 + 1; ++i) {
            _settle(who % 4 + i, synthOf(which));
        }
    }

    function _settle(uint256 who, address synth) private {
        address account = personOf(who);
        if (!isShutDown(synth)) return;
        (, uint40 at,,) = issuer.shutdownOf(synth);
        if (block.timestamp <= at + SHUTDOWN_GRACE) vm.warp(at + SHUTDOWN_GRACE + 1);
        settled[synth] += issuer.positionOf(account, synth).debt;
        address[] memory accounts = new address[](2);
        (accounts[0], accounts[1]) = (account, account);
        issuer.settlePositions(synth, accounts);
    }

    function redeem_(uint256 who, uint256 which, uint256 amount) external {
        (address account, address synth) = (personOf(who), synthOf(which));
        (,, uint256 unsettled, uint256 pool) = issuer.shutdownOf(synth);
        amount = amount % 3 == 0 ? vault.balanceOf(account, synth) : bound(amount, 0, vault.balanceOf(account, synth));
        if (!isShutDown(synth) || unsettled != 0 || amount == 0) return;
        uint256 supply = SynthERC20(synth).totalSupply();
        Authorization memory approval = approve(account, synth, amount, VaultMessages.PURPOSE_BURN);
        vm.prank(account);
        uint256 paid = issuer.redeem(synth, amount, approval);
        settled[synth] -= amount;
        ++redemptions;
        vm.assertLe(paid * supply, pool * amount, "a share, rounded down");
        vm.assertTrue(amount != supply || paid == pool, "the last one gets the rest");
    }

    /* LAWS */

    function checkSupplies() external view {
        for (uint256 i; i < 2; ++i) {
            address synth = address(synths[i]);
            (uint256 debts, uint256 debtors, uint256 listed) = (0, 0, 0);
            uint256 held;
            for (uint256 j; j < 4; ++j) {
                ISynthIssuer.Position memory position = issuer.positionOf(people[j], synth);
                debts += position.debt;
                if (position.debt != 0) ++debtors;
                if (position.debt != 0 || position.collateral != 0) ++listed;
                held += vault.balanceOf(people[j], synth);
            }
            vm.assertEq(issuer.debtOf(synth), debts, "sum of debts");
            vm.assertEq(SynthERC20(synth).totalSupply(), debts + settled[synth], "supply");
            vm.assertEq(issuer.positionCount(synth), listed, "list");
            (,, uint256 unsettled,) = issuer.shutdownOf(synth);
            if (isShutDown(synth)) vm.assertEq(unsettled, debtors, "unsettled");
            vm.assertGe(SynthERC20(synth).balanceOf(address(vault)), held);
            vm.assertEq(vault.totalsOf(synth).internalTotal, held, "held");
        }
    }

    function checkCollateral() external view {
        uint256 locked;
        uint256 free;
        for (uint256 j; j < 4; ++j) {
            free += units(people[j]);
            for (uint256 i; i < 2; ++i) {
                locked += issuer.positionOf(people[j], address(synths[i])).collateral;
            }
        }
        for (uint256 i; i < 2; ++i) {
            (,,, uint256 pool) = issuer.shutdownOf(address(synths[i]));
            locked += pool;
        }
        vm.assertEq(vault.totalsOf(address(usdc)).locked, locked, "locked");
        vm.assertEq(free + locked, given, "units");
        vm.assertEq(usdc.balanceOf(address(vault)), given, "custody");
    }

    /// @dev From wherever the crowd is, with no key of the operator: prices stop, and everybody leaves.
    function leave() external {
        vm.warp(block.timestamp + 7 hours);
        for (uint256 i; i < 2; ++i) {
            address synth = address(synths[i]);
            if (issuer.debtOf(synth) != 0 && !isShutDown(synth)) issuer.shutDown(synth);
            for (uint256 j; j < 4; ++j) {
                if (isShutDown(synth)) _settle(j, synth);
                else _closeAll(people[j], synth);
            }
            for (uint256 j; j < 4; ++j) {
                _redeemAll(people[j], synth);
            }
            vm.assertEq(SynthERC20(synth).totalSupply(), 0, "supply at the end");
            vm.assertEq(issuer.positionCount(synth), 0, "positions at the end");
        }
        vm.assertEq(vault.totalsOf(address(usdc)).locked, 0, "locked at the end");
        for (uint256 j; j < 4; ++j) {
            _withdrawAll(people[j]);
        }
        vm.assertEq(usdc.balanceOf(address(vault)), 0, "custody at the end");
    }

    function _closeAll(address account, address synth) private {
        uint128 collateral = issuer.positionOf(account, synth).collateral;
        if (collateral == 0) return;
        vm.prank(account);
        issuer.close(synth, collateral, 0, drawOnRequest());
    }

    function _redeemAll(address account, address synth) private {
        uint256 amount = vault.balanceOf(account, synth);
        if (amount == 0) return;
        request(account, synth, uint128(amount));
        vm.warp(block.timestamp + EXIT_DELAY);
        vm.prank(account);
        issuer.redeem(synth, amount, drawOnRequest());
    }

    function _withdrawAll(address account) private {
        if (units(account) == 0) return;
        request(account, address(usdc), uint128(units(account)));
        vm.warp(block.timestamp + EXIT_DELAY);
        vault.completeWithdrawal(account, address(usdc));
    }

    /* WORDS */

    function personOf(uint256 who) internal view returns (address) {
        return people[who % 4];
    }

    function synthOf(uint256 which) internal view returns (address) {
        return address(synths[which % 2]);
    }

    function isShutDown(address synth) internal view returns (bool) {
        (, uint40 at,,) = issuer.shutdownOf(synth);
        return at != 0;
    }

    /// @return price 0 if it is stale.
    /// @return isForced Whether anything may be liquidated at it.
    function freshPrice(address synth) internal view returns (uint256 price, bool isForced) {
        uint40 at;
        uint40 resumedAt;
        (price, at, resumedAt,) = oracle.priceOf(synth);
        if (block.timestamp > at + 1 hours) return (0, false);
        isForced = resumedAt == 0 || block.timestamp >= resumedAt + 20 minutes;
    }
}
