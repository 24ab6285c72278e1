// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SettlementBase} from "./SettlementBase.sol";
import {SettlementFills} from "./SettlementFills.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {Market, REASON_AGENT, REASON_CANCELLED} from "./interfaces/Types.sol";
import {AgentRows, AgentWords} from "./libraries/AgentRows.sol";
import {Leg} from "./libraries/AmmLegs.sol";
import {BatchCodec, Frame} from "./libraries/BatchCodec.sol";
import {BatchSheet, MarketRow, QUOTE_COLUMN, Sheet} from "./libraries/BatchSheet.sol";
import {BulkTree} from "./libraries/BulkTree.sol";
import {Cells, Column} from "./libraries/Columns.sol";
import {Domain} from "./libraries/Domain.sol";
import {OrderHash} from "./libraries/OrderHash.sol";
import {Orders, OUT_OF_PLACE, PERHAPS_CANCELLED, SIGNED_IN_BULK, UNSOUND, USED_UP} from "./libraries/Orders.sol";
import {PauseRules} from "./libraries/PauseRules.sol";
import {Terms, Ticket, Tickets} from "./libraries/Tickets.sol";
import {VaultCalls} from "./libraries/VaultCalls.sol";

/// @title Settles matched orders between Vault accounts; see ISettlement
/// @dev A batch goes through four steps: open (every order once: fields, signature, slot, balances), evaluate (every
/// fill against running balances in memory), write (slots, budgets, and balances as one net change each), log. It calls
/// nothing but the Vault, which calls nothing back, and views of the AMM: there is no generic call and no token here.
/// The only path by which fills move money; its readable twin is in the tests.
contract Settlement is SettlementFills {
    using BatchCodec for Frame;
    using BatchSheet for Sheet;
    using VaultCalls for Column;

    /// @dev Bounds the memory of a batch. Python twin: `offchain.domain.limits.FILLS_PER_BATCH_MAX`.
    uint256 public constant MAX_FILLS = 100;

    constructor(address admin, address vault, address ammFactory) SettlementBase(admin, vault, ammFactory) {}

    /// @inheritdoc ISettlement
    function settle(bytes calldata batch) external onlyRole(SETTLER_ROLE) {
        OrderHash.reserveDesk();
        PauseRules.requireRunning(_pausedUntil);
        Frame memory frame = BatchCodec.open(batch);
        uint256 count = frame.fills;
        _requireBatch(frame.first != 0 && count != 0 && count <= MAX_FILLS && frame.orders <= 2 * count);
        if (frame.first != lastFill + 1) revert NotConsecutive(frame.first, lastFill + 1);
        uint64 last = lastFill + uint64(count);
        lastFill = last;

        Sheet memory sheet = _open(frame);
        bytes memory refusals = _evaluateAll(sheet, frame);
        bytes memory changes = _write(sheet);

        emit BatchSettled(_takeSequence(), frame.first, last, refusals, changes);
    }

    /* STEP 1: OPEN */

    function _open(Frame memory frame) private view returns (Sheet memory sheet) {
        sheet.first = frame.first;
        sheet.accounts = frame.accounts;
        uint256 slotsAt;
        assembly ("memory-safe") {
            slotsAt := _slots.slot
        }
        sheet.slotsAt = slotsAt;
        OrderHash.setDomain(Domain.separator());
        sheet.columns = new Column[](frame.markets + 1);
        sheet.legs = new Leg[](frame.quotes);
        assert(sheet.columnOf(QUOTE_TOKEN) == QUOTE_COLUMN);
        sheet.quote = sheet.columns[QUOTE_COLUMN];
        _openAccounts(sheet, frame);
        _openMarkets(sheet, frame);
        _openOrders(sheet, frame);
        for (uint256 i = QUOTE_COLUMN + 1; i < sheet.columnCount; ++i) {
            sheet.columns[i].load(VAULT);
        }
    }

    function _openAccounts(Sheet memory sheet, Frame memory frame) private view {
        uint256 count = frame.accounts;
        Column memory column = sheet.quote;
        column.reserve(count + frame.quotes);
        if (frame.orders == 0) {
            _requireBatch(count + frame.markets + frame.proofs + frame.feeIndex == 0);
            return;
        }

        _requireBatch(frame.readAccounts(column.accounts));
        sheet.stride = column.stride;
        sheet.quoteAt = column.accounts + column.stride + 32;
        sheet.feeBalance = sheet.quoteAt + frame.feeIndex * 32;
        _requireBatch(frame.feeIndex < count && Cells.account(sheet.feeBalance, column.stride) == FEE_ACCOUNT);
        column.load(VAULT);
    }

    function _openMarkets(Sheet memory sheet, Frame memory frame) private view {
        sheet.markets = new MarketRow[](frame.markets);
        uint256 beyond;
        for (uint256 i; i < frame.markets; ++i) {
            uint32 number = frame.market(i);
            _requireBatch(number >= beyond);
            beyond = uint256(number) + 1;
            Market memory market = _markets[number];
            if (market.baseToken == address(0)) revert UnknownMarket(number);

            MarketRow memory row = sheet.markets[i];
            row.number = number;
            row.column = sheet.columnOf(market.baseToken);
            row.baseAtomsPerLot = market.baseAtomsPerLot;
            row.quoteAtomsPerTickLot = market.quoteAtomsPerTickLot;
        }

        // One row for a pair would do; but all columns have the stride of the first.
        for (uint256 i = QUOTE_COLUMN + 1; i < sheet.columnCount; ++i) {
            sheet.columns[i].reserve(frame.accounts + frame.quotes);
        }
        for (uint256 i; i < frame.markets; ++i) {
            MarketRow memory row = sheet.markets[i];
            row.accounts = sheet.columns[row.column].accounts;
        }
    }

    function _openOrders(Sheet memory sheet, Frame memory frame) private view {
        sheet.orders = frame.orders;
        sheet.reserveTickets();
        Ticket ticket = sheet.ticket(0);
        (uint256 at, uint256 end, uint256 beyond) = (frame.ordersAt, frame.proofsAt, 0);
        while (at != end) {
            (uint256 place, uint256 doubt) = Orders.open(at, ticket, beyond, sheet);
            bytes32 hash = OrderHash.write(at);
            if (doubt != 0) hash = _examine(sheet, frame, ticket, doubt, uint64(place), hash);
            unchecked {
                // No overflow: positions, and a place has 72 bits.
                doubt |= OrderHash.recover(hash, at + BatchCodec.ORDER_SIGNATURE);
                if (doubt != 0) _openAgent(sheet, ticket, OrderHash.signer());
                beyond = place + 1;
                at += BatchCodec.ORDER_BYTES;
                ticket = Ticket.wrap(Ticket.unwrap(ticket) + Tickets.BYTES);
            }
        }
        _requireBatch(sheet.proofs == frame.proofs);
    }

    /// @dev Whatever else is to be said of the order, a cancel is why it is refused.
    /// @param hash Of the order.
    /// @return What was signed.
    function _examine(Sheet memory sheet, Frame memory frame, Ticket ticket, uint256 doubt, uint64 nonce, bytes32 hash)
        private
        view
        returns (bytes32)
    {
        if (doubt & (UNSOUND | USED_UP) != 0) revert MalformedOrder(sheet.indexOf(ticket));
        _requireBatch(doubt & OUT_OF_PLACE == 0);
        // At worst a look for nothing.
        if (doubt & PERHAPS_CANCELLED != 0 && _isCancelled(_slotKey(ticket.places().account(), nonce), uint48(nonce))) {
            ticket.setTerms(ticket.terms().withRefusal(REASON_CANCELLED));
        }
        return doubt & SIGNED_IN_BULK != 0 ? _bulkHash(sheet, frame, sheet.indexOf(ticket), hash) : hash;
    }

    /// @param hash Of the order, which is the next of those that were signed in bulk.
    function _bulkHash(Sheet memory sheet, Frame memory frame, uint256 index, bytes32 hash)
        private
        pure
        returns (bytes32)
    {
        uint256 proof = sheet.proofs++;
        _requireBatch(proof < frame.proofs);
        (uint256 position, uint256 siblingsAt) = frame.proof(proof);
        if (position >> BulkTree.DEPTH != 0) revert MalformedOrder(index);
        return BulkTree.structHash(hash, position, siblingsAt);
    }

    /// @dev Perhaps somebody else than the account signed; an agent must have, if in bulk.
    function _openAgent(Sheet memory sheet, Ticket ticket, address signer) private view {
        (Terms terms, address account) = (ticket.terms(), ticket.places().account());
        if (signer == account && !terms.isBulk()) return;

        (uint256 location, uint256 word, bool isEntitled) =
            _agentWord(_agentKey(account, signer), sheet.markets[terms.market()].number);
        if (signer == address(0) || AgentWords.registration(word) == 0) {
            revert InvalidSigner(sheet.indexOf(ticket), signer);
        }
        if (!isEntitled && terms.refusal() == 0) ticket.setTerms(terms.withRefusal(REASON_AGENT));
        if (AgentWords.notional(word) == UNLIMITED) return;

        ticket.setPlaces(ticket.places().withAgent(sheet.agentOf(terms.account(), location, word)));
    }

    /* STEP 3: WRITE */

    /// @dev What goes into a pair must be in its row before the exchange, and what comes out can be moved on only after
    /// it. A base token has one leg, so that this order always exists: base that is sold, quote, base that is bought.
    function _write(Sheet memory sheet) private returns (bytes memory changes) {
        _writeSlots(sheet);
        _writeAgents(sheet);
        changes = _reserveLog(sheet);
        sheet.changes = changes;
        _applyBases(sheet, false);
        if (sheet.legCount == 0) {
            _apply(sheet, QUOTE_COLUMN);
        } else {
            _exchange(sheet, false);
            _apply(sheet, QUOTE_COLUMN);
            _exchange(sheet, true);
            _applyBases(sheet, true);
        }
    }

    /// @return log Empty, with room for a row of every balance; rows are written as two words.
    function _reserveLog(Sheet memory sheet) private pure returns (bytes memory log) {
        uint256 rows;
        for (uint256 i; i < sheet.columnCount; ++i) {
            rows += sheet.columns[i].length();
        }
        log = new bytes(rows * VaultCalls.LOG_ROW_BYTES + sheet.columnCount * VaultCalls.LOG_HEAD_BYTES + 64);
        assembly ("memory-safe") {
            mstore(log, 0)
        }
    }

    function _writeSlots(Sheet memory sheet) private {
        // Of the first ticket, the word that says where.
        (uint256 at, uint256 size) = (sheet.tickets + 0x60, Tickets.BYTES);
        uint256 end = at + sheet.orders * size;
        assembly ("memory-safe") {
            for {} lt(at, end) { at := add(at, size) } {
                let location := mload(at)
                if location { sstore(location, mload(sub(at, 0x20))) }
            }
        }
    }

    function _writeAgents(Sheet memory sheet) private {
        (uint256 row, uint256 size, uint256 end) = (sheet.agents, AgentRows.BYTES, sheet.agentsEnd);
        assembly ("memory-safe") {
            for {} lt(row, end) { row := add(row, size) } {
                // The notional is in front of the rest of an agent's word; it only fell.
                sstore(mload(row), or(shl(120, mload(add(row, 0x20))), shr(136, shl(136, mload(add(row, 0x40))))))
            }
        }
    }

    function _applyBases(Sheet memory sheet, bool isBought) private {
        for (uint256 i = QUOTE_COLUMN + 1; i < sheet.columnCount; ++i) {
            if (sheet.isBought(i) == isBought) _apply(sheet, i);
        }
    }

    function _apply(Sheet memory sheet, uint256 index) private {
        Column memory column = sheet.columns[index];
        if (column.length() != 0) column.write(VAULT, sheet.changes);
    }

    /// @dev The purchases or the sales.
    function _exchange(Sheet memory sheet, bool isBuy) private {
        Column memory quote = sheet.quote;
        for (uint256 i; i < sheet.legCount; ++i) {
            Leg memory leg = sheet.legs[i];
            if (!leg.isTaken || leg.isBuy != isBuy) continue;

            Column memory base = sheet.columns[leg.baseColumn];
            if (isBuy) _exchangeLeg(leg, quote.token, base.token);
            else _exchangeLeg(leg, base.token, quote.token);
        }
    }

    /// @dev What comes out beyond the promise is the taker's.
    function _exchangeLeg(Leg memory leg, address tokenIn, address tokenOut) private {
        uint256 amountOut = VAULT.exchange(leg.pair, tokenIn, tokenOut, leg.amountIn);
        if (amountOut < leg.promised) revert BrokenPromise(leg.fill, leg.promised, amountOut);
        int256 surplus = int256(amountOut - leg.promised);
        Cells.add(leg.takerBalance, surplus);
        Cells.add(leg.pairBalance, -surplus);

        // Both fit: they were balances.
        emit AmmLegSettled(_takeSequence(), leg.market, leg.fill, leg.isBuy, uint128(leg.amountIn), uint128(amountOut));
    }
}
