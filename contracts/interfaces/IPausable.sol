// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title What a guardian may stop, and for how long: what brings new money in, never what lets any out
///
/// A pause ends by itself after PAUSE_MAX (24 hours); the next one may begin PAUSE_REST (7 days) after its end,
/// whichever guardian began it: several guardians have one pause between them, per contract. Times are Unix seconds.
///
/// WHO MAY CALL: GUARDIAN_ROLE. Contracts pause one by one: what each of them stops says its own interface.
///
/// WARNING: it stops no clock. Cancels, expiries and requests go on to mature while settlement is paused.
interface IPausable {
    /// @param until Unix seconds at which it ends by itself.
    event Paused(address indexed guardian, uint256 until);
    /// @notice The pause is over; logged also if there was none.
    event Unpaused(address indexed guardian);

    /// @notice Thrown when something is asked for that is paused.
    error IsPaused(uint256 until);
    /// @notice Thrown when a pause would follow another too closely.
    error PauseTooSoon(uint256 from);

    /// @notice Pauses for PAUSE_MAX (GUARDIAN_ROLE).
    function pause() external;
    /// @notice Ends the pause now (GUARDIAN_ROLE).
    function unpause() external;
    /// @return until Unix seconds at which the last pause ends or ended, 0 if there never was one.
    function pausedUntil() external view returns (uint256 until);
}
