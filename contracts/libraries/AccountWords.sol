// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Standing} from "./Standings.sol";

/// @dev All that settlement needs of an account in a token, in one word:
/// uint32 maturesAt | uint128 balance | uint48 immediateSequence | uint48 highestFloor.
/// `maturesAt` is when the open request matures, 0 without one. `highestFloor` is the highest cancel-all floor asked
/// for. The two sequences are of the settlement token only.
type AccountWord is uint256;

using AccountWords for AccountWord global;

/// @title How an AccountWord is packed
library AccountWords {
    uint256 private constant BALANCE = uint256(type(uint128).max) << 96;
    uint256 private constant IMMEDIATE = uint256(type(uint48).max) << 48;
    uint256 private constant FLOOR = type(uint48).max;
    uint256 private constant MATURITY = uint256(type(uint32).max) << 224;

    function balance(AccountWord word) internal pure returns (uint256) {
        return uint128(AccountWord.unwrap(word) >> 96);
    }

    function immediateSequence(AccountWord word) internal pure returns (uint48) {
        return uint48(AccountWord.unwrap(word) >> 48);
    }

    function highestFloor(AccountWord word) internal pure returns (uint48) {
        return uint48(AccountWord.unwrap(word));
    }

    function maturesAt(AccountWord word) internal pure returns (uint256) {
        return AccountWord.unwrap(word) >> 224;
    }

    /// @param balance_ Has 128 bits.
    function withBalance(AccountWord word, uint256 balance_) internal pure returns (AccountWord) {
        return AccountWord.wrap((AccountWord.unwrap(word) & ~BALANCE) | (balance_ << 96));
    }

    function withImmediateSequence(AccountWord word, uint48 sequence) internal pure returns (AccountWord) {
        return AccountWord.wrap((AccountWord.unwrap(word) & ~IMMEDIATE) | (uint256(sequence) << 48));
    }

    function withHighestFloor(AccountWord word, uint48 floor) internal pure returns (AccountWord) {
        return AccountWord.wrap((AccountWord.unwrap(word) & ~FLOOR) | floor);
    }

    function withMaturesAt(AccountWord word, uint32 maturesAt_) internal pure returns (AccountWord) {
        return AccountWord.wrap((AccountWord.unwrap(word) & ~MATURITY) | (uint256(maturesAt_) << 224));
    }

    /// @param reserved What a matured request takes out of reach: 128 bits.
    /// @return What settlement may do: the sequences are in the same bits of both words.
    function standing(AccountWord word, uint256 reserved) internal pure returns (Standing) {
        uint256 available;
        unchecked {
            // Negative if the request exceeds the balance, as a Standing has it.
            available = balance(word) - reserved;
        }
        return Standing.wrap((available << 96) | (AccountWord.unwrap(word) & (IMMEDIATE | FLOOR)));
    }
}
