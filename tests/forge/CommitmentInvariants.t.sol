// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {CommitmentCrowd} from "./CommitmentCrowd.sol";
import {Test} from "./Test.sol";

/// @title I11: epochs are appended and never rewritten; what is in them can be proved, and nothing else
contract CommitmentInvariantsTest is Test {
    struct Selectors {
        address target;
        bytes4[] selectors;
    }

    CommitmentCrowd internal crowd = new CommitmentCrowd();

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(crowd);
    }

    function targetSelectors() external view returns (Selectors[] memory targets) {
        bytes4[9] memory actions = [
            crowd.commit.selector,
            crowd.commit.selector,
            crowd.lie.selector,
            crowd.lie.selector,
            crowd.stranger.selector,
            crowd.dismiss.selector,
            crowd.proveCommands.selector,
            crowd.proveOrders.selector,
            crowd.proveWithAnotherHeader.selector
        ];
        targets = new Selectors[](1);
        targets[0].target = address(crowd);
        targets[0].selectors = new bytes4[](actions.length);
        for (uint256 i; i < actions.length; ++i) {
            targets[0].selectors[i] = actions[i];
        }
    }

    function invariant_I11_epochs_are_append_only_and_only_leaves_are_proved() public view {
        crowd.check();
    }

    function afterInvariant() public view {
        crowd.checkAll();
    }

    /// @dev The invariant says little if nothing is committed, or nobody lies.
    function test_I11_the_crowd_commits_and_lies() public {
        for (uint256 i; i < 40; ++i) {
            crowd.commit(i);
            crowd.lie(i, i, i / 8);
            crowd.proveCommands(i, i);
            crowd.proveOrders(i, i);
            crowd.proveWithAnotherHeader(i, i, i);
        }
        crowd.checkAll();
        vm.assertEq(crowd.lies(), 40);
    }
}
