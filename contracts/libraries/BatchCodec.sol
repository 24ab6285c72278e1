// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

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

/// @dev One fill record, in the upper half: maker u8 | taker u8 | sizeLots u64 | makerFeePpm i24 | takerFeePpm i24.
type PackedFill is uint256;

using PackedFills for PackedFill global;

/// @title The fields of a fill record
library PackedFills {
    /// @return Index of the maker's order, or AMM_MAKER.
    function maker(PackedFill fill) internal pure returns (uint256) {
        return PackedFill.unwrap(fill) >> 248;
    }

    function taker(PackedFill fill) internal pure returns (uint256) {
        return uint8(PackedFill.unwrap(fill) >> 240);
    }

    /// @return 0 if the operator took the fill back.
    function sizeLots(PackedFill fill) internal pure returns (uint256) {
        return uint64(PackedFill.unwrap(fill) >> 176);
    }

    function makerFeePpm(PackedFill fill) internal pure returns (int256) {
        return int24(uint24(PackedFill.unwrap(fill) >> 152));
    }

    function takerFeePpm(PackedFill fill) internal pure returns (int256) {
        return int24(uint24(PackedFill.unwrap(fill) >> 128));
    }
}

/// @title The packed form of a batch, as ISettlement describes it. Python twin: `offchain.domain.packed`
/// @dev Records have fixed sizes and come one after the other; nothing in them says where anything is. `open` checks
/// that the batch is exactly as long as its counts say, so that every position up to a count is inside it. All
/// positions are absolute in calldata.
library BatchCodec {
    uint256 internal constant HEADER_BYTES = 15;
    uint256 internal constant MARKET_BYTES = 4;
    uint256 internal constant ACCOUNT_BYTES = 20;
    uint256 internal constant ORDER_BYTES = 111;
    uint256 internal constant PROOF_BYTES = 161;
    uint256 internal constant FILL_BYTES = 16;
    uint256 internal constant QUOTE_BYTES = 16;

    /// @dev Where an order's signature is in its record: r, vs.
    uint256 internal constant ORDER_SIGNATURE = 47;

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

    /// @dev Reads the account table into the array at `accounts`, which has room for it.
    /// @return isAscending Whether every account is greater than the one before, and the first not zero.
    function readAccounts(Frame memory frame, uint256 accounts) internal pure returns (bool isAscending) {
        (uint256 at, uint256 count) = (frame.accountsAt, frame.accounts);
        assembly ("memory-safe") {
            isAscending := 1
            mstore(accounts, count)
            let previous := 0
            for { let end := add(at, mul(count, ACCOUNT_BYTES)) } lt(at, end) { at := add(at, ACCOUNT_BYTES) } {
                let account := shr(96, calldataload(at))
                isAscending := and(isAscending, gt(account, previous))
                accounts := add(accounts, 0x20)
                mstore(accounts, account)
                previous := account
            }
        }
    }

    /// @param at Where the record is.
    function fillAt(uint256 at) internal pure returns (PackedFill record) {
        assembly ("memory-safe") {
            record := calldataload(at)
        }
    }

    function fill(Frame memory frame, uint256 index) internal pure returns (PackedFill) {
        unchecked {
            return PackedFill.wrap(_word(frame.fillsAt + index * FILL_BYTES));
        }
    }

    function quote(Frame memory frame, uint256 index) internal pure returns (uint256) {
        unchecked {
            return _word(frame.quotesAt + index * QUOTE_BYTES) >> 128;
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
