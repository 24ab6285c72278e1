// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Crowd} from "./Crowd.sol";
import {Test} from "./Test.sol";

/// @title Whatever the crowd does, the contracts say what the ghost says
contract InvariantsTest is Test {
    struct Selectors {
        address target;
        bytes4[] selectors;
    }

    Crowd internal crowd;

    function setUp() public {
        crowd = new Crowd();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(crowd);
    }

    /// @dev Settling and waiting come up more often than the rest.
    function targetSelectors() external view returns (Selectors[] memory targets) {
        bytes4[16] memory actions = [
            crowd.settleSome.selector,
            crowd.settleSome.selector,
            crowd.settleSome.selector,
            crowd.wait_.selector,
            crowd.depositUnits.selector,
            crowd.mintLots.selector,
            crowd.burn.selector,
            crowd.lock.selector,
            crowd.unlock.selector,
            crowd.requestSome.selector,
            crowd.cancelRequest.selector,
            crowd.complete.selector,
            crowd.withdrawSome.selector,
            crowd.withdrawAtOnce.selector,
            crowd.moveThePool.selector,
            crowd.pauseBoth.selector
        ];
        targets = new Selectors[](1);
        targets[0].target = address(crowd);
        targets[0].selectors = new bytes4[](17);
        for (uint256 i; i < 16; ++i) {
            targets[0].selectors[i] = actions[i];
        }
        targets[0].selectors[16] = crowd.cancelSome.selector;
    }

    function invariant_contracts_agree_with_the_ghost() public view {
        crowd.checkBalances();
        crowd.checkConservation();
        crowd.checkSequences();
        crowd.checkPool();
    }
}
