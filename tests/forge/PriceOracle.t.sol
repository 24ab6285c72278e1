// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IPriceOracle} from "../../contracts/interfaces/IPriceOracle.sol";
import {IPriceSource} from "../../contracts/interfaces/IPriceSource.sol";
import {PriceFixture} from "./PriceFixture.sol";

/// @title Feeds, posters, the median, its quorum, and how fast the accepted price moves
contract PriceOracleTest is PriceFixture {
    /* FEEDS */

    function test_configure_is_for_the_lister_once_and_for_the_admin_after() public {
        address lister = address(0x115);
        oracle.grantRole(oracle.LISTER_ROLE(), lister);
        vm.startPrank(lister);
        oracle.configure(SYNTH, feed(2));
        vm.expectRevert();
        oracle.configure(SYNTH, feed(1));
        vm.stopPrank();
        oracle.configure(SYNTH, feed(1));
        vm.assertEq(oracle.feedOf(SYNTH).quorum, 1);
        vm.prank(ann);
        vm.expectRevert();
        oracle.configure(address(0x999), feed(1));
    }

    function refused(IPriceOracle.Feed memory wrong) internal {
        vm.expectRevert(IPriceOracle.MalformedFeed.selector);
        oracle.configure(SYNTH, wrong);
    }

    function test_configure_refuses_what_is_out_of_bounds() public {
        refused(feed(0));
        refused(feed(17));
        IPriceOracle.Feed memory wrong = feed(1);
        wrong.maxAge = 0;
        refused(wrong);
        wrong.maxAge = 3601;
        refused(wrong);
        wrong = feed(1);
        wrong.maxMovePpmPerMinute = 0;
        refused(wrong);
        wrong.maxMovePpmPerMinute = 1_000_001;
        refused(wrong);
        wrong = feed(1);
        wrong.sources = new IPriceSource[](5);
        for (uint160 i; i < 5; ++i) {
            wrong.sources[i] = IPriceSource(address(0x100 + i));
        }
        refused(wrong);
        refused(feed(5, IPriceSource(address(0))));
        wrong = feed(5);
        wrong.sources = new IPriceSource[](2);
        wrong.sources[0] = wrong.sources[1] = IPriceSource(address(0x100));
        refused(wrong);
        vm.expectRevert(IPriceOracle.MalformedFeed.selector);
        oracle.configure(address(0), feed(1));
        oracle.configure(SYNTH, feed(16));
        oracle.configure(SYNTH, feed(17, IPriceSource(address(0x100))));
        refused(feed(18, IPriceSource(address(0x100))));
    }

    /// @dev Sources alone can neither carry a price nor, all of them lying, lead it out of the posters' range.
    function testFuzz_sources_are_less_than_half_of_every_quorum(uint256 quorum, uint256 count) public {
        (quorum, count) = (bound(quorum, 1, 20), bound(count, 0, 4));
        IPriceOracle.Feed memory made = feed(uint8(quorum));
        made.sources = new IPriceSource[](count);
        for (uint160 i; i < count; ++i) {
            made.sources[i] = IPriceSource(address(0x100 + i));
        }
        if (quorum <= 2 * count || quorum > 16 + count) refused(made);
        else oracle.configure(SYNTH, made);
    }

    function test_configure_replaces_the_feed_and_keeps_the_price() public {
        oracle.configure(SYNTH, feed(3, IPriceSource(address(0x100))));
        post(ann, PRICE);
        post(ben, PRICE);
        post(cat, PRICE);
        vm.expectEmit(address(oracle));
        emit IPriceOracle.FeedConfigured(SYNTH, 3, MAX_AGE, SPEED, new IPriceSource[](0));
        oracle.configure(SYNTH, feed(3));
        vm.assertEq(oracle.feedOf(SYNTH).sources.length, 0);
        vm.assertEq(oracle.feedOf(SYNTH).quorum, 3);
        vm.assertEq(priceNow(), PRICE);
        vm.assertEq(resumedAt(), 0);
    }

    function test_a_longer_age_does_not_pass_a_stale_price_off_as_a_fresh_one() public {
        oracle.configure(SYNTH, feed(1));
        post(ann, PRICE);
        vm.warp(START + MAX_AGE + 1);
        IPriceOracle.Feed memory longer = feed(1);
        longer.maxAge = 3600;
        oracle.configure(SYNTH, longer);
        vm.assertEq(resumedAt(), START + MAX_AGE + 1);
        vm.assertEq(acceptedAt(), START);
    }

    /* POSTERS */

    function test_post_is_for_posters() public {
        oracle.configure(SYNTH, feed(1));
        (address[] memory synths, uint256[] memory prices) = (new address[](1), new uint256[](1));
        (synths[0], prices[0]) = (SYNTH, PRICE);
        vm.expectRevert();
        oracle.post(synths, prices);
        vm.expectRevert();
        oracle.postUntil(uint40(START + 1), synths, prices);
    }

    function test_posters_are_listed_and_bounded() public {
        bytes32 role = oracle.POSTER_ROLE();
        for (uint160 i; i < 13; ++i) {
            addPoster(address(0x1000 + i));
        }
        addPoster(ann);
        vm.assertEq(oracle.posters().length, 16);
        vm.expectRevert(IPriceOracle.TooManyPosters.selector);
        oracle.grantRole(role, address(0x2000));
        vm.assertFalse(oracle.hasRole(role, address(0x2000)));
        oracle.revokeRole(role, ben);
        oracle.revokeRole(role, ben);
        vm.prank(ann);
        oracle.renounceRole(role, ann);
        address[] memory left = oracle.posters();
        vm.assertEq(left.length, 14);
        for (uint256 i; i < left.length; ++i) {
            vm.assertTrue(left[i] != ann && left[i] != ben && oracle.hasRole(role, left[i]));
        }
        oracle.grantRole(role, address(0x2000));
        vm.assertEq(oracle.posters().length, 15);
    }

    function test_other_roles_are_not_listed() public {
        oracle.grantRole(oracle.LISTER_ROLE(), address(0x2000));
        vm.assertEq(oracle.posters().length, 3);
    }

    function test_a_revoked_posters_reading_is_gone_at_once_and_for_ever() public {
        oracle.configure(SYNTH, feed(1));
        post(ann, PRICE);
        post(ben, 2 * PRICE);
        bytes32 role = oracle.POSTER_ROLE();
        oracle.revokeRole(role, ben);
        (uint256 median, uint8 readings) = oracle.medianOf(SYNTH);
        vm.assertEq(median, PRICE);
        vm.assertEq(readings, 1);
        (uint256 price,) = oracle.postOf(ben, SYNTH);
        vm.assertEq(price, 0);

        vm.warp(START + 1);
        oracle.grantRole(role, ben);
        (median, readings) = oracle.medianOf(SYNTH);
        vm.assertEq(readings, 1);
        (price,) = oracle.postOf(ben, SYNTH);
        vm.assertEq(price, 0);
        post(ben, 3 * PRICE);
        (median, readings) = oracle.medianOf(SYNTH);
        vm.assertEq(median, 2 * PRICE);
    }

    /* POSTS */

    function test_post_many_synths_at_once() public {
        (address[] memory synths, uint256[] memory prices) = (new address[](10), new uint256[](10));
        for (uint160 i; i < 10; ++i) {
            (synths[i], prices[i]) = (address(0x5000 + i), PRICE + i);
            oracle.configure(synths[i], feed(i % 2 == 0 ? 1 : 2));
        }
        vm.expectEmit(address(oracle));
        emit IPriceOracle.PricePosted(ann, synths[0], PRICE);
        vm.prank(ann);
        oracle.post(synths, prices);
        for (uint160 i; i < 10; ++i) {
            (uint256 price, uint40 at,,) = oracle.priceOf(synths[i]);
            vm.assertEq(price, i % 2 == 0 ? PRICE + i : 0);
            vm.assertEq(at, i % 2 == 0 ? START : 0);
            (price, at) = oracle.postOf(ann, synths[i]);
            vm.assertEq(price, PRICE + i);
            vm.assertEq(at, START);
        }
    }

    function test_post_refuses_what_is_no_price() public {
        oracle.configure(SYNTH, feed(1));
        (address[] memory synths, uint256[] memory prices) = (new address[](2), new uint256[](2));
        (synths[0], synths[1]) = (SYNTH, SYNTH);
        prices[0] = PRICE;
        vm.startPrank(ann);
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.PriceOutOfRange.selector, 0));
        oracle.post(synths, prices);
        prices[1] = 2 ** 128;
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.PriceOutOfRange.selector, 2 ** 128));
        oracle.post(synths, prices);
        (prices[1], synths[1]) = (PRICE, address(0x999));
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.UnknownFeed.selector, address(0x999)));
        oracle.post(synths, prices);
        vm.expectRevert(IPriceOracle.LengthMismatch.selector);
        oracle.post(synths, new uint256[](1));
        vm.stopPrank();
        post(ann, type(uint128).max);
        vm.assertEq(priceNow(), type(uint128).max);
    }

    function test_postUntil_refuses_to_be_late() public {
        oracle.configure(SYNTH, feed(1));
        (address[] memory synths, uint256[] memory prices) = (new address[](1), new uint256[](1));
        (synths[0], prices[0]) = (SYNTH, PRICE);
        uint40 deadline = uint40(START + 30);
        vm.warp(deadline + 1);
        vm.startPrank(ann);
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.DeadlinePassed.selector, deadline));
        oracle.postUntil(deadline, synths, prices);
        vm.warp(deadline);
        oracle.postUntil(deadline, synths, prices);
        vm.assertEq(priceNow(), PRICE);
    }

    /* QUORUM AND AGE */

    function test_without_a_quorum_nothing_is_accepted_and_nothing_reverts() public {
        oracle.configure(SYNTH, feed(2));
        vm.assertFalse(oracle.accept(SYNTH));
        post(ann, PRICE);
        vm.assertFalse(oracle.accept(SYNTH));
        vm.assertEq(acceptedAt(), 0);
        vm.expectEmit(address(oracle));
        emit IPriceOracle.PriceAccepted(SYNTH, PRICE + 1, PRICE + 1, 2, 0);
        post(ben, PRICE + 2);
        vm.warp(START + MAX_AGE);
        vm.assertTrue(oracle.accept(SYNTH));
        vm.warp(START + MAX_AGE + 1);
        vm.assertFalse(oracle.accept(SYNTH));
        vm.assertEq(acceptedAt(), START + MAX_AGE);
        vm.assertEq(priceNow(), PRICE + 1);
    }

    function test_accept_knows_only_feeds() public {
        vm.expectRevert(abi.encodeWithSelector(IPriceOracle.UnknownFeed.selector, SYNTH));
        oracle.accept(SYNTH);
    }

    function test_views_of_what_is_not_there() public view {
        (uint256 price, uint40 at, uint40 resumed, uint32 maxAge) = oracle.priceOf(SYNTH);
        vm.assertEq(price + at + resumed + maxAge, 0);
        vm.assertEq(oracle.feedOf(SYNTH).quorum, 0);
        (uint256 median, uint8 readings) = oracle.medianOf(SYNTH);
        vm.assertEq(median + readings, 0);
    }

    function test_a_stale_price_that_is_accepted_again_has_resumed() public {
        oracle.configure(SYNTH, feed(1));
        post(ann, PRICE);
        vm.warp(START + MAX_AGE);
        post(ann, PRICE);
        vm.assertEq(resumedAt(), 0, "still fresh");
        uint256 later = START + 2 * MAX_AGE + 1;
        vm.warp(later);
        post(ann, PRICE);
        vm.assertEq(resumedAt(), later);
        vm.warp(later + 60);
        post(ann, PRICE);
        vm.assertEq(resumedAt(), later, "the last time");
    }

    /* MEDIAN */

    function test_one_liar_of_three_moves_it_within_the_honest_range_only() public {
        oracle.configure(SYNTH, feed(2));
        post(ann, PRICE);
        post(ben, PRICE + 10e6);
        for (uint256 i; i < 2; ++i) {
            post(cat, i == 0 ? 1 : type(uint128).max);
            (uint256 median,) = oracle.medianOf(SYNTH);
            vm.assertEq(median, i == 0 ? PRICE : PRICE + 10e6);
        }
    }

    /// @dev Bubble sort, and the mean of both middles by their sum.
    function medianByReference(uint256[] memory values) internal pure returns (uint256) {
        for (uint256 i; i < values.length; ++i) {
            for (uint256 j = 1; j < values.length - i; ++j) {
                if (values[j - 1] > values[j]) (values[j - 1], values[j]) = (values[j], values[j - 1]);
            }
        }
        return (values[(values.length - 1) / 2] + values[values.length / 2]) / 2;
    }

    function testFuzz_median(uint128[16] calldata raw, uint256 count) public {
        count = bound(count, 1, 16);
        oracle.configure(SYNTH, feed(uint8(count)));
        for (uint160 i = 3; i < count; ++i) {
            addPoster(address(0xA + i));
        }
        uint256[] memory values = new uint256[](count);
        for (uint160 i; i < count; ++i) {
            // Few different values, so that equal ones meet, or any at all.
            values[i] = raw[0] % 2 == 0 ? bound(raw[i], 1, 5) : bound(raw[i], 1, type(uint128).max);
            post(address(0xA + i), values[i]);
        }
        vm.assertEq(priceNow(), medianByReference(values));
        (uint256 median, uint8 readings) = oracle.medianOf(SYNTH);
        vm.assertEq(median, priceNow());
        vm.assertEq(readings, count);
    }

    /* SPEED */

    function test_the_first_price_is_not_bounded_and_the_next_ones_are() public {
        oracle.configure(SYNTH, feed(1));
        post(ann, PRICE);
        post(ann, 2 * PRICE);
        vm.assertEq(priceNow(), PRICE, "no time, no move");
        vm.warp(START + 60);
        vm.expectEmit(address(oracle));
        emit IPriceOracle.PriceAccepted(SYNTH, 60_600e6, 2 * PRICE, 1, 0);
        oracle.accept(SYNTH);
        vm.warp(START + 90);
        post(ann, 60_700e6);
        vm.assertEq(priceNow(), 60_700e6, "within half a percent");
        vm.warp(START + 150);
        post(ann, 1);
        vm.assertEq(priceNow(), 60_093e6);
    }

    function test_time_counts_for_one_max_age_only() public {
        oracle.configure(SYNTH, feed(1));
        post(ann, PRICE);
        vm.warp(START + 100 * MAX_AGE);
        post(ann, 10 * PRICE);
        vm.assertEq(priceNow(), PRICE * 110 / 100);
    }

    function testFuzz_moves_are_bounded(uint256 first, uint256 wanted, uint256 elapsed, uint256 speed, uint256 maxAge)
        public
    {
        first = bound(first, 1, type(uint128).max);
        wanted = bound(wanted, 1, type(uint128).max);
        elapsed = bound(elapsed, 0, 10_000);
        IPriceOracle.Feed memory made = feed(1);
        made.maxMovePpmPerMinute = uint32(bound(speed, 1, 1_000_000));
        made.maxAge = uint32(bound(maxAge, 1, 3600));
        oracle.configure(SYNTH, made);
        post(ann, first);
        vm.warp(START + elapsed);
        post(ann, wanted);

        uint256 counted = elapsed < made.maxAge ? elapsed : made.maxAge;
        uint256 most = first * made.maxMovePpmPerMinute * counted / 60e6;
        uint256 distance = wanted > first ? wanted - first : first - wanted;
        uint256 moved = wanted > first ? priceNow() - first : first - priceNow();
        if (distance <= most) vm.assertEq(moved, distance);
        else vm.assertTrue(moved == most || moved == most + 1, "a fraction that falls rounds down, too");
        vm.assertTrue(priceNow() != 0);
    }

    function test_frequent_accepts_do_not_hold_a_small_price() public {
        oracle.configure(SYNTH, feed(1));
        post(ann, 100);
        for (uint256 i = 1; i <= MAX_AGE; ++i) {
            if (i % 300 == 1) post(ann, 200);
            vm.warp(START + i);
            oracle.accept(SYNTH);
        }
        vm.assertGe(priceNow(), 110);
    }

    /* LIARS */

    /// @dev The two posters out of three that lie from now on, at an interval of their choice for an hour.
    function lieForAnHour(uint256 lie, uint256 interval) internal {
        IPriceOracle.Feed memory made = feed(2);
        made.maxAge = 3600;
        oracle.configure(SYNTH, made);
        post(ann, PRICE);
        post(ben, PRICE);
        post(cat, PRICE);
        for (uint256 elapsed = interval; elapsed <= 3600; elapsed += interval) {
            vm.warp(START + elapsed);
            post(ann, PRICE);
            post(ben, lie);
            post(cat, lie);
        }
    }

    function test_the_most_that_a_lying_quorum_gains_in_an_hour() public {
        uint256 before = PRICE;
        lieForAnHour(type(uint128).max, 1);
        // e^0.6 = 1.8221188; the smaller the steps, the closer.
        vm.assertLe(priceNow(), before * 18_221_188 / 10_000_000, "rises to e^(60 r) at most");
        vm.assertGe(priceNow(), before * 18_210_000 / 10_000_000);
    }

    function test_the_most_that_a_lying_quorum_takes_in_an_hour() public {
        IPriceOracle.Feed memory made = feed(1);
        made.maxAge = 3600;
        oracle.configure(SYNTH, made);
        post(ann, PRICE);
        // Silence for an hour, then one step: worse than any number of steps, which compound.
        vm.warp(START + 3600);
        post(ann, 1);
        vm.assertEq(priceNow(), PRICE * 40 / 100);
    }

    /// @dev Fewer runs, each an hour of posts.
    /// forge-config: default.fuzz.runs = 500
    /// forge-config: fuzz.fuzz.runs = 5000
    function testFuzz_liars_stay_within_their_bound(uint256 lie, uint256 interval) public {
        interval = bound(interval, 10, 3600);
        lieForAnHour(bound(lie, 1, 10 * PRICE), interval);
        vm.assertLe(priceNow(), PRICE * 18_221_188 / 10_000_000);
        vm.assertGe(priceNow(), PRICE * 40 / 100);
    }
}
