// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @dev How much of a token may leave at once, in one word. `used` drains at `perHour`; `at` is when it was written.
/// A `perHour` of 0 is no cap.
struct Outflow {
    uint104 perHour;
    uint104 used;
    uint48 at;
}

/// @title A leaky bucket: it holds `perHour`, and drains at `perHour`
/// @dev No more than `perHour` leaves at any moment, and no more than twice `perHour` within any 60 minutes: what a full
/// bucket holds, and what drains from it meanwhile. What drains is rounded down, so that rounding lets nothing more out.
library Outflows {
    /// @return What has left and not drained yet, at this block's time.
    function usedNow(Outflow memory outflow) internal view returns (uint256) {
        uint256 drained = uint256(outflow.perHour) * (block.timestamp - outflow.at) / 1 hours;
        return Math.saturatingSub(outflow.used, drained);
    }

    /// @return What may leave at this block's time.
    function leftNow(Outflow memory outflow) internal view returns (uint256) {
        if (outflow.perHour == 0) return type(uint256).max;
        return Math.saturatingSub(outflow.perHour, usedNow(outflow));
    }
}
