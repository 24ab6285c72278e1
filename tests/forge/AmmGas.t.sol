// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IAmmRouter} from "../../contracts/interfaces/IAmmRouter.sol";
import {AmmFactory} from "../../contracts/AmmFactory.sol";
import {AmmFixture} from "./AmmFixture.sol";

/// @title What the pools cost
/// @dev Every call is a transaction of its own, as on chain. forge-config: default.isolate = true
contract AmmGasTest is AmmFixture {
    uint256 internal constant SWAP_MOST = 80_000;
    uint256 internal constant ROUTER_SWAP_MOST = 130_000;
    uint256 internal constant CREATE_MOST = 300_000;

    function setUp() public override {
        super.setUp();
        addLiquidity(alice, 10e18, 5e6);
        giveBase(bob, 1e18);
        giveQuote(bob, 1e6);
        vm.warp(START + 1);
        pair.sync();
        vm.warp(START + 2);
    }

    /// @dev As Uniswap v2 measures its own: input sent before, both sums written before, the receiver holds the token.
    function test_gas_swap_through_the_pair() public {
        giveBase(address(pair), 1e18);
        uint256 out = pair.getAmountOut(1e18, true);
        pair.swap(0, out, bob);
        vm.assertLe(vm.lastCallGas().gasTotalUsed, SWAP_MOST);
        vm.warp(START + 3);
        giveQuote(address(pair), 1e6);
        out = pair.getAmountOut(1e6, false);
        pair.swap(out, 0, bob);
        vm.assertLe(vm.lastCallGas().gasTotalUsed, SWAP_MOST);
    }

    function test_gas_swap_through_the_router() public {
        IAmmRouter.Permit memory none;
        vm.prank(bob);
        btc.approve(address(router), type(uint256).max);
        vm.prank(bob);
        router.swapExactIn(address(btc), address(usdc), 1e17, 0, bob, START + 2, none);
        vm.assertLe(vm.lastCallGas().gasTotalUsed, ROUTER_SWAP_MOST);
    }

    function test_gas_mint_and_burn() public {
        addLiquidity(alice, 1e18, 5e5);
        removeLiquidity(alice, 1e9);
    }

    function test_gas_create() public {
        AmmFactory fresh = new AmmFactory(address(vault), factory.IMPLEMENTATION());
        fresh.createPair(address(btc));
        vm.assertLe(vm.lastCallGas().gasTotalUsed, CREATE_MOST);
    }
}
