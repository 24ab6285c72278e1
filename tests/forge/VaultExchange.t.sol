// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Change} from "../../contracts/libraries/Changes.sol";
import {Pool} from "./Pool.sol";

/// @title Vault.exchange: what a pair has in its row, for what the pair gives
/// @dev The test stands in for Settlement.
contract VaultExchangeTest is Pool {
    function setUp() public override {
        super.setUp();
        vault.grantRole(vault.SETTLEMENT_ROLE(), address(this));
        giveUnits(alice, 10_000_000);
        giveLots(alice, 1_000);
    }

    function shift(address token, address from, address to, uint256 amount) internal {
        (address[] memory accounts, Change[] memory changes) = movement(from, to, amount);
        vault.applySettlement(token, accounts, changes);
    }

    function exchange(address tokenIn, address tokenOut, uint256 amount) internal returns (uint256) {
        return vault.exchange(address(btcPool), tokenIn, tokenOut, amount);
    }

    function test_exchange_units_for_a_synth() public {
        shift(address(usdc), alice, address(btcPool), 1_000_000);
        uint256 given = btcPool.getAmountOut(1_000_000, false);
        vm.assertEq(exchange(address(usdc), address(btc), 1_000_000), given);
        vm.assertEq(units(address(btcPool)), 0);
        vm.assertEq(vault.balanceOf(address(btcPool), address(btc)), given);
        vm.assertEq(usdc.balanceOf(address(btcPool)), POOL_UNITS + 1_000_000);

        shift(address(btc), address(btcPool), alice, given);
        assertPoolsConserved();
    }

    function test_exchange_a_synth_for_units() public {
        shift(address(btc), alice, address(btcPool), 100 * BASE_PER_LOT);
        uint256 given = btcPool.getAmountOut(100 * BASE_PER_LOT, true);
        vm.assertEq(exchange(address(btc), address(usdc), 100 * BASE_PER_LOT), given);
        shift(address(usdc), address(btcPool), alice, given);
        vm.assertEq(units(alice), 10_000_000 + given);
        assertPoolsConserved();
    }

    function test_exchange_takes_from_nobody_but_the_pair() public {
        bytes4 short = IVault.InsufficientBalance.selector;
        vm.expectRevert(abi.encodeWithSelector(short, address(btcPool), address(usdc), 1, 0));
        exchange(address(usdc), address(btc), 1);
        vm.expectRevert(abi.encodeWithSelector(short, address(btcPool), address(btc), 1, 0));
        exchange(address(btc), address(usdc), 1);
        vm.expectRevert(IVault.ZeroAmount.selector);
        exchange(address(usdc), address(btc), 0);
    }

    function test_exchange_credits_what_came_and_not_what_was_said() public {
        uint256 given = btcPool.getAmountOut(1_000_000, false);
        takeOver(btcPool).lie(123);
        shift(address(usdc), alice, address(btcPool), 1_000_000);
        vm.assertEq(exchange(address(usdc), address(btc), 1_000_000), given - 123);
        vm.assertEq(vault.balanceOf(address(btcPool), address(btc)), given - 123);
        vm.assertEq(vault.totalsOf(address(btc)).deposits, given - 123);
    }

    function test_exchange_is_for_settlement_only() public {
        shift(address(usdc), alice, address(btcPool), 1_000_000);
        expectUnauthorized(alice, vault.SETTLEMENT_ROLE());
        vm.prank(alice);
        vault.exchange(address(btcPool), address(usdc), address(btc), 1_000_000);
    }

    function test_exchange_keeps_the_guard_shut() public {
        ReentrantPair pair = new ReentrantPair(vault, address(btc));
        shift(address(usdc), alice, address(pair), 1_000_000);
        hand(btc, address(pair), 5);
        vault.grantRole(vault.SETTLEMENT_ROLE(), address(pair));
        vm.assertEq(vault.exchange(address(pair), address(usdc), address(btc), 1_000_000), 5);
        vm.assertTrue(pair.wasRefused());
    }

    function testFuzz_exchange_there_and_back_never_gains(uint256 amount) public {
        amount = bound(amount, 1_000, 10_000_000);
        shift(address(usdc), alice, address(btcPool), amount);
        uint256 given = exchange(address(usdc), address(btc), amount);
        vm.assertLe(exchange(address(btc), address(usdc), given), amount);
    }
}

/// @dev Deposits in the Vault while it is being asked to swap.
contract ReentrantPair {
    IVault internal vault;
    address internal base;
    bool public wasRefused;

    constructor(IVault vault_, address base_) {
        (vault, base) = (vault_, base_);
    }

    function getAmountOut(uint256, bool) external pure returns (uint256) {
        return 5;
    }

    function swap(uint256 baseOut, uint256, address to) external {
        PlainToken(base).approve(address(vault), baseOut);
        try vault.depositSynth(base, baseOut) {
            revert("the guard is open");
        } catch {
            wasRefused = true;
        }
        PlainToken(base).transfer(to, baseOut);
    }
}

interface PlainToken {
    function approve(address spender, uint256 amount) external returns (bool);
    function transfer(address to, uint256 amount) external returns (bool);
}
