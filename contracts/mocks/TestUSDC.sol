// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title Play money: 6 decimals, ERC-2612 permit, anyone mints. Never for a chain where it could be taken for USDC.
contract TestUSDC is ERC20Permit {
    constructor() ERC20("HOOATS Test USDC", "tUSDC") ERC20Permit("HOOATS Test USDC") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
