// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {BatchIndex} from "./BatchIndex.sol";
import {Standing} from "./Standings.sol";

/// @dev The balances of one token during a batch: what each account can still be debited, and its net change.
/// Only the first `count` rows are in use.
struct Column {
    address token;
    uint256 count;
    address[] accounts;
    int256[] available;
    int256[] deltas;
}

/// @dev One order of a batch: what it says, read once, and where its balances are.
/// @param slotKey Account and slot in one number.
/// @param filled Counts an immediate order only; the others have their slot.
/// @param quoteRow Where the account is in the quote column.
/// @param baseRow Where the account is in the column `baseColumn`.
struct Ticket {
    uint256 slotKey;
    uint256 sequence;
    bool isBuy;
    bool isImmediate;
    uint256 sizeLots;
    uint256 filled;
    uint256 quoteRow;
    uint256 baseColumn;
    uint256 baseRow;
    uint256 baseAtomsPerLot;
    uint256 quoteAtomsPerTickLot;
}

/// @dev A batch under evaluation.
/// @param columns The quote column first; its first row is the fee account's.
/// @param standings Of the rows of the quote column.
/// @param immediates Highest immediate sequence used, by row of the quote column.
struct Sheet {
    uint64 batch;
    uint256 columnCount;
    Ticket[] tickets;
    Column[] columns;
    Standing[] standings;
    uint256[] immediates;
}

/// @title The working memory of a batch: running balances, netted per account and token
library BatchSheet {
    /// @param batch First fill of the batch.
    function open(uint64 batch, uint256 orders) internal pure returns (Sheet memory sheet) {
        sheet.batch = batch;
        sheet.tickets = new Ticket[](orders);
        sheet.columns = new Column[](orders + 1);
    }

    /// @return index Of the column of `token`, new if no order before had it.
    function columnOf(Sheet memory sheet, address token) internal pure returns (uint256 index) {
        uint256 count = sheet.columnCount;
        for (; index < count; ++index) {
            if (sheet.columns[index].token == token) return index;
        }

        // One row for each order, and one for the fee account.
        uint256 capacity = sheet.tickets.length + 1;
        Column memory column = sheet.columns[index];
        column.token = token;
        column.accounts = new address[](capacity);
        column.available = new int256[](capacity);
        column.deltas = new int256[](capacity);
        sheet.columnCount = index + 1;
    }

    /// @return row Of `account` in `column`, new if no order before had it.
    function rowOf(Sheet memory sheet, Column memory column, address account) internal returns (uint256 row) {
        bytes32 key = BatchIndex.keyOf(sheet.batch, account, column.token);
        // The index counts from 1, so that 0 says that there is none.
        uint256 known = BatchIndex.get(key);
        unchecked {
            if (known != 0) return known - 1;

            row = column.count;
            column.accounts[row] = account;
            column.count = row + 1;
            BatchIndex.put(key, row + 1);
        }
    }

    /// @dev Cuts the arrays of a column to the rows in use, once all orders are in.
    function trim(Column memory column) internal pure {
        uint256 count = column.count;
        (address[] memory accounts, int256[] memory available, int256[] memory deltas) =
            (column.accounts, column.available, column.deltas);
        assembly ("memory-safe") {
            // Shorter lengths only: `count` never exceeds the capacity.
            mstore(accounts, count)
            mstore(available, count)
            mstore(deltas, count)
        }
    }

    /// @dev No overflow: a balance has 128 bits, and a fill moves less than 2^193.
    function move(Column memory column, uint256 row, int256 change) internal pure {
        unchecked {
            column.available[row] += change;
            column.deltas[row] += change;
        }
    }
}
