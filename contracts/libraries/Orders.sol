// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {MAX_FEE_PPM, REASON_EXPIRED, SETTLEMENT_WINDOW} from "../interfaces/Types.sol";
import {Sheet} from "./BatchSheet.sol";
import {Ticket} from "./Tickets.sol";

/// @dev What `Orders.locate` may have to say.
uint256 constant USED_UP = 1;
uint256 constant PERHAPS_CANCELLED = 2;

/// @title How an order's record becomes a ticket
/// @dev By hand, as Trades, whose remarks hold here too. A record is two words: account u8 | market u8 | subaccount u8 |
/// terms u8 | flags u16 | priceTicks u64 | sizeLots u64 | triggerTicks u64, and maxFeePpm i32 | nonce u64 | expiry u40.
library Orders {
    uint256 private constant TAIL = 30;
    uint256 private constant WINDOW = SETTLEMENT_WINDOW;
    uint256 private constant EXPIRED = REASON_EXPIRED;
    int256 private constant MAX_FEE = MAX_FEE_PPM;
    /// @dev By the byte `terms`, a bit each: whether there is such an order with a slot, which rests (it is no market
    /// order, and neither IOC nor FOK), or without one, which does not.
    uint256 private constant SOUND_RESTING = 0x30033003;
    uint256 private constant SOUND_IMMEDIATE = 0x0ff00ff0;

    /// @dev Reads a record into a ticket, and into what is hashed, but for account and market.
    /// @param at Where the record is in calldata.
    /// @param order Where the words are that are hashed; see OrderHash.
    /// @return place account | nonce
    /// @return isSound Whether the order makes sense: it does not if bits without a meaning are set, without a price or a
    /// size, with a nonce that is not of its time in force, or if it is a market order that rests.
    function read(uint256 at, uint256 order, Ticket ticket) internal view returns (uint256 place, bool isSound) {
        assembly ("memory-safe") {
            let record := calldataload(at)
            let tail := calldataload(add(at, TAIL))
            let bits := byte(3, record)
            let nonce := shr(192, shl(32, tail))
            mstore(add(order, 0x40), byte(2, record)) // subaccount
            mstore(add(order, 0x80), and(bits, 1)) // side
            mstore(add(order, 0xa0), and(shr(1, bits), 1)) // kind
            mstore(add(order, 0xc0), and(shr(2, bits), 3)) // timeInForce
            mstore(add(order, 0xe0), shr(240, shl(32, record))) // flags
            mstore(add(order, 0x100), shr(192, shl(48, record))) // priceTicks
            mstore(add(order, 0x120), shr(192, shl(112, record))) // sizeLots
            mstore(add(order, 0x140), shr(192, shl(176, record))) // triggerTicks
            mstore(add(order, 0x160), sar(224, tail)) // maxFeePpm
            mstore(add(order, 0x180), nonce) // nonce
            mstore(add(order, 0x1a0), shr(216, shl(96, tail))) // expiry
            place := or(shl(64, byte(0, record)), nonce)

            let sound := SOUND_RESTING
            let terms := shl(80, shr(80, record))
            if iszero(shr(48, nonce)) {
                sound := SOUND_IMMEDIATE
                // isImmediate, and isFillOrKill: of IOC and FOK, which are 1 and 2, the higher bit.
                terms := or(terms, or(0x100, shl(6, and(bits, 8))))
            }
            isSound := and(shr(bits, sound), gt(mul(mload(add(order, 0x100)), mload(add(order, 0x120))), 0))
            let fee := sar(224, tail)
            if sgt(fee, MAX_FEE) { fee := MAX_FEE }
            terms := or(terms, shr(176, shl(224, fee)))
            let expiry := shr(216, shl(96, tail))
            if expiry { if iszero(lt(timestamp(), add(expiry, WINDOW))) { terms := or(terms, EXPIRED) } }
            mstore(ticket, terms)
        }
    }

    /// @dev Finds what the order changes: its balances (the base token's in a new row, if no order before had one; orders
    /// come by account, so that the last row is of theirs or of an earlier one) and its slot. Orders of one slot follow
    /// each other, so that the first of them keeps the slot's state for all. An immediate order has none, so that its
    /// fills are its own; it is used up by its batch, whatever becomes of them. Those of one account come with increasing
    /// sequences.
    /// @param place Of the order, whose account and market were compared with their numbers.
    /// @param beyond What the place must not be less than: one more than that of the order before.
    /// @return doubt 0, or what is to be said of the order; see above.
    function locate(uint256 place, uint256 beyond, uint256 order, Ticket ticket, Sheet memory sheet)
        internal
        view
        returns (uint256 doubt)
    {
        assembly ("memory-safe") {
            // accounts | markets | quoteAt | quoteStride | slotsAt
            let quote := add(mload(add(sheet, 0x40)), shl(5, shr(64, place)))
            let stride := mload(add(sheet, 0x60))
            let places := or(or(shl(48, quote), shl(176, stride)), shr(208, shl(208, place)))
            {
                let account := mload(sub(quote, stride))
                mstore(add(order, 0x20), account)
                let market := mload(add(add(mload(add(sheet, 0x20)), 0x20), shl(5, byte(1, mload(ticket)))))
                mstore(add(order, 0x60), mload(market))
                // Of the column of its base token: accounts | stride.
                market := mload(add(market, 0x40))
                let accounts := mload(add(market, 0x20))
                market := mload(add(market, 0x40))
                let row := add(accounts, shl(5, mload(accounts)))
                // Without a row yet this is their number, which is nobody.
                if xor(mload(row), account) {
                    row := add(row, 0x20)
                    mstore(row, account)
                    mstore(accounts, add(mload(accounts), 1))
                }
                places := or(places, or(shl(80, add(row, market)), shl(144, market)))
            }

            // An order not less than it is alive: the floor, or what is cancelled of the slot, or both at once.
            let below := shr(208, shl(208, mload(add(quote, stride))))
            let kept := add(ticket, 0x40)
            switch shr(240, shl(192, place))
            case 0 {
                let sequence := shr(192, shl(192, place))
                if iszero(gt(sequence, shr(208, shl(160, mload(add(quote, stride)))))) { doubt := USED_UP }
                // In the account's Change.
                mstore(quote, or(shl(48, shr(48, mload(quote))), sequence))
                mstore(kept, sequence)
                mstore(add(ticket, 0x60), 0)
            }
            default {
                switch eq(shr(48, sub(beyond, 1)), shr(48, place))
                case 0 {
                    // Of account | slot in the mapping at slotsAt.
                    mstore(0x00, or(shl(16, mload(add(order, 0x20))), shr(240, shl(192, place))))
                    mstore(0x20, mload(add(sheet, 0x80)))
                    let location := keccak256(0x00, 0x40)
                    mstore(add(ticket, 0x60), location)
                    mstore(kept, sload(location))
                }
                default {
                    kept := shr(224, shl(112, mload(sub(ticket, 0x60))))
                    mstore(add(ticket, 0x60), 0)
                }
                below := or(below, shr(192, shl(80, mload(kept))))
            }
            mstore(add(ticket, 0x20), or(places, shl(112, kept)))
            if iszero(or(doubt, gt(shr(208, shl(208, place)), below))) { doubt := PERHAPS_CANCELLED }
        }
    }
}
