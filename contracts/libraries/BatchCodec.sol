// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Order} from "../interfaces/Types.sol";

/// @dev Where the sections of a packed batch begin in calldata, and how many records each has.
struct Frame {
    uint64 first;
    uint256 markets;
    uint256 accounts;
    uint256 orders;
    uint256 proofs;
    uint256 fills;
    uint256 quotes;
    uint256 feeIndex;
    uint256 marketsAt;
    uint256 accountsAt;
    uint256 ordersAt;
    uint256 proofsAt;
    uint256 fillsAt;
    uint256 quotesAt;
}

/// @dev One fill record: maker u8 | taker u8 | sizeLots u64 | makerFeePpm i24 | takerFeePpm i24.
type PackedFill is uint128;

using PackedFills for PackedFill global;

/// @title The fields of a fill record
library PackedFills {
    /// @return Index of the maker's order, or AMM_MAKER.
    function maker(PackedFill fill) internal pure returns (uint256) {
        return PackedFill.unwrap(fill) >> 120;
    }

    function taker(PackedFill fill) internal pure returns (uint256) {
        return uint8(PackedFill.unwrap(fill) >> 112);
    }

    /// @return 0 if the operator took the fill back.
    function sizeLots(PackedFill fill) internal pure returns (uint256) {
        return uint64(PackedFill.unwrap(fill) >> 48);
    }

    function makerFeePpm(PackedFill fill) internal pure returns (int256) {
        return int24(uint24(PackedFill.unwrap(fill) >> 24));
    }

    function takerFeePpm(PackedFill fill) internal pure returns (int256) {
        return int24(uint24(PackedFill.unwrap(fill)));
    }
}

