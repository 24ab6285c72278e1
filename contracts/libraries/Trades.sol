// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {REASON_AGENT, REASON_BALANCE, REASON_DEAD, REASON_TAKER} from "../interfaces/Types.sol";
import {AgentRow} from "./AgentRows.sol";
import {PackedFill} from "./BatchCodec.sol";
import {MarketRow, SHEET_FEE_BALANCE, SHEET_MARKETS, SHEET_ORDERS, SHEET_STRIDE, SHEET_TICKETS} from "./BatchSheet.sol";
import {Cells} from "./Columns.sol";
import {Places, Terms, Ticket} from "./Tickets.sol";

/// @dev What is not a REASON_*: faults of the operator, and what is no plain fill of the book.
uint256 constant FAULT_SIZE = 0x100;
uint256 constant FAULT_MATCH = 0x200;
uint256 constant FAULT_LIMIT = 0x300;
uint256 constant FAULT_FEE = 0x400;
uint256 constant NOT_OF_BOOK = 0x500;
uint256 constant OF_A_GROUP = 0x600;

/// @title The inner loop of settlement: whether two orders agree to a fill, what it moves, and one side of it
/// @dev Words are taken apart by hand, by the layouts that BatchCodec, Tickets, Columns and AgentRows describe: through
/// their functions it costs twice as much. A field is cut out by two shifts, which cost less than a mask. No overflow
/// anywhere: lots, prices and sizes have 64 bits, rates 24, sequences 48; money has less than 193, and a running change
/// has 208.
library Trades {
    /// @dev Of Terms: FLAG_AMM, or immediate.
    uint256 private constant NO_MAKER = 0x0000000000040000000000000000000000000000000000000000000000000100;
    /// @dev Of Terms: FLAG_AMM | FLAG_POST_ONLY.
    uint256 private constant NO_TAKER = 0x0000000000050000000000000000000000000000000000000000000000000000;
    /// @dev The highest rest of a fill's word that has no size.
    uint256 private constant NO_LOTS = 0x0000000000000000ffffffffffffffffffffffffffffffffffffffffffffffff;
    /// @dev Of the sheet; see BatchSheet.
    uint256 private constant MARKETS = SHEET_MARKETS;
    uint256 private constant ORDERS = SHEET_ORDERS;
    uint256 private constant TICKETS = SHEET_TICKETS;
    uint256 private constant STRIDE = SHEET_STRIDE;
    uint256 private constant FEE_BALANCE = SHEET_FEE_BALANCE;

    uint256 private constant PPM = 1000000;
    uint256 private constant PPM_UP = 999999;
    uint256 private constant DEAD = REASON_DEAD;
    uint256 private constant AGENT = REASON_AGENT;
    uint256 private constant BALANCE = REASON_BALANCE;

    /// @param groups FILL_OR_KILL if fills of such orders are to be left alone, which are evaluated as a group.
    /// @return reason 0 if the fill is settled, why it is refused (REASON_*), or why it is neither (see above; a
    /// FAULT_SIZE of the taker's with REASON_TAKER).
    function settle(PackedFill fill, uint256 groups) internal pure returns (uint256 reason) {
        (Ticket maker, Ticket taker) = (Ticket.wrap(0), Ticket.wrap(0));
        assembly ("memory-safe") {
            // maker u8 | taker u8 | sizeLots u64
            maker := byte(0, fill)
            taker := byte(1, fill)
            let orders := mload(ORDERS)
            reason := NOT_OF_BOOK
            // Whether two orders, and the limits of this venue, agree to the fill: these are two accounts' orders on
            // two sides of one market, of kinds that may meet, at a price within both limits, with fees within both
            // caps. Rates that do not sum below zero make fees that do not sum below zero. Once, left by the first
            // fault.
            for {} and(and(lt(maker, orders), lt(taker, orders)), gt(shl(16, fill), NO_LOTS)) {} {
                orders := mload(TICKETS)
                maker := add(orders, shl(7, maker))
                taker := add(orders, shl(7, taker))
                let made := mload(maker)
                let taken := mload(taker)
                reason := OF_A_GROUP
                if and(taken, groups) { break }
                reason := FAULT_MATCH
                let differ := xor(made, taken)
                // The market (byte 1) does not, the side (bit 0 of byte 3) and the account (byte 0) do.
                if or(
                    or(and(made, NO_MAKER), and(taken, NO_TAKER)),
                    or(xor(and(shr(224, differ), 0xff0001), 1), iszero(byte(0, differ)))
                ) { break }
                // A buyer pays no more than its limit; of a seller it is the other way round.
                reason := FAULT_LIMIT
                differ := sub(shr(192, shl(48, made)), shr(192, shl(48, taken)))
                if differ { if xor(sgt(differ, 0), and(byte(3, taken), 1)) { break } }
                let makers := signextend(2, shr(152, fill))
                let takers := signextend(2, shr(128, fill))
                reason := mul(
                    FAULT_FEE,
                    or(
                        slt(add(makers, takers), 0),
                        or(sgt(makers, signextend(3, shr(48, made))), sgt(takers, signextend(3, shr(48, taken))))
                    )
                )
                break
            }
        }
        if (reason != 0) return reason;

        (uint256 lots, int256 base, int256 notional, int256 fee, uint256 slot) = (0, 0, 0, 0, 0);
        assembly ("memory-safe") {
            let terms := mload(maker)
            // As `amountsOf`.
            lots := shr(192, shl(16, fill))
            let market := mload(add(add(mload(MARKETS), 0x20), shl(5, byte(1, terms))))
            base := mul(lots, mload(add(market, 0x60)))
            notional := mul(mul(lots, shr(192, shl(48, terms))), mload(add(market, 0x80)))
            // As FeeMath.feeUp.
            let ppm := signextend(2, shr(152, fill))
            fee := sdiv(add(mul(notional, ppm), mul(PPM_UP, sgt(ppm, 0))), PPM)
            slot := mload(shr(224, shl(112, mload(add(maker, 0x20)))))
        }
        reason = enter(maker, lots, base, notional, fee);
        if (reason != 0) return reason;

        // Nothing that the maker's side moved is looked at for the taker's: they are two accounts.
        int256 takerFee;
        assembly ("memory-safe") {
            let ppm := signextend(2, shr(128, fill))
            takerFee := sdiv(add(mul(notional, ppm), mul(PPM_UP, sgt(ppm, 0))), PPM)
        }
        reason = enter(taker, lots, base, notional, takerFee);
        if (reason != 0) {
            undo(maker, slot, base, notional, fee);
            return reason | REASON_TAKER;
        }
        assembly ("memory-safe") {
            let fees := mload(FEE_BALANCE)
            mstore(fees, add(mload(fees), shl(48, add(fee, takerFee))))
        }
    }

    /// @param markets Of the batch.
    /// @return notional What `lots` cost at this order's price, in quote units.
    /// @return base What they are in base atoms.
    function amountsOf(Terms terms, MarketRow[] memory markets, uint256 lots)
        internal
        pure
        returns (int256 notional, int256 base)
    {
        assembly ("memory-safe") {
            // The order's market was compared with their number. A row: number, column, base, and the two factors.
            let market := mload(add(add(markets, 0x20), shl(5, byte(1, terms))))
            base := mul(lots, mload(add(market, 0x60)))
            notional := mul(mul(lots, shr(192, shl(48, terms))), mload(add(market, 0x80)))
        }
    }

    /// @dev One side of a fill, if it can be: its order, its agent's budget, and its money.
    /// @return reason Why it cannot, and nothing was done (REASON_* or FAULT_SIZE); or 0.
    function enter(Ticket ticket, uint256 lots, int256 base, int256 notional, int256 fee)
        internal
        pure
        returns (uint256 reason)
    {
        assembly ("memory-safe") {
            function giveBack(places_, amount) {
                if shr(208, places_) {
                    let left := add(shr(208, places_), 0x20)
                    mstore(left, add(mload(left), amount))
                }
            }

            let terms := mload(ticket)
            reason := and(terms, 0xff)
            // Once, left by the first reason.
            for {} iszero(reason) {} {
                let places := mload(add(ticket, 0x20))
                let slotAt := shr(224, shl(112, places))
                let slot := mload(slotAt)
                switch shl(208, xor(places, slot))
                case 0 {
                    // This order is the newest of its slot, and more of it is filled.
                    if gt(add(lots, shr(192, shl(144, slot))), shr(192, shl(112, terms))) {
                        reason := FAULT_SIZE
                        break
                    }
                    slot := add(slot, shl(48, lots))
                }
                default {
                    let isDead := lt(shl(208, places), shl(208, slot))
                    if or(isDead, gt(lots, shr(192, shl(112, terms)))) {
                        reason := FAULT_SIZE
                        if isDead { reason := DEAD }
                        break
                    }
                    // It takes the place of an older one. What was cancelled stays.
                    slot := or(shl(112, shr(112, slot)), or(shl(48, lots), shr(208, shl(208, places))))
                }
                // An agent whose budget counts.
                if shr(208, places) {
                    let left := add(shr(208, places), 0x20)
                    if sgt(notional, mload(left)) {
                        reason := AGENT
                        break
                    }
                    mstore(left, sub(mload(left), notional))
                }
                let quoteAt := shr(224, shl(176, places))
                let baseAt := shr(224, shl(144, places))
                switch and(byte(3, terms), 1)
                case 0 {
                    let cost := add(notional, fee)
                    let change := mload(quoteAt)
                    // The account's standing, and what the batch has changed.
                    if slt(add(sar(96, mload(add(quoteAt, mload(STRIDE)))), sar(48, change)), cost) {
                        reason := BALANCE
                        giveBack(places, notional)
                        break
                    }
                    mstore(quoteAt, sub(change, shl(48, cost)))
                    mstore(baseAt, add(mload(baseAt), shl(48, base)))
                }
                default {
                    let change := mload(baseAt)
                    // Its quote balance never falls: no fee exceeds its notional.
                    if slt(add(sar(96, mload(add(baseAt, mload(STRIDE)))), sar(48, change)), base) {
                        reason := BALANCE
                        giveBack(places, notional)
                        break
                    }
                    mstore(baseAt, sub(change, shl(48, base)))
                    mstore(quoteAt, add(mload(quoteAt), shl(48, sub(notional, fee))))
                }
                mstore(slotAt, slot)
                break
            }
        }
    }

    /// @dev Takes back what `enter` did.
    /// @param slotBefore The state of the order's slot before that.
    function undo(Ticket ticket, uint256 slotBefore, int256 base, int256 notional, int256 fee) internal pure {
        Places places = ticket.places();
        ticket.setSlot(slotBefore);
        if (AgentRow.unwrap(places.agent()) != 0) places.agent().spend(-notional);
        if (ticket.terms().isBuy()) notional = -notional;
        else base = -base;
        Cells.add(places.quote(), fee - notional);
        Cells.add(places.base(), -base);
    }
}
