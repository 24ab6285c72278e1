// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @dev The balances of one token during a batch, a row for each account: orders' first, pairs' behind them. In memory
/// there is room for as many accounts as may come, behind it for as many changes (of what the Vault has, as Change
/// packs them), behind that for as many standings: row n of each is n words behind its beginning, which tells how many
/// there are. Rows count from 1. A change is known by its position.
/// @param accounts Where the accounts begin.
/// @param stride From an account to its change, and from there to its standing.
/// @param known Accounts whose standings are there: all but pairs.
struct Column {
    address token;
    uint256 accounts;
    uint256 stride;
    uint256 known;
}

using Columns for Column global;

/// @title The rows of a column
library Columns {
    /// @dev For what a call of the Vault begins with, before the accounts.
    uint256 internal constant HEAD_BYTES = 4 * 32;

    /// @dev No account so far, and room for `capacity` of them.
    function reserve(Column memory column, uint256 capacity) internal pure {
        uint256 accounts;
        uint256 stride;
        assembly ("memory-safe") {
            accounts := add(mload(0x40), HEAD_BYTES)
            stride := shl(5, add(1, capacity))
            let changes := add(accounts, stride)
            mstore(accounts, 0)
            calldatacopy(changes, calldatasize(), stride)
            mstore(0x40, add(changes, shl(1, stride)))
        }
        (column.accounts, column.stride) = (accounts, stride);
    }

    /// @return change Of a new row for `account`.
    function append(Column memory column, address account) internal pure returns (uint256 change) {
        (uint256 accounts, uint256 stride) = (column.accounts, column.stride);
        assembly ("memory-safe") {
            let count := add(mload(accounts), 1)
            mstore(accounts, count)
            let row := add(accounts, shl(5, count))
            mstore(row, account)
            change := add(row, stride)
        }
    }

    function length(Column memory column) internal pure returns (uint256 count) {
        uint256 accounts = column.accounts;
        assembly ("memory-safe") {
            count := mload(accounts)
        }
    }
}

/// @title The changes of balances, by their positions in memory
library Cells {
    /// @dev No overflow: a change has 208 bits, and a fill moves less than 2^193.
    function add(uint256 change, int256 amount) internal pure {
        assembly ("memory-safe") {
            mstore(change, add(mload(change), shl(48, amount)))
        }
    }

    /// @return word Of the row of `change`.
    function account(uint256 change, uint256 stride) internal pure returns (address word) {
        assembly ("memory-safe") {
            word := mload(sub(change, stride))
        }
    }
}
