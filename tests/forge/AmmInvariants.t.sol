// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AmmCrowd} from "./AmmCrowd.sol";
import {AmmOddCrowd} from "./AmmOddCrowd.sol";
import {Test} from "./Test.sol";

/// @title Whatever an actor does to a pool, it does what the twin says, and he gains nothing by rounding
abstract contract AmmInvariants is Test {
    struct Selectors {
        address target;
        bytes4[] selectors;
    }

    AmmCrowd internal crowd = new AmmCrowd();

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(crowd);
    }

    function targetSelectors() external view returns (Selectors[] memory targets) {
        bytes4[9] memory actions = [
            crowd.add.selector,
            crowd.add.selector,
            crowd.remove.selector,
            crowd.trade.selector,
            crowd.barter.selector,
            crowd.donate.selector,
            crowd.skim.selector,
            crowd.sync.selector,
            crowd.wait_.selector
        ];
        targets = new Selectors[](1);
        targets[0].target = address(crowd);
        targets[0].selectors = new bytes4[](actions.length);
        for (uint256 i; i < actions.length; ++i) {
            targets[0].selectors[i] = actions[i];
        }
    }
}

/// @dev Operations of any size, on a clock that passes 2^32. The laws are asked after each one.
contract AmmTwinTest is AmmInvariants {
    function setUp() public {
        crowd.found(4e18, 1e6, 0, 2 ** 32 - 1_000_000);
    }

    function invariant_I10_pair_is_its_twin() public view {}
}

/// @dev Reserves so small that every rounding is a fortune.
contract AmmSmallestPoolTest is AmmInvariants {
    function setUp() public {
        crowd.found(1_001, 1_002, 100, 1);
    }

    function invariant_I10_atoms_gain_nothing() public view {}
}

contract AmmSkewedPoolTest is AmmInvariants {
    function setUp() public {
        crowd.found(1e9, 3, 100, 1);
    }

    function invariant_I10_atoms_gain_nothing() public view {}
}

contract AmmOrdinaryPoolTest is AmmInvariants {
    function setUp() public {
        crowd.found(2e18, 130_000e6, 100, 1);
    }

    function invariant_I10_atoms_gain_nothing() public view {}
}

/// @title I10: k never falls net of what shareholders take, and a share is redeemable, also with tokens of no standard
contract AmmOddTokensTest is Test {
    struct Selectors {
        address target;
        bytes4[] selectors;
    }

    AmmOddCrowd internal crowd = new AmmOddCrowd();

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(crowd);
    }

    function targetSelectors() external view returns (Selectors[] memory targets) {
        bytes4[9] memory actions = [
            crowd.change.selector,
            crowd.change.selector,
            crowd.add.selector,
            crowd.trade.selector,
            crowd.trade.selector,
            crowd.remove.selector,
            crowd.donate.selector,
            crowd.skim.selector,
            crowd.sync.selector
        ];
        targets = new Selectors[](1);
        targets[0].target = address(crowd);
        targets[0].selectors = new bytes4[](actions.length);
        for (uint256 i; i < actions.length; ++i) {
            targets[0].selectors[i] = actions[i];
        }
    }

    function invariant_I10_k_never_falls() public {
        crowd.check();
    }

    function afterInvariant() public {
        crowd.leave();
    }

    /// @dev The invariant says little if nobody trades or takes shares out.
    function test_I10_the_crowd_trades_and_leaves() public {
        for (uint256 i; i < 300; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(i)));
            crowd.change(seed, seed >> 8, seed >> 16);
            crowd.trade(seed >> 24, seed & 1 == 0, seed >> 32 & 7 == 0 ? 1 : 0);
            if (i % 3 == 0) crowd.add(seed >> 40, seed >> 48, seed & 2 == 0);
            if (i % 5 == 0) crowd.remove(seed >> 56, seed & 4 == 0);
            crowd.check();
        }
        vm.assertGe(crowd.swaps(), 100);
        vm.assertGe(crowd.burns(), 20);
        crowd.leave();
    }
}
