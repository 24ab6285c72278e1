// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Vault} from "../Vault.sol";

/// @title The Vault with one more function: what the tests upgrade to
contract VaultTwo is Vault {
    function version() external pure returns (uint256) {
        return 2;
    }
}
