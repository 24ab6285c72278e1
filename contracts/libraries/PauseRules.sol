// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IPausable} from "../interfaces/IPausable.sol";

/// @dev A guardian's longest pause.
uint256 constant PAUSE_MAX = 24 hours;
/// @dev From the end of a pause to the beginning of the next.
uint256 constant PAUSE_REST = 7 days;

/// @title The rules of IPausable over one stored number: when the last pause ends or ended
library PauseRules {
    /// @return until The end of a pause that begins now.
    function begin(uint256 last) internal view returns (uint32 until) {
        if (last != 0 && block.timestamp < last + PAUSE_REST) revert IPausable.PauseTooSoon(last + PAUSE_REST);
        return uint32(block.timestamp + PAUSE_MAX);
    }

    /// @return until The end of a pause that ends now; an earlier end stays.
    function end(uint256 last) internal view returns (uint32 until) {
        return uint32(block.timestamp < last ? block.timestamp : last);
    }

    function requireRunning(uint256 until) internal view {
        if (block.timestamp < until) revert IPausable.IsPaused(until);
    }
}
