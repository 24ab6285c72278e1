// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title Play money: 6 decimals, ERC-2612 permit, anyone mints. Never for a chain where it could be taken for USDC.
contract TestUSDC is ERC20Permit {
    /// @dev A trillion. Whoever could mint as much as a number holds could make the sums of Vault and pools overflow
    /// for everybody: this way it takes quadrillions of transactions.
    uint256 public constant MINT_MAX = 1e18;

    /// @notice Thrown when more than MINT_MAX is minted at once.
    error MintTooBig(uint256 amount);

    constructor() ERC20("HOOATS Test USDC", "tUSDC") ERC20Permit("HOOATS Test USDC") {}

    function mint(address to, uint256 amount) public virtual {
        if (amount > MINT_MAX) revert MintTooBig(amount);
        _mint(to, amount);
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
