// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";

/// @title The address of the Vault for ever; its code changes only through `Vault.upgradeToAndCall`
contract VaultProxy is ERC1967Proxy {
    /// @param initialization `Vault.initialize` as calldata, run in the deploying transaction.
    constructor(address implementation, bytes memory initialization) ERC1967Proxy(implementation, initialization) {}
}
