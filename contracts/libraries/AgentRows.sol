// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @dev Where an agent is in memory whose budget is counted, and who signed orders of the batch: three words, the
/// location of its word in storage, the notional that it may still trade, in quote units, and the word as it was.
type AgentRow is uint256;

using AgentRows for AgentRow global;

/// @title The words of an agent's row
library AgentRows {
    uint256 internal constant BYTES = 3 * 32;

    /// @return at Room for `count` rows.
    function reserve(uint256 count) internal pure returns (uint256 at) {
        assembly ("memory-safe") {
            at := mload(0x40)
            mstore(0x40, add(at, mul(count, BYTES)))
        }
    }

    function fill(AgentRow row, uint256 location_, uint256 word) internal pure {
        uint256 left = AgentWords.notional(word);
        assembly ("memory-safe") {
            mstore(row, location_)
            mstore(add(row, 0x20), left)
            mstore(add(row, 0x40), word)
        }
    }

    function location(AgentRow row) internal pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(row)
        }
    }

    /// @dev No overflow: 128 bits, less or more what fits in them.
    function spend(AgentRow row, int256 notional) internal pure {
        assembly ("memory-safe") {
            let at := add(row, 0x20)
            mstore(at, sub(mload(at), notional))
        }
    }
}

/// @title A SettlementBase.Agent as it lies in storage
/// @dev notional u128 | hasMarkets u8 | registration u32 | revokedFrom u40 | expiry u40
library AgentWords {
    function expiry(uint256 word) internal pure returns (uint256) {
        return uint40(word);
    }

    function revokedFrom(uint256 word) internal pure returns (uint256) {
        return uint40(word >> 40);
    }

    function registration(uint256 word) internal pure returns (uint32) {
        return uint32(word >> 80);
    }

    function hasMarkets(uint256 word) internal pure returns (bool) {
        return uint8(word >> 112) != 0;
    }

    function notional(uint256 word) internal pure returns (uint256) {
        return word >> 120;
    }
}
