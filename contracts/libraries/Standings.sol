// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @dev What settlement may do with a balance, in one word:
/// int160 available | uint48 immediateSequence | uint48 highestFloor. The two sequences are those of the account, 0 for
/// a synth.
type Standing is uint256;

using Standings for Standing global;

/// @title What a Standing says; `AccountWords.standing` packs it
library Standings {
    /// @dev The balance less a matured request; negative if the request exceeds the balance.
    function available(Standing standing) internal pure returns (int256) {
        return int256(Standing.unwrap(standing)) >> 96;
    }

    /// @dev Highest sequence of slot 0 that a batch has used.
    function immediateSequence(Standing standing) internal pure returns (uint48) {
        return uint48(Standing.unwrap(standing) >> 48);
    }

    /// @dev Highest floor that the account has asked for; `accountOf` tells which one binds.
    function highestFloor(Standing standing) internal pure returns (uint48) {
        return uint48(Standing.unwrap(standing));
    }
}
