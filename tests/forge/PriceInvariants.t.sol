// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {PriceCrowd} from "./PriceCrowd.sol";
import {Test} from "./Test.sol";

/// @title Lying posters and sources, fewer than half of a quorum, never lead the price out of the honest range
contract PriceInvariantsTest is Test {
    struct Selectors {
        address target;
        bytes4[] selectors;
    }

    PriceCrowd internal crowd = new PriceCrowd();

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(crowd);
    }

    function targetSelectors() external view returns (Selectors[] memory targets) {
        bytes4[8] memory actions = [
            crowd.honest.selector,
            crowd.honest.selector,
            crowd.honest.selector,
            crowd.lie.selector,
            crowd.lie.selector,
            crowd.dodge.selector,
            crowd.accept.selector,
            crowd.wait_.selector
        ];
        targets = new Selectors[](1);
        targets[0].target = address(crowd);
        targets[0].selectors = new bytes4[](actions.length);
        for (uint256 i; i < actions.length; ++i) {
            targets[0].selectors[i] = actions[i];
        }
    }

    function invariant_I6_liars_stay_within_the_honest_range() public view {
        crowd.check();
    }

    /// @dev The invariant says little if nothing is ever accepted.
    function test_the_price_crowd_gets_prices_accepted() public {
        for (uint256 i; i < 200; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            crowd.honest(seed, seed >> 8);
            crowd.lie(seed >> 16, seed & 1 == 0, seed >> 4);
            crowd.wait_(seed >> 24);
            crowd.check();
        }
        vm.assertGe(crowd.acceptances(), 20);
        vm.assertGe(crowd.moves(), 20);
    }
}
