// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

import {ITwoStepAdmin} from "./interfaces/ITwoStepAdmin.sol";
import {MIN_UPGRADE_DELAY} from "./interfaces/Types.sol";

/// @title Owner of upgrades and parameters: nothing it does comes unannounced
/// @dev Its delay may be set to anything; what counts is never below MIN_UPGRADE_DELAY. Otherwise one proposal could
/// shorten it, and the next give away every role at once.
contract Timelock is TimelockController {
    constructor(uint256 minDelay, address[] memory proposers, address[] memory executors, address admin)
        TimelockController(minDelay, proposers, executors, admin)
    {}

    /// @notice Accepts the admin's role that `target` has offered to this timelock. Anyone may call it: it takes what
    /// the admin there has offered, and gives nothing away. Without it a deployer would stay admin until a proposal of
    /// the timelock's own could be executed, a day at least.
    function acceptAdminOf(ITwoStepAdmin target) external {
        target.acceptAdmin();
    }

    /// @notice Seconds between proposal and execution, MIN_UPGRADE_DELAY at least.
    function getMinDelay() public view override returns (uint256) {
        uint256 delay = super.getMinDelay();
        return delay < MIN_UPGRADE_DELAY ? MIN_UPGRADE_DELAY : delay;
    }
}
