// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title Units of the settlement token and its atoms, at the Vault's index
/// @dev No overflow: units have 128 bits; atoms that overflow would not fit into a balance either.
library UnitIndex {
    /// @dev `index` of one token atom per unit.
    uint256 internal constant ONE = 1e18;

    /// @dev At index 0, when all has been lost, no atoms buy a unit.
    function toUnitsDown(uint256 atoms, uint256 index) internal pure returns (uint256) {
        return index == 0 ? 0 : atoms * ONE / index;
    }

    /// @param units Have 128 bits, the index has 64.
    function toAtomsDown(uint256 units, uint256 index) internal pure returns (uint256) {
        unchecked {
            return units * index / ONE;
        }
    }
}
