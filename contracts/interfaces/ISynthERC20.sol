// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title A synthetic token: what its factory and its one minter need of it
///
/// PROMISE: an ERC-20 with permit, 18 decimals; no fee, no callback, no pause, no owner. Its code never changes.
interface ISynthERC20 {
    /// @notice Thrown when anyone but the minter mints or burns.
    error NotMinter(address caller);

    /// @notice Names a clone, once. Whoever creates a clone calls it in the same transaction.
    function initialize(string calldata name, string calldata symbol) external;

    /// @notice Mints `amount` atoms to `to` (minter only).
    function mint(address to, uint256 amount) external;

    /// @notice Burns `amount` atoms of the minter's own balance (minter only).
    function burn(uint256 amount) external;

    /// @return account Who alone mints and burns: the Vault, in the code of all clones.
    function minter() external view returns (address account);
}