/// @title The packed form of a batch, as ISettlement describes it. Python twin: `offchain.domain.packed`
/// @dev Records have fixed sizes and come one after the other; nothing in them says where anything is. `open` checks
/// that the batch is exactly as long as its counts say, so that every position up to a count is inside it. All positions
/// are absolute in calldata.
library BatchCodec {
    uint256 internal constant HEADER_BYTES = 15;
    uint256 internal constant MARKET_BYTES = 4;
    uint256 internal constant ACCOUNT_BYTES = 20;
    uint256 internal constant ORDER_BYTES = 111;
    uint256 internal constant PROOF_BYTES = 161;
    uint256 internal constant FILL_BYTES = 16;
    uint256 internal constant QUOTE_BYTES = 16;

    uint256 private constant ORDER_TAIL = 30;
    uint256 private constant ORDER_SIGNATURE = 47;
    uint256 private constant TERMS_MAX = 31;

    /// @return frame With `first` 0 if the batch is not as long as it says.
    function open(bytes calldata batch) internal pure returns (Frame memory frame) {
        uint256 at;
        assembly ("memory-safe") {
            at := batch.offset
        }
        if (batch.length < HEADER_BYTES) return frame;
        uint256 header = _word(at);
        frame.markets = uint8(header >> 184);
        frame.accounts = uint8(header >> 176);
        frame.orders = uint8(header >> 168);
        frame.proofs = uint8(header >> 160);
        frame.fills = uint8(header >> 152);
        frame.quotes = uint8(header >> 144);
        frame.feeIndex = uint8(header >> 136);

        unchecked {
            // No overflow: seven bytes times less than 256.
            frame.marketsAt = at + HEADER_BYTES;
            frame.accountsAt = frame.marketsAt + frame.markets * MARKET_BYTES;
            frame.ordersAt = frame.accountsAt + frame.accounts * ACCOUNT_BYTES;
            frame.proofsAt = frame.ordersAt + frame.orders * ORDER_BYTES;
            frame.fillsAt = frame.proofsAt + frame.proofs * PROOF_BYTES;
            frame.quotesAt = frame.fillsAt + frame.fills * FILL_BYTES;
            if (frame.quotesAt + frame.quotes * QUOTE_BYTES == at + batch.length) frame.first = uint64(header >> 192);
        }
    }

    function market(Frame memory frame, uint256 index) internal pure returns (uint32) {
        unchecked {
            return uint32(_word(frame.marketsAt + index * MARKET_BYTES) >> 224);
        }
    }

    /// @dev Reads the account table into `accounts`, which has room for it, and gives `balances` the same length.
    function readAccounts(Frame memory frame, address[] memory accounts, int256[] memory balances) internal pure {
        (uint256 at, uint256 count) = (frame.accountsAt, frame.accounts);
        assembly ("memory-safe") {
            mstore(accounts, count)
            mstore(balances, count)
            for { let i := 1 } iszero(gt(i, count)) { i := add(i, 1) } {
                mstore(add(accounts, shl(5, i)), shr(96, calldataload(at)))
                at := add(at, ACCOUNT_BYTES)
            }
        }
    }

    /// @return ascending Whether every account is greater than the one before, and the first not zero.
    function isAscending(address[] memory accounts) internal pure returns (bool ascending) {
        assembly ("memory-safe") {
            ascending := 1
            let previous := 0
            let end := add(accounts, shl(5, mload(accounts)))
            for { let at := add(accounts, 0x20) } iszero(gt(at, end)) { at := add(at, 0x20) } {
                let account := mload(at)
                if iszero(gt(account, previous)) { ascending := 0 }
                previous := account
            }
        }
    }

    function fill(Frame memory frame, uint256 index) internal pure returns (PackedFill) {
        unchecked {
            return PackedFill.wrap(uint128(_word(frame.fillsAt + index * FILL_BYTES) >> 128));
        }
    }

    function quote(Frame memory frame, uint256 index) internal pure returns (uint256) {
        unchecked {
            return _word(frame.quotesAt + index * QUOTE_BYTES) >> 128;
        }
    }

    /// @dev Writes into `order` all that the record says itself, which is everything but account and market.
    /// @return accountIndex Of the account table.
    /// @return marketIndex Of the market table.
    /// @return isBulk Whether the signature is one over a tree of orders.
    /// @return isWellFormed Whether the unused bits of `terms` are 0.
    function readOrder(Frame memory frame, uint256 index, Order memory order)
        internal
        pure
        returns (uint256 accountIndex, uint256 marketIndex, bool isBulk, bool isWellFormed)
    {
        unchecked {
            uint256 at = frame.ordersAt + index * ORDER_BYTES;
            uint256 word = _word(at);
            accountIndex = word >> 248;
            marketIndex = uint8(word >> 240);
            order.subaccount = uint8(word >> 232);
            uint256 terms = uint8(word >> 224);
            order.side = uint8(terms & 1);
            order.kind = uint8((terms >> 1) & 1);
            order.timeInForce = uint8((terms >> 2) & 3);
            isBulk = (terms >> 4) & 1 != 0;
            isWellFormed = terms <= TERMS_MAX;
            order.flags = uint16(word >> 208);
            order.priceTicks = uint64(word >> 144);
            order.sizeLots = uint64(word >> 80);
            order.triggerTicks = uint64(word >> 16);

            word = _word(at + ORDER_TAIL);
            order.maxFeePpm = int32(uint32(word >> 224));
            order.nonce = uint64(word >> 160);
            order.expiry = uint40(word >> 120);
        }
    }

    /// @return r Of the order's signature.
    /// @return vs The rest of it, as in EIP-2098.
    function signature(Frame memory frame, uint256 index) internal pure returns (bytes32 r, bytes32 vs) {
        unchecked {
            uint256 at = frame.ordersAt + index * ORDER_BYTES + ORDER_SIGNATURE;
            (r, vs) = (bytes32(_word(at)), bytes32(_word(at + 32)));
        }
    }

    /// @return position Of the leaf in the tree.
    /// @return siblingsAt Where the siblings are in calldata, from the leaf's up.
    function proof(Frame memory frame, uint256 index) internal pure returns (uint256 position, uint256 siblingsAt) {
        unchecked {
            siblingsAt = frame.proofsAt + index * PROOF_BYTES + 1;
            position = _word(siblingsAt - 1) >> 248;
        }
    }

    function _word(uint256 at) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(at)
        }
    }
}
