// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ICXPT} from "./interfaces/ICXPT.sol";

/// @title The venue's token: 18 decimals, ERC-2612 permit, minted by the holder of MINTER_ROLE (the Vault)
contract CXPT is ICXPT, ERC20Permit, AccessControl {
    bytes32 public constant MINTER_ROLE = keccak256("MINTER_ROLE");

    /// @param admin Grants MINTER_ROLE to the Vault, then should renounce.
    constructor(address admin) ERC20("HOOATS CXPT", "CXPT") ERC20Permit("HOOATS CXPT") {
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
    }

    /// @inheritdoc ICXPT
    function mint(address to, uint256 amount) external onlyRole(MINTER_ROLE) {
        _mint(to, amount);
    }
}
