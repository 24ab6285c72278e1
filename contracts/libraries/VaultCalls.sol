// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IVault} from "../interfaces/IVault.sol";
import {Column} from "./BatchSheet.sol";
import {Standing} from "./Standings.sol";

/// @title A column's two calls of the Vault, made without copying what is in memory already
/// @dev Before a column's accounts lie four words for what a call begins with, and behind them room for its changes.
/// The Vault is a contract that this one was built for: what it returns is taken at its word.
library VaultCalls {
    uint256 internal constant LOG_HEAD_BYTES = 21;
    uint256 internal constant LOG_ROW_BYTES = 37;

    /// @dev No account so far, and room for `capacity` of them.
    function reserve(Column memory column, uint256 capacity) internal pure {
        address[] memory accounts;
        int256[] memory balances;
        assembly ("memory-safe") {
            accounts := add(mload(0x40), 0x80)
            // Head, length, accounts, length, changes; length, balances.
            balances := add(accounts, shl(5, add(2, shl(1, capacity))))
            let end := add(balances, shl(5, add(1, capacity)))
            calldatacopy(accounts, calldatasize(), sub(end, accounts))
            mstore(0x40, end)
        }
        (column.accounts, column.balances) = (accounts, balances);
    }

    /// @dev `standingsOf` the column's accounts, into its standings and balances.
    function load(Column memory column, IVault vault) internal view {
        (address[] memory accounts, int256[] memory balances, address token) =
            (column.accounts, column.balances, column.token);
        bytes4 selector = IVault.standingsOf.selector;
        Standing[] memory standings;
        assembly ("memory-safe") {
            let count := mload(accounts)
            let head := sub(accounts, 0x60)
            mstore(head, shr(224, selector))
            mstore(add(head, 0x20), token)
            mstore(add(head, 0x40), 0x40)
            if iszero(staticcall(gas(), vault, add(head, 0x1c), add(0x64, shl(5, count)), 0, 0)) {
                let free := mload(0x40)
                returndatacopy(free, 0, returndatasize())
                revert(free, returndatasize())
            }
            // offset | length | standings: an array in memory but for the offset.
            standings := mload(0x40)
            returndatacopy(standings, 0x20, add(0x20, shl(5, count)))
            mstore(0x40, add(standings, add(0x20, shl(5, count))))
            for { let i := 0x20 } iszero(gt(i, shl(5, count))) { i := add(i, 0x20) } {
                mstore(add(balances, i), sar(96, mload(add(standings, i))))
            }
        }
        column.standings = standings;
    }

    /// @dev `applySettlement` of what the batch did to the column.
    /// @param immediates By row; empty for a synth.
    /// @param log Has room for all that is appended to it.
    function write(Column memory column, IVault vault, uint256[] memory immediates, bytes memory log) internal {
        address[] memory accounts = column.accounts;
        _fillIn(column, immediates, log);

        address token = column.token;
        bytes4 selector = IVault.applySettlement.selector;
        assembly ("memory-safe") {
            let length := shl(5, mload(accounts))
            let head := sub(accounts, 0x80)
            mstore(head, shr(224, selector))
            mstore(add(head, 0x20), token)
            mstore(add(head, 0x40), 0x60)
            mstore(add(head, 0x60), add(0x80, length))
            mstore(add(accounts, add(0x20, length)), mload(accounts))
            if iszero(call(gas(), vault, 0, add(head, 0x1c), add(0xa4, shl(1, length)), 0, 0)) {
                let free := mload(0x40)
                returndatacopy(free, 0, returndatasize())
                revert(free, returndatasize())
            }
        }
    }

    /// @dev Writes the changes behind the accounts, and what is to be logged. Pairs, which come last, had nothing before,
    /// use no immediate orders, and are not logged.
    function _fillIn(Column memory column, uint256[] memory immediates, bytes memory log) private pure {
        (address[] memory accounts, int256[] memory balances) = (column.accounts, column.balances);
        (Standing[] memory standings, address token) = (column.standings, column.token);
        uint256 known = standings.length;
        bool isQuote = immediates.length != 0;
        assembly ("memory-safe") {
            let length := shl(5, mload(balances))
            let changes := add(accounts, add(0x20, length))
            let head := add(add(log, 0x20), mload(log))
            let logAt := add(head, LOG_HEAD_BYTES)
            known := shl(5, known)
            for { let i := 0x20 } iszero(gt(i, length)) { i := add(i, 0x20) } {
                let delta := mload(add(balances, i))
                let immediate := 0
                if iszero(gt(i, known)) {
                    delta := sub(delta, sar(96, mload(add(standings, i))))
                    if isQuote { immediate := mload(add(immediates, i)) }
                    if delta {
                        // account | delta, whose last 5 bytes reach beyond the word.
                        mstore(logAt, shl(96, mload(add(accounts, i))))
                        mstore(add(logAt, 20), shl(120, delta))
                        logAt := add(logAt, LOG_ROW_BYTES)
                    }
                }
                // A Change.
                mstore(add(changes, i), or(shl(48, delta), immediate))
            }
            let rows := div(sub(sub(logAt, head), LOG_HEAD_BYTES), LOG_ROW_BYTES)
            if rows {
                // token | rows, before what was there already: the first row.
                mstore(head, or(or(shl(96, token), shl(88, rows)), and(mload(head), sub(shl(88, 1), 1))))
                mstore(log, sub(sub(logAt, log), 0x20))
            }
        }
    }
}
