// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {AmmPair} from "../../contracts/AmmPair.sol";
import {AmmFixture} from "./AmmFixture.sol";
import {CallingToken} from "./Tokens.t.sol";

/// @title A token that calls back finds every door of the pool shut
/// @dev No such token is ever a synth of the Vault: this is the second wall.
contract AmmHostileTest is AmmFixture {
    CallingToken internal token;
    AmmPair internal pool;

    function setUp() public override {
        super.setUp();
        token = new CallingToken(address(vault));
        pool = AmmPair(Clones.clone(factory.IMPLEMENTATION()));
        pool.initialize(address(token), address(usdc));
        token.mint(address(pool), 1e18);
        giveQuote(address(pool), 1e18);
        pool.mint(alice);
    }

    function payloads() internal view returns (bytes[5] memory) {
        return [
            abi.encodeCall(pool.mint, (bob)),
            abi.encodeCall(pool.burn, (bob)),
            abi.encodeCall(pool.swap, (0, 1, bob)),
            abi.encodeCall(pool.skim, (bob)),
            abi.encodeCall(pool.sync, ())
        ];
    }

    function assertShut() internal view {
        vm.assertTrue(token.lastError() == ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
    }

    function test_swap_is_not_entered_again() public {
        for (uint256 i; i < 5; ++i) {
            token.callBack(address(0), "");
            giveQuote(address(pool), 1e9);
            token.callBack(address(pool), payloads()[i]);
            pool.swap(pool.getAmountOut(1e9, false), 0, bob);
            assertShut();
        }
    }

    function test_burn_is_not_entered_again() public {
        for (uint256 i; i < 5; ++i) {
            vm.prank(alice);
            pool.transfer(address(pool), 1e9);
            token.callBack(address(pool), payloads()[i]);
            pool.burn(alice);
            assertShut();
        }
    }

    function test_skim_is_not_entered_again() public {
        for (uint256 i; i < 5; ++i) {
            token.callBack(address(0), "");
            token.mint(address(pool), 1);
            token.callBack(address(pool), payloads()[i]);
            pool.skim(bob);
            assertShut();
        }
    }
}
