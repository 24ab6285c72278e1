// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @dev What a batch does to one account in one token, in one word: int208 delta | uint48 immediateSequence. The
/// sequence is looked at for the settlement token only; 0 leaves the account's as it is.
type Change is uint256;

using Changes for Change global;

/// @title How a Change is packed
library Changes {
    /// @param delta_ Less than 2^207 either way: no fill moves 2^194, and a batch has few of them.
    function pack(int256 delta_, uint256 immediateSequence_) internal pure returns (Change) {
        return Change.wrap((uint256(delta_) << 48) | uint48(immediateSequence_));
    }

    /// @dev Net change of the balance.
    function delta(Change change) internal pure returns (int256) {
        return int256(Change.unwrap(change)) >> 48;
    }

    /// @dev Highest sequence of slot 0 that the batch uses.
    function immediateSequence(Change change) internal pure returns (uint48) {
        return uint48(Change.unwrap(change));
    }
}
