// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IVault} from "../interfaces/IVault.sol";

/// @dev How much of a synth may leave at once; the settlement token's numbers are in words that are used anyway.
struct Outflow {
    uint96 perHour;
    uint40 drainedAt;
}

/// @title A leaky bucket: it holds `perHour`, and drains at `perHour`
/// @dev All that is stored of what it holds is when it will be empty, in parts of a second: a full one takes an hour.
/// No more than `perHour` leaves at any moment, and no more than twice `perHour` within any 60 minutes: what a full
/// bucket holds, and what drains from it meanwhile. What is taken is rounded up to a part of a second, what is left is
/// rounded down, so that rounding lets nothing more out: by a millionth of `perHour` at most each time.
library Outflows {
    /// @dev `drainedAt` counts these: 256 a second, until the year 2106.
    uint256 private constant PARTS = 256;
    uint256 private constant FULL = 1 hours * PARTS;

    /// @param perHour Not 0.
    /// @param amount What leaves at this block's time: a balance, of 128 bits, so that nothing overflows.
    /// @return next When the bucket will be empty, of 40 bits.
    function take(address token, uint256 perHour, uint256 drainedAt, uint256 amount)
        internal
        view
        returns (uint256 next)
    {
        unchecked {
            uint256 present = block.timestamp * PARTS;
            next = (drainedAt > present ? drainedAt : present) + (amount * FULL + perHour - 1) / perHour;
            if (next > present + FULL) revert IVault.OutflowCapped(token, amount, left(perHour, drainedAt));
        }
    }

    /// @return What may leave at this block's time; all of it without a cap.
    function left(uint256 perHour, uint256 drainedAt) internal view returns (uint256) {
        if (perHour == 0) return type(uint256).max;
        return Math.saturatingSub(FULL, _wait(drainedAt)) * perHour / FULL;
    }

    /// @return When what is in the bucket will have drained at another rate. Nothing drains without a cap, and a cap
    /// that comes after none finds the bucket empty.
    function changed(uint256 drainedAt, uint256 perHour, uint256 perHourNext) internal view returns (uint40) {
        if (perHour == 0 || perHourNext == 0) return 0;
        uint256 used = Math.ceilDiv(_wait(drainedAt) * perHour, FULL);
        uint256 next = block.timestamp * PARTS + Math.ceilDiv(used * FULL, perHourNext);
        return uint40(Math.min(next, type(uint40).max));
    }

    function _wait(uint256 drainedAt) private view returns (uint256) {
        return Math.saturatingSub(drainedAt, block.timestamp * PARTS);
    }
}
