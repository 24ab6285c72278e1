// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ISynthERC20} from "./interfaces/ISynthERC20.sol";

/// @title A synthetic token: 18 decimals, ERC-2612 permit, one minter for ever (the Vault)
contract SynthERC20 is ISynthERC20, ERC20Permit {
    /// @inheritdoc ISynthERC20
    address public immutable override minter; // solhint-disable-line immutable-vars-naming

    modifier onlyMinter() {
        if (msg.sender != minter) revert NotMinter(msg.sender);
        _;
    }

    constructor(string memory name_, string memory symbol_, address minter_) ERC20(name_, symbol_) ERC20Permit(name_) {
        minter = minter_;
    }

    /// @inheritdoc ISynthERC20
    function mint(address to, uint256 amount) external onlyMinter {
        _mint(to, amount);
    }

    /// @inheritdoc ISynthERC20
    function burn(uint256 amount) external onlyMinter {
        _burn(msg.sender, amount);
    }
}
