// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {HyperCoreSource} from "../../contracts/HyperCoreSource.sol";
import {IPriceSource} from "../../contracts/interfaces/IPriceSource.sol";
import {Test} from "./Test.sol";

/// @dev Its code, placed at the precompile's address, answers for one index.
contract FakePrecompile {
    uint256 internal immutable INDEX;
    uint256 internal immutable ANSWER;
    uint256 internal immutable LENGTH;

    constructor(uint256 index, uint256 answer, uint256 length) {
        (INDEX, ANSWER, LENGTH) = (index, answer, length);
    }

    fallback() external {
        (uint256 index, uint256 answer, uint256 length) = (INDEX, ANSWER, LENGTH);
        // solhint-disable-next-line no-inline-assembly
        assembly {
            if iszero(and(eq(calldatasize(), 32), eq(calldataload(0), index))) { invalid() }
            mstore(0, answer)
            return(0, length)
        }
    }
}

/// @title Whatever lies at the precompile's address, the source answers with its price or with none
contract HyperCoreSourceTest is Test {
    uint256 internal constant START = 1_800_000_000;
    address internal constant PRECOMPILE = 0x0000000000000000000000000000000000000807;
    address internal constant SYNTH = address(0x5117);
    uint32 internal constant PERP = 3;

    HyperCoreSource internal source;

    function setUp() public {
        vm.warp(START);
        // Like Bitcoin: sizes of five decimals, prices of one.
        source = new HyperCoreSource(PERP, 5, SYNTH);
    }

    function answers(uint256 answer, uint256 length) internal {
        vm.etch(PRECOMPILE, address(new FakePrecompile(PERP, answer, length)).code);
    }

    function assertRead(uint256 price) internal view {
        (uint256 found, uint40 at) = source.read(SYNTH);
        vm.assertEq(found, price);
        vm.assertEq(at, price == 0 ? 0 : START);
    }

    function test_the_right_answer() public {
        answers(615_001, 32);
        assertRead(61_500_100_000);
        (uint256 price, uint40 at) = source.read(address(0x999));
        vm.assertEq(price + at, 0, "another synth");
    }

    function test_decimals() public {
        answers(1_234_567, 32);
        for (uint8 decimals; decimals <= 6; ++decimals) {
            source = new HyperCoreSource(PERP, decimals, SYNTH);
            assertRead(1_234_567 * 10 ** decimals);
        }
        vm.expectRevert(IPriceSource.MalformedSource.selector);
        new HyperCoreSource(PERP, 7, SYNTH);
        vm.expectRevert(IPriceSource.MalformedSource.selector);
        new HyperCoreSource(PERP, 5, address(0));
    }

    function test_no_code_at_all() public view {
        vm.assertEq(PRECOMPILE.code.length, 0);
        assertRead(0);
    }

    function test_another_index_is_refused_by_the_precompile() public {
        answers(615_001, 32);
        source = new HyperCoreSource(PERP + 1, 5, SYNTH);
        assertRead(0);
    }

    function test_zero_is_no_price() public {
        answers(0, 32);
        assertRead(0);
    }

    function test_the_largest_answer_and_one_more() public {
        answers(type(uint64).max, 32);
        assertRead(uint256(type(uint64).max) * 1e5);
        answers(uint256(type(uint64).max) + 1, 32);
        assertRead(0);
        answers(type(uint256).max, 32);
        assertRead(0);
    }

    function testFuzz_only_one_whole_word_is_an_answer(uint256 length) public {
        length = bound(length, 0, 1_000);
        answers(615_001, length);
        assertRead(length == 32 ? 61_500_100_000 : 0);
    }

    function test_short_and_long_answers() public {
        answers(615_001, 31);
        assertRead(0);
        answers(615_001, 33);
        assertRead(0);
        answers(615_001, 64);
        assertRead(0);
    }

    function test_a_revert() public {
        // revert(0, 32)
        vm.etch(PRECOMPILE, hex"60206000fd");
        assertRead(0);
    }

    function test_a_gas_burner_burns_a_bounded_amount() public {
        // jumpdest, jump back
        vm.etch(PRECOMPILE, hex"5b600056");
        uint256 before = gasleft();
        assertRead(0);
        vm.assertLe(before - gasleft(), source.PRECOMPILE_GAS() + 15_000);
        // invalid
        vm.etch(PRECOMPILE, hex"fe");
        before = gasleft();
        assertRead(0);
        vm.assertLe(before - gasleft(), source.PRECOMPILE_GAS() + 15_000);
    }
}
