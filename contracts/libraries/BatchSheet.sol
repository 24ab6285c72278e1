// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Leg} from "./AmmLegs.sol";
import {Standing} from "./Standings.sol";

/// @dev The balances of one token during a batch: what each account can still be debited, and its net change.
/// `count` rows are used by orders; pairs come behind them.
struct Column {
    address token;
    uint256 count;
    address[] accounts;
    int256[] available;
    int256[] deltas;
}

/// @dev One market of a batch, read once.
/// @param column Where its base token is among the columns.
struct MarketRow {
    uint32 number;
    uint256 column;
    uint256 baseAtomsPerLot;
    uint256 quoteAtomsPerTickLot;
}

/// @dev One order of a batch: what it says, read once, and where its balances are.
/// @param refusal Reason for which none of its fills settles, 0 if there is none: what the clock decides.
/// @param filled Lots filled of an immediate order.
/// @param slotRow The first order of the batch in the same slot: its `slot…` fields are the slot's.
/// @param agentRow Where the agent who signed is in `Sheet.agents`, from 1; 0 if the account signed.
/// @param quoteRow Where the account is in the quote column.
/// @param baseRow Where the account is in the market's column.
/// @param market Where its market is in `Sheet.markets`.
struct Ticket {
    bool isBuy;
    bool isImmediate;
    bool isFillOrKill;
    bool isSlotChanged;
    uint8 refusal;
    uint256 flags;
    int256 maxFeePpm;
    uint256 priceTicks;
    uint256 sizeLots;
    uint256 sequence;
    uint256 filled;
    uint256 slotKey;
    uint256 slotRow;
    uint256 slotSequence;
    uint256 slotFilled;
    uint256 slotCancelledBelow;
    uint256 agentRow;
    uint256 quoteRow;
    uint256 baseRow;
    uint256 market;
}

/// @dev An agent who signed orders of the batch.
/// @param left Notional that it may still trade, in quote units.
struct AgentRow {
    bytes32 key;
    int256 left;
}

/// @dev Where the quote column is among the columns.
uint256 constant QUOTE_COLUMN = 0;

/// @dev A batch under evaluation.
/// @param columns The quote column first, whose rows are the batch's account table.
/// @param cells Row in a base column, from 1, by account and column: one byte each.
/// @param standings Of the rows of the quote column.
/// @param immediates Highest immediate sequence used, by row of the quote column.
/// @param legCount AMM fills examined so far; as many of `legs` are in use.
struct Sheet {
    uint64 first;
    bytes32 domain;
    uint256 feeRow;
    uint256 columnCount;
    uint256 agentCount;
    uint256 legCount;
    bytes cells;
    Ticket[] tickets;
    MarketRow[] markets;
    Column[] columns;
    Standing[] standings;
    uint256[] immediates;
    AgentRow[] agents;
    Leg[] legs;
}

/// @title The working memory of a batch: running balances, netted per account and token
library BatchSheet {
    function quote(Sheet memory sheet) internal pure returns (Column memory) {
        return sheet.columns[QUOTE_COLUMN];
    }

    function ticket(Sheet memory sheet, uint256 index) internal pure returns (Ticket memory) {
        return sheet.tickets[index];
    }

    function marketOf(Sheet memory sheet, uint256 index) internal pure returns (MarketRow memory) {
        return sheet.markets[index];
    }

    /// @return index Of the column of `token`, new if no market before had it.
    function columnOf(Sheet memory sheet, address token) internal pure returns (uint256 index) {
        uint256 count = sheet.columnCount;
        for (; index < count; ++index) {
            if (sheet.columns[index].token == token) return index;
        }
        sheet.columns[index].token = token;
        sheet.columnCount = index + 1;
    }

    /// @return row Of the account of `quoteRow` in the column `index`, new if no order before had it.
    function rowOf(Sheet memory sheet, uint256 quoteRow, uint256 index) internal pure returns (uint256 row) {
        unchecked {
            uint256 cell = quoteRow * sheet.columns.length + index;
            uint256 known = uint8(sheet.cells[cell]);
            if (known != 0) return known - 1;

            // An account has one row, and there are less than 256 accounts.
            Column memory column = sheet.columns[index];
            row = column.count;
            column.count = row + 1;
            sheet.cells[cell] = bytes1(uint8(row + 1));
        }
    }

    /// @dev Makes room for the rows that orders have, and for `pairs` behind them.
    function allocate(Column memory column, uint256 pairs) internal pure {
        uint256 count = column.count;
        column.accounts = new address[](count + pairs);
        column.available = new int256[](count + pairs);
        column.deltas = new int256[](count + pairs);
        _cut(column, count);
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
    function take(Sheet memory sheet, Leg memory leg, Ticket memory taker) internal pure {
        (Column memory quotes, Column memory bases) = (quote(sheet), sheet.columns[leg.baseColumn]);
        (Column memory into, Column memory out) = leg.isBuy ? (quotes, bases) : (bases, quotes);
        move(into, _addPair(into, leg.pair), int256(leg.amountIn));
        leg.pairRow = _addPair(out, leg.pair);
        move(out, leg.pairRow, -int256(leg.promised));

        leg.takerRow = leg.isBuy ? taker.baseRow : taker.quoteRow;
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

    /// @dev No overflow: a balance has 128 bits, and a fill moves less than 2^193.
    function move(Column memory column, uint256 row, int256 change) internal pure {
        unchecked {
            column.available[row] += change;
            column.deltas[row] += change;
        }
    }

    /// @dev A row for a pair, behind the orders' rows; it has one leg in a batch.
    function _addPair(Column memory column, address pair) private pure returns (uint256 row) {
        row = column.count;
        _cut(column, row + 1);
        column.accounts[row] = pair;
    }

    /// @dev Sets the length of a column's arrays, which never exceeds what `allocate` reserved and zeroed.
    function _cut(Column memory column, uint256 count) private pure {
        column.count = count;
        (address[] memory accounts, int256[] memory available, int256[] memory deltas) =
            (column.accounts, column.available, column.deltas);
        assembly ("memory-safe") {
            mstore(accounts, count)
            mstore(available, count)
            mstore(deltas, count)
        }
    }
}
