// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AmmFactory} from "../../contracts/AmmFactory.sol";
import {IAmmRouter} from "../../contracts/interfaces/IAmmRouter.sol";
import {AmmFixture} from "./AmmFixture.sol";
import {ProxiedToken} from "./ProxiedToken.sol";

/// @title What the pools cost, whole transactions, with a plain settlement token and with one behind a proxy as USDC is
/// @dev Every call is a transaction of its own, as on chain. forge-config: default.isolate = true
contract AmmGasTest is AmmFixture {
    uint256 internal constant SWAP_MOST = 80_000;
    uint256 internal constant PROXIED_SWAP_MOST = 90_000;
    uint256 internal constant ROUTER_SWAP_MOST = 130_000;
    uint256 internal constant CREATE_MOST = 300_000;
    uint256 internal constant MINT_MOST = 150_000;
    uint256 internal constant BURN_MOST = 130_000;
    uint256 internal constant PROXIED_BURN_MOST = 140_000;

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

    /// @dev Puts a proxy in front of the settlement token: code moves, balances stay.
    function behindProxy() internal {
        ProxiedToken proxy = new ProxiedToken();
        address implementation = address(0x1337);
        vm.etch(implementation, address(usdc).code);
        vm.etch(address(usdc), address(proxy).code);
        vm.store(address(usdc), proxy.IMPLEMENTATION_SLOT(), bytes32(uint256(uint160(implementation))));
        vm.store(address(usdc), proxy.ADMIN_SLOT(), bytes32(uint256(1)));
    }

    /// @dev As Uniswap v2 measures its own: input sent before, both sums written before, the receiver holds the token.
    function swaps(uint256 most) internal {
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

    function routerSwaps(uint256 most) internal {
        IAmmRouter.Permit memory none;
        vm.prank(bob);
        btc.approve(address(router), type(uint256).max);
        vm.prank(bob);
        router.swapExactIn(address(btc), address(usdc), 1e17, 0, bob, START + 2, none);
        record("swap through the router", most);
    }

    function shares(uint256 mintMost, uint256 burnMost) internal {
        giveBase(address(pair), 1e18);
        giveQuote(address(pair), 5e5);
        pair.mint(alice);
        record("mint", mintMost);
        vm.prank(alice);
        pair.transfer(address(pair), 1e9);
        pair.burn(alice);
        record("burn", burnMost);
    }

    function test_gas_swap_through_the_pair() public {
        swaps(SWAP_MOST);
    }

    function test_gas_swap_through_the_pair_with_proxied_usdc() public {
        behindProxy();
        swaps(PROXIED_SWAP_MOST);
    }

    function test_gas_swap_through_the_router() public {
        routerSwaps(ROUTER_SWAP_MOST);
    }

    function test_gas_swap_through_the_router_with_proxied_usdc() public {
        behindProxy();
        routerSwaps(ROUTER_SWAP_MOST);
    }

    function test_gas_mint_and_burn() public {
        shares(MINT_MOST, BURN_MOST);
    }

    function test_gas_mint_and_burn_with_proxied_usdc() public {
        behindProxy();
        shares(MINT_MOST, PROXIED_BURN_MOST);
    }

    function test_gas_create() public {
        AmmFactory fresh = new AmmFactory(address(vault), factory.IMPLEMENTATION());
        fresh.createPair(address(btc));
        record("createPair", CREATE_MOST);
    }
}
