// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {AmmPair} from "../../contracts/AmmPair.sol";
import {Test} from "./Test.sol";

/// @title A token that follows no standard: it takes a hundredth of every transfer, returns nothing, or calls back
contract OddToken is ERC20 {
    enum Oddity {
        None,
        TakesAFee,
        ReturnsNothing,
        CallsBack
    }

    Oddity public oddity;
    address private _target;
    bytes private _payload;
    bool public wasLetIn;

    constructor() ERC20("Odd", "ODD") {}

    function be(Oddity oddity_, address target, bytes calldata payload) external {
        (oddity, _target, _payload) = (oddity_, target, payload);
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        super.transfer(to, amount);
        if (oddity == Oddity.TakesAFee) _burn(to, amount / 100);
        if (oddity == Oddity.CallsBack) {
            // solhint-disable-next-line avoid-low-level-calls
            (bool success,) = _target.call(_payload);
            wasLetIn = wasLetIn || success;
        }
        if (oddity == Oddity.ReturnsNothing) {
            // solhint-disable-next-line no-inline-assembly
            assembly {
                return(0, 0)
            }
        }
        return true;
    }
}

/// @title Two shareholders and a trader in a pool of two odd tokens, which change their oddity as they like
contract AmmOddCrowd is Test {
    uint256 internal constant MOST = 2 ** 80;

    OddToken public base = new OddToken();
    OddToken public quote = new OddToken();
    AmmPair public pair = AmmPair(Clones.clone(address(new AmmPair())));
    address internal alice = address(0xA11CE);
    address internal bob = address(0xB0B);
    uint256 public swaps;
    uint256 public burns;

    uint256 private _k;
    uint256 private _supply;

    constructor() {
        pair.initialize(address(base), address(quote));
        send(1e18, 1e12);
        pair.mint(alice);
        note();
    }

    /* ACTIONS */

    function change(uint256 which, uint256 oddity, uint256 way) external {
        bytes[5] memory ways = [
            abi.encodeCall(pair.mint, (bob)),
            abi.encodeCall(pair.burn, (bob)),
            abi.encodeCall(pair.swap, (1, 0, bob)),
            abi.encodeCall(pair.skim, (bob)),
            abi.encodeCall(pair.sync, ())
        ];
        (which % 2 == 0 ? base : quote).be(OddToken.Oddity(oddity % 4), address(pair), ways[way % 5]);
    }

    function add(uint256 baseIn, uint256 quoteIn, bool isAlice) external {
        send(amount(baseIn), amount(quoteIn));
        try pair.mint(isAlice ? alice : bob) {} catch {} // solhint-disable-line no-empty-blocks
    }

    /// @dev What was sent is left to whoever comes next, if it is refused: as for anyone who sends without a call.
    function trade(uint256 amountIn, bool isBaseIn, uint256 greed) external {
        amountIn = amount(amountIn);
        uint256 out = pair.getAmountOut(amountIn, isBaseIn) + greed % 2;
        (isBaseIn ? base : quote).mint(address(pair), amountIn);
        try pair.swap(isBaseIn ? 0 : out, isBaseIn ? out : 0, bob) {
            ++swaps;
        } catch {} // solhint-disable-line no-empty-blocks
    }

    /// @dev Shares are worth their part of the reserves at least, paid as the tokens pay.
    function remove(uint256 seed, bool isAlice) external {
        address owner = isAlice ? alice : bob;
        uint256 shares = bound(seed, 0, pair.balanceOf(owner));
        redeem(owner, shares);
    }

    function donate(uint256 baseIn, uint256 quoteIn) external {
        send(amount(baseIn), amount(quoteIn));
    }

    function skim() external {
        pair.skim(bob);
    }

    function sync() external {
        pair.sync();
    }

    function send(uint256 baseIn, uint256 quoteIn) internal {
        base.mint(address(pair), baseIn);
        quote.mint(address(pair), quoteIn);
    }

    function amount(uint256 seed) internal pure returns (uint256) {
        return (seed >> 8) & ((1 << (seed % 72)) - 1);
    }

    function redeem(address owner, uint256 shares) internal {
        (uint256 baseReserve, uint256 quoteReserve,) = pair.reserves();
        uint256 supply = pair.totalSupply();
        (uint256 baseDue, uint256 quoteDue) = (shares * baseReserve / supply, shares * quoteReserve / supply);
        if (baseDue == 0 || quoteDue == 0) return;
        vm.prank(owner);
        pair.transfer(address(pair), shares);
        (uint256 baseOut, uint256 quoteOut) = pair.burn(owner);
        ++burns;
        vm.assertGe(baseOut, baseDue);
        vm.assertGe(quoteOut, quoteDue);
    }

    /* THE LAWS */

    function note() internal {
        (uint256 baseReserve, uint256 quoteReserve,) = pair.reserves();
        (_k, _supply) = (baseReserve * quoteReserve, pair.totalSupply());
    }

    /// @dev sqrt(k) per share never falls, and the reserves are there.
    function check() external {
        (uint256 baseReserve, uint256 quoteReserve,) = pair.reserves();
        uint256 supply = pair.totalSupply();
        (uint256 highNow, uint256 lowNow) = Math.mul512(baseReserve * quoteReserve, _supply * _supply);
        (uint256 highBefore, uint256 lowBefore) = Math.mul512(_k, supply * supply);
        vm.assertTrue(highNow > highBefore || highNow == highBefore && lowNow >= lowBefore, "k per share");
        vm.assertGe(base.balanceOf(address(pair)), baseReserve);
        vm.assertGe(quote.balanceOf(address(pair)), quoteReserve);
        vm.assertFalse(base.wasLetIn() || quote.wasLetIn());
        note();
    }

    /// @dev Everybody who has shares gets out, whatever the tokens are at the end.
    function leave() external {
        redeem(alice, pair.balanceOf(alice));
        redeem(bob, pair.balanceOf(bob));
        this.check();
    }
}
