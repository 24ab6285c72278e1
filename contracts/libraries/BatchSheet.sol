// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Leg} from "./AmmLegs.sol";
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

/// @dev Where the quote column is among the columns.
uint256 constant QUOTE_COLUMN = 0;

/// @dev A batch under evaluation.
/// @param columns The quote column first; its first row is the fee account's.
/// @param standings Of the rows of the quote column.
/// @param immediates Highest immediate sequence used, by row of the quote column.
/// @param legCount AMM fills examined so far; as many of `legs` are in use.
struct Sheet {
    uint64 batch;
    uint256 columnCount;
    Ticket[] tickets;
    Column[] columns;
    Standing[] standings;
    uint256[] immediates;
    uint256 legCount;
    Leg[] legs;
}

/// @title The working memory of a batch: running balances, netted per account and token
library BatchSheet {
    /// @param batch First fill of the batch.
    /// @param legs AMM fills of the batch.
    function open(uint64 batch, uint256 orders, uint256 legs) internal pure returns (Sheet memory sheet) {
        sheet.batch = batch;
        sheet.legs = new Leg[](legs);
        sheet.tickets = new Ticket[](orders);
        sheet.columns = new Column[](orders + 1);
    }

    /// @return index Of the column of `token`, new if no order before had it.
    function columnOf(Sheet memory sheet, address token) internal pure returns (uint256 index) {
        uint256 count = sheet.columnCount;
        for (; index < count; ++index) {
            if (sheet.columns[index].token == token) return index;
        }

        // One row for each order, one for the fee account, and one for each pair.
        uint256 capacity = sheet.tickets.length + 1 + sheet.legs.length;
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

    /// @return leg The next one, of the base token in `baseColumn`.
    /// @return isFirst Whether no leg before has this base token.
    function nextLeg(Sheet memory sheet, uint256 baseColumn) internal pure returns (Leg memory leg, bool isFirst) {
        uint256 count = sheet.legCount;
        isFirst = true;
        for (uint256 i; i < count; ++i) {
            if (sheet.legs[i].baseColumn == baseColumn) isFirst = false;
        }
        leg = sheet.legs[count];
        leg.baseColumn = baseColumn;
        sheet.legCount = count + 1;
    }

    /// @dev Enters the pair's side of a leg that is not refused: what it gets, and what it owes.
    function take(Sheet memory sheet, Leg memory leg, Ticket memory ticket) internal pure {
        (Column memory quote, Column memory base) = (sheet.columns[QUOTE_COLUMN], sheet.columns[leg.baseColumn]);
        (Column memory into, Column memory out) = leg.isBuy ? (quote, base) : (base, quote);
        move(into, addPair(into, leg.pair), int256(leg.amountIn));
        leg.pairRow = addPair(out, leg.pair);
        move(out, leg.pairRow, -int256(leg.promised));

        leg.takerRow = leg.isBuy ? ticket.baseRow : ticket.quoteRow;
        leg.isTaken = true;
    }

    /// @return Whether a pair brings atoms of the base token in `baseColumn`.
    function isBought(Sheet memory sheet, uint256 baseColumn) internal pure returns (bool) {
        for (uint256 i; i < sheet.legs.length; ++i) {
            Leg memory leg = sheet.legs[i];
            if (leg.baseColumn == baseColumn) return leg.isTaken && leg.isBuy;
        }
        return false;
    }

    /// @dev A row for a pair, behind the orders' rows. Not in the index: a pair has one leg in a batch.
    function addPair(Column memory column, address pair) private pure returns (uint256 row) {
        row = column.count;
        column.count = row + 1;
        trim(column);
        column.accounts[row] = pair;
    }

    /// @dev Cuts the arrays of a column to the rows in use, once all orders are in.
    function trim(Column memory column) internal pure {
        uint256 count = column.count;
        (address[] memory accounts, int256[] memory available, int256[] memory deltas) =
            (column.accounts, column.available, column.deltas);
        assembly ("memory-safe") {
            // `count` never exceeds the capacity, and memory behind a shorter length stays reserved and zero.
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
