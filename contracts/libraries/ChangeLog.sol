// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Column, Sheet} from "./BatchSheet.sol";

/// @title What a batch changed, for its log: (address token, address account, int136 delta) of each balance, packed
library ChangeLog {
    uint256 private constant ROW_BYTES = 57;

    /// @return log Rows in the order of columns and accounts; balances that end as they began are left out.
    function rowsOf(Sheet memory sheet) internal pure returns (bytes memory log) {
        uint256 rows;
        for (uint256 i; i < sheet.columnCount; ++i) {
            rows += sheet.columns[i].accounts.length;
        }
        // A row is written as two words, of which the second reaches beyond it.
        log = new bytes(rows * ROW_BYTES + 64);

        uint256 used;
        for (uint256 i; i < sheet.columnCount; ++i) {
            used = _append(log, used, sheet.columns[i]);
        }
        assembly ("memory-safe") {
            mstore(log, used)
        }
    }

    function _append(bytes memory log, uint256 used, Column memory column) private pure returns (uint256) {
        (uint256 count, uint256 known, uint256 token) =
            (column.accounts.length, column.standings.length, uint160(column.token));
        for (uint256 row; row < count; ++row) {
            int256 delta = column.balances[row];
            unchecked {
                if (row < known) delta -= column.standings[row].available();
            }
            if (delta == 0) continue;

            uint256 account = uint160(column.accounts[row]);
            assembly ("memory-safe") {
                let at := add(add(log, 0x20), used)
                // token | first 12 bytes of account; last 8 bytes of account | delta
                mstore(at, or(shl(96, token), shr(64, account)))
                mstore(add(at, 0x20), or(shl(192, account), shr(64, shl(120, delta))))
            }
            unchecked {
                used += ROW_BYTES;
            }
        }
        return used;
    }
}
