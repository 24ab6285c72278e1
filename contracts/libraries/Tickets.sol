// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {FLAG_AMM, SIDE_BUY} from "../interfaces/Types.sol";
import {AgentRow} from "./AgentRows.sol";

/// @dev Where the ticket of an order is in memory: four words.
///     terms     see Terms
///     places    nothing u16 | agent u32 | nothing u64 | slot u32 | base u32 | quote u32 | sequence u48
///     slot      as it is stored, see SlotWords; of the ticket that keeps its slot's state
///     location  of that word in storage, where it is written in the end; 0 if it is not
type Ticket is uint256;

/// @dev What an order says that its fills must keep to: the first 22 bytes of its record (see ISettlement), which are
/// account u8 | market u8 | subaccount u8 | terms u8 | flags u16 | priceTicks u64 | sizeLots u64, and behind them
/// maxFeePpm i32 | nothing u38 | isFillOrKill u1 | isImmediate u1 | refusal u8. `refusal` is the reason for which none
/// of its fills settles, 0 if there is none: what the clock decides.
type Terms is uint256;

using TermsOfOrders for Terms global;
using Tickets for Ticket global;

/// @title What is in Terms
library TermsOfOrders {
    uint256 private constant SIDE = 1 << 224;
    uint256 private constant IMMEDIATE = 1 << 8;
    uint256 internal constant FILL_OR_KILL = 1 << 9;

    /// @dev Index in the account table.
    function account(Terms terms) internal pure returns (uint256) {
        return Terms.unwrap(terms) >> 248;
    }

    /// @dev Index in the market table.
    function market(Terms terms) internal pure returns (uint256) {
        return uint8(Terms.unwrap(terms) >> 240);
    }

    function isBulk(Terms terms) internal pure returns (bool) {
        return Terms.unwrap(terms) & (0x10 << 224) != 0;
    }

    function isBuy(Terms terms) internal pure returns (bool) {
        return Terms.unwrap(terms) & SIDE == uint256(SIDE_BUY);
    }

    function isForAmm(Terms terms) internal pure returns (bool) {
        return Terms.unwrap(terms) & (uint256(FLAG_AMM) << 208) != 0;
    }

    function sizeLots(Terms terms) internal pure returns (uint256) {
        return uint64(Terms.unwrap(terms) >> 80);
    }

    function maxFeePpm(Terms terms) internal pure returns (int256 ppm) {
        assembly ("memory-safe") {
            ppm := signextend(3, shr(48, terms))
        }
    }

    function isImmediate(Terms terms) internal pure returns (bool) {
        return Terms.unwrap(terms) & IMMEDIATE != 0;
    }

    function refusal(Terms terms) internal pure returns (uint256) {
        return uint8(Terms.unwrap(terms));
    }

    function withRefusal(Terms terms, uint256 reason) internal pure returns (Terms) {
        return Terms.wrap((Terms.unwrap(terms) & ~uint256(0xff)) | reason);
    }
}

/// @title The words of a ticket
library Tickets {
    uint256 internal constant BYTES = 4 * 32;

    function terms(Ticket ticket) internal pure returns (Terms word) {
        assembly ("memory-safe") {
            word := mload(ticket)
        }
    }

    function setTerms(Ticket ticket, Terms word) internal pure {
        assembly ("memory-safe") {
            mstore(ticket, word)
        }
    }

    function places(Ticket ticket) internal pure returns (Places word) {
        assembly ("memory-safe") {
            word := mload(add(ticket, 0x20))
        }
    }

    function setPlaces(Ticket ticket, Places word) internal pure {
        assembly ("memory-safe") {
            mstore(add(ticket, 0x20), word)
        }
    }

    /// @dev The state of the order's slot, wherever it is kept; see SlotWords.
    function slot(Ticket ticket) internal pure returns (uint256 word) {
        uint256 at = ticket.places().slot();
        assembly ("memory-safe") {
            word := mload(at)
        }
    }

    function setSlot(Ticket ticket, uint256 word) internal pure {
        uint256 at = ticket.places().slot();
        assembly ("memory-safe") {
            mstore(at, word)
        }
    }
}

/// @dev Where in memory is what a fill of an order changes; see Ticket.
type Places is uint256;

using PlacesOfTickets for Places global;

/// @title What is in Places
library PlacesOfTickets {
    /// @dev Where the running change of the account's quote balance is; see Column.
    function quote(Places places) internal pure returns (uint256) {
        return uint32(Places.unwrap(places) >> 48);
    }

    /// @dev The same of the base token.
    function base(Places places) internal pure returns (uint256) {
        return uint32(Places.unwrap(places) >> 80);
    }

    /// @dev Where the state of the order's slot is: in the batch's first ticket in it.
    function slot(Places places) internal pure returns (uint256) {
        return uint32(Places.unwrap(places) >> 112);
    }

    /// @dev The agent whose budget the order uses up, 0 if there is none.
    function agent(Places places) internal pure returns (AgentRow) {
        return AgentRow.wrap(Places.unwrap(places) >> 208);
    }

    function withAgent(Places places, AgentRow agent_) internal pure returns (Places) {
        return Places.wrap(Places.unwrap(places) | (AgentRow.unwrap(agent_) << 208));
    }
}

/// @title The state of a slot as SettlementBase.Slot lies in storage
/// @dev cancelledBelow u64 | filled u64 | sequence u48. Of an immediate order, which has no
/// slot, it is that of a slot in which it is the newest order.
library SlotWords {
    function withFilled(uint256 slot, uint256 filled_) internal pure returns (uint256) {
        return (slot & ~(uint256(type(uint64).max) << 48)) | (filled_ << 48);
    }
}
