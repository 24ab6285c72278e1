// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IPriceOracle} from "../../contracts/interfaces/IPriceOracle.sol";
import {IPriceSource} from "../../contracts/interfaces/IPriceSource.sol";
import {PriceFixture, SettableSource} from "./PriceFixture.sol";

/// @dev Misbehaves in one of several ways.
contract HostileSource {
    enum Mode {
        Reverts,
        RevertsAtLength,
        AnswersNothing,
        AnswersOneWord,
        AnswersShortOfTwo,
        BurnsGas,
        Asserts,
        AnswersAtLength,
        Writes
    }

    Mode public mode;
    uint256 public written;

    constructor(Mode chosen) {
        mode = chosen;
    }

    fallback() external {
        Mode chosen = mode;
        if (chosen == Mode.Writes) written = 1;
        // solhint-disable-next-line no-inline-assembly
        assembly {
            mstore(0, 1000000)
            mstore(32, timestamp())
            switch chosen
            case 0 { revert(0, 0) }
            case 1 { revert(0, 100000) }
            case 2 { return(0, 0) }
            case 3 { return(0, 32) }
            case 4 { return(0, 63) }
            case 5 { for {} 1 {} {} }
            case 6 { invalid() }
            case 7 { return(0, 100000) }
            default { return(0, 64) }
        }
    }
}

