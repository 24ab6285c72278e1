// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AgentRow, AgentRows} from "./AgentRows.sol";
import {Leg} from "./AmmLegs.sol";
import {Cells, Column} from "./Columns.sol";
import {Places, Ticket, Tickets} from "./Tickets.sol";

/// @dev One market of a batch, read once.
/// @param column Where its base token is among the columns.
/// @param accounts Where the accounts of that column begin.
struct MarketRow {
    uint32 number;
    uint256 column;
    uint256 accounts;
    uint256 baseAtomsPerLot;
    uint256 quoteAtomsPerTickLot;
}

/// @dev Where the quote column is among the columns.
uint256 constant QUOTE_COLUMN = 0;

/// @dev Where the sheet of a batch is in memory, right behind the desk of OrderHash: fixed positions, as sums of
/// another cost much. Orders and Trades read these words of it.
uint256 constant SHEET = 0x340;
uint256 constant SHEET_ACCOUNTS = 0x340;
uint256 constant SHEET_MARKETS = 0x360;
uint256 constant SHEET_QUOTE_AT = 0x380;
uint256 constant SHEET_STRIDE = 0x3a0;
uint256 constant SHEET_SLOTS_AT = 0x3c0;
uint256 constant SHEET_ORDERS = 0x400;
uint256 constant SHEET_TICKETS = 0x420;
uint256 constant SHEET_FEE_BALANCE = 0x440;

/// @dev A batch under evaluation. Orders and Trades read it by the positions of its words, which are above.
/// @param accounts How many there are.
/// @param quoteAt Where the running change of the first account's quote balance is.
/// @param stride That of all columns.
/// @param slotsAt Where the mapping of slots is in storage.
/// @param tickets Where the orders' tickets are, one behind the other.
/// @param feeBalance Where the running change of the fee account's balance is.
/// @param quote The column of the settlement token, which is the first of `columns`.
/// @param columns The quote column first, whose rows are the batch's account table.
/// @param proofs Bulk-signed orders so far.
/// @param agents Where the rows of agents are, 0 if no agent has one.
/// @param agentsFrom Where those of one account begin: of the one with index `agentsOf` - 1.
/// @param changes What was written, for the log; see ISettlement.
/// @param legCount AMM fills examined so far; as many of `legs` are in use.
struct Sheet {
    uint256 accounts;
    MarketRow[] markets;
    uint256 quoteAt;
    uint256 stride;
    uint256 slotsAt;
    uint64 first;
    uint256 orders;
    uint256 tickets;
    uint256 feeBalance;
    uint256 columnCount;
    uint256 proofs;
    uint256 agents;
    uint256 agentsEnd;
    uint256 agentsFrom;
    uint256 agentsOf;
    uint256 legCount;
    Column quote;
    Column[] columns;
    bytes changes;
    Leg[] legs;
}

/// @title The working memory of a batch: running balances, netted per account and token
/// @dev No function of the hot path returns a struct: the compiler would make a new one, zeroed, with every call.
library BatchSheet {
    /// @dev Before anything else but the desk is reserved.
    function reserve() internal pure returns (Sheet memory sheet) {
        bool isInPlace;
        assembly ("memory-safe") {
            isInPlace := eq(sheet, SHEET)
        }
        assert(isInPlace);
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

    /// @dev Room for the orders' tickets, which are not written yet.
    function reserveTickets(Sheet memory sheet) internal pure {
        (uint256 tickets, uint256 size) = (0, sheet.orders * Tickets.BYTES);
        assembly ("memory-safe") {
            tickets := mload(0x40)
            mstore(0x40, add(tickets, size))
        }
        sheet.tickets = tickets;
    }

    function ticket(Sheet memory sheet, uint256 index) internal pure returns (Ticket) {
        unchecked {
            return Ticket.wrap(sheet.tickets + index * Tickets.BYTES);
        }
    }

    function indexOf(Sheet memory sheet, Ticket ticket_) internal pure returns (uint256) {
        return (Ticket.unwrap(ticket_) - sheet.tickets) / Tickets.BYTES;
    }

    /// @dev Orders of an account follow each other, and so do its agents.
    /// @param account Index in the account table.
    /// @param location Of the agent's word in storage.
    /// @return row The agent's.
    function agentOf(Sheet memory sheet, uint256 account, uint256 location, uint256 word)
        internal
        pure
        returns (AgentRow row)
    {
        if (sheet.agents == 0) sheet.agents = sheet.agentsEnd = AgentRows.reserve(sheet.orders);
        uint256 end = sheet.agentsEnd;
        unchecked {
            // No overflow: positions in memory.
            if (sheet.agentsOf != account + 1) (sheet.agentsOf, sheet.agentsFrom) = (account + 1, end);
            for (uint256 at = sheet.agentsFrom; at != end; at += AgentRows.BYTES) {
                if (AgentRow.wrap(at).location() == location) return AgentRow.wrap(at);
            }
            row = AgentRow.wrap(end);
            row.fill(location, word);
            sheet.agentsEnd = end + AgentRows.BYTES;
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
    function take(Sheet memory sheet, Leg memory leg, Places taker) internal pure {
        (Column memory quotes, Column memory bases) = (sheet.quote, sheet.columns[leg.baseColumn]);
        (Column memory into, Column memory out) = leg.isBuy ? (quotes, bases) : (bases, quotes);
        Cells.add(into.append(leg.pair), int256(leg.amountIn));
        leg.pairBalance = out.append(leg.pair);
        Cells.add(leg.pairBalance, -int256(leg.promised));

        leg.takerBalance = leg.isBuy ? taker.base() : taker.quote();
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
}
