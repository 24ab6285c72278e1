// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
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

    /// @dev What a fill moves. All negative to take it back.
    struct Terms {
        int256 lots;
        int256 notional;
        int256 makerFee;
        int256 takerFee;
    }

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

        frame.readAccounts(column.accounts, column.balances);
        _requireBatch(BatchCodec.isAscending(column.accounts));
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
            (uint256 account, uint256 market, bool isBulk, bool isWellFormed) = frame.readOrder(i, order);
            _requireOrder(isWellFormed, i);
            _requireBatch(account < frame.accounts && market < frame.markets);
            uint256 place = (account << 64) | order.nonce;
            _requireBatch(place >= beyond);
            unchecked {
                beyond = place + 1;
            }

            Ticket memory ticket = sheet.tickets[i];
            (ticket.quoteRow, ticket.market) = (account, market);
            _place(sheet, ticket, order);
            _fillIn(i, ticket, order);
            _openSlot(sheet, i, ticket);
            _requireSigned(sheet, frame, i, order, isBulk ? ++proofs : 0);
            _examine(sheet, i, ticket);
        }
        _requireBatch(proofs == frame.proofs);
    }

    /// @dev Finds the order's balances and market by what is in its ticket already.
    function _place(Sheet memory sheet, Ticket memory ticket, Order memory order) private pure {
        MarketRow memory market = sheet.markets[ticket.market];
        Column memory quote = sheet.quote;
        uint256 row = ticket.quoteRow;
        address account = quote.accounts[row];
        (order.account, order.market) = (account, market.number);
        ticket.quoteBalance = Cells.at(quote.balances, row);
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
        ticket.maxFeePpm = order.maxFeePpm;
        ticket.sequence = uint48(order.nonce);
        ticket.slotKey = _slotKey(order.account, order.nonce);
        (ticket.priceTicks, ticket.sizeLots) = (order.priceTicks, order.sizeLots);
        _requireOrder(isImmediate == (order.nonce >> 48 == 0) && (isImmediate || order.kind != KIND_MARKET), index);
        _requireOrder(ticket.priceTicks != 0 && ticket.sizeLots != 0, index);
        if (_isExpired(order.expiry)) ticket.refusal = REASON_EXPIRED;
    }

    function _isExpired(uint256 expiry) private view returns (bool) {
        unchecked {
            // No overflow: an expiry has 40 bits.
            return expiry != 0 && block.timestamp >= expiry + SETTLEMENT_WINDOW;
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
            _requireOrder(position >> BulkTree.DEPTH == 0, index);
            hash = BulkTree.structHash(hash, position, siblingsAt);
        }
        (bytes32 r, bytes32 vs) = frame.signature(index);
        (address signer,,) = ECDSA.tryRecover(MessageHashUtils.toTypedDataHash(sheet.domain, hash), r, vs);
        if (signer == address(0)) revert InvalidSigner(index, signer);
        if (signer == order.account && proof == 0) return;

        _openAgent(sheet, index, order, signer);
    }

    /// @dev The budget is kept in `sheet.agents`, where an agent has one row however many orders it signed.
    function _openAgent(Sheet memory sheet, uint256 index, Order memory order, address signer) private view {
        Ticket memory ticket = sheet.tickets[index];
        bytes32 key = _agentKey(order.account, signer);
        Agent memory agent = _agents[key];
        if (agent.registration == 0) revert InvalidSigner(index, signer);
        if (ticket.refusal == 0 && !_isEntitled(key, agent, order.market)) {
            ticket.refusal = REASON_AGENT;
        }

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
        sheet.agents[count].left = int256(uint256(agent.notional));
        sheet.agentCount = count + 1;
        ticket.agentRow = count + 1;
    }

    /// @dev What the account's word says of the order. An immediate order is used up by its batch, whatever becomes of its
    /// fills; those of one account come with increasing sequences.
    function _examine(Sheet memory sheet, uint256 index, Ticket memory ticket) private view {
        Standing standing = sheet.quote.standings[ticket.quoteRow];
        uint256 sequence = ticket.sequence;
        uint256 below = standing.highestFloor();
        if (ticket.isImmediate) {
            _requireOrder(sequence > standing.immediateSequence(), index);
            sheet.immediates[ticket.quoteRow] = sequence;
        } else {
            below |= sheet.tickets[ticket.slot].slotCancelledBelow;
        }
        // Not less than either of both: at worst a look for nothing.
        if (sequence < below && _isCancelled(ticket.slotKey, sequence)) ticket.refusal = REASON_CANCELLED;
    }

    /* STEP 2: EVALUATE */

    function _evaluateAll(Sheet memory sheet, Frame memory frame) private view returns (bytes memory refusals) {
        uint256 count = frame.fills;
        for (uint256 i; i < count;) {
            PackedFill fill = frame.fill(i);
            uint8 reason;
            if (fill.sizeLots() == 0) {
                // A fill that was taken back proves nothing: its orders may be the very reason.
                reason = REASON_OPERATOR;
            } else {
                (uint256 maker, uint256 taker) = (fill.maker(), fill.taker());
                _requireBatch(taker < frame.orders && (maker < frame.orders || maker == AMM_MAKER));
                if (maker == AMM_MAKER) {
                    reason = _evaluateAmm(sheet, frame, i, fill);
                } else if (sheet.tickets[taker].isFillOrKill) {
                    uint256 end = _endOfGroup(frame, i, taker, sheet.tickets[taker].sizeLots);
                    refusals = _evaluateGroup(sheet, frame, i, end, refusals);
                    i = end;
                    continue;
                } else {
                    reason = _evaluate(sheet, i, fill);
                }
            }
            if (reason != 0) refusals = _append(refusals, i, reason);
            ++i;
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
            uint8 reason = _evaluate(sheet, i, fill);
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

    function _append(bytes memory refusals, uint256 fill, uint8 reason) private pure returns (bytes memory) {
        return abi.encodePacked(refusals, uint16(fill), reason);
    }

    function _takeBack(Sheet memory sheet, PackedFill fill, uint256 slotBefore) private pure {
        (Ticket memory maker, Ticket memory taker) = (sheet.tickets[fill.maker()], sheet.tickets[fill.taker()]);
        Terms memory terms;
        _agree(terms, maker, fill);
        (terms.lots, terms.notional) = (-terms.lots, -terms.notional);
        (terms.makerFee, terms.takerFee) = (-terms.makerFee, -terms.takerFee);
        _execute(sheet, maker, taker, terms);
        Ticket memory slot = sheet.tickets[maker.slot];
        (slot.slotSequence, slot.filled) = (slotBefore >> 64, uint64(slotBefore));
    }

    /// @return reason 0 if the fill is settled, or why it is refused.
    function _evaluate(Sheet memory sheet, uint256 index, PackedFill fill) private pure returns (uint8 reason) {
        (Ticket memory maker, Ticket memory taker) = (sheet.tickets[fill.maker()], sheet.tickets[fill.taker()]);
        _requireMatch(
            maker.market == taker.market && maker.isBuy != taker.isBuy && !maker.isImmediate
                && maker.quoteRow != taker.quoteRow
                && (taker.flags & (FLAG_POST_ONLY | FLAG_AMM)) | (maker.flags & FLAG_AMM) == 0,
            index
        );
        if (taker.isBuy ? maker.priceTicks > taker.priceTicks : maker.priceTicks < taker.priceTicks) {
            revert LimitCrossed(index);
        }
        _requireFeesInCaps(index, fill, maker.maxFeePpm, taker.maxFeePpm);

        Terms memory terms;
        _agree(terms, maker, fill);
        reason = _refusal(sheet, maker, fill.maker(), terms, terms.makerFee);
        if (reason != 0) return reason;
        reason = _refusal(sheet, taker, fill.taker(), terms, terms.takerFee);
        if (reason != 0) return reason | REASON_TAKER;

        _execute(sheet, maker, taker, terms);
    }

    function _agree(Terms memory terms, Ticket memory maker, PackedFill fill) private pure {
        uint256 notional;
        unchecked {
            // No overflow: three factors of 64 bits.
            notional = maker.priceTicks * fill.sizeLots() * maker.quoteAtomsPerTickLot;
        }
        terms.lots = int256(fill.sizeLots());
        terms.notional = int256(notional);
        terms.makerFee = FeeMath.feeUp(notional, fill.makerFeePpm());
        terms.takerFee = FeeMath.feeUp(notional, fill.takerFeePpm());
    }

    /// @dev A fill whose maker is the pair of the taker's market. Its price is exact: the pair may turn out to give more,
    /// never less.
    /// @return reason 0 if the fill is settled, or why it is refused.
    function _evaluateAmm(Sheet memory sheet, Frame memory frame, uint256 index, PackedFill fill)
        private
        view
        returns (uint8 reason)
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
        _requireFeesInCaps(index, fill, 0, taker.maxFeePpm);
        leg.fill = sheet.first + uint64(index);
        if (!_isWithinLimit(sheet, leg, taker, quote)) revert LimitCrossed(index);

        Terms memory terms = Terms(int256(taker.sizeLots), int256(quote), 0, FeeMath.feeUp(quote, fill.takerFeePpm()));
        reason = _refusal(sheet, taker, fill.taker(), terms, terms.takerFee);
        if (reason != 0) return reason | REASON_TAKER;
        address token = sheet.columns[leg.baseColumn].token;
        leg.pair = AMM_FACTORY.pairOf(token);
        if (!leg.isKept(token, VAULT.index())) return REASON_AMM;

        _executeSide(sheet, taker, terms, terms.takerFee);
        Cells.add(sheet.feeBalance, terms.takerFee);
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

    /// @dev Rates that do not sum below zero make fees that do not sum below zero.
    function _requireFeesInCaps(uint256 index, PackedFill fill, int256 makerCap, int256 takerCap) private pure {
        (int256 makerPpm, int256 takerPpm) = (fill.makerFeePpm(), fill.takerFeePpm());
        if (
            makerPpm > makerCap || takerPpm > takerCap || makerPpm > MAX_FEE_PPM || takerPpm > MAX_FEE_PPM
                || makerPpm + takerPpm < 0
        ) revert FeeAboveCap(index);
    }

    /// @return Why this order cannot take part in a fill, 0 if it can.
    function _refusal(Sheet memory sheet, Ticket memory ticket, uint256 index, Terms memory terms, int256 fee)
        private
        pure
        returns (uint8)
    {
        if (ticket.refusal != 0) return uint8(ticket.refusal);

        uint256 filled = ticket.filled;
        if (!ticket.isImmediate) {
            Ticket memory slot = sheet.tickets[ticket.slot];
            if (ticket.sequence < slot.slotSequence) return REASON_DEAD;
            filled = ticket.sequence == slot.slotSequence ? slot.filled : 0;
        }
        unchecked {
            // No overflow: both are 64 bits.
            if (filled + uint256(terms.lots) > ticket.sizeLots) revert Overfilled(index);
        }
        if (ticket.agentRow != 0 && terms.notional > sheet.agents[ticket.agentRow - 1].left) return REASON_AGENT;

        // A seller's quote balance never falls: no fee exceeds its notional.
        bool isCovered;
        unchecked {
            // No overflow: see Cells.add.
            isCovered = ticket.isBuy
                ? Cells.get(ticket.quoteBalance) >= terms.notional + fee
                : Cells.get(ticket.baseBalance) >= terms.lots * int256(ticket.baseAtomsPerLot);
        }
        return isCovered ? 0 : REASON_BALANCE;
    }

    /// @dev Moves what a fill moves, or back.
    function _execute(Sheet memory sheet, Ticket memory maker, Ticket memory taker, Terms memory terms) private pure {
        _executeSide(sheet, maker, terms, terms.makerFee);
        _executeSide(sheet, taker, terms, terms.takerFee);
        unchecked {
            // No overflow: see Cells.add.
            Cells.add(sheet.feeBalance, terms.makerFee + terms.takerFee);
        }
    }

    function _executeSide(Sheet memory sheet, Ticket memory ticket, Terms memory terms, int256 fee) private pure {
        unchecked {
            // No overflow: what is filled does not exceed the order's size; see Cells.add.
            if (ticket.isImmediate) {
                ticket.filled += uint256(terms.lots);
            } else {
                Ticket memory slot = sheet.tickets[ticket.slot];
                if (ticket.sequence != slot.slotSequence) (slot.slotSequence, slot.filled) = (ticket.sequence, 0);
                slot.filled += uint256(terms.lots);
                slot.isSlotChanged = true;
            }
            if (ticket.agentRow != 0) sheet.agents[ticket.agentRow - 1].left -= terms.notional;

            int256 base = terms.lots * int256(ticket.baseAtomsPerLot);
            int256 quote = terms.notional;
            Cells.add(ticket.quoteBalance, ticket.isBuy ? -(quote + fee) : quote - fee);
            Cells.add(ticket.baseBalance, ticket.isBuy ? base : -base);
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

    function _requireOrder(bool isWellFormed, uint256 index) private pure {
        if (!isWellFormed) revert MalformedOrder(index);
    }

    function _requireMatch(bool isMatch, uint256 fill) private pure {
        if (!isMatch) revert Mismatched(fill);
    }
}
