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
/// @param base That column.
struct MarketRow {
    uint32 number;
    uint256 column;
    Column base;
    uint256 baseAtomsPerLot;
    uint256 quoteAtomsPerTickLot;
}

/// @dev One order of a batch: what it says, read once, and where its balances are.
/// @param maxFeePpm What was signed, or MAX_FEE_PPM if that is less.
/// @param refusal Reason for which none of its fills settles, 0 if there is none: what the clock decides.
/// @param filled Lots filled: of an immediate order, or of the newest order of its slot.
/// @param slot The ticket that keeps the state of this order's slot: the batch's first in it. Its `filled` is the slot's.
/// @param slotSequence Of the newest order of the slot.
/// @param agentRow Where the agent whose budget it uses up is in `Sheet.agents`, from 1; 0 if there is none.
/// @param agentsFrom Where rows of agents of this account begin, if an agent signed it or the order before.
/// @param quoteBalance Where the account's balance is in memory; see Cells.
/// @param baseBalance The same of the base token.
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
    uint256 agentsFrom;
    uint256 quoteRow;
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
/// @param quote The column of the settlement token, which is the first of `columns`.
/// @param columns The quote column first, whose rows are the batch's account table.
/// @param cells Row in a base column, from 1, by account and column: one byte each.
/// @param immediates Highest immediate sequence used, by row of the quote column.
/// @param changes What was written, for the log; see ISettlement.
/// @param legCount AMM fills examined so far; as many of `legs` are in use.
struct Sheet {
    uint64 first;
    bytes32 domain;
    uint256 feeBalance;
    uint256 columnCount;
    uint256 agentCount;
    uint256 legCount;
    bytes cells;
    Ticket[] tickets;
    MarketRow[] markets;
    Column quote;
    Column[] columns;
    uint256[] immediates;
    bytes changes;
    AgentRow[] agents;
    Leg[] legs;
}

/// @title The working memory of a batch: running balances, netted per account and token
/// @dev No function of the hot path returns a struct: the compiler would make a new one, zeroed, with every call.
library BatchSheet {
    uint256 private constant TICKET_BYTES = 23 * 32;

    /// @return index Of the column of `token`, new if no market before had it.
    function columnOf(Sheet memory sheet, address token) internal pure returns (uint256 index) {
        uint256 count = sheet.columnCount;
        for (; index < count; ++index) {
            if (sheet.columns[index].token == token) return index;
        }
        sheet.columns[index].token = token;
        sheet.columnCount = index + 1;
    }

    /// @dev Room for `count` tickets, zeroed at once: the compiler would do it word by word.
    function reserveTickets(Sheet memory sheet, uint256 count) internal pure {
        Ticket[] memory tickets;
        assembly ("memory-safe") {
            tickets := mload(0x40)
            let places := add(tickets, 0x20)
            let at := add(places, shl(5, count))
            let end := add(at, mul(count, TICKET_BYTES))
            mstore(0x40, end)
            mstore(tickets, count)
            calldatacopy(at, calldatasize(), sub(end, at))
            for {} lt(at, end) { at := add(at, TICKET_BYTES) } {
                mstore(places, at)
                places := add(places, 0x20)
            }
        }
        sheet.tickets = tickets;
    }

    /// @param cell Place of (account, column) in `cells`.
    /// @param column Has room for every account of the batch.
    /// @return position Where the balance of `account` is in `column`: in a new row, if no order before had one.
    function balanceOf(bytes memory cells, uint256 cell, Column memory column, address account)
        internal
        pure
        returns (uint256 position)
    {
        (address[] memory accounts, int256[] memory balances) = (column.accounts, column.balances);
        assembly ("memory-safe") {
            // An account has one row in a column, and there are less than 256 accounts.
            cell := add(add(cells, 0x20), cell)
            let row := byte(0, mload(cell))
            if iszero(row) {
                row := add(mload(accounts), 1)
                mstore(accounts, row)
                mstore(balances, row)
                mstore(add(accounts, shl(5, row)), account)
                mstore8(cell, row)
            }
            position := add(balances, shl(5, row))
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
        (Column memory quotes, Column memory bases) = (sheet.quote, sheet.columns[leg.baseColumn]);
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
