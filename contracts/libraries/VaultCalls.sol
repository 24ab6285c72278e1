// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IVault} from "../interfaces/IVault.sol";
import {Column} from "./BatchSheet.sol";
import {Change, Changes} from "./Changes.sol";
import {Standing} from "./Standings.sol";

/// @title A column's two calls of the Vault, made without copying what is in memory already
/// @dev Before a column's accounts lie four words for what a call begins with, and behind them room for its changes.
/// The Vault is a contract that this one was built for: what it returns is taken at its word.
library VaultCalls {
    /// @param rows Accounts of orders.
    /// @param pairs How many may come behind them.
    function reserve(Column memory column, uint256 rows, uint256 pairs) internal pure {
        address[] memory accounts;
        assembly ("memory-safe") {
            let free := mload(0x40)
            let capacity := add(rows, pairs)
            // Head, length, accounts, length, changes.
            let size := shl(5, add(6, shl(1, capacity)))
            calldatacopy(free, calldatasize(), size)
            mstore(0x40, add(free, size))
            accounts := add(free, 0x80)
            mstore(accounts, rows)
        }
        column.accounts = accounts;
        int256[] memory balances = new int256[](rows + pairs);
        assembly ("memory-safe") {
            mstore(balances, rows)
        }
        column.balances = balances;
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
    function write(Column memory column, IVault vault, uint256[] memory immediates) internal {
        address[] memory accounts = column.accounts;
        uint256 at;
        assembly ("memory-safe") {
            let count := mload(accounts)
            at := add(accounts, shl(5, add(count, 1)))
            mstore(at, count)
        }
        _fillIn(column, immediates, at);

        address token = column.token;
        bytes4 selector = IVault.applySettlement.selector;
        assembly ("memory-safe") {
            let length := shl(5, mload(accounts))
            let head := sub(accounts, 0x80)
            mstore(head, shr(224, selector))
            mstore(add(head, 0x20), token)
            mstore(add(head, 0x40), 0x60)
            mstore(add(head, 0x60), add(0x80, length))
            if iszero(call(gas(), vault, 0, add(head, 0x1c), add(0xa4, shl(1, length)), 0, 0)) {
                let free := mload(0x40)
                returndatacopy(free, 0, returndatasize())
                revert(free, returndatasize())
            }
        }
    }

    /// @dev Writes the changes behind `at`. Pairs, which come last, had nothing before and use no immediate orders.
    function _fillIn(Column memory column, uint256[] memory immediates, uint256 at) private pure {
        (int256[] memory balances, Standing[] memory standings) = (column.balances, column.standings);
        (uint256 count, uint256 known, uint256 sequences) = (balances.length, standings.length, immediates.length);
        unchecked {
            for (uint256 row; row < count; ++row) {
                int256 delta = balances[row];
                uint256 sequence;
                if (row < known) delta -= standings[row].available();
                if (row < sequences) sequence = immediates[row];
                Change change = Changes.pack(delta, sequence);
                assembly ("memory-safe") {
                    at := add(at, 0x20)
                    mstore(at, change)
                }
            }
        }
    }
}
