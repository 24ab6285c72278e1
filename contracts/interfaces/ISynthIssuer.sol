// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Authorization} from "./Types.sol";

/// @title Debt positions: the only origin of a synth
///
/// The minter is the account that opens a position; nobody goes into debt by an operator's key.
/// `totalSupply == sum of debts` for every synth.
interface ISynthIssuer {
    /// @param collateral Units of the settlement token, locked in the Vault.
    /// @param debt Atoms of the synth.
    struct Position {
        uint128 collateral;
        uint128 debt;
    }

    event PositionChanged(address indexed account, address indexed synth, uint128 collateral, uint128 debt);
    event PricePosted(address indexed synth, uint256 price, uint40 postedAt);

    /// @notice Thrown when a position would be below the initial ratio.
    error Undercollateralized(uint256 collateral, uint256 required);
    /// @notice Thrown when there is no price young enough.
    error StalePrice(uint40 postedAt);
    /// @notice Thrown when more is closed than the position holds.
    error ExceedsPosition();
    /// @notice Thrown when a posted price is zero or does not fit 128 bits.
    error PriceOutOfRange(uint256 price);

    /// @notice Locks `collateral` units of the caller and mints `debt` atoms of `synth` to the caller's Vault account.
    function open(address synth, uint128 collateral, uint128 debt, Authorization calldata authorization) external;

    /// @notice Burns `debt` atoms from the caller's Vault account and unlocks `collateral` units to it.
    function close(address synth, uint128 collateral, uint128 debt, Authorization calldata authorization) external;

    /// @notice Posts the price of 1e18 synth atoms in quote units (POSTER_ROLE).
    function postPrice(address synth, uint256 price) external;

    function positionOf(address account, address synth) external view returns (Position memory);
    /// @return count Accounts with a position, of collateral or debt, in `synth`.
    function positionCount(address synth) external view returns (uint256 count);
    /// @notice A page of the positions in `synth`, in no order that lasts: for liquidators, and for whoever closes a
    /// synth that was shut down, where nodes serve no old logs.
    function positionsOf(address synth, uint256 from, uint256 count)
        external
        view
        returns (address[] memory accounts, Position[] memory positions);
    function priceOf(address synth) external view returns (uint256 price, uint40 postedAt);
}
