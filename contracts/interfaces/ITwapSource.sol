// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IPriceSource} from "./IPriceSource.sol";

/// @title The price of a synth in its AMM pool, averaged over time
///
/// ASSUMPTIONS
/// - Somebody calls `update` at least every 3/4 WINDOW: a pool keeps one observation only, and this keeps eight, at
///   least WINDOW / 4 apart.
/// - `read` averages since the youngest observation that is at least WINDOW old, if it is at most 2 * WINDOW old; what
///   happens within one block weighs nothing.
///
/// WARNING: moving the average by a factor costs what holding the pool's price off by it for that long costs: little
/// in a shallow pool. It is one reading of a median, and belongs to a quorum that does without it.
interface ITwapSource is IPriceSource {
    /// @param cumulative The pool's `baseCumulative` at this block (UQ112x112 seconds, wraps).
    event Observed(address indexed synth, uint256 cumulative);

    /// @notice Keeps an observation of the synth's pool, if it has liquidity and the last one is at least WINDOW / 4
    /// old. Anyone may call it as often as they like.
    function update(address synth) external returns (bool isKept);

    /// @return at When the last observation was kept, 0 without one.
    function lastUpdate(address synth) external view returns (uint32 at);
    /// @notice Seconds that are averaged at least, from MIN_WINDOW (1 minute) to MAX_WINDOW (1 day); set once.
    function WINDOW() external view returns (uint32);
}
