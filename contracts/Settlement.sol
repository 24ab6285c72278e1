// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SettlementBase} from "./SettlementBase.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {
    AMM_MAKER,
    FLAG_AMM,
    FLAG_POST_ONLY,
    KIND_MARKET,
    Market,
    MAX_FEE_PPM,
    Order,
    REASON_AGENT,
    REASON_AMM,
    REASON_BALANCE,
    REASON_CANCELLED,
    REASON_DEAD,
    REASON_EXPIRED,
    REASON_GROUP,
    REASON_OPERATOR,
    REASON_TAKER,
    SETTLEMENT_WINDOW,
    SIDE_BUY,
    TIF_FOK,
    TIF_IOC
} from "./interfaces/Types.sol";
import {AmmLegs, Leg} from "./libraries/AmmLegs.sol";
import {BatchCodec, Frame, PackedFill} from "./libraries/BatchCodec.sol";
import {AgentRow, BatchSheet, Cells, Column, MarketRow, QUOTE_COLUMN, Sheet, Ticket} from "./libraries/BatchSheet.sol";
import {BulkTree} from "./libraries/BulkTree.sol";
import {Domain} from "./libraries/Domain.sol";
import {FeeMath} from "./libraries/FeeMath.sol";
import {OrderHash} from "./libraries/OrderHash.sol";
import {PauseRules} from "./libraries/PauseRules.sol";
import {Signatures} from "./libraries/Signatures.sol";
import {Standing} from "./libraries/Standings.sol";
import {VaultCalls} from "./libraries/VaultCalls.sol";

