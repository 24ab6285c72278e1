// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title Where a price comes from: posters, an AMM pair over time, HyperCore
interface IPriceSource {
    /// @notice Thrown when a source is constructed with parameters that make no sense.
    error MalformedSource();

    /// @return price Units of the settlement token per 1e18 synth atoms; 0 if there is no price to be had.
    /// @return at Unix seconds at which it was true.
    /// @dev Never reverts and uses bounded gas, so that one dead source cannot silence the others.
    function read(address synth) external view returns (uint256 price, uint40 at);
}
