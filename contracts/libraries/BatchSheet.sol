// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Leg} from "./AmmLegs.sol";
import {Standing} from "./Standings.sol";

/// @dev The balances of one token during a batch, a row for each account: orders' first, pairs' behind them.
/// @param standings Of the orders' rows, as the Vault had them.
/// @param balances What can still be debited.
struct Column {
    address token;
    address[] accounts;
    Standing[] standings;
    int256[] balances;
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
/// @param filled Lots filled: of an immediate order, or of the newest order of its slot.
/// @param slot The ticket that keeps the state of this order's slot: the batch's first in it. Its `filled` is the slot's.
/// @param slotSequence Of the newest order of the slot.
/// @param agentRow Where the agent who signed is in `Sheet.agents`, from 1; 0 if the account signed.
/// @param quoteBalance Where the account's balance is in memory; see Cells.
/// @param baseBalance The same of the base token; its row in the column until columns are allocated.
struct Ticket {
    bool isBuy;
    bool isImmediate;
    bool isFillOrKill;
    bool isSlotChanged;
    uint256 refusal;
    uint256 flags;
    int256 maxFeePpm;
    uint256 priceTicks;
    uint256 sizeLots;
    uint256 sequence;
    uint256 filled;
    uint256 slotKey;
    uint256 slot;
    uint256 slotSequence;
    uint256 slotCancelledBelow;
    uint256 agentRow;
    uint256 quoteRow;
    uint256 baseRow;
    uint256 quoteBalance;
    uint256 baseBalance;
    uint256 market;
    uint256 baseAtomsPerLot;
    uint256 quoteAtomsPerTickLot;
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
/// @param tickets Where the first ticket is in memory; see `ticket`.
/// @param columns The quote column first, whose rows are the batch's account table.
/// @param cells Row in a base column, from 1, by account and column: one byte each.
/// @param immediates Highest immediate sequence used, by row of the quote column.
/// @param legCount AMM fills examined so far; as many of `legs` are in use.
struct Sheet {
    uint64 first;
    bytes32 domain;
    uint256 feeBalance;
    uint256 columnCount;
    uint256 agentCount;
    uint256 legCount;
    uint256 ticketCount;
    uint256 tickets;
    bytes cells;
    MarketRow[] markets;
    Column[] columns;
    uint256[] immediates;
    AgentRow[] agents;
    Leg[] legs;
}

/// @title The working memory of a batch: running balances, netted per account and token
/// @dev Tickets and balances are found by position, without the compiler's check of bounds: BatchCodec's reader has
/// compared every index with the count that the space was reserved for.
library BatchSheet {
    uint256 private constant TICKET_BYTES = 23 * 32;

    /// @dev Reserves and zeroes room for `count` tickets.
    function reserveTickets(Sheet memory sheet, uint256 count) internal pure {
        uint256 at;
        uint256 size = count * TICKET_BYTES;
        assembly ("memory-safe") {
            at := mload(0x40)
            mstore(0x40, add(at, size))
            calldatacopy(at, calldatasize(), size)
        }
        (sheet.tickets, sheet.ticketCount) = (at, count);
    }

    /// @param index Less than `sheet.ticketCount`.
    function ticket(Sheet memory sheet, uint256 index) internal pure returns (Ticket memory found) {
        uint256 at = sheet.tickets;
        assembly ("memory-safe") {
            found := add(at, mul(index, TICKET_BYTES))
        }
    }

    function quote(Sheet memory sheet) internal pure returns (Column memory) {
        return sheet.columns[QUOTE_COLUMN];
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

    /// @param accounts How many there are.
    /// @param rows Rows of each column so far.
    /// @return row Of `account` in the column `index`, new if no order before had it.
    function rowOf(bytes memory cells, uint256 accounts, uint256[] memory rows, uint256 account, uint256 index)
        internal
        pure
        returns (uint256 row)
    {
        unchecked {
            // An account has one row in a column, and there are less than 256 accounts.
            uint256 known;
            uint256 cell;
            assembly ("memory-safe") {
                cell := add(add(cells, 0x20), add(mul(index, accounts), account))
                known := byte(0, mload(cell))
            }
            if (known != 0) return known - 1;

            row = rows[index];
            rows[index] = row + 1;
            assembly ("memory-safe") {
                mstore8(cell, add(row, 1))
            }
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
    function take(Sheet memory sheet, Leg memory leg, Ticket memory taker) internal pure {
        (Column memory quotes, Column memory bases) = (quote(sheet), sheet.columns[leg.baseColumn]);
        (Column memory into, Column memory out) = leg.isBuy ? (quotes, bases) : (bases, quotes);
        Cells.add(_addPair(into, leg.pair), int256(leg.amountIn));
        leg.pairBalance = _addPair(out, leg.pair);
        Cells.add(leg.pairBalance, -int256(leg.promised));

        leg.takerBalance = leg.isBuy ? taker.baseBalance : taker.quoteBalance;
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

    /// @dev A row for a pair, behind the orders' rows; it has one leg in a batch.
    /// @return Where its balance is.
    function _addPair(Column memory column, address pair) private pure returns (uint256) {
        (address[] memory accounts, int256[] memory balances) = (column.accounts, column.balances);
        uint256 row = accounts.length;
        assembly ("memory-safe") {
            // Within what `VaultCalls.reserve` reserved for pairs, and zeroed.
            mstore(accounts, add(row, 1))
            mstore(balances, add(row, 1))
        }
        accounts[row] = pair;
        return Cells.at(balances, row);
    }
}

/// @title Numbers by their position in memory
library Cells {
    /// @return position Of `values[index]`, which must exist.
    function at(int256[] memory values, uint256 index) internal pure returns (uint256 position) {
        assembly ("memory-safe") {
            position := add(add(values, 0x20), shl(5, index))
        }
    }

    function get(uint256 position) internal pure returns (int256 value) {
        assembly ("memory-safe") {
            value := mload(position)
        }
    }

    /// @dev No overflow: a balance has 128 bits, and a fill moves less than 2^193.
    function add(uint256 position, int256 change) internal pure {
        assembly ("memory-safe") {
            mstore(position, add(mload(position), change))
        }
    }
}
