// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IAmmPair} from "../../contracts/interfaces/IAmmPair.sol";
import {AmmFixture} from "./AmmFixture.sol";

/// @title What each function of a pool does
contract AmmPairTest is AmmFixture {
    bytes32 internal constant PERMIT_TYPE_HASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    /* SHARES */

    function test_shares_are_named_after_the_synth() public view {
        vm.assertEq(bytes(pair.name()), "HOOATS LP tBTC");
        vm.assertEq(bytes(pair.symbol()), "tBTC-LP");
        vm.assertEq(pair.decimals(), 18);
        (, string memory name, string memory version, uint256 chainId, address verifier,,) = pair.eip712Domain();
        vm.assertEq(bytes(name), "HOOATS LP tBTC");
        vm.assertEq(bytes(version), "1");
        vm.assertEq(chainId, block.chainid);
        vm.assertEq(verifier, address(pair));
    }

    function test_permit_for_shares() public {
        addLiquidity(alice, 1e18, 1e6);
        bytes32 hash = keccak256(abi.encode(PERMIT_TYPE_HASH, alice, bob, 5, 0, START));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(aliceKey, digestOf(pair.DOMAIN_SEPARATOR(), hash));
        pair.permit(alice, bob, 5, START, v, r, s);
        vm.assertEq(pair.allowance(alice, bob), 5);
        vm.assertEq(pair.nonces(alice), 1);
        vm.expectRevert();
        pair.permit(alice, bob, 5, START, v, r, s);
    }

    /* MINT */

    function test_first_mint_locks_the_minimum() public {
        giveBase(address(pair), 4e18);
        giveQuote(address(pair), 1e6);
        vm.expectEmit(address(pair));
        emit IAmmPair.Sync(4e18, 1e6);
        vm.expectEmit(address(pair));
        emit IAmmPair.Mint(address(this), 4e18, 1e6, 2e12 - 1_000, alice);
        vm.assertEq(pair.mint(alice), 2e12 - 1_000);
        vm.assertEq(pair.totalSupply(), 2e12);
        vm.assertEq(pair.balanceOf(pair.LOCKED_SHARES_OWNER()), pair.MINIMUM_LIQUIDITY());
        assertReserves(4e18, 1e6);
    }

    function test_first_mint_must_exceed_the_minimum() public {
        giveBase(address(pair), 1_000);
        giveQuote(address(pair), 1_000);
        vm.expectRevert(IAmmPair.InsufficientLiquidity.selector);
        pair.mint(alice);
        giveBase(address(pair), 2);
        giveQuote(address(pair), 1);
        vm.assertEq(pair.mint(alice), 1);
    }

    function test_later_mint_counts_the_scarcer_side() public {
        addLiquidity(alice, 4e18, 1e6);
        vm.assertEq(addLiquidity(bob, 4e18, 5e5), 1e12);
        assertReserves(8e18, 15e5);
    }

    function test_mint_of_no_shares_is_refused() public {
        addLiquidity(alice, 4e18, 1e6);
        giveBase(address(pair), 1e18);
        vm.expectRevert(IAmmPair.InsufficientLiquidity.selector);
        pair.mint(bob);
    }

    function test_mint_beyond_112_bits_is_refused() public {
        giveBase(address(pair), uint256(type(uint112).max) + 1);
        giveQuote(address(pair), 1e6);
        vm.expectRevert(IAmmPair.ReserveOverflow.selector);
        pair.mint(alice);
    }

    /* BURN */

    function test_burn_pays_both_sides_down() public {
        uint256 shares = addLiquidity(alice, 3_000, 3_000);
        vm.prank(alice);
        pair.transfer(address(pair), shares);
        vm.expectEmit(address(pair));
        emit IAmmPair.Burn(address(this), shares, shares, shares, bob);
        pair.burn(bob);
        vm.assertEq(btc.balanceOf(bob), 2_000);
        vm.assertEq(usdc.balanceOf(bob), 2_000);
        assertReserves(1_000, 1_000);
    }

    function test_burn_of_nothing_is_refused() public {
        vm.expectRevert(IAmmPair.InsufficientLiquidity.selector);
        pair.burn(alice);
        addLiquidity(alice, 1e6, 1e6);
        vm.expectRevert(IAmmPair.InsufficientLiquidity.selector);
        pair.burn(alice);
    }

    /// @dev The share's part of one side rounds to nothing: the caller keeps it rather than give it away.
    function test_burn_that_pays_one_side_only_is_refused() public {
        addLiquidity(alice, 1e18, 2);
        vm.prank(alice);
        pair.transfer(address(pair), 1);
        vm.expectRevert(IAmmPair.InsufficientLiquidity.selector);
        pair.burn(alice);
    }

    /* SWAP */

    function test_swap_pays_base_for_quote() public {
        addLiquidity(alice, 10e18, 5e6);
        uint256 out = pair.getAmountOut(1e6, false);
        vm.assertEq(out, 1_662_497_915_624_478_906); // Uniswap v2's: 10 * 0.997 / (5 + 0.997), down.
        giveQuote(address(pair), 1e6);
        vm.expectEmit(address(pair));
        emit IAmmPair.Swap(address(this), 0, 1e6, out, 0, bob);
        pair.swap(out, 0, bob);
        vm.assertEq(btc.balanceOf(bob), out);
        assertReserves(10e18 - out, 6e6);
    }

    function test_swap_pays_quote_for_base() public {
        addLiquidity(alice, 10e18, 5e6);
        vm.assertEq(sellBase(bob, 1e18), 453_305);
        vm.assertEq(usdc.balanceOf(bob), 453_305);
    }

    function test_swap_for_nothing_or_all_is_refused() public {
        addLiquidity(alice, 1e6, 1e6);
        giveBase(address(pair), 1e12);
        vm.expectRevert(IAmmPair.InsufficientOutput.selector);
        pair.swap(0, 0, bob);
        vm.expectRevert(IAmmPair.InsufficientOutput.selector);
        pair.swap(0, 1e6, bob);
        vm.expectRevert(IAmmPair.InsufficientOutput.selector);
        pair.swap(1e6, 0, bob);
    }

    function test_swap_without_input_is_refused() public {
        addLiquidity(alice, 1e6, 1e6);
        vm.expectRevert(IAmmPair.InsufficientInput.selector);
        pair.swap(1, 0, bob);
        vm.expectRevert(IAmmPair.InsufficientInput.selector);
        pair.swap(1, 1, bob);
    }

    function test_swap_into_an_empty_pool_is_refused() public {
        giveBase(address(pair), 1e12);
        vm.expectRevert(IAmmPair.InsufficientOutput.selector);
        pair.swap(0, 1, bob);
    }

    /* QUOTES */

    function test_quotes_of_an_empty_pool() public {
        vm.assertEq(pair.getAmountOut(1e18, true), 0);
        vm.expectRevert(IAmmPair.InsufficientOutput.selector);
        pair.getAmountIn(1, true);
    }

    function test_what_the_pool_cannot_hold_it_does_not_buy() public {
        addLiquidity(alice, 1e6, 1e6);
        uint256 most = type(uint112).max - 1e6;
        vm.assertEq(pair.getAmountOut(most, true), 999_999);
        vm.assertEq(pair.getAmountOut(most + 1, true), 0);
        vm.assertEq(pair.getAmountOut(type(uint256).max, true), 0);
        sellBase(bob, most);
    }

    function test_quote_for_what_the_pool_has_not_is_refused() public {
        addLiquidity(alice, 1e6, 2e6);
        vm.assertEq(pair.getAmountIn(999_999, true), 2_006_016_048_145);
        vm.expectRevert(IAmmPair.InsufficientOutput.selector);
        pair.getAmountIn(1e6, true);
        vm.expectRevert(IAmmPair.InsufficientOutput.selector);
        pair.getAmountIn(0, true);
    }

    function test_quote_that_a_reserve_cannot_hold_is_refused() public {
        uint256 most = type(uint112).max;
        addLiquidity(alice, 1e6, most / 2);
        // Half of the base for as much quote again, and the fee.
        vm.expectRevert(IAmmPair.ReserveOverflow.selector);
        pair.getAmountIn(5e5, true);
        vm.assertLe(pair.getAmountIn(4e5, true), most - most / 2);
    }

    /// @dev What is quoted is enough, and one atom less is not.
    function test_fuzz_quotes_are_exact(uint256 baseAtoms, uint256 quoteAtoms, uint256 amount, bool isBaseIn) public {
        baseAtoms = bound(baseAtoms, 1e6, 1e30);
        quoteAtoms = bound(quoteAtoms, 1e6, 1e30);
        addLiquidity(alice, baseAtoms, quoteAtoms);
        // All but a thousandth: for the last atoms a pool asks for more than a reserve can hold.
        amount = bound(amount, 1, (isBaseIn ? quoteAtoms : baseAtoms) * 999 / 1000);
        uint256 needed = pair.getAmountIn(amount, !isBaseIn);
        vm.assertGe(pair.getAmountOut(needed, isBaseIn), amount);

        if (isBaseIn) giveBase(address(pair), needed - 1);
        else giveQuote(address(pair), needed - 1);
        (uint256 baseOut, uint256 quoteOut) = isBaseIn ? (uint256(0), amount) : (amount, 0);
        if (pair.getAmountOut(needed - 1, isBaseIn) < amount) {
            vm.expectRevert(IAmmPair.InsufficientInput.selector);
            pair.swap(baseOut, quoteOut, bob);
        }
        if (isBaseIn) giveBase(address(pair), 1);
        else giveQuote(address(pair), 1);
        pair.swap(baseOut, quoteOut, bob);
    }

    /* UPKEEP */

    function test_skim_pays_what_exceeds_the_reserves() public {
        addLiquidity(alice, 1e6, 1e6);
        giveBase(address(pair), 3);
        giveQuote(address(pair), 5);
        pair.skim(bob);
        vm.assertEq(btc.balanceOf(bob), 3);
        vm.assertEq(usdc.balanceOf(bob), 5);
        assertReserves(1e6, 1e6);
    }

    function test_sync_takes_what_exceeds_the_reserves() public {
        addLiquidity(alice, 1e6, 1e6);
        giveBase(address(pair), 3);
        vm.expectEmit(address(pair));
        emit IAmmPair.Sync(1e6 + 3, 1e6);
        pair.sync();
        assertReserves(1e6 + 3, 1e6);
    }

    /* RECEIVERS */

    function test_neither_tokens_nor_pool_receive() public {
        addLiquidity(alice, 1e6, 1e6);
        giveBase(address(pair), 1e3);
        address[3] memory receivers = [address(btc), address(usdc), address(pair)];
        for (uint256 i; i < receivers.length; ++i) {
            vm.expectRevert(IAmmPair.InvalidReceiver.selector);
            pair.swap(0, 1, receivers[i]);
            vm.expectRevert(IAmmPair.InvalidReceiver.selector);
            pair.mint(receivers[i]);
            vm.expectRevert(IAmmPair.InvalidReceiver.selector);
            pair.burn(receivers[i]);
            vm.expectRevert(IAmmPair.InvalidReceiver.selector);
            pair.skim(receivers[i]);
        }
    }
}
