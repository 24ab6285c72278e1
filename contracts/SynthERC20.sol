// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    ERC20PermitUpgradeable
} from "@openzeppelin/contracts-upgradeable/token/ERC20/extensions/ERC20PermitUpgradeable.sol";
import {ISynthERC20} from "./interfaces/ISynthERC20.sol";

/// @title A synthetic token: 18 decimals, ERC-2612 permit, one minter for ever (the Vault)
/// @dev The implementation behind the clones of SynthFactory, and no token itself: it is locked. The minter is in its
/// code, so that all clones share it. Deliberately nothing can be upgraded: a clone points to one implementation.
contract SynthERC20 is ISynthERC20, ERC20PermitUpgradeable {
    /// @inheritdoc ISynthERC20
    address public immutable override minter; // solhint-disable-line immutable-vars-naming

    modifier onlyMinter() {
        if (msg.sender != minter) revert NotMinter(msg.sender);
        _;
    }

    constructor(address minter_) {
        minter = minter_;
        _disableInitializers();
    }

    /// @inheritdoc ISynthERC20
    function initialize(string calldata name_, string calldata symbol_) external initializer {
        __ERC20_init(name_, symbol_);
        __ERC20Permit_init(name_);
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
