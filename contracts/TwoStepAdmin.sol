// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {ITwoStepAdmin} from "./interfaces/ITwoStepAdmin.sol";

/// @title Roles with one admin, who changes in two steps; see ITwoStepAdmin
/// @dev OpenZeppelin's AccessControlDefaultAdminRules without a delay of its own: the admin is a timelock, which has
/// one, and a second clock would only let the first handover drag on while the deployer is still admin.
abstract contract TwoStepAdmin is ITwoStepAdmin, AccessControl {
    /// @inheritdoc ITwoStepAdmin
    address public override admin;
    /// @inheritdoc ITwoStepAdmin
    address public override offeredTo;

    constructor(address admin_) {
        if (admin_ == address(0)) revert NotOffered(admin_);
        admin = admin_;
        _grantRole(DEFAULT_ADMIN_ROLE, admin_);
    }

    /// @dev Three ways around the two steps are closed.
    modifier notAdmin(bytes32 role) {
        if (role == DEFAULT_ADMIN_ROLE) revert AdminMovesInTwoSteps();
        _;
    }

    /// @inheritdoc ITwoStepAdmin
    function offerAdmin(address next) external onlyRole(DEFAULT_ADMIN_ROLE) {
        offeredTo = next;
        emit AdminOffered(msg.sender, next);
    }

    /// @inheritdoc ITwoStepAdmin
    function acceptAdmin() external {
        // Nobody calls from zero: an offer that is not there cannot be accepted.
        if (msg.sender != offeredTo) revert NotOffered(msg.sender);
        address before = admin;
        admin = msg.sender;
        delete offeredTo;
        _revokeRole(DEFAULT_ADMIN_ROLE, before);
        _grantRole(DEFAULT_ADMIN_ROLE, msg.sender);
    }

    /// @inheritdoc IAccessControl
    function grantRole(bytes32 role, address account) public override notAdmin(role) {
        super.grantRole(role, account);
    }

    /// @inheritdoc IAccessControl
    function revokeRole(bytes32 role, address account) public override notAdmin(role) {
        super.revokeRole(role, account);
    }

    /// @inheritdoc IAccessControl
    function renounceRole(bytes32 role, address account) public override notAdmin(role) {
        super.renounceRole(role, account);
    }
}
