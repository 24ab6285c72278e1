// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title A proxy that costs what the one in front of USDC costs: its admin and its implementation read, then a delegate
/// call
/// @dev As `FiatTokenProxy` (AdminUpgradeabilityProxy of ZeppelinOS) does on every call. Without a constructor, so that a
/// test can put it in front of a token that is there already.
contract ProxiedToken {
    /// @dev keccak256("org.zeppelinos.proxy.implementation") and keccak256("org.zeppelinos.proxy.admin").
    bytes32 public constant IMPLEMENTATION_SLOT = 0x7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3;
    bytes32 public constant ADMIN_SLOT = 0x10d6a54a4754c8869d6886b5f5d7fbfa5b4522237ea5c60d11bc4e7a1ff9390b;

    fallback() external {
        (bytes32 implementationSlot, bytes32 adminSlot) = (IMPLEMENTATION_SLOT, ADMIN_SLOT);
        // solhint-disable-next-line no-inline-assembly
        assembly {
            if eq(caller(), sload(adminSlot)) { revert(0, 0) }
            calldatacopy(0, 0, calldatasize())
            let success := delegatecall(gas(), sload(implementationSlot), 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch success
            case 0 { revert(0, returndatasize()) }
            default { return(0, returndatasize()) }
        }
    }
}
