// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title The venue's token: minted against units that stay in the Vault, without a right of redemption
///
/// PROMISE: once its deployer has given up the admin's role there is no admin any more: the Vault is its one minter,
/// for ever, whatever becomes of the Vault's code. An ERC-20 with permit, 18 decimals, nothing else.
interface ICXPT {
    /// @notice Mints `amount` atoms (18 decimals) to `to` (MINTER_ROLE).
    function mint(address to, uint256 amount) external;
}
