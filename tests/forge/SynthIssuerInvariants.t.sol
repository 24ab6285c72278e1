// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {DebtCrowd} from "./DebtCrowd.sol";
import {Test} from "./Test.sol";

/// @title Whatever debtors, liquidators and prices do: every synth is owed, every unit is somebody's, everybody gets out
contract SynthIssuerInvariantsTest is Test {
    struct Selectors {
        address target;
        bytes4[] selectors;
    }

    DebtCrowd internal crowd;

    function setUp() public {
        crowd = new DebtCrowd();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(crowd);
    }

    /// @dev Opening, moving prices and liquidating come up more often than the rest.
    function targetSelectors() external view returns (Selectors[] memory targets) {
        bytes4[16] memory actions = [
            crowd.open_.selector,
            crowd.open_.selector,
            crowd.open_.selector,
            crowd.move.selector,
            crowd.move.selector,
            crowd.refresh.selector,
            crowd.liquidate_.selector,
            crowd.liquidate_.selector,
            crowd.liquidate_.selector,
            crowd.close_.selector,
            crowd.trade_.selector,
            crowd.absorb_.selector,
            crowd.wait_.selector,
            crowd.sleep.selector,
            crowd.settle_.selector,
            crowd.redeem_.selector
        ];
        targets = new Selectors[](1);
        targets[0].target = address(crowd);
        targets[0].selectors = new bytes4[](17);
        for (uint256 i; i < 16; ++i) {
            targets[0].selectors[i] = actions[i];
        }
        targets[0].selectors[16] = crowd.shutDown_.selector;
    }

    function invariant_supply_is_debt_and_locked_is_collateral() public view {
        crowd.checkSupplies();
        crowd.checkCollateral();
    }

    /// @dev At the end of every run, wherever it got to.
    function afterInvariant() public {
        crowd.leave();
    }
}
