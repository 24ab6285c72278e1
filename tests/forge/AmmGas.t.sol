// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AmmFactory} from "../../contracts/AmmFactory.sol";
import {IAmmRouter} from "../../contracts/interfaces/IAmmRouter.sol";
import {TestUSDC} from "../../contracts/mocks/TestUSDC.sol";
import {AmmFixture} from "./AmmFixture.sol";
import {newProxiedUsdc} from "./ProxiedUSDC.sol";

/// @title What the pools cost, whole transactions
/// @dev Every call is a transaction of its own, as on chain. forge-config: default.isolate = true
contract AmmGasTest is AmmFixture {
    uint256 internal constant ROUTER_SWAP_MOST = 130_000;
    uint256 internal constant CREATE_MOST = 300_000;
    uint256 internal constant MINT_MOST = 150_000;

    /// @dev forge prints it with -vv.
    event log_named_uint(string name, uint256 value); // solhint-disable-line event-name-capwords

    function setUp() public override {
        super.setUp();
        addLiquidity(alice, 10e18, 5e6);
        giveBase(bob, 1e18);
        giveQuote(bob, 1e6);
        vm.warp(START + 1);
        pair.sync();
        vm.warp(START + 2);
    }

    function record(string memory name, uint256 limit) internal {
        uint256 used = vm.lastCallGas().gasTotalUsed;
        emit log_named_uint(name, used);
        vm.assertLe(used, limit);
    }

    /// @return Most gas of a swap through the pair, and of a burn.
    function mosts() internal pure virtual returns (uint256, uint256) {
        return (80_000, 130_000);
    }

    /// @dev As Uniswap v2 measures its own: input sent before, both sums written before, the receiver holds the token.
    function test_gas_swap_through_the_pair() public {
        (uint256 most,) = mosts();
        giveBase(address(pair), 1e18);
        uint256 out = pair.getAmountOut(1e18, true);
        pair.swap(0, out, bob);
        record("swap, base in", most);
        vm.warp(START + 3);
        giveQuote(address(pair), 1e6);
        out = pair.getAmountOut(1e6, false);
        pair.swap(out, 0, bob);
        record("swap, quote in", most);
    }

    function test_gas_swap_through_the_router() public {
        IAmmRouter.Permit memory none;
        vm.prank(bob);
        btc.approve(address(router), type(uint256).max);
        vm.prank(bob);
        router.swapExactIn(address(btc), address(usdc), 1e17, 0, bob, START + 2, none);
        record("swap through the router", ROUTER_SWAP_MOST);
    }

    function test_gas_mint_and_burn() public {
        (, uint256 most) = mosts();
        giveBase(address(pair), 1e18);
        giveQuote(address(pair), 5e5);
        pair.mint(alice);
        record("mint", MINT_MOST);
        vm.prank(alice);
        pair.transfer(address(pair), 1e9);
        pair.burn(alice);
        record("burn", most);
    }

    function test_gas_create() public {
        AmmFactory fresh = new AmmFactory(address(vault), factory.IMPLEMENTATION());
        fresh.createPair(address(btc));
        record("createPair", CREATE_MOST);
    }
}

/// @title The same with a token as Circle's is
/// @dev forge-config: default.isolate = true
contract AmmGasProxiedTest is AmmGasTest {
    function mosts() internal pure override returns (uint256, uint256) {
        return (90_000, 140_000);
    }

    function newUsdc() internal override returns (TestUSDC) {
        return newProxiedUsdc();
    }
}
