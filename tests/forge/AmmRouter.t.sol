// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {IAmmPair} from "../../contracts/interfaces/IAmmPair.sol";
import {IAmmRouter} from "../../contracts/interfaces/IAmmRouter.sol";
import {AmmPair} from "../../contracts/AmmPair.sol";
import {AmmFixture} from "./AmmFixture.sol";

/// @dev A second synth: its minter is whoever the Vault is.
contract OtherSynth is ERC20Permit {
    address public immutable minter; // solhint-disable-line immutable-vars-naming

    constructor(address minter_) ERC20Permit("Other") ERC20("Other", "tOTH") {
        minter = minter_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @title Trades and liquidity from a wallet
contract AmmRouterTest is AmmFixture {
    bytes32 internal constant PERMIT_TYPE_HASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    OtherSynth internal other;
    AmmPair internal otherPair;

    function setUp() public override {
        super.setUp();
        other = new OtherSynth(address(vault));
        vault.registerSynth(address(other));
        otherPair = AmmPair(factory.createPair(address(other)));

        addLiquidity(alice, 10e18, 500_000e6);
        other.mint(address(otherPair), 1_000e18);
        giveQuote(address(otherPair), 100_000e6);
        otherPair.mint(alice);

        giveBase(bob, 10e18);
        giveQuote(bob, 1_000_000e6);
        other.mint(bob, 10e18);
        vm.startPrank(bob);
        btc.approve(address(router), type(uint256).max);
        usdc.approve(address(router), type(uint256).max);
        other.approve(address(router), type(uint256).max);
        vm.stopPrank();
    }

    function none() internal pure returns (IAmmRouter.Permit memory permit) {}

    function permitOf(uint256 key, ERC20Permit token, uint256 value, uint256 deadline)
        internal
        view
        returns (IAmmRouter.Permit memory)
    {
        address owner = vm.addr(key);
        bytes32 hash =
            keccak256(abi.encode(PERMIT_TYPE_HASH, owner, address(router), value, token.nonces(owner), deadline));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digestOf(token.DOMAIN_SEPARATOR(), hash));
        return IAmmRouter.Permit(value, deadline, v, r, s);
    }

    /// @dev After every test: what passes through stays nowhere.
    function assertNothingKept() internal view {
        vm.assertEq(btc.balanceOf(address(router)), 0);
        vm.assertEq(usdc.balanceOf(address(router)), 0);
        vm.assertEq(other.balanceOf(address(router)), 0);
        vm.assertEq(pair.balanceOf(address(router)), 0);
    }

    /* SWAPS */

    function test_exact_in_for_a_synth() public {
        uint256 expected = pair.getAmountOut(50_000e6, false);
        vm.assertEq(router.quoteExactIn(address(usdc), address(btc), 50_000e6), expected);
        vm.prank(bob);
        uint256 out = router.swapExactIn(address(usdc), address(btc), 50_000e6, expected, carol, START, none());
        vm.assertEq(out, expected);
        vm.assertEq(btc.balanceOf(carol), expected);
        vm.assertEq(usdc.balanceOf(bob), 950_000e6);
        assertNothingKept();
    }

    function test_exact_in_of_a_synth() public {
        uint256 expected = pair.getAmountOut(1e18, true);
        vm.prank(bob);
        router.swapExactIn(address(btc), address(usdc), 1e18, expected, carol, START, none());
        vm.assertEq(usdc.balanceOf(carol), expected);
        vm.assertEq(btc.balanceOf(bob), 9e18);
        assertNothingKept();
    }

    function test_exact_in_over_two_pools() public {
        uint256 middle = pair.getAmountOut(1e18, true);
        uint256 expected = otherPair.getAmountOut(middle, false);
        vm.prank(bob);
        router.swapExactIn(address(btc), address(other), 1e18, expected, carol, START, none());
        vm.assertEq(other.balanceOf(carol), expected);
        vm.assertEq(usdc.balanceOf(bob), 1_000_000e6);
        assertNothingKept();
    }

    function test_exact_out_for_a_synth() public {
        uint256 expected = pair.getAmountIn(1e18, true);
        vm.assertEq(router.quoteExactOut(address(usdc), address(btc), 1e18), expected);
        vm.prank(bob);
        uint256 taken = router.swapExactOut(address(usdc), address(btc), 1e18, expected, carol, START, none());
        vm.assertEq(taken, expected);
        vm.assertEq(btc.balanceOf(carol), 1e18);
        vm.assertEq(usdc.balanceOf(bob), 1_000_000e6 - expected);
        assertNothingKept();
    }

    function test_exact_out_over_two_pools() public {
        uint256 middle = pair.getAmountIn(1e16, true);
        uint256 expected = otherPair.getAmountIn(middle, false);
        vm.prank(bob);
        router.swapExactOut(address(other), address(btc), 1e16, expected, carol, START, none());
        vm.assertEq(btc.balanceOf(carol), 1e16);
        vm.assertEq(other.balanceOf(bob), 10e18 - expected);
        assertNothingKept();
    }

    function test_bounds_are_kept_to_the_atom() public {
        uint256 out = router.quoteExactIn(address(btc), address(usdc), 1e18);
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(IAmmRouter.TooLittleOut.selector, out, out + 1));
        router.swapExactIn(address(btc), address(usdc), 1e18, out + 1, bob, START, none());
        uint256 taken = router.quoteExactOut(address(usdc), address(btc), 1e18);
        vm.expectRevert(abi.encodeWithSelector(IAmmRouter.TooMuchIn.selector, taken, taken - 1));
        router.swapExactOut(address(usdc), address(btc), 1e18, taken - 1, bob, START, none());
    }

    /// @dev Whatever the amounts, an exact output is what comes out, and one atom less in would not buy more than it.
    function test_fuzz_exact_out_is_the_inverse_of_exact_in(uint256 amount, bool isPurchase) public {
        (address tokenIn, address tokenOut) = isPurchase ? (address(usdc), address(btc)) : (address(btc), address(usdc));
        amount = isPurchase ? bound(amount, 1, 5e18) : bound(amount, 1, 200_000e6);
        uint256 taken = router.quoteExactOut(tokenIn, tokenOut, amount);
        vm.assertGe(router.quoteExactIn(tokenIn, tokenOut, taken), amount);
        vm.assertLe(router.quoteExactIn(tokenIn, tokenOut, taken - 1), amount);
        vm.prank(bob);
        router.swapExactOut(tokenIn, tokenOut, amount, taken, carol, START, none());
        vm.assertEq(isPurchase ? btc.balanceOf(carol) : usdc.balanceOf(carol), amount);
    }

    /* REFUSALS */

    function test_nothing_happens_after_the_deadline() public {
        bytes memory refusal = abi.encodeWithSelector(IAmmRouter.DeadlinePassed.selector, START - 1);
        vm.startPrank(bob);
        vm.expectRevert(refusal);
        router.swapExactIn(address(usdc), address(btc), 1e6, 0, bob, START - 1, none());
        vm.expectRevert(refusal);
        router.swapExactOut(address(usdc), address(btc), 1, 1e6, bob, START - 1, none());
        vm.expectRevert(refusal);
        router.addLiquidity(address(btc), 1e18, 1e6, 0, 0, bob, START - 1);
        vm.expectRevert(refusal);
        router.removeLiquidity(address(btc), 1, 0, 0, bob, START - 1, none());
    }

    function test_router_receives_nothing() public {
        vm.startPrank(bob);
        vm.expectRevert(IAmmRouter.InvalidReceiver.selector);
        router.swapExactIn(address(usdc), address(btc), 1e6, 0, address(router), START, none());
        vm.expectRevert(IAmmRouter.InvalidReceiver.selector);
        router.swapExactOut(address(usdc), address(btc), 1, 1e6, address(router), START, none());
        vm.expectRevert(IAmmRouter.InvalidReceiver.selector);
        router.addLiquidity(address(btc), 1e18, 1e6, 0, 0, address(router), START);
        vm.expectRevert(IAmmRouter.InvalidReceiver.selector);
        router.removeLiquidity(address(btc), 1, 0, 0, address(router), START, none());
    }

    function test_tokens_and_pools_receive_nothing() public {
        address[3] memory receivers = [address(btc), address(usdc), address(pair)];
        vm.startPrank(bob);
        for (uint256 i; i < receivers.length; ++i) {
            vm.expectRevert(IAmmPair.InvalidReceiver.selector);
            router.swapExactIn(address(usdc), address(btc), 1e6, 0, receivers[i], START, none());
        }
    }

    function test_paths_that_lead_nowhere_are_refused() public {
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(IAmmRouter.UnknownPool.selector, address(cxpt)));
        router.swapExactIn(address(cxpt), address(usdc), 1, 0, bob, START, none());
        vm.expectRevert(abi.encodeWithSelector(IAmmRouter.UnknownPool.selector, address(cxpt)));
        router.swapExactIn(address(btc), address(cxpt), 1, 0, bob, START, none());
        vm.expectRevert(abi.encodeWithSelector(IAmmRouter.UnknownPool.selector, address(btc)));
        router.swapExactIn(address(btc), address(btc), 1, 0, bob, START, none());
        vm.expectRevert(abi.encodeWithSelector(IAmmRouter.UnknownPool.selector, address(usdc)));
        router.quoteExactOut(address(usdc), address(usdc), 1);
        vm.expectRevert(abi.encodeWithSelector(IAmmRouter.UnknownPool.selector, address(cxpt)));
        router.addLiquidity(address(cxpt), 1, 1, 0, 0, bob, START);
        vm.expectRevert(abi.encodeWithSelector(IAmmRouter.UnknownPool.selector, address(usdc)));
        router.removeLiquidity(address(usdc), 1, 0, 0, bob, START, none());
    }

    function test_more_than_a_pool_has_is_refused() public {
        vm.expectRevert(IAmmPair.InsufficientOutput.selector);
        router.quoteExactOut(address(usdc), address(btc), 10e18);
    }

    function test_what_buys_nothing_is_refused() public {
        vm.prank(bob);
        vm.expectRevert(IAmmPair.InsufficientOutput.selector);
        router.swapExactIn(address(btc), address(usdc), 1, 0, bob, START, none());
    }

    function test_only_the_callers_own_tokens_are_taken() public {
        vm.prank(carol);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(router), 0, 1e6)
        );
        router.swapExactIn(address(usdc), address(btc), 1e6, 0, carol, START, none());
    }

    /* PERMITS */

    function test_permit_spares_the_approval() public {
        giveQuote(carol, 1_000e6);
        IAmmRouter.Permit memory permit = permitOf(carolKey, ERC20Permit(address(usdc)), 1_000e6, START);
        vm.prank(carol);
        router.swapExactIn(address(usdc), address(btc), 1_000e6, 0, carol, START, permit);
        vm.assertEq(usdc.balanceOf(carol), 0);
    }

    function test_permit_used_by_another_does_not_matter() public {
        giveQuote(carol, 1_000e6);
        IAmmRouter.Permit memory permit = permitOf(carolKey, ERC20Permit(address(usdc)), 1_000e6, START);
        usdc.permit(carol, address(router), 1_000e6, START, permit.v, permit.r, permit.s);
        vm.prank(carol);
        router.swapExactOut(address(usdc), address(btc), 1e16, 1_000e6, carol, START, permit);
        vm.assertEq(btc.balanceOf(carol), 1e16);
    }

    /// @dev Someone else's permit is of no use: the router takes from its caller only.
    function test_permit_of_another_takes_nothing() public {
        giveQuote(carol, 1_000e6);
        IAmmRouter.Permit memory permit = permitOf(carolKey, ERC20Permit(address(usdc)), 1_000e6, START);
        vm.prank(alice);
        vm.expectRevert();
        router.swapExactIn(address(usdc), address(btc), 1_000e6, 0, alice, START, permit);
        vm.assertEq(usdc.balanceOf(carol), 1_000e6);
    }

    /* LIQUIDITY */

    function test_add_at_the_pools_price() public {
        vm.startPrank(bob);
        (uint256 base, uint256 quote, uint256 shares) =
            router.addLiquidity(address(btc), 1e18, 60_000e6, 1e18, 50_000e6, carol, START);
        vm.assertEq(base, 1e18);
        vm.assertEq(quote, 50_000e6);
        vm.assertEq(pair.balanceOf(carol), shares);
        (base, quote,) = router.addLiquidity(address(btc), 1e18, 25_000e6, 5e17, 25_000e6, carol, START);
        vm.assertEq(base, 5e17);
        vm.assertEq(quote, 25_000e6);
        vm.assertEq(usdc.balanceOf(bob), 925_000e6);
        assertNothingKept();
    }

    function test_add_keeps_its_minimums() public {
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(IAmmRouter.TooLittleIn.selector, 50_000e6, 50_000e6 + 1));
        router.addLiquidity(address(btc), 1e18, 60_000e6, 0, 50_000e6 + 1, bob, START);
        vm.expectRevert(abi.encodeWithSelector(IAmmRouter.TooLittleIn.selector, 5e17, 5e17 + 1));
        router.addLiquidity(address(btc), 1e18, 25_000e6, 5e17 + 1, 0, bob, START);
    }

    function test_first_add_sets_the_price() public {
        OtherSynth third = freshSynth();
        vm.startPrank(bob);
        (uint256 base, uint256 quote, uint256 shares) =
            router.addLiquidity(address(third), 4e18, 1e6, 4e18, 1e6, bob, START);
        vm.assertEq(base, 4e18);
        vm.assertEq(quote, 1e6);
        vm.assertEq(shares, 2e12 - 1_000);
    }

    /// @dev A gift and `sync` before the first mint set no price, and bar nobody.
    function test_gift_to_an_empty_pool_bars_nobody() public {
        OtherSynth third = freshSynth();
        AmmPair fresh = AmmPair(factory.pairOf(address(third)));
        third.mint(address(fresh), 1);
        fresh.sync();
        vm.prank(bob);
        (uint256 base, uint256 quote,) = router.addLiquidity(address(third), 4e18, 1e6, 4e18, 1e6, bob, START);
        vm.assertEq(base, 4e18);
        vm.assertEq(quote, 1e6);
    }

    function freshSynth() internal returns (OtherSynth third) {
        third = new OtherSynth(address(vault));
        vault.registerSynth(address(third));
        factory.createPair(address(third));
        third.mint(bob, 10e18);
        vm.prank(bob);
        third.approve(address(router), type(uint256).max);
    }

    function test_remove_by_permit() public {
        uint256 shares = pair.balanceOf(alice);
        IAmmRouter.Permit memory permit = permitOf(aliceKey, ERC20Permit(address(pair)), shares, START);
        vm.prank(alice);
        (uint256 base, uint256 quote) = router.removeLiquidity(address(btc), shares, 0, 0, carol, START, permit);
        vm.assertEq(btc.balanceOf(carol), base);
        vm.assertEq(usdc.balanceOf(carol), quote);
        vm.assertEq(pair.totalSupply(), pair.MINIMUM_LIQUIDITY());
        assertNothingKept();
    }

    function test_remove_keeps_its_minimums() public {
        uint256 shares = pair.balanceOf(alice);
        vm.startPrank(alice);
        pair.approve(address(router), shares);
        (uint256 base, uint256 quote) = (10e18 * shares / pair.totalSupply(), 500_000e6 * shares / pair.totalSupply());
        vm.expectRevert(abi.encodeWithSelector(IAmmRouter.TooLittleOut.selector, base, base + 1));
        router.removeLiquidity(address(btc), shares, base + 1, 0, alice, START, none());
        vm.expectRevert(abi.encodeWithSelector(IAmmRouter.TooLittleOut.selector, quote, quote + 1));
        router.removeLiquidity(address(btc), shares, 0, quote + 1, alice, START, none());
        router.removeLiquidity(address(btc), shares, base, quote, alice, START, none());
    }
}
