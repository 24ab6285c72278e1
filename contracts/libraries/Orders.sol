// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {MAX_FEE_PPM, REASON_EXPIRED, SETTLEMENT_WINDOW} from "../interfaces/Types.sol";
import {SHEET_ACCOUNTS, SHEET_MARKETS, SHEET_QUOTE_AT, SHEET_SLOTS_AT, SHEET_STRIDE} from "./BatchSheet.sol";
import {DESK_ACCOUNT, DESK_EXPIRY, DESK_MARKET, DESK_MAX_FEE_PPM, DESK_NONCE} from "./OrderHash.sol";
import {Ticket} from "./Tickets.sol";

/// @dev What `Orders.open` may have to say, a bit each.
uint256 constant UNSOUND = 1;
uint256 constant OUT_OF_PLACE = 2;
uint256 constant USED_UP = 4;
uint256 constant PERHAPS_CANCELLED = 8;
uint256 constant SIGNED_IN_BULK = 16;

/// @title How an order's record becomes a ticket
/// @dev By hand, as Trades, whose remarks hold here too. A record is two words: account u8 | market u8 |
/// subaccount u8 | terms u8 | flags u16 | priceTicks u64 | sizeLots u64 | triggerTicks u64, and maxFeePpm i32 |
/// nonce u64 | expiry u40.
library Orders {
    uint256 private constant TAIL = 30;
    /// @dev Where an order is hashed; see OrderHash.
    uint256 private constant ORDER_ACCOUNT = DESK_ACCOUNT;
    uint256 private constant ORDER_MARKET = DESK_MARKET;
    uint256 private constant ORDER_MAX_FEE_PPM = DESK_MAX_FEE_PPM;
    uint256 private constant ORDER_NONCE = DESK_NONCE;
    uint256 private constant ORDER_EXPIRY = DESK_EXPIRY;
    /// @dev Of the sheet; see BatchSheet.
    uint256 private constant ACCOUNTS = SHEET_ACCOUNTS;
    uint256 private constant MARKETS = SHEET_MARKETS;
    uint256 private constant QUOTE_AT = SHEET_QUOTE_AT;
    uint256 private constant SLOTS_AT = SHEET_SLOTS_AT;
    uint256 private constant STRIDE = SHEET_STRIDE;

    uint256 private constant WINDOW = SETTLEMENT_WINDOW;
    uint256 private constant EXPIRED = REASON_EXPIRED;
    int256 private constant MAX_FEE = MAX_FEE_PPM;
    /// @dev By the byte `terms`, a bit each: whether there is such an order with a slot, which rests (it is no market
    /// order, and neither IOC nor FOK), or without one, which does not.
    uint256 private constant SOUND_RESTING = 0x30033003;
    uint256 private constant SOUND_IMMEDIATE = 0x0ff00ff0;

    /// @dev Reads a record into a ticket, and finds what the order changes: its balances (the base token's in a new
    /// row, if no order before had one; orders come by account, so that the last row is of theirs or of an earlier one)
    /// and its slot. Orders of one slot follow each other, so that the first of them keeps the slot's state for all. An
    /// immediate order has none, so that its fills are its own; it is used up by its batch, whatever becomes of them.
    /// Those of one account come with increasing sequences. Account, market and the second word's fields are written
    /// where they are hashed; OrderHash writes the others.
    /// An order is unsound if bits without a meaning are set, without a price or a size, with a nonce that is not of
    /// its time in force, or if it is a market order that rests. Of one that is, or is out of place, nothing is found.
    /// @param at Where the record is in calldata.
    /// @param previous The place of the order before, which is less; less than any, before the first.
    /// @return place account | nonce
    /// @return doubt 0, or what is to be said of the order; see above.
    function open(uint256 at, Ticket ticket, int256 previous) internal view returns (int256 place, uint256 doubt) {
        assembly ("memory-safe") {
            let record := calldataload(at)
            {
                let tail := calldataload(add(at, TAIL))
                let bits := byte(3, record)
                let nonce := shr(192, shl(32, tail))
                let expiry := shr(216, shl(96, tail))
                mstore(ORDER_NONCE, nonce)
                mstore(ORDER_EXPIRY, expiry)
                place := or(shl(64, byte(0, record)), nonce)
                let fee := sar(224, tail)
                mstore(ORDER_MAX_FEE_PPM, fee)
                if sgt(fee, MAX_FEE) { fee := MAX_FEE }
                let terms := or(shl(80, shr(80, record)), shr(176, shl(224, fee)))
                let sound := SOUND_RESTING
                if iszero(shr(48, nonce)) {
                    sound := SOUND_IMMEDIATE
                    // isImmediate, and isFillOrKill: the higher bit of IOC and FOK.
                    terms := or(terms, or(0x100, shl(6, and(bits, 8))))
                }
                // Of 0, which is never, one less is more than any time.
                mstore(ticket, or(terms, mul(EXPIRED, lt(sub(expiry, 1), sub(timestamp(), WINDOW)))))
                let priceBySize := mul(shr(192, shl(48, record)), shr(192, shl(112, record)))
                doubt := iszero(and(shr(bits, sound), gt(priceBySize, 0)))
            }
            // By account, then nonce; account and market are less than their numbers.
            let markets := mload(MARKETS)
            let inPlace := and(lt(byte(0, record), mload(ACCOUNTS)), lt(byte(1, record), mload(markets)))
            doubt := or(doubt, mul(OUT_OF_PLACE, iszero(and(sgt(place, previous), inPlace))))
            if iszero(doubt) {
                doubt := and(byte(3, record), SIGNED_IN_BULK)
                let quote := add(mload(QUOTE_AT), shl(5, byte(0, record)))
                let stride := mload(STRIDE)
                let account := mload(sub(quote, stride))
                mstore(ORDER_ACCOUNT, account)
                let sequence := shr(208, shl(208, place))
                let places := or(shl(48, quote), sequence)
                {
                    let market := mload(add(add(markets, 0x20), shl(5, byte(1, record))))
                    mstore(ORDER_MARKET, mload(market))
                    let accounts := mload(add(market, 0x40))
                    let row := add(accounts, shl(5, mload(accounts)))
                    // Without a row yet this is their number, which is nobody.
                    if xor(mload(row), account) {
                        row := add(row, 0x20)
                        mstore(row, account)
                        mstore(accounts, add(mload(accounts), 1))
                    }
                    places := or(places, shl(80, add(row, stride)))
                }
                let below := mload(add(quote, stride))
                let kept := add(ticket, 0x40)
                switch shr(240, shl(192, place))
                case 0 {
                    if iszero(gt(sequence, shr(208, shl(160, below)))) { doubt := USED_UP }
                    below := shr(208, shl(208, below))
                    mstore(quote, or(shl(48, shr(48, mload(quote))), sequence))
                    mstore(kept, sequence)
                    mstore(add(kept, 0x20), 0)
                }
                default {
                    switch shr(48, xor(previous, place))
                    case 0 {
                        // The slot of the order before.
                        mstore(add(kept, 0x20), 0)
                        kept := shr(224, shl(112, mload(sub(kept, 0xa0))))
                    }
                    default {
                        mstore(0x00, or(shl(16, account), shr(240, shl(192, place))))
                        mstore(0x20, mload(SLOTS_AT))
                        let location := keccak256(0x00, 0x40)
                        mstore(kept, sload(location))
                        mstore(add(kept, 0x20), location)
                    }
                    below := or(shr(208, shl(208, below)), shr(192, shl(80, mload(kept))))
                }
                mstore(add(ticket, 0x20), or(places, shl(112, kept)))
                if iszero(gt(sequence, below)) { doubt := or(doubt, PERHAPS_CANCELLED) }
            }
        }
    }
}
