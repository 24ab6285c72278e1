// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IPriceOracle} from "../../contracts/interfaces/IPriceOracle.sol";
import {IPriceSource} from "../../contracts/interfaces/IPriceSource.sol";
import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {EXIT_DELAY, MAX_PRICE_AGE, SHUTDOWN_DELAY, SHUTDOWN_GRACE} from "../../contracts/interfaces/Types.sol";
import {PriceOracle} from "../../contracts/PriceOracle.sol";
import {SynthIssuer} from "../../contracts/SynthIssuer.sol";
import {Debtors} from "./Debtors.sol";

/// @title SynthIssuer.shutDown, settlePositions and redeem: the way out of a synth without an operator
contract SynthIssuerShutdownTest is Debtors {
    function setUp() public override {
        super.setUp();
        open(alice, REQUIRED, ONE);
        open(bob, 3 * REQUIRED, ONE);
    }

    function assertShutdown(uint256 price, uint256 at, uint256 unsettled, uint256 pool) internal view {
        (uint256 price_, uint40 at_, uint256 unsettled_, uint256 pool_) = issuer.shutdownOf(address(btc));
        vm.assertEq(price_, price, "price");
        vm.assertEq(at_, at, "at");
        vm.assertEq(unsettled_, unsettled, "unsettled");
        vm.assertEq(pool_, pool, "pool");
    }

    /* SHUTTING DOWN */

    function test_shutDown_at_the_last_price() public {
        assertShutdown(0, 0, 0, 0);
        vm.warp(START + 6 hours + 1);
        vm.expectEmit(address(issuer));
        emit ISynthIssuer.ShutDown(address(btc), PRICE);
        vm.prank(carol);
        issuer.shutDown(address(btc));
        assertShutdown(PRICE, START + 6 hours + 1, 2, 0);
        // For ever: a price that comes back changes nothing.
        post(2 * PRICE);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.IsShutDown.selector, address(btc)));
        issuer.shutDown(address(btc));
        assertShutdown(PRICE, START + 6 hours + 1, 2, 0);
    }

    function test_shutDown_not_before_six_hours_without_a_price() public {
        bytes memory reason = abi.encodeWithSelector(ISynthIssuer.ShutDownTooSoon.selector, START + 6 hours + 1);
        vm.expectRevert(reason);
        issuer.shutDown(address(btc));
        vm.warp(START + 6 hours);
        vm.expectRevert(reason);
        issuer.shutDown(address(btc));
        post(PRICE);
        vm.warp(START + 12 hours);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.ShutDownTooSoon.selector, START + 12 hours + 1));
        issuer.shutDown(address(btc));
    }

    /// @dev Of the real oracle: whoever wants to keep the others in may accept the last post once more, an hour after it.
    /// Then nothing is left to accept, and 6 hours later it ends.
    function test_shutDown_is_put_off_by_a_stranger_by_an_hour_at_most() public {
        PriceOracle prices = usePrices();
        vm.warp(START + MAX_PRICE_AGE);
        vm.prank(carol);
        vm.assertTrue(prices.accept(address(btc)));
        vm.warp(START + MAX_PRICE_AGE + 1);
        vm.assertTrue(!prices.accept(address(btc)), "no reading counts any more");

        uint256 from = START + MAX_PRICE_AGE + SHUTDOWN_DELAY + 1;
        vm.assertEq(from, START + 7 hours + 1);
        vm.warp(from - 1);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.ShutDownTooSoon.selector, from));
        issuer.shutDown(address(btc));
        vm.warp(from);
        issuer.shutDown(address(btc));
        vm.assertEq(from + SHUTDOWN_GRACE + 1 + EXIT_DELAY - START, 8 hours + 15 minutes + 2, "everybody is out");
    }

    /// @dev An issuer with the real oracle, one poster and readings that count for as long as they may; alice owes.
    function usePrices() internal returns (PriceOracle prices) {
        prices = new PriceOracle(address(this));
        prices.grantRole(prices.LISTER_ROLE(), address(this));
        prices.grantRole(prices.POSTER_ROLE(), address(this));
        issuer = new SynthIssuer(address(this), address(vault), address(prices));
        vault.grantRole(vault.CORE_ROLE(), address(issuer));
        issuer.grantRole(issuer.LISTER_ROLE(), address(this));
        issuer.configure(address(btc), terms(type(uint128).max));
        prices.configure(address(btc), IPriceOracle.Feed(1, uint32(MAX_PRICE_AGE), 20_000, new IPriceSource[](0)));
        (address[] memory synths, uint256[] memory posted) = (new address[](1), new uint256[](1));
        (synths[0], posted[0]) = (address(btc), PRICE);
        prices.post(synths, posted);
        open(alice, REQUIRED, ONE);
    }

    function test_shutDown_nothing_that_nobody_owes() public {
        close(alice, REQUIRED, ONE);
        close(bob, 3 * REQUIRED, ONE);
        vm.warp(START + 7 hours);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.NoDebt.selector, address(btc)));
        issuer.shutDown(address(btc));
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.NoDebt.selector, address(cxpt)));
        issuer.shutDown(address(cxpt));
    }

    /* WHO GAINS BY BEING QUICK: NOBODY */

    /// @dev The price is there, only not accepted yet: whoever shuts down now would choose the old one.
    function test_shutDown_not_while_a_quorum_could_be_accepted() public {
        vm.warp(START + 7 hours);
        oracle.setMedian(address(btc), PRICE / 2);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.PriceAvailable.selector, address(btc)));
        issuer.shutDown(address(btc));
        oracle.setMedian(address(btc), 0);
        issuer.shutDown(address(btc));
    }

    /// @dev The price that returns a moment later is what everybody gets; whichever side shut down.
    function testFuzz_front_running_the_price_that_returns_gains_nothing(uint256 later, uint256 back) public {
        later = bound(later, 0, SHUTDOWN_GRACE);
        back = bound(back, PRICE / 10, REQUIRED);
        vm.warp(START + 7 hours);
        issuer.shutDown(address(btc));
        vm.warp(block.timestamp + later);
        post(back);
        vm.expectEmit(address(issuer));
        emit ISynthIssuer.ShutDown(address(btc), back);
        vm.prank(carol);
        issuer.reprice(address(btc));
        vm.warp(START + 7 hours + SHUTDOWN_GRACE + 1);
        settlePositions([alice, bob, carol]);
        vm.assertEq(units(alice), WEALTH - back);
        vm.assertEq(units(bob), WEALTH - back);
        vm.assertEq(redeem(bob, ONE), back);
    }

    function test_reprice_only_to_a_price_accepted_after_the_shutdown() public {
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.NotShutDown.selector, address(btc)));
        issuer.reprice(address(btc));
        vm.warp(START + 7 hours);
        issuer.shutDown(address(btc));
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.StalePrice.selector, START));
        issuer.reprice(address(btc));
        // Each later one replaces it, too.
        post(PRICE + 1);
        issuer.reprice(address(btc));
        vm.warp(block.timestamp + SHUTDOWN_GRACE);
        post(PRICE + 2);
        issuer.reprice(address(btc));
        assertShutdown(PRICE + 2, START + 7 hours, 2, 0);
        vm.warp(block.timestamp + 1);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.PriceFinal.selector, START + 7 hours + SHUTDOWN_GRACE));
        issuer.reprice(address(btc));
    }

    function test_settlePositions_waits_until_the_price_is_final() public {
        vm.warp(START + 7 hours);
        issuer.shutDown(address(btc));
        bytes memory reason =
            abi.encodeWithSelector(ISynthIssuer.PriceNotFinal.selector, START + 7 hours + SHUTDOWN_GRACE + 1);
        vm.expectRevert(reason);
        settlePositions([alice, bob, carol]);
        vm.warp(START + 7 hours + SHUTDOWN_GRACE);
        vm.expectRevert(reason);
        settlePositions([alice, bob, carol]);
        vm.warp(START + 7 hours + SHUTDOWN_GRACE + 1);
        settlePositions([alice, bob, carol]);
    }

    /* SETTLING */

    function test_settlePositions() public {
        shutDown();
        vm.expectEmit(address(issuer));
        emit ISynthIssuer.PositionChanged(alice, address(btc), 0, 0);
        vm.expectEmit(address(issuer));
        emit ISynthIssuer.PositionSettled(alice, address(btc), uint128(PRICE), REQUIRED - uint128(PRICE));
        settlePositions([alice, carol, alice]);
        assertPosition(alice, 0, 0);
        vm.assertEq(units(alice), WEALTH - PRICE);
        assertShutdown(PRICE, START + 7 hours, 1, PRICE);
        vm.assertEq(issuer.debtOf(address(btc)), ONE);
        settlePositions([alice, bob, bob]);
        assertShutdown(PRICE, START + 7 hours, 0, 2 * PRICE);
        vm.assertEq(units(bob), WEALTH - PRICE);
        vm.assertEq(issuer.positionCount(address(btc)), 0);
    }

    function test_settlePositions_takes_all_of_what_does_not_reach() public {
        post(2 * uint256(REQUIRED));
        shutDown();
        settlePositions([alice, bob, carol]);
        // Alice's 90,000 for a debt of 180,000; bob's are covered.
        assertShutdown(2 * uint256(REQUIRED), START + 7 hours, 0, 3 * uint256(REQUIRED));
        vm.assertEq(units(alice), WEALTH - REQUIRED);
        vm.assertEq(units(bob), WEALTH - 2 * uint256(REQUIRED));
        // The holders share the deficit, whoever comes first.
        vm.assertEq(redeem(bob, ONE), uint256(REQUIRED) * 3 / 2);
        vm.assertEq(redeem(alice, ONE), uint256(REQUIRED) * 3 / 2);
    }

    function test_settlePositions_of_insurance() public {
        post(2 * uint256(REQUIRED));
        issuer.absorb(alice, address(btc));
        shutDown();
        settlePositions([INSURANCE, bob, alice]);
        assertShutdown(2 * uint256(REQUIRED), START + 7 hours, 0, 3 * uint256(REQUIRED));
    }

    function test_settlePositions_returns_what_owes_nothing() public {
        open(carol, 7, 0);
        shutDown();
        settlePositions([carol, carol, carol]);
        vm.assertEq(units(carol), WEALTH);
        assertShutdown(PRICE, START + 7 hours, 2, 0);
    }

    function test_settlePositions_rounds_the_value_up() public {
        open(carol, 10e6, 1);
        shutDown();
        settlePositions([carol, carol, carol]);
        vm.assertEq(units(carol), WEALTH - 1);
    }

    function test_settlePositions_and_redeem_need_a_shutdown() public {
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.NotShutDown.selector, address(btc)));
        settlePositions([alice, bob, carol]);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.NotShutDown.selector, address(btc)));
        issuer.redeem(address(btc), 1, drawOnRequest());
    }

    /* REDEEMING */

    function test_redeem() public {
        shutDown();
        settlePositions([alice, bob, carol]);
        give(alice, carol, 0.25e18);
        vm.expectEmit(address(issuer));
        emit ISynthIssuer.Redeemed(carol, address(btc), 0.25e18, PRICE / 4);
        vm.assertEq(redeem(carol, 0.25e18), PRICE / 4);
        vm.assertEq(units(carol), WEALTH + PRICE / 4);
        vm.assertEq(btc.totalSupply(), 1.75e18);
        assertShutdown(PRICE, START + 7 hours, 0, 2 * PRICE - PRICE / 4);
    }

    function test_redeem_waits_for_the_last_position() public {
        shutDown();
        settlePositions([alice, alice, alice]);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.PositionsUnsettled.selector, 1));
        vm.prank(alice);
        issuer.redeem(address(btc), ONE, drawOnRequest());
    }

    function test_redeem_something_and_no_more_than_there_is() public {
        shutDown();
        settlePositions([alice, bob, carol]);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.NotRedeemable.selector, 0, 2 * ONE));
        issuer.redeem(address(btc), 0, drawOnRequest());
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.NotRedeemable.selector, 2 * ONE + 1, 2 * ONE));
        issuer.redeem(address(btc), 2 * ONE + 1, drawOnRequest());
        redeem(alice, ONE);
        redeem(bob, ONE);
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.NotRedeemable.selector, 0, 0));
        issuer.redeem(address(btc), 0, drawOnRequest());
    }

    function test_redeem_gives_the_last_one_the_rest() public {
        open(carol, 10e6, 1);
        shutDown();
        settlePositions([alice, bob, carol]);
        // Too little for a unit, and so for nothing: burning it is what opens the rest to the others.
        vm.assertEq(redeem(carol, 1), 0);
        redeem(alice, ONE / 3);
        redeem(bob, ONE);
        redeem(alice, ONE - ONE / 3);
        assertShutdown(PRICE, START + 7 hours, 0, 0);
        vm.assertEq(vault.totalsOf(address(usdc)).locked, 0);
        vm.assertEq(units(alice) + units(bob) + units(carol), 3 * WEALTH);
    }

    /* EVERYBODY */

    /// @dev No key of the operator signs anything from the moment at which prices stop.
    function testFuzz_everybody_leaves_with_the_operator_dead(uint256 price, uint256 share, uint256 outside) public {
        price = bound(price, PRICE / 100, 5 * PRICE);
        open(carol, 20e6, 12_345_678_901);
        give(alice, carol, bound(share, 0, ONE));
        // Some of it is in a wallet.
        outside = bound(outside, 1, ONE);
        request(bob, address(btc), uint128(outside));
        vm.warp(START + EXIT_DELAY);
        vault.completeWithdrawal(bob, address(btc));
        post(price);
        if (price > REQUIRED) issuer.absorb(alice, address(btc));

        // The operator is dead from here on.
        shutDown();
        settlePositions([alice, bob, carol]);
        settlePositions([INSURANCE, INSURANCE, INSURANCE]);
        vm.startPrank(bob);
        btc.approve(address(vault), outside);
        vault.depositSynth(address(btc), outside);
        vm.stopPrank();
        (,,, uint256 pool) = issuer.shutdownOf(address(btc));
        redeemAllByRequest(alice);
        redeemAllByRequest(bob);
        redeemAllByRequest(carol);

        vm.assertEq(btc.totalSupply(), 0);
        vm.assertEq(issuer.debtOf(address(btc)), 0);
        vm.assertEq(issuer.positionCount(address(btc)), 0);
        vm.assertEq(vault.totalsOf(address(usdc)).locked, 0);
        vm.assertLe(pool, (2 * uint256(ONE) + 12_345_678_901) * price / 1e18 + 3);
        uint256 out = withdrawByRequest(alice) + withdrawByRequest(bob) + withdrawByRequest(carol);
        uint256 insured = units(INSURANCE) == 0 ? 0 : withdrawByRequest(INSURANCE);
        vm.assertEq(out + insured, 3 * WEALTH);
        vm.assertEq(usdc.balanceOf(address(vault)), 0);
        vm.assertEq(btc.balanceOf(address(vault)), 0);
    }

    function redeemAllByRequest(address account) internal {
        uint256 amount = atoms(account);
        if (amount == 0) return;
        request(account, address(btc), uint128(amount));
        vm.warp(block.timestamp + EXIT_DELAY);
        vm.prank(account);
        issuer.redeem(address(btc), amount, drawOnRequest());
    }

    function withdrawByRequest(address account) internal returns (uint256 amount) {
        amount = units(account);
        request(account, address(usdc), uint128(amount));
        vm.warp(block.timestamp + EXIT_DELAY);
        vault.completeWithdrawal(account, address(usdc));
        vm.assertEq(usdc.balanceOf(account), amount);
    }
}
