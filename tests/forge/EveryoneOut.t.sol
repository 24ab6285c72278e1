// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IAmmRouter} from "../../contracts/interfaces/IAmmRouter.sol";
import {IPausable} from "../../contracts/interfaces/IPausable.sol";
import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {
    EXIT_DELAY,
    MAX_PRICE_AGE,
    MIN_UPGRADE_DELAY,
    Order,
    REASON_BALANCE,
    SHUTDOWN_DELAY,
    SHUTDOWN_GRACE,
    SIDE_BUY,
    SIDE_SELL
} from "../../contracts/interfaces/Types.sol";
import {Timelock} from "../../contracts/Timelock.sol";
import {Vault} from "../../contracts/Vault.sol";
import {Residents} from "./Residents.sol";

/// @dev What a thief would upgrade to.
contract Drain is Vault {
    function drain(address token, address to, uint256 amount) external {
        (bool isDone,) = token.call(abi.encodeWithSignature("transfer(address,uint256)", to, amount));
        require(isDone, "not drained");
    }
}

/// @title Everybody's way out with every key of the operator silent, while a hostile upgrade ticks
/// @dev In the moment of death everything that a guardian can pause is paused and the upgrade is scheduled. From then
/// on every call is a user's. What each is owed is computed from what each has in that moment, in plain arithmetic.
contract EveryoneOutTest is Residents {
    /// @dev What a user has in the moment of death, and what becomes of it.
    struct Estate {
        uint256 units;
        uint256 synth;
        uint256 collateral;
        uint256 debt;
        uint256 shares;
        bool repays;
    }

    /// @dev From death to the last one out: somebody who wants to stay has the last post accepted as late as he can, the
    /// shutdown can begin a second after its delay, its price is final a second after the time in which another could
    /// return, and a last withdrawal takes a request's time.
    uint256 internal constant TIME_OUT = MAX_PRICE_AGE + SHUTDOWN_DELAY + 1 + SHUTDOWN_GRACE + 1 + EXIT_DELAY;

    mapping(address user => Estate) internal estates;
    mapping(address user => uint256) internal owed;
    /// @dev By redemption alone, in proportion and rounded down.
    mapping(address user => uint256) internal shareDown;
    Timelock internal timelock;
    bytes internal upgrade;
    uint256 internal diedAt;
    uint256 internal deathPrice;
    uint256 internal burns;
    uint256 internal redemptions;
    uint256 internal repaid;
    uint256 internal deficits;

    function test_everyone_gets_out_with_the_operator_dead_before_an_upgrade_could_happen() public {
        moveIn(100, uint256(keccak256("everyone")));
        die(170);
        everyoneOut();
        assertNothingIsLeftFor(100);
        tooLate();
        // All the ways out were used, and more than once.
        vm.assertGe(burns, 10);
        vm.assertGe(repaid, 3);
        vm.assertGe(redemptions, 60);
        vm.assertGe(deficits, 3);
    }

    /// @dev The price at death is anything from half to two and a half times that of the debts: with the deficits of
    /// those whose collateral does not reach.
    /// Fewer runs, each of up to fifteen users who did everything there is, and hundreds of transactions.
    /// forge-config: default.fuzz.runs = 100
    /// forge-config: fuzz.fuzz.runs = 1000
    function testFuzz_everyone_gets_out_with_the_operator_dead(uint256 seed_, uint256 count, uint256 percent) public {
        count = bound(count, 6, 15);
        moveIn(count, seed_);
        die(bound(percent, 50, 250));
        everyoneOut();
        assertNothingIsLeftFor(count);
        tooLate();
    }

    /* DEATH */

    function die(uint256 percent) internal {
        _requestSome();
        deathPrice = PRICE * percent / 100;
        post(deathPrice);
        vm.warp(block.timestamp + 5 minutes); // as fast as a price may move
        post(deathPrice);
        (uint256 accepted,,,) = prices.priceOf(address(btc));
        vm.assertEq(accepted, deathPrice);
        diedAt = block.timestamp;

        _pauseEverything();
        _scheduleUpgrade();
        for (uint256 i; i < users.length; ++i) {
            address user = users[i];
            ISynthIssuer.Position memory position = issuer.positionOf(user, address(btc));
            Estate memory estate;
            estate.units = unitsOf[user];
            estate.synth = synthOf[user] + btc.balanceOf(user);
            (estate.collateral, estate.debt) = (position.collateral, position.debt);
            estate.shares = pair.balanceOf(user);
            estates[user] = estate;
            vm.assertEq(usdc.balanceOf(user), 0);
        }
    }

    /// @dev Requests that are open when it happens: of a part, and of more than there is.
    function _requestSome() internal {
        for (uint256 i; i < users.length; i += 4) {
            address user = users[i];
            request(user, address(usdc), uint128(draw(1, 2 * unitsOf[user])));
        }
    }

    function _pauseEverything() internal {
        IPausable[3] memory pausables =
            [IPausable(address(vault)), IPausable(address(settlement)), IPausable(address(issuer))];
        vault.grantRole(vault.GUARDIAN_ROLE(), address(this));
        settlement.grantRole(settlement.GUARDIAN_ROLE(), address(this));
        issuer.grantRole(issuer.GUARDIAN_ROLE(), address(this));
        for (uint256 i; i < 3; ++i) {
            pausables[i].pause();
            vm.assertGe(pausables[i].pausedUntil(), diedAt + TIME_OUT);
        }
    }

    function _scheduleUpgrade() internal {
        address[] memory self = new address[](1);
        self[0] = address(this);
        timelock = new Timelock(MIN_UPGRADE_DELAY, self, self, address(this));
        vault.grantRole(vault.UPGRADER_ROLE(), address(timelock));
        upgrade = abi.encodeCall(vault.upgradeToAndCall, (address(new Drain()), ""));
        timelock.schedule(address(vault), 0, upgrade, 0, 0, MIN_UPGRADE_DELAY);
    }

    /* THE WAY OUT */

    function everyoneOut() internal {
        for (uint256 i; i < users.length; ++i) {
            _bringSynthHome(users[i]);
            _requestBurn(users[i]);
            owed[users[i]] += estates[users[i]].units;
            _withdraw(i);
        }
        vm.warp(diedAt + EXIT_DELAY);
        for (uint256 i; i < users.length; ++i) {
            if (i % 5 == 0) _repay(users[i]);
            _withdraw(i);
        }

        vm.warp(diedAt + MAX_PRICE_AGE + 1);
        vm.assertTrue(!prices.accept(address(btc)), "too late to put it off");
        vm.warp(diedAt + MAX_PRICE_AGE);
        vm.assertTrue(prices.accept(address(btc)));
        vm.warp(diedAt + 7 hours);
        vm.prank(users[0]);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.ShutDownTooSoon.selector, diedAt + 7 hours + 1));
        issuer.shutDown(address(btc));
        vm.warp(diedAt + 7 hours + 1);
        vm.prank(users[0]);
        issuer.shutDown(address(btc));
        uint256 finalFrom = block.timestamp + SHUTDOWN_GRACE + 1;
        vm.warp(finalFrom - 1);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.PriceNotFinal.selector, finalFrom));
        issuer.settlePositions(address(btc), users);
        vm.warp(finalFrom);
        vm.prank(users[0]);
        issuer.settlePositions(address(btc), users);
        _addRedemptions();
        for (uint256 i; i < users.length; ++i) {
            _redeem(users[i]);
            _withdraw(i);
        }
        vm.warp(finalFrom + EXIT_DELAY);
        for (uint256 i; i < users.length; ++i) {
            _withdraw(i);
        }

        vm.assertEq(block.timestamp - diedAt, TIME_OUT);
        vm.assertTrue(TIME_OUT < MIN_UPGRADE_DELAY, "out before an upgrade");
    }

    /// @dev Out of the pool and out of the wallet, back to the Vault, where it is redeemed.
    function _bringSynthHome(address user) internal {
        Estate storage estate = estates[user];
        if (estate.shares != 0) {
            (uint256 baseReserve, uint256 quoteReserve,) = pair.reserves();
            uint256 supply = pair.totalSupply();
            estate.synth += estate.shares * baseReserve / supply;
            owed[user] += estate.shares * quoteReserve / supply;
            ++burns;

            IAmmRouter.Permit memory none;
            vm.startPrank(user);
            pair.approve(address(router), estate.shares);
            router.removeLiquidity(address(btc), estate.shares, 0, 0, user, block.timestamp, none);
            vm.stopPrank();
        }
        uint256 wallet = btc.balanceOf(user);
        if (wallet != 0) {
            vm.startPrank(user);
            btc.approve(address(vault), wallet);
            vault.depositSynth(address(btc), wallet);
            vm.stopPrank();
        }
        vm.assertEq(vault.balanceOf(user, address(btc)), estate.synth, "all synth is in the Vault");
    }

    /// @dev To the Vault: it is for paying back and redeeming, and for no stranger to complete.
    function _requestBurn(address user) internal {
        if (estates[user].synth == 0) return;
        vm.prank(user);
        vault.requestWithdrawal(address(btc), uint128(estates[user].synth), address(vault));
    }

    /// @dev Whatever a matured request lets out goes out, by the user's call or a stranger's; the rest is asked for.
    function _withdraw(uint256 i) internal {
        address user = users[i];
        IVault.Request memory asked = vault.requestOf(user, address(usdc));
        if (asked.amount != 0 && asked.maturesAt <= block.timestamp) {
            uint256 amount = min(asked.amount, units(user));
            if (amount != 0) {
                vm.prank(i % 2 == 0 ? user : users[(i + 1) % users.length]);
                if (i % 2 == 0) vault.withdraw(amount, false);
                else vault.completeWithdrawal(user, address(usdc));
            }
            asked = vault.requestOf(user, address(usdc));
            if (asked.amount != 0) {
                vm.prank(user);
                vault.cancelWithdrawalRequest(address(usdc));
                asked.amount = 0;
            }
        }
        if (asked.amount == 0 && units(user) != 0) request(user, address(usdc), uint128(units(user)));
    }

    /// @dev Who has the synth pays back without waiting for the shutdown, and needs no price for it.
    function _repay(address user) internal {
        Estate storage estate = estates[user];
        if (estate.debt == 0 || estate.synth < estate.debt) return;

        estate.repays = true;
        estate.synth -= estate.debt;
        owed[user] += estate.collateral;
        ++repaid;
        vm.prank(user);
        issuer.close(address(btc), uint128(estate.collateral), uint128(estate.debt), drawOnRequest());
    }

    function _redeem(address user) internal {
        uint256 amount = estates[user].synth;
        if (amount == 0) return;
        vm.prank(user);
        issuer.redeem(address(btc), amount, drawOnRequest());
    }

    /* WHAT IS OWED */

    /// @dev Adds what settlement of the positions and redemption bring: the same integers, from the estates alone.
    function _addRedemptions() internal {
        uint256 supply = btc.balanceOf(address(pair));
        uint256 pool;
        for (uint256 i; i < users.length; ++i) {
            Estate storage estate = estates[users[i]];
            supply += estate.synth;
            if (estate.repays) continue;
            uint256 taken = min(estate.collateral, (estate.debt * deathPrice + PRICE_ATOMS - 1) / PRICE_ATOMS);
            if (taken * PRICE_ATOMS < estate.debt * deathPrice) ++deficits;
            pool += taken;
            owed[users[i]] += estate.collateral - taken;
        }
        vm.assertEq(btc.totalSupply(), supply, "supply");

        (uint256 poolLeft, uint256 supplyLeft) = (pool, supply);
        for (uint256 i; i < users.length; ++i) {
            uint256 amount = estates[users[i]].synth;
            if (amount == 0) continue;
            uint256 paid = poolLeft * amount / supplyLeft;
            (poolLeft, supplyLeft) = (poolLeft - paid, supplyLeft - amount);
            owed[users[i]] += paid;
            shareDown[users[i]] = pool * amount / supply;
            // Whoever comes later gets the dust of those before.
            vm.assertGe(paid, shareDown[users[i]]);
            vm.assertLe(paid, shareDown[users[i]] + ++redemptions, "order matters by dust only");
        }
    }

    function assertNothingIsLeftFor(uint256 count) internal view {
        for (uint256 i; i < count; ++i) {
            address user = users[i];
            vm.assertEq(usdc.balanceOf(user), owed[user], "out to the atom");
            vm.assertEq(units(user) + vault.balanceOf(user, address(btc)) + btc.balanceOf(user), 0);
            vm.assertEq(pair.balanceOf(user), 0);
        }
        vm.assertEq(issuer.positionCount(address(btc)), 0);
        vm.assertEq(issuer.debtOf(address(btc)), 0);

        // The dust. In the pool: the value of its 1,000 locked shares, fractions of a cent, and less than an atom of
        // each token per withdrawal. In the Vault, beside the fees: what the pool's synth would redeem, and less than an
        // atom more.
        uint256 stuck = btc.balanceOf(address(pair));
        vm.assertEq(btc.totalSupply(), stuck);
        vm.assertEq(pair.totalSupply(), burns == 0 ? 0 : 1_000);
        vm.assertLe(usdc.balanceOf(address(pair)), 1 + burns, "the pool's dust of USDC");
        vm.assertLe(stuck, 1e7 + burns, "the pool's dust of synth");
        uint256 locked = vault.totalsOf(address(usdc)).locked;
        vm.assertLe(locked, stuck * 3 * PRICE / PRICE_ATOMS + 1, "the Vault's dust of collateral");
        vm.assertEq(usdc.balanceOf(address(vault)), units(fees) + locked);
        vm.assertEq(btc.balanceOf(address(vault)), 0);
    }

    /* TOO LATE */

    /// @dev The operator comes back: what rests of the orders is nobody's debt, and the upgrade finds dust.
    function tooLate() internal {
        vm.expectRevert(); // not ready
        timelock.execute(address(vault), 0, upgrade, 0, 0);
        vm.warp(diedAt + MIN_UPGRADE_DELAY);
        timelock.execute(address(vault), 0, upgrade, 0, 0);

        Order memory rest = standing[0];
        Order memory crossing =
            immediate(users[1], rest.side == SIDE_BUY ? SIDE_SELL : SIDE_BUY, rest.priceTicks, 1, 1_000);
        match_(add(rest, signerKey(0)), add(crossing, signerKey(1)), 1);
        vm.assertEq(settle(), refusal(0, REASON_BALANCE));
        uint256 left = units(fees) + vault.totalsOf(address(usdc)).locked;
        vm.expectRevert();
        Drain(address(vault)).drain(address(usdc), address(this), left + 1);
    }
}
