// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IAmmPair} from "../../contracts/interfaces/IAmmPair.sol";
import {AmmFixture} from "./AmmFixture.sol";

/// @title Uniswap v2's published swaps give the same amounts here
/// @dev Source: Uniswap/v2-core, test/UniswapV2Pair.spec.ts, the tables `getInputPrice` and `optimistic`. The second was
/// made for flash loans; here the same token goes in before it comes out.
contract AmmVectorsTest is AmmFixture {
    uint256 internal constant ONE = 1e18;

    struct Vector {
        uint256 amountIn;
        uint256 reserveIn;
        uint256 reserveOut;
        uint256 amountOut;
    }

    function checkInputPrice(Vector memory vector) internal {
        addLiquidity(alice, vector.reserveIn, vector.reserveOut);
        vm.assertEq(pair.getAmountOut(vector.amountIn, true), vector.amountOut);
        giveBase(address(pair), vector.amountIn);
        vm.expectRevert(IAmmPair.InsufficientInput.selector);
        pair.swap(0, vector.amountOut + 1, bob);
        pair.swap(0, vector.amountOut, bob);
        vm.assertEq(usdc.balanceOf(bob), vector.amountOut);
    }

    function test_input_price_0() public {
        checkInputPrice(Vector(ONE, 5 * ONE, 10 * ONE, 1_662_497_915_624_478_906));
    }

    function test_input_price_1() public {
        checkInputPrice(Vector(ONE, 10 * ONE, 5 * ONE, 453_305_446_940_074_565));
    }

    function test_input_price_2() public {
        checkInputPrice(Vector(2 * ONE, 5 * ONE, 10 * ONE, 2_851_015_155_847_869_602));
    }

    function test_input_price_3() public {
        checkInputPrice(Vector(2 * ONE, 10 * ONE, 5 * ONE, 831_248_957_812_239_453));
    }

    function test_input_price_4() public {
        checkInputPrice(Vector(ONE, 10 * ONE, 10 * ONE, 906_610_893_880_149_131));
    }

    function test_input_price_5() public {
        checkInputPrice(Vector(ONE, 100 * ONE, 100 * ONE, 987_158_034_397_061_298));
    }

    function test_input_price_6() public {
        checkInputPrice(Vector(ONE, 1_000 * ONE, 1_000 * ONE, 996_006_981_039_903_216));
    }

    function checkSameToken(Vector memory vector) internal {
        addLiquidity(alice, vector.reserveIn, vector.reserveOut);
        giveBase(address(pair), vector.amountIn);
        vm.expectRevert(IAmmPair.InsufficientInput.selector);
        pair.swap(vector.amountOut + 1, 0, bob);
        pair.swap(vector.amountOut, 0, bob);
        vm.assertEq(btc.balanceOf(bob), vector.amountOut);
    }

    function test_same_token_0() public {
        checkSameToken(Vector(ONE, 5 * ONE, 10 * ONE, 997e15));
    }

    function test_same_token_1() public {
        checkSameToken(Vector(ONE, 10 * ONE, 5 * ONE, 997e15));
    }

    function test_same_token_2() public {
        checkSameToken(Vector(ONE, 5 * ONE, 5 * ONE, 997e15));
    }

    function test_same_token_3() public {
        checkSameToken(Vector(1_003_009_027_081_243_732, 5 * ONE, 5 * ONE, ONE));
    }
}
