// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IPriceOracle} from "../../contracts/interfaces/IPriceOracle.sol";
import {IPriceSource} from "../../contracts/interfaces/IPriceSource.sol";
import {ISynthIssuer} from "../../contracts/interfaces/ISynthIssuer.sol";
import {Order, SHUTDOWN_DELAY, SHUTDOWN_GRACE, SIDE_BUY, SIDE_SELL} from "../../contracts/interfaces/Types.sol";
import {VaultMessages} from "../../contracts/libraries/VaultMessages.sol";
import {Residents} from "./Residents.sol";

/// @title What a quorum of lying posters takes in an hour, in money
/// @dev The price of the world stays P. An accepted price moves by at most r a minute and counts for m minutes at most.
/// So in an hour it falls to P (1 - r m)^(60 / m) at the lowest (the fewest and longest steps: ln(1 - r d) is concave)
/// and rises to P e^(60 r) at the highest (the most and shortest steps). Here r is 1 % and m is 10: to 0.531441 P and
/// to 1.8221188 P. With the ratios of the terms, 150 % initial, 120 % maintenance and 10 % bonus, the attacker takes
///
///   by minting at the lowest price l, per synth below the ceiling       P - 1.5 l
///   by liquidating at the highest price h, of a position (C, D)
///     worth less than 1.1 h D                                           C - D P, all that was over
///     worth less than 1.2 h D                                           (1.5 h D - C) / (0.4 h) x (1.1 h - P)
///     worth more                                                        nothing
///   and by six hours of silence after that hour, so that a false price is the last one (what was posted in the hour
///   still moves it for m minutes more: l' = l (1 - r m), h' = h e^(r m))
///     as a debtor who sold at P, per synth                              P - l'
///     as a holder who bought at P, of a position (C, D)                 min(C, h' D) - D P
///
/// and no more: every test reaches its bound within 1 % and stays below it. Nothing of it exceeds the ceiling times the
/// price, or the collateral of the positions. Synth is bought and sold at P: somebody honest takes the other side.
contract QuorumTakeTest is Residents {
    uint256 internal constant HOUR = 3_600;
    uint32 internal constant MAX_AGE = 600;
    uint32 internal constant PPM_PER_MINUTE = 10_000;
    uint128 internal constant CEILING = 100e18;
    uint128 internal constant DEBT = 10e18;
    uint256 internal constant DEBTORS = 4;
    uint256 internal constant MALLORY_KEY = 0xBAD;
    uint256 internal constant RICH = 100_000_000e6;

    /// @dev P (1 - r m)^(60 / m), exactly.
    uint256 internal constant LOWEST = PRICE * 531_441 / 1_000_000;
    /// @dev P e^(60 r), rounded up.
    uint256 internal constant HIGHEST = PRICE * 18_221_189 / 10_000_000;

    /// @dev After another ten minutes.
    uint256 internal constant LAST_LOWEST = PRICE * 4_782_969 / 10_000_000;
    uint256 internal constant LAST_HIGHEST = PRICE * 20_137_528 / 10_000_000;

    address internal mallory = vm.addr(MALLORY_KEY);
    uint48 internal trades;
    uint256 internal capital;

    function setUp() public override {
        super.setUp();
        prices.configure(address(btc), IPriceOracle.Feed(2, MAX_AGE, PPM_PER_MINUTE, new IPriceSource[](0)));
        issuer.configure(address(btc), ISynthIssuer.Terms(CEILING, 150, 120, 10));
        for (uint256 i; i < DEBTORS; ++i) {
            users.push(vm.addr(userKey(i)));
            giveUnits(users[i], RICH);
            owe(users[i], collateralOf(i), DEBT);
        }
        giveUnits(mallory, RICH);
        capital = RICH;
    }

    /// @dev One position of each regime: two worth less than 1.1 h D, one less than 1.2 h D, one more.
    function collateralOf(uint256 i) internal pure returns (uint256) {
        return worth(DEBT) * [uint256(150), 190, 205, 230][i] / 100;
    }

    function worth(uint256 amount) internal pure returns (uint256) {
        return amount * PRICE / PRICE_ATOMS;
    }

    /* DEBT AND TRADE */

    function owe(address account, uint256 collateral, uint256 debt) internal {
        vm.startPrank(account);
        issuer.open(
            address(btc),
            uint128(collateral),
            uint128(debt),
            approve(account, address(usdc), collateral, VaultMessages.PURPOSE_LOCK)
        );
        vm.stopPrank();
    }

    /// @dev At P, through the book, without fees.
    function sellSynth(uint256 sellerKey, uint256 buyerKey, uint256 amount) internal {
        uint64 lots = uint64(amount / BASE_PER_LOT);
        ++trades;
        Order memory bid = resting(vm.addr(buyerKey), SIDE_BUY, PRICE_TICKS, lots, nonceOf(1, trades));
        Order memory ask = immediate(vm.addr(sellerKey), SIDE_SELL, PRICE_TICKS, lots, trades);
        match_(add(bid, buyerKey), add(ask, sellerKey), lots);
        vm.assertEq(settle(), "");
    }

    function buyFromDebtors() internal {
        for (uint256 i; i < DEBTORS; ++i) {
            sellSynth(userKey(i), MALLORY_KEY, DEBT);
        }
    }

    /// @dev What the attacker has, synth at P, less what it began with. Its debts are left behind.
    function taken() internal view returns (int256) {
        return int256(units(mallory) + worth(vault.balanceOf(mallory, address(btc)))) - int256(capital);
    }

    /* LIES */

    function say(address poster, uint256 price) internal {
        (address[] memory synths, uint256[] memory posted) = (new address[](1), new uint256[](1));
        (synths[0], posted[0]) = (address(btc), price);
        vm.prank(poster);
        prices.post(synths, posted);
    }

    /// @dev Two of three lie.
    function lie(uint256 price) internal {
        say(posters[0], price);
        say(posters[1], price);
        say(posters[2], PRICE);
    }

    function priceNow() internal view returns (uint256 price) {
        (price,,,) = prices.priceOf(address(btc));
    }

    function fall() internal {
        lie(1);
        for (uint256 elapsed = MAX_AGE; elapsed <= HOUR; elapsed += MAX_AGE) {
            vm.warp(START + elapsed);
            lie(1);
        }
        vm.assertEq(priceNow(), LOWEST);
    }

    function rise() internal {
        lie(type(uint128).max);
        for (uint256 elapsed = 10; elapsed <= HOUR; elapsed += 10) {
            vm.warp(START + elapsed);
            if (elapsed % 300 == 0) lie(type(uint128).max);
            else prices.accept(address(btc));
        }
        vm.assertLe(priceNow(), HIGHEST);
    }

    /// @dev The lies count until they are too old; the honest third goes on and is no quorum.
    function beSilentAndShutDown(uint256 interval) internal {
        uint256 until = HOUR + MAX_AGE;
        for (uint256 elapsed = HOUR + interval; elapsed <= until; elapsed += interval) {
            vm.warp(START + elapsed);
            prices.accept(address(btc));
        }
        for (uint256 elapsed = until + 1; elapsed <= until + 6 hours; elapsed += MAX_AGE / 2) {
            vm.warp(START + elapsed);
            say(posters[2], PRICE);
        }
        vm.warp(START + until + SHUTDOWN_DELAY + 1);
        vm.startPrank(mallory);
        issuer.shutDown(address(btc));
        vm.stopPrank();
        vm.warp(block.timestamp + SHUTDOWN_GRACE + 1);
        vm.startPrank(mallory);
        address[] memory all = new address[](DEBTORS + 1);
        for (uint256 i; i < DEBTORS; ++i) {
            all[i] = users[i];
        }
        all[DEBTORS] = mallory;
        issuer.settlePositions(address(btc), all);
        vm.stopPrank();
    }

    /* BOUNDS */

    function boundOfMinting(uint256 room) internal pure returns (uint256) {
        return room * (PRICE - LOWEST * 3 / 2) / PRICE_ATOMS;
    }

    function boundOfLiquidating(uint256 collateral, uint256 debt) internal pure returns (uint256) {
        if (collateral >= debt * HIGHEST * 120 / 100 / PRICE_ATOMS) return 0;
        if (collateral <= debt * HIGHEST * 110 / 100 / PRICE_ATOMS) return collateral - worth(debt);
        uint256 repaid = (debt * HIGHEST * 150 - collateral * 100 * PRICE_ATOMS) / (HIGHEST * 40);
        return repaid * (HIGHEST * 110 / 100 - PRICE) / PRICE_ATOMS;
    }

    function boundOfLiquidatingAll() internal pure returns (uint256 sum) {
        for (uint256 i; i < DEBTORS; ++i) {
            sum += boundOfLiquidating(collateralOf(i), DEBT);
        }
    }

    function boundOfRedeeming() internal pure returns (uint256 sum) {
        for (uint256 i; i < DEBTORS; ++i) {
            sum += min(collateralOf(i), DEBT * LAST_HIGHEST / PRICE_ATOMS) - worth(DEBT);
        }
    }

    /// @dev Reached within 1 %, and not exceeded.
    function assertReached(uint256 most) internal view {
        vm.assertTrue(taken() > 0);
        vm.assertLe(uint256(taken()), most, "never more");
        vm.assertGe(uint256(taken()), most * 99 / 100);
    }

    /* THE FOUR WAYS */

    function test_the_most_that_a_lying_quorum_takes_in_an_hour_by_minting() public {
        uint128 room = CEILING - uint128(issuer.debtOf(address(btc)));
        fall();
        owe(mallory, uint256(room) * LOWEST * 3 / 2 / PRICE_ATOMS, room);
        sellSynth(MALLORY_KEY, userKey(0), room);
        vm.assertEq(vault.balanceOf(mallory, address(btc)), 0);
        assertReached(boundOfMinting(room));
        // In figures: 20.28 % of the price, on every synth that the ceiling left room for.
        vm.assertEq(boundOfMinting(1e18), PRICE * 202_838_500 / 1_000_000_000);
    }

    function test_the_most_that_a_lying_quorum_takes_in_an_hour_by_liquidating() public {
        buyFromDebtors();
        rise();
        for (uint256 i; i < DEBTORS; ++i) {
            uint256 before = units(mallory) + worth(vault.balanceOf(mallory, address(btc)));
            liquidateAll(users[i]);
            uint256 gain = units(mallory) + worth(vault.balanceOf(mallory, address(btc))) - before;
            uint256 most = boundOfLiquidating(collateralOf(i), DEBT);
            vm.assertLe(gain, most, "never more");
            vm.assertGe(gain, most * 99 / 100);
        }
        assertReached(boundOfLiquidatingAll());
    }

    function test_the_most_that_a_lying_quorum_takes_as_a_debtor_by_silence_after_the_hour() public {
        uint128 room = CEILING - uint128(issuer.debtOf(address(btc)));
        owe(mallory, worth(room) * 3 / 2, room);
        sellSynth(MALLORY_KEY, userKey(0), room);
        fall();
        beSilentAndShutDown(MAX_AGE);
        vm.assertEq(priceNow(), LAST_LOWEST);
        assertReached(uint256(room) * (PRICE - LAST_LOWEST) / PRICE_ATOMS);
    }

    function test_the_most_that_a_lying_quorum_takes_as_a_holder_by_silence_after_the_hour() public {
        buyFromDebtors();
        rise();
        vm.expectRevert(abi.encodeWithSelector(ISynthIssuer.NotShutDown.selector, address(btc)));
        issuer.redeem(address(btc), DEBT, drawOnRequest()); // not within the hour
        beSilentAndShutDown(10);
        vm.assertLe(priceNow(), LAST_HIGHEST);
        uint256 amount = DEBTORS * DEBT;
        vm.startPrank(mallory);
        issuer.redeem(address(btc), amount, approve(mallory, address(btc), amount, VaultMessages.PURPOSE_BURN));
        vm.stopPrank();
        assertReached(boundOfRedeeming());
    }

    function liquidateAll(address account) internal {
        uint256 most = issuer.liquidatableDebt(account, address(btc));
        if (most == 0) return;
        vm.startPrank(mallory);
        issuer.liquidate(
            account, address(btc), uint128(most), 0, approve(mallory, address(btc), most, VaultMessages.PURPOSE_BURN)
        );
        vm.stopPrank();
    }

    /* ANY STRATEGY */

    /// @dev Lies of any size at any times, up and down, with debt opened and positions liquidated whenever it pays.
    /// Whatever is paid back makes room for new debt: for minting the whole ceiling counts.
    /// Fewer runs, each an hour of posts, openings and liquidations.
    /// forge-config: default.fuzz.runs = 500
    /// forge-config: fuzz.fuzz.runs = 5000
    function testFuzz_no_strategy_of_a_lying_quorum_takes_more_in_an_hour(uint256 seed_) public {
        seed = seed_;
        buyFromDebtors();
        uint256 longest = draw(1, 3) == 1 ? 60 : MAX_AGE;
        lie(anyLie());
        for (uint256 now_ = START;;) {
            now_ += draw(longest / 2, longest);
            if (now_ > START + HOUR) break;
            vm.warp(now_);
            if (draw(0, 3) != 0) prices.accept(address(btc));
            if (draw(0, 5) == 0) lie(anyLie());
            else lie(lastLie);
            if (draw(0, 3) == 0) mintIfItPays();
            if (draw(0, 3) == 0) liquidateIfItPays();
        }
        mintIfItPays();
        liquidateIfItPays();
        vm.assertGe(priceNow(), LOWEST);
        vm.assertLe(priceNow(), HIGHEST);
        vm.assertLe(taken(), int256(boundOfMinting(CEILING) + boundOfLiquidatingAll()), "never more");
    }

    uint256 internal lastLie;

    function anyLie() internal returns (uint256) {
        uint256 kind = draw(0, 3);
        lastLie = kind == 0 ? 1 : kind == 1 ? type(uint128).max : draw(PRICE / 4, 4 * PRICE);
        return lastLie;
    }

    /// @dev At the price that counts for new debt, the higher of the accepted one and the median.
    function mintIfItPays() internal {
        (uint256 median,) = prices.medianOf(address(btc));
        uint256 price = priceNow() > median ? priceNow() : median;
        uint256 room = CEILING - issuer.debtOf(address(btc));
        if (price * 3 / 2 >= PRICE || room < 1e18) return;
        owe(mallory, room * price * 3 / 2 / PRICE_ATOMS + 1, room);
    }

    function liquidateIfItPays() internal {
        if (priceNow() * 110 / 100 <= PRICE) return;
        for (uint256 i; i < DEBTORS; ++i) {
            liquidateAll(users[i]);
        }
    }
}
