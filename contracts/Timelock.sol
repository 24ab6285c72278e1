// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

import {MIN_UPGRADE_DELAY} from "./interfaces/Types.sol";

/// @title Owner of upgrades and parameters: nothing it does comes unannounced
/// @dev Its delay may be set to anything; what counts is never below MIN_UPGRADE_DELAY. Otherwise one proposal could
/// shorten it, and the next give away every role at once.
contract Timelock is TimelockController {
    constructor(uint256 minDelay, address[] memory proposers, address[] memory executors, address admin)
        TimelockController(minDelay, proposers, executors, admin)
    {}

    /// @notice Seconds between proposal and execution, MIN_UPGRADE_DELAY at least.
    function getMinDelay() public view override returns (uint256) {
        uint256 delay = super.getMinDelay();
        return delay < MIN_UPGRADE_DELAY ? MIN_UPGRADE_DELAY : delay;
    }
}
