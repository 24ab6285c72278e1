// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title The venue's token: minted against units that stay in the Vault, without a right of redemption
interface ICXPT {
    /// @notice Mints `amount` atoms (18 decimals) to `to` (MINTER_ROLE).
    function mint(address to, uint256 amount) external;
}
