// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AmmFactory} from "../../contracts/AmmFactory.sol";
import {AmmPair} from "../../contracts/AmmPair.sol";
import {AmmRouter} from "../../contracts/AmmRouter.sol";
import {Fixture} from "./Fixture.sol";

/// @title The venue with an empty pool of tBTC, and the words to use it
abstract contract AmmFixture is Fixture {
    AmmFactory internal factory;
    AmmPair internal pair;
    AmmRouter internal router;

    function setUp() public virtual override {
        super.setUp();
        factory = new AmmFactory(address(vault), address(new AmmPair()));
        router = new AmmRouter(address(factory));
        pair = AmmPair(factory.createPair(address(btc)));
    }

    /// @dev To a wallet or a pool, outside the Vault.
    function giveBase(address to, uint256 atoms) internal {
        vm.prank(address(vault));
        btc.mint(to, atoms);
    }

    function giveQuote(address to, uint256 atoms) internal {
        usdc.mint(to, atoms);
    }

    /// @dev What a depositor does, in one step.
    function addLiquidity(address to, uint256 baseAtoms, uint256 quoteAtoms) internal returns (uint256 shares) {
        giveBase(address(pair), baseAtoms);
        giveQuote(address(pair), quoteAtoms);
        return pair.mint(to);
    }

    function removeLiquidity(address from, uint256 shares) internal returns (uint256 baseAtoms, uint256 quoteAtoms) {
        vm.prank(from);
        pair.transfer(address(pair), shares);
        return pair.burn(from);
    }

    function sellBase(address to, uint256 baseIn) internal returns (uint256 quoteOut) {
        quoteOut = pair.getAmountOut(baseIn, true);
        giveBase(address(pair), baseIn);
        pair.swap(0, quoteOut, to);
    }

    function buyBase(address to, uint256 quoteIn) internal returns (uint256 baseOut) {
        baseOut = pair.getAmountOut(quoteIn, false);
        giveQuote(address(pair), quoteIn);
        pair.swap(baseOut, 0, to);
    }

    function baseReserve() internal view returns (uint256 reserve) {
        (reserve,,) = pair.reserves();
    }

    function quoteReserve() internal view returns (uint256 reserve) {
        (, reserve,) = pair.reserves();
    }

    function assertReserves(uint256 baseAtoms, uint256 quoteAtoms) internal view {
        vm.assertEq(baseReserve(), baseAtoms);
        vm.assertEq(quoteReserve(), quoteAtoms);
    }
}
