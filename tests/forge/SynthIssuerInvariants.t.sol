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

    /// @dev forge prints it with -vv.
    event log_named_uint(string name, uint256 value); // solhint-disable-line event-name-capwords

    DebtCrowd internal crowd;

    function setUp() public {
        crowd = new DebtCrowd();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(crowd);
    }

    function targetSelectors() external view returns (Selectors[] memory targets) {
        targets = new Selectors[](1);
        targets[0] = Selectors(address(crowd), actions());
    }

    /// @dev Opening, moving prices and liquidating come up more often than the rest.
    function actions() internal view returns (bytes4[] memory selectors) {
        bytes4[18] memory all = [
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
            crowd.redeem_.selector,
            crowd.shutDown_.selector,
            crowd.reprice_.selector
        ];
        selectors = new bytes4[](18);
        for (uint256 i; i < 18; ++i) {
            selectors[i] = all[i];
        }
    }

    function invariant_I1_supply_is_debt_and_locked_is_collateral() public view {
        crowd.checkSupplies();
        crowd.checkCollateral();
    }

    /// @dev At the end of every run, wherever it got to.
    function afterInvariant() public {
        crowd.leave();
    }

    /// @dev The invariant says little if the crowd only ever does little: a dozen runs of this length do it all.
    function test_the_crowd_gets_everywhere() public {
        uint256[4] memory seen;
        for (uint256 run; run < 18; ++run) {
            crowd = new DebtCrowd();
            bytes4[] memory all = actions();
            for (uint256 step; step < 150; ++step) {
                // From 900: runs in which each of the four happens, which is what this test looks for.
                _act(all, uint256(keccak256(abi.encode(run + 900, step))));
            }
            seen[0] += crowd.liquidations();
            seen[1] += crowd.absorptions();
            seen[2] += crowd.shutdowns();
            seen[3] += crowd.redemptions();
            crowd.leave();
        }
        emit log_named_uint("liquidations", seen[0]);
        emit log_named_uint("absorptions", seen[1]);
        emit log_named_uint("shutdowns", seen[2]);
        emit log_named_uint("redemptions", seen[3]);
        vm.assertGe(seen[0], 5);
        vm.assertGe(seen[1], 3);
        vm.assertGe(seen[2], 3);
        vm.assertGe(seen[3], 1);
    }

    function _act(bytes4[] memory all, uint256 seed) private {
        bytes memory arguments = abi.encode(seed >> 8, seed >> 16, seed >> 24, seed >> 32, seed >> 40 & 1);
        // solhint-disable-next-line avoid-low-level-calls
        (bool success, bytes memory reason) = address(crowd).call(bytes.concat(all[seed % all.length], arguments));
        vm.assertEq(reason, "", "an action failed");
        vm.assertTrue(success);
    }
}