/// @title Settles matched orders between Vault accounts; see ISettlement
/// @dev A batch goes through four steps: open (every order once: fields, signature, slot, balances), evaluate (every
/// fill against running balances in memory), write (slots, budgets, and balances as one net change each), log. It calls
/// nothing but the Vault, which calls nothing back, and views of the AMM: there is no generic call and no token here.
/// The only path by which fills move money; its readable twin is in the tests.
contract Settlement is SettlementBase {
    using AmmLegs for Leg;
    using BatchCodec for Frame;
    using BatchSheet for Sheet;
    using VaultCalls for Column;

    /// @dev Bounds the memory of a batch. Python twin: `offchain.domain.limits.FILLS_PER_BATCH_MAX`.
    uint256 public constant MAX_FILLS = 100;

    constructor(address admin, address vault, address ammFactory) SettlementBase(admin, vault, ammFactory) {}

    /// @inheritdoc ISettlement
    function settle(bytes calldata batch) external onlyRole(SETTLER_ROLE) {
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
        sheet.domain = Domain.separator();
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

        _requireBatch(frame.readAccounts(column.accounts, column.balances));
        _requireBatch(frame.feeIndex < count && column.accounts[frame.feeIndex] == FEE_ACCOUNT);
        sheet.feeBalance = Cells.at(column.balances, frame.feeIndex);
        column.load(VAULT);
        sheet.immediates = new uint256[](count);
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
            row.base = sheet.columns[row.column];
            row.baseAtomsPerLot = market.baseAtomsPerLot;
            row.quoteAtomsPerTickLot = market.quoteAtomsPerTickLot;
        }

        // One row for a pair.
        uint256 capacity = frame.accounts + (frame.quotes == 0 ? 0 : 1);
        for (uint256 i = QUOTE_COLUMN + 1; i < sheet.columnCount; ++i) {
            sheet.columns[i].reserve(capacity);
        }
        sheet.cells = new bytes(frame.accounts * sheet.columnCount);
    }

    function _openOrders(Sheet memory sheet, Frame memory frame) private view {
        sheet.reserveTickets(frame.orders);
        Order memory order;
        uint256 proofs;
        uint256 beyond;
        for (uint256 i; i < frame.orders; ++i) {
            (uint256 account, uint256 market, uint256 terms) = frame.readOrder(i, order);
            if (terms > BatchCodec.TERMS_MAX) revert MalformedOrder(i);
            uint256 place = (account << 64) | order.nonce;
            if (account >= frame.accounts || market >= frame.markets || place < beyond) revert MalformedBatch();
            unchecked {
                beyond = place + 1;
            }

            Ticket memory ticket = sheet.tickets[i];
            (ticket.quoteRow, ticket.market) = (account, market);
            _place(sheet, ticket, order);
            _fillIn(i, ticket, order);
            _openSlot(sheet, i, ticket);
            _requireSigned(sheet, frame, i, order, terms & BatchCodec.TERMS_BULK != 0 ? ++proofs : 0);
            _examine(sheet, i, ticket);
        }
        _requireBatch(proofs == frame.proofs);
    }

    /// @dev Finds the order's balances and market by what is in its ticket already.
    function _place(Sheet memory sheet, Ticket memory ticket, Order memory order) private pure {
        MarketRow memory market = sheet.markets[ticket.market];
        Column memory quote = sheet.quote;
        (address[] memory accounts, int256[] memory balances) = (quote.accounts, quote.balances);
        uint256 row = ticket.quoteRow;
        address account;
        uint256 quoteBalance;
        assembly ("memory-safe") {
            // accounts[row] and where balances[row] is; the index was compared with their length.
            account := mload(add(add(accounts, 0x20), shl(5, row)))
            quoteBalance := add(add(balances, 0x20), shl(5, row))
        }
        (order.account, order.market) = (account, market.number);
        ticket.quoteBalance = quoteBalance;
        unchecked {
            // No overflow: less than 256 of both.
            uint256 cell = row * sheet.columnCount + market.column;
            ticket.baseBalance = BatchSheet.balanceOf(sheet.cells, cell, market.base, account);
        }
        ticket.baseAtomsPerLot = market.baseAtomsPerLot;
        ticket.quoteAtomsPerTickLot = market.quoteAtomsPerTickLot;
    }

    /// @dev Copies what the order says, if it makes sense.
    function _fillIn(uint256 index, Ticket memory ticket, Order memory order) private view {
        bool isFillOrKill = order.timeInForce == TIF_FOK;
        bool isImmediate = isFillOrKill || order.timeInForce == TIF_IOC;
        ticket.isImmediate = isImmediate;
        ticket.isFillOrKill = isFillOrKill;
        ticket.isBuy = order.side == SIDE_BUY;
        ticket.flags = order.flags;
        uint256 nonce = order.nonce;
        ticket.maxFeePpm = order.maxFeePpm < MAX_FEE_PPM ? order.maxFeePpm : MAX_FEE_PPM;
        ticket.sequence = uint48(nonce);
        ticket.slotKey = _slotKey(order.account, uint64(nonce));
        (ticket.priceTicks, ticket.sizeLots) = (order.priceTicks, order.sizeLots);
        if (
            isImmediate != (nonce >> 48 == 0) || (!isImmediate && order.kind == KIND_MARKET) || ticket.priceTicks == 0
                || ticket.sizeLots == 0
        ) revert MalformedOrder(index);
        uint256 expiry = order.expiry;
        unchecked {
            // No overflow: an expiry has 40 bits.
            if (expiry != 0 && block.timestamp >= expiry + SETTLEMENT_WINDOW) ticket.refusal = REASON_EXPIRED;
        }
    }

    /// @dev Orders of one slot follow each other, so that the first of them keeps the slot's state for all. An immediate
    /// order has none.
    function _openSlot(Sheet memory sheet, uint256 index, Ticket memory ticket) private view {
        ticket.slot = index;
        if (ticket.isImmediate) return;
        if (index != 0) {
            Ticket memory before = sheet.tickets[index - 1];
            if (before.slotKey == ticket.slotKey) {
                ticket.slot = before.slot;
                return;
            }
        }

        Slot storage slot = _slots[ticket.slotKey];
        (ticket.slotSequence, ticket.filled, ticket.slotCancelledBelow) =
        (slot.sequence, slot.filled, slot.cancelledBelow);
    }

    /// @param proof Number of the order's proof, from 1; 0 if its signature is for it alone.
    function _requireSigned(Sheet memory sheet, Frame memory frame, uint256 index, Order memory order, uint256 proof)
        private
        view
    {
        bytes32 hash = OrderHash.structHash(order);
        if (proof != 0) {
            _requireBatch(proof <= frame.proofs);
            (uint256 position, uint256 siblingsAt) = frame.proof(proof - 1);
            if (position >> BulkTree.DEPTH != 0) revert MalformedOrder(index);
            hash = BulkTree.structHash(hash, position, siblingsAt);
        }
        address signer = Signatures.recoverTyped(sheet.domain, hash, frame.signatureAt(index));
        if (signer == address(0)) revert InvalidSigner(index, signer);
        if (signer == order.account && proof == 0) return;

        _openAgent(sheet, index, sheet.tickets[index], order, signer);
    }

    function _openAgent(Sheet memory sheet, uint256 index, Ticket memory ticket, Order memory order, address signer)
        private
        view
    {
        bytes32 key = _agentKey(order.account, signer);
        (uint256 registration, uint256 notional, bool isEntitled) = _agentTerms(key, order.market);
        if (registration == 0) revert InvalidSigner(index, signer);
        if (!isEntitled && ticket.refusal == 0) ticket.refusal = REASON_AGENT;
        if (notional != UNLIMITED) _openBudget(sheet, index, ticket, key, notional);
    }

    /// @dev Budgets are kept in `sheet.agents`, where an agent has one row however many orders it signed.
    function _openBudget(Sheet memory sheet, uint256 index, Ticket memory ticket, bytes32 key, uint256 notional)
        private
        pure
    {
        uint256 count = sheet.agentCount;
        if (count == 0) sheet.agents = new AgentRow[](sheet.tickets.length);
        // Orders of an account follow each other, and so do its agents.
        ticket.agentsFrom = count;
        if (index != 0 && sheet.tickets[index - 1].quoteRow == ticket.quoteRow) {
            ticket.agentsFrom = sheet.tickets[index - 1].agentsFrom;
        }
        for (uint256 row = ticket.agentsFrom; row < count; ++row) {
            if (sheet.agents[row].key != key) continue;
            ticket.agentRow = row + 1;
            return;
        }
        sheet.agents[count].key = key;
        sheet.agents[count].left = int256(notional);
        sheet.agentCount = count + 1;
        ticket.agentRow = count + 1;
    }

    /// @dev What the account's word says of the order. An immediate order is used up by its batch, whatever becomes of its
    /// fills; those of one account come with increasing sequences.
    function _examine(Sheet memory sheet, uint256 index, Ticket memory ticket) private view {
        (uint256 row, uint256 sequence) = (ticket.quoteRow, ticket.sequence);
        (Standing[] memory standings, uint256[] memory immediates) = (sheet.quote.standings, sheet.immediates);
        Standing standing;
        assembly ("memory-safe") {
            // standings[row]; the index was compared with their length.
            standing := mload(add(add(standings, 0x20), shl(5, row)))
        }
        uint256 below = standing.highestFloor();
        if (ticket.isImmediate) {
            if (sequence <= standing.immediateSequence()) revert MalformedOrder(index);
            assembly ("memory-safe") {
                // immediates[row]
                mstore(add(add(immediates, 0x20), shl(5, row)), sequence)
            }
        } else {
            below |= sheet.tickets[ticket.slot].slotCancelledBelow;
        }
        // Not less than either of both, or the highest there is: at worst a look for nothing.
        if (sequence <= below && _isCancelled(ticket.slotKey, sequence)) ticket.refusal = REASON_CANCELLED;
    }

    /* STEP 2: EVALUATE */

    function _evaluateAll(Sheet memory sheet, Frame memory frame) private view returns (bytes memory refusals) {
        uint256 count = frame.fills;
        for (uint256 i; i < count;) {
            PackedFill fill = frame.fill(i);
            uint256 reason;
            if (fill.sizeLots() == 0) {
                // A fill that was taken back proves nothing: its orders may be the very reason.
                reason = REASON_OPERATOR;
            } else {
                (uint256 maker, uint256 taker) = (fill.maker(), fill.taker());
                if (taker >= frame.orders || (maker >= frame.orders && maker != AMM_MAKER)) revert MalformedBatch();
                if (maker == AMM_MAKER) {
                    reason = _evaluateAmm(sheet, frame, i, fill);
                } else {
                    Ticket memory ticket = sheet.tickets[taker];
                    if (ticket.isFillOrKill) {
                        uint256 end = _endOfGroup(frame, i, taker, ticket.sizeLots);
                        refusals = _evaluateGroup(sheet, frame, i, end, refusals);
                        i = end;
                        continue;
                    }
                    reason = _evaluate(sheet, i, fill, sheet.tickets[maker], ticket);
                }
            }
            if (reason != 0) refusals = _append(refusals, i, reason);
            unchecked {
                ++i;
            }
        }
        _requireBatch(sheet.legCount == frame.quotes);
    }

    /// @return end Behind the last fill of the fill-or-kill order `taker` that begins at `start`.
    function _endOfGroup(Frame memory frame, uint256 start, uint256 taker, uint256 sizeLots)
        private
        pure
        returns (uint256 end)
    {
        uint256 lots;
        for (end = start; end < frame.fills; ++end) {
            PackedFill fill = frame.fill(end);
            uint256 maker = fill.maker();
            if (fill.sizeLots() == 0 || fill.taker() != taker || maker == AMM_MAKER) break;
            _requireBatch(maker < frame.orders);
            lots += fill.sizeLots();
        }
        _requireMatch(lots == sizeLots, start);
    }

    /// @dev All of the fills or none: when one is refused, those before it are taken back, the last first.
    /// @return refusals Those before, and the group's.
    function _evaluateGroup(Sheet memory sheet, Frame memory frame, uint256 start, uint256 end, bytes memory before)
        private
        pure
        returns (bytes memory refusals)
    {
        refusals = before;
        uint256[] memory slots = new uint256[](end - start);
        for (uint256 i = start; i < end; ++i) {
            PackedFill fill = frame.fill(i);
            Ticket memory slot = sheet.tickets[sheet.tickets[fill.maker()].slot];
            slots[i - start] = (slot.slotSequence << 64) | slot.filled;
            uint256 reason = _evaluateNamed(sheet, i, fill);
            if (reason == 0) continue;

            for (uint256 done = i; done > start; --done) {
                _takeBack(sheet, frame.fill(done - 1), slots[done - 1 - start]);
            }
            // It was tried: whatever else is listed for it is too much.
            Ticket memory taker = sheet.tickets[fill.taker()];
            taker.filled = taker.sizeLots;
            for (uint256 j = start; j < end; ++j) {
                refusals = _append(refusals, j, j == i ? reason : REASON_GROUP);
            }
            return refusals;
        }
    }

    function _append(bytes memory refusals, uint256 fill, uint256 reason) private pure returns (bytes memory) {
        return abi.encodePacked(refusals, uint16(fill), uint8(reason));
    }

    function _takeBack(Sheet memory sheet, PackedFill fill, uint256 slotBefore) private pure {
        (Ticket memory maker, Ticket memory taker) = (sheet.tickets[fill.maker()], sheet.tickets[fill.taker()]);
        int256 notional = int256(_notionalOf(maker, fill.sizeLots()));
        int256 makerFee = FeeMath.feeUp(uint256(notional), fill.makerFeePpm());
        int256 takerFee = FeeMath.feeUp(uint256(notional), fill.takerFeePpm());
        int256 lots = int256(fill.sizeLots());
        _execute(sheet, maker, -lots, -notional, -makerFee);
        _execute(sheet, taker, -lots, -notional, -takerFee);
        Cells.add(sheet.feeBalance, -(makerFee + takerFee));
        Ticket memory slot = sheet.tickets[maker.slot];
        (slot.slotSequence, slot.filled) = (slotBefore >> 64, uint64(slotBefore));
    }

    function _evaluateNamed(Sheet memory sheet, uint256 index, PackedFill fill) private pure returns (uint256) {
        return _evaluate(sheet, index, fill, sheet.tickets[fill.maker()], sheet.tickets[fill.taker()]);
    }

    /// @return reason 0 if the fill is settled, or why it is refused.
    function _evaluate(Sheet memory sheet, uint256 index, PackedFill fill, Ticket memory maker, Ticket memory taker)
        private
        pure
        returns (uint256 reason)
    {
        if (
            maker.market != taker.market || maker.isBuy == taker.isBuy || maker.isImmediate
                || (taker.flags & (FLAG_POST_ONLY | FLAG_AMM)) | (maker.flags & FLAG_AMM) != 0
                || maker.quoteRow == taker.quoteRow
        ) revert Mismatched(index);
        if (taker.isBuy ? maker.priceTicks > taker.priceTicks : maker.priceTicks < taker.priceTicks) {
            revert LimitCrossed(index);
        }
        (int256 makerFee, int256 takerFee) = (fill.makerFeePpm(), fill.takerFeePpm());
        unchecked {
            // No overflow: rates have 24 bits. Rates that do not sum below zero make fees that do not sum below zero.
            if (makerFee > maker.maxFeePpm || takerFee > taker.maxFeePpm || makerFee + takerFee < 0) {
                revert FeeAboveCap(index);
            }
        }

        uint256 lots = fill.sizeLots();
        uint256 notional = _notionalOf(maker, lots);
        makerFee = FeeMath.feeUp(notional, makerFee);
        takerFee = FeeMath.feeUp(notional, takerFee);
        reason = _refusal(sheet, maker, fill.maker(), lots, notional, makerFee);
        if (reason != 0) return reason;
        reason = _refusal(sheet, taker, fill.taker(), lots, notional, takerFee);
        if (reason != 0) return reason | REASON_TAKER;

        _execute(sheet, maker, int256(lots), int256(notional), makerFee);
        _execute(sheet, taker, int256(lots), int256(notional), takerFee);
        unchecked {
            // No overflow: see Cells.add.
            Cells.add(sheet.feeBalance, makerFee + takerFee);
        }
    }

    /// @dev No overflow: three factors of 64 bits.
    function _notionalOf(Ticket memory maker, uint256 lots) private pure returns (uint256) {
        unchecked {
            return maker.priceTicks * lots * maker.quoteAtomsPerTickLot;
        }
    }

    /// @dev A fill whose maker is the pair of the taker's market. Its price is exact: the pair may turn out to give more,
    /// never less.
    /// @return reason 0 if the fill is settled, or why it is refused.
    function _evaluateAmm(Sheet memory sheet, Frame memory frame, uint256 index, PackedFill fill)
        private
        view
        returns (uint256 reason)
    {
        Ticket memory taker = sheet.tickets[fill.taker()];
        _requireMatch(
            taker.isImmediate && taker.flags & FLAG_AMM != 0 && fill.sizeLots() == taker.sizeLots
                && fill.makerFeePpm() == 0,
            index
        );
        _requireBatch(sheet.legCount < frame.quotes);
        uint256 quote = frame.quote(sheet.legCount);
        // A second leg of a pair could not be priced before the first is exchanged.
        (Leg memory leg, bool isFirst) = sheet.nextLeg(sheet.markets[taker.market].column);
        _requireBatch(isFirst);
        int256 fee = fill.takerFeePpm();
        if (fee > taker.maxFeePpm || fee < 0) revert FeeAboveCap(index);
        leg.fill = sheet.first + uint64(index);
        if (!_isWithinLimit(sheet, leg, taker, quote)) revert LimitCrossed(index);

        fee = FeeMath.feeUp(quote, fee);
        reason = _refusal(sheet, taker, fill.taker(), taker.sizeLots, quote, fee);
        if (reason != 0) return reason | REASON_TAKER;
        address token = sheet.columns[leg.baseColumn].token;
        leg.pair = AMM_FACTORY.pairOf(token);
        if (!leg.isKept(token, VAULT.index())) return REASON_AMM;

        _execute(sheet, taker, int256(taker.sizeLots), int256(quote), fee);
        Cells.add(sheet.feeBalance, fee);
        sheet.take(leg, taker);
    }

    /// @dev Writes into `leg` what is to be exchanged.
    /// @return Whether the taker's limit allows it.
    function _isWithinLimit(Sheet memory sheet, Leg memory leg, Ticket memory taker, uint256 quote)
        private
        pure
        returns (bool)
    {
        MarketRow memory market = sheet.markets[taker.market];
        unchecked {
            // No overflow: three factors of 64 bits, and two that sum up to 192.
            uint256 limit = taker.priceTicks * taker.sizeLots * market.quoteAtomsPerTickLot;
            uint256 base = taker.sizeLots * market.baseAtomsPerLot;
            (leg.market, leg.isBuy) = (market.number, taker.isBuy);
            (leg.amountIn, leg.promised) = taker.isBuy ? (quote, base) : (base, quote);
            return taker.isBuy ? quote <= limit : quote >= limit;
        }
    }

    /// @return Why this order cannot take part in a fill, 0 if it can.
    function _refusal(
        Sheet memory sheet,
        Ticket memory ticket,
        uint256 index,
        uint256 lots,
        uint256 notional,
        int256 fee
    ) private pure returns (uint256) {
        if (ticket.refusal != 0) return ticket.refusal;

        unchecked {
            // No overflow: lots have 64 bits; for money see Cells.add.
            uint256 filled = ticket.filled;
            if (!ticket.isImmediate) {
                Ticket memory slot = sheet.tickets[ticket.slot];
                if (ticket.sequence < slot.slotSequence) return REASON_DEAD;
                filled = ticket.sequence == slot.slotSequence ? slot.filled : 0;
            }
            if (filled + lots > ticket.sizeLots) revert Overfilled(index);
            if (ticket.agentRow != 0 && int256(notional) > sheet.agents[ticket.agentRow - 1].left) return REASON_AGENT;

            // A seller's quote balance never falls: no fee exceeds its notional.
            if (ticket.isBuy) {
                if (Cells.get(ticket.quoteBalance) < int256(notional) + fee) return REASON_BALANCE;
            } else {
                if (Cells.get(ticket.baseBalance) < int256(lots * ticket.baseAtomsPerLot)) return REASON_BALANCE;
            }
            return 0;
        }
    }

    /// @dev One side of a fill that was not refused; all negative to take it back.
    function _execute(Sheet memory sheet, Ticket memory ticket, int256 lots, int256 notional, int256 fee) private pure {
        unchecked {
            // No overflow: what is filled does not exceed the order's size; see Cells.add.
            if (ticket.isImmediate) {
                ticket.filled += uint256(lots);
            } else {
                Ticket memory slot = sheet.tickets[ticket.slot];
                if (ticket.sequence != slot.slotSequence) (slot.slotSequence, slot.filled) = (ticket.sequence, 0);
                slot.filled += uint256(lots);
                slot.isSlotChanged = true;
            }
            if (ticket.agentRow != 0) sheet.agents[ticket.agentRow - 1].left -= notional;

            int256 base = lots * int256(ticket.baseAtomsPerLot);
            if (ticket.isBuy) notional = -notional;
            else base = -base;
            (uint256 quoteBalance, uint256 baseBalance) = (ticket.quoteBalance, ticket.baseBalance);
            assembly ("memory-safe") {
                // Cells.add of both, in place.
                mstore(quoteBalance, sub(add(mload(quoteBalance), notional), fee))
                mstore(baseBalance, add(mload(baseBalance), base))
            }
        }
    }

    /* STEP 3: WRITE */

    /// @dev What goes into a pair must be in its row before the exchange, and what comes out can be moved on only after
    /// it. A base token has one leg, so that this order always exists: base that is sold, quote, base that is bought.
    function _write(Sheet memory sheet) private returns (bytes memory changes) {
        _writeSlots(sheet);
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
            rows += sheet.columns[i].accounts.length;
        }
        log = new bytes(rows * VaultCalls.LOG_ROW_BYTES + sheet.columnCount * VaultCalls.LOG_HEAD_BYTES + 64);
        assembly ("memory-safe") {
            mstore(log, 0)
        }
    }

    function _writeSlots(Sheet memory sheet) private {
        for (uint256 i; i < sheet.tickets.length; ++i) {
            Ticket memory ticket = sheet.tickets[i];
            if (!ticket.isSlotChanged) continue;
            // Safe casts: they were read from there, or are an order's.
            _slots[ticket.slotKey] =
                Slot(uint48(ticket.slotSequence), uint64(ticket.filled), uint64(ticket.slotCancelledBelow));
        }
        for (uint256 i; i < sheet.agentCount; ++i) {
            AgentRow memory row = sheet.agents[i];
            // Safe cast: it only fell.
            _agents[row.key].notional = uint128(uint256(row.left));
        }
    }

    function _applyBases(Sheet memory sheet, bool isBought) private {
        for (uint256 i = QUOTE_COLUMN + 1; i < sheet.columnCount; ++i) {
            if (sheet.isBought(i) == isBought) _apply(sheet, i);
        }
    }

    function _apply(Sheet memory sheet, uint256 index) private {
        Column memory column = sheet.columns[index];
        if (column.accounts.length == 0) return;
        column.write(VAULT, index == QUOTE_COLUMN ? sheet.immediates : new uint256[](0), sheet.changes);
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

    /* CHECKS */

    function _requireBatch(bool isWellFormed) private pure {
        if (!isWellFormed) revert MalformedBatch();
    }

    function _requireMatch(bool isMatch, uint256 fill) private pure {
        if (!isMatch) revert Mismatched(fill);
    }
}