/// @title Whatever a source does, it is one reading more or less
contract PriceOracleSourcesTest is PriceFixture {
    SettableSource internal source;

    function setUp() public override {
        super.setUp();
        source = new SettableSource();
    }

    function readings() internal view returns (uint8 count) {
        (, count) = oracle.medianOf(SYNTH);
    }

    function test_a_source_counts_like_a_poster() public {
        oracle.configure(SYNTH, feed(3, source));
        source.set(PRICE + 2, uint40(START));
        post(ann, PRICE);
        post(ben, PRICE + 9);
        vm.assertEq(priceNow(), PRICE + 2);
        vm.warp(START + MAX_AGE);
        vm.assertEq(readings(), 3);
        vm.warp(START + MAX_AGE + 1);
        vm.assertEq(readings(), 0);
    }

    /// @dev With every poster dead the price grows stale, whatever the sources say: so a synth can be shut down.
    function test_sources_alone_keep_no_price_alive() public {
        oracle.configure(SYNTH, feed(3, source));
        source.set(PRICE, uint40(START));
        vm.assertFalse(oracle.accept(SYNTH));
        post(ann, PRICE);
        vm.assertFalse(oracle.accept(SYNTH));
        post(ben, PRICE);
        vm.assertEq(priceNow(), PRICE);
        vm.warp(START + MAX_AGE + 1);
        source.set(2 * PRICE, uint40(block.timestamp));
        vm.assertFalse(oracle.accept(SYNTH));
        vm.assertEq(acceptedAt(), START);
    }

    /// @dev A source, too, stays within what the posters say.
    function testFuzz_a_lying_source_stays_within_the_posters_range(uint256 lie, uint256 other) public {
        oracle.configure(SYNTH, feed(3, source));
        other = bound(other, PRICE, 2 * PRICE);
        source.set(bound(lie, 1, type(uint128).max), uint40(START));
        post(ann, PRICE);
        post(ben, other);
        vm.assertGe(priceNow(), PRICE);
        vm.assertLe(priceNow(), other);
    }

    function test_a_source_that_lies_about_the_time_does_not_count() public {
        oracle.configure(SYNTH, feed(3, source));
        source.set(PRICE, uint40(START + 1));
        vm.assertEq(readings(), 0);
        source.set(PRICE, type(uint40).max);
        vm.assertEq(readings(), 0);
        source.set(PRICE, 0);
        vm.assertEq(readings(), 0);
        source.set(PRICE, uint40(START));
        vm.assertEq(readings(), 1);
    }

    function test_a_source_without_a_price_does_not_count() public {
        oracle.configure(SYNTH, feed(3, source));
        source.set(0, uint40(START));
        vm.assertEq(readings(), 0);
        source.set(2 ** 128, uint40(START));
        vm.assertEq(readings(), 0);
        source.set(2 ** 128 - 1, uint40(START));
        vm.assertEq(readings(), 1);
    }

    function test_a_time_that_does_not_fit_does_not_count() public {
        address wide = address(0x3333);
        // Answers (1, 2^200).
        vm.etch(wide, hex"6001600052600160c81b60205260406000f3");
        oracle.configure(SYNTH, feed(3, IPriceSource(wide)));
        vm.assertEq(readings(), 0);
    }

    function test_an_address_without_code_does_not_count() public {
        oracle.configure(SYNTH, feed(3, IPriceSource(address(0x999))));
        vm.assertEq(readings(), 0);
    }

    function test_hostile_sources_neither_break_nor_silence_the_others() public {
        for (uint8 mode; mode <= uint8(type(HostileSource.Mode).max); ++mode) {
            address synth = address(uint160(0x7000 + uint160(mode)));
            IPriceOracle.Feed memory made = feed(5);
            made.sources = new IPriceSource[](2);
            made.sources[0] = IPriceSource(address(new HostileSource(HostileSource.Mode(mode))));
            made.sources[1] = source;
            oracle.configure(synth, made);
            source.set(PRICE + 2, uint40(block.timestamp));
            post(ann, synth, PRICE);
            (uint256 median, uint8 count) = oracle.medianOf(synth);
            // A long answer is a good one: only its first two words are looked at.
            bool isLong = HostileSource.Mode(mode) == HostileSource.Mode.AnswersAtLength;
            vm.assertEq(median, isLong ? PRICE : PRICE + 1);
            vm.assertEq(count, isLong ? 3 : 2);
        }
    }

    function hostileFeed() internal returns (IPriceOracle.Feed memory made) {
        made = feed(9);
        made.sources = new IPriceSource[](4);
        for (uint256 i; i < 4; ++i) {
            made.sources[i] = IPriceSource(address(new HostileSource(HostileSource.Mode.BurnsGas)));
        }
    }

    function test_four_gas_burners_cost_a_bounded_amount() public {
        oracle.configure(SYNTH, hostileFeed());
        uint256 before = gasleft();
        post(ann, PRICE);
        uint256 used = before - gasleft();
        vm.assertEq(readings(), 1);
        vm.assertLe(used, 4 * oracle.SOURCE_GAS() + 250_000);
    }

    function test_too_little_gas_is_refused_by_name() public {
        oracle.configure(SYNTH, feed(3, source));
        vm.expectRevert(IPriceOracle.InsufficientGas.selector);
        oracle.accept{gas: 200_000}(SYNTH);
    }
}

/// @dev Uses most of what it may before it answers.
contract SpendingSource is IPriceSource {
    function read(address) external view returns (uint256, uint40) {
        uint256 end = gasleft() > 190_000 ? gasleft() - 190_000 : 0;
        while (gasleft() > end + 1_000) {}
        return (1_000_000e6, uint40(block.timestamp));
    }
}

/// @title The caller of `accept` cannot starve one source of gas and keep the rest
contract PriceOracleStarvingTest is PriceFixture {
    function setUp() public override {
        super.setUp();
        oracle.configure(SYNTH, feed(3, new SpendingSource()));
        post(ann, 1);
        post(ben, PRICE - 2);
        post(cat, PRICE + 2);
        vm.assertEq(priceNow(), PRICE - 2);
        vm.warp(START + 60);
    }

    function testFuzz_too_little_gas_reverts_and_never_leaves_a_source_out(uint256 gasLimit) public {
        gasLimit = bound(gasLimit, 30_000, 400_000);
        try oracle.accept{gas: gasLimit}(SYNTH) {
            vm.assertEq(priceNow(), PRICE, "without the source it would stay");
        } catch {
            vm.assertEq(acceptedAt(), START);
        }
    }
}
