// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IVault} from "../interfaces/IVault.sol";
import {Column} from "./Columns.sol";

/// @title A column's two calls of the Vault, made without copying what is in memory already
/// @dev The Vault is a contract that this one was built for: what it returns is taken at its word.
library VaultCalls {
    uint256 internal constant LOG_HEAD_BYTES = 21;
    uint256 internal constant LOG_ROW_BYTES = 37;

    /// @dev `standingsOf` the column's accounts, into its standings.
    function load(Column memory column, IVault vault) internal view {
        (uint256 accounts, uint256 stride, address token) = (column.accounts, column.stride, column.token);
        bytes4 selector = IVault.standingsOf.selector;
        uint256 count;
        assembly ("memory-safe") {
            count := mload(accounts)
            let head := sub(accounts, 0x60)
            mstore(head, shr(224, selector))
            mstore(add(head, 0x20), token)
            mstore(add(head, 0x40), 0x40)
            if iszero(staticcall(gas(), vault, add(head, 0x1c), add(0x64, shl(5, count)), 0, 0)) {
                let free := mload(0x40)
                returndatacopy(free, 0, returndatasize())
                revert(free, returndatasize())
            }
            // offset | length | standings
            returndatacopy(add(accounts, shl(1, stride)), 0x20, add(0x20, shl(5, count)))
        }
        column.known = count;
    }

    /// @dev `applySettlement` of what the batch did to the column.
    /// @param log Has room for all that is appended to it.
    function write(Column memory column, IVault vault, bytes memory log) internal {
        _log(column, log);

        (uint256 accounts, uint256 stride, address token) = (column.accounts, column.stride, column.token);
        bytes4 selector = IVault.applySettlement.selector;
        assembly ("memory-safe") {
            let length := shl(5, mload(accounts))
            let head := sub(accounts, 0x80)
            mstore(head, shr(224, selector))
            mstore(add(head, 0x20), token)
            mstore(add(head, 0x40), 0x60)
            mstore(add(head, 0x60), add(0x80, length))
            // The changes move to right behind the accounts.
            let to := add(accounts, add(0x20, length))
            mcopy(add(to, 0x20), add(accounts, add(0x20, stride)), length)
            mstore(to, mload(accounts))
            if iszero(call(gas(), vault, 0, add(head, 0x1c), add(0xa4, shl(1, length)), 0, 0)) {
                let free := mload(0x40)
                returndatacopy(free, 0, returndatasize())
                revert(free, returndatasize())
            }
        }
    }

    /// @dev Writes what is to be logged: all changes but those of pairs.
    function _log(Column memory column, bytes memory log) private pure {
        (uint256 account, uint256 stride, uint256 known, address token) =
            (column.accounts, column.stride, column.known, column.token);
        assembly ("memory-safe") {
            let head := add(add(log, 0x20), mload(log))
            let to := add(head, LOG_HEAD_BYTES)
            for { let end := add(account, shl(5, known)) } lt(account, end) {} {
                account := add(account, 0x20)
                let change := mload(add(account, stride))
                if shr(48, change) {
                    // account | delta, the upper part of a change; the next row overwrites what is behind it.
                    mstore(to, shl(96, mload(account)))
                    mstore(add(to, 20), shl(72, change))
                    to := add(to, LOG_ROW_BYTES)
                }
            }
            let rows := div(sub(sub(to, head), LOG_HEAD_BYTES), LOG_ROW_BYTES)
            if rows {
                // token | rows, before what was there already: the first row.
                mstore(head, or(or(shl(96, token), shl(88, rows)), and(mload(head), sub(shl(88, 1), 1))))
                mstore(log, sub(sub(to, log), 0x20))
            }
        }
    }
}
