// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SettlementBase} from "./SettlementBase.sol";
import {AMM_MAKER, REASON_AMM, REASON_GROUP, REASON_OPERATOR, REASON_TAKER} from "./interfaces/Types.sol";
import {AmmLegs, Leg} from "./libraries/AmmLegs.sol";
import {BatchCodec, Frame, PackedFill} from "./libraries/BatchCodec.sol";
import {BatchSheet, Sheet} from "./libraries/BatchSheet.sol";
import {Cells} from "./libraries/Columns.sol";
import {FeeMath} from "./libraries/FeeMath.sol";
import {SlotWords, Terms, TermsOfOrders, Ticket} from "./libraries/Tickets.sol";
import {FAULT_FEE, FAULT_LIMIT, FAULT_MATCH, FAULT_SIZE, NOT_OF_BOOK, OF_A_GROUP, Trades} from "./libraries/Trades.sol";

/// @title How the fills of a batch are evaluated, in match order, against running balances in memory
/// @dev Writes nothing but memory. Whatever only the operator can get wrong reverts; see ISettlement.
abstract contract SettlementFills is SettlementBase {
    using AmmLegs for Leg;
    using BatchCodec for Frame;
    using BatchSheet for Sheet;
    using SlotWords for uint256;

    /// @return refusals As `BatchSettled` has them.
    function _evaluateAll(Sheet memory sheet, Frame memory frame) internal view returns (bytes memory refusals) {
        (uint256 at, uint256 end) = (frame.fillsAt, frame.quotesAt);
        // There is a fill.
        do {
            uint256 reason = Trades.settle(BatchCodec.fillAt(at), TermsOfOrders.FILL_OR_KILL);
            unchecked {
                if (reason == 0) {
                    at += BatchCodec.FILL_BYTES;
                } else {
                    uint256 index = (at - frame.fillsAt) / BatchCodec.FILL_BYTES;
                    (index, refusals) = _evaluateOther(sheet, frame, index, refusals, reason);
                    at = frame.fillsAt + index * BatchCodec.FILL_BYTES;
                }
            }
        } while (at != end);
        _requireBatch(sheet.legCount == frame.quotes);
    }

    /// @dev What was not settled at first sight.
    /// @return end Behind the fill or the group that begins at `index`.
    /// @return refusals Those before, and its own.
    function _evaluateOther(Sheet memory sheet, Frame memory frame, uint256 index, bytes memory before, uint256 reason)
        private
        view
        returns (uint256 end, bytes memory refusals)
    {
        if (reason == OF_A_GROUP) return _evaluateGroup(sheet, frame, index, before);

        PackedFill fill = frame.fill(index);
        if (reason == NOT_OF_BOOK) {
            // A fill that was taken back proves nothing: its orders may be the very reason.
            if (fill.sizeLots() == 0) reason = REASON_OPERATOR;
            else reason = _evaluateAmm(sheet, frame, index, fill);
        }
        if (reason == 0) return (index + 1, before);

        _requireNoFault(reason, index, fill);
        return (index + 1, _append(before, index, reason));
    }

    function _requireNoFault(uint256 reason, uint256 index, PackedFill fill) private pure {
        if (reason == FAULT_SIZE) revert Overfilled(fill.maker());
        if (reason == FAULT_SIZE | REASON_TAKER) revert Overfilled(fill.taker());
        if (reason == FAULT_MATCH) revert Mismatched(index);
        if (reason == FAULT_LIMIT) revert LimitCrossed(index);
        if (reason == FAULT_FEE) revert FeeAboveCap(index);
    }

    function _append(bytes memory refusals, uint256 fill, uint256 reason) private pure returns (bytes memory) {
        return abi.encodePacked(refusals, uint16(fill), uint8(reason));
    }

    /* GROUPS */

    /// @return end Behind the last fill of the fill-or-kill order `taker` that begins at `start`.
    function _endOfGroup(Sheet memory sheet, Frame memory frame, uint256 start, uint256 taker)
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
        _requireMatch(lots == sheet.ticket(taker).terms().sizeLots(), start);
    }

    /// @dev All of the fills or none: when one is refused, those before it are taken back, the last first.
    /// @return end Behind the group that begins at `start`.
    /// @return refusals Those before, and the group's.
    function _evaluateGroup(Sheet memory sheet, Frame memory frame, uint256 start, bytes memory before)
        private
        pure
        returns (uint256 end, bytes memory refusals)
    {
        Ticket taker = sheet.ticket(frame.fill(start).taker());
        end = _endOfGroup(sheet, frame, start, frame.fill(start).taker());
        refusals = before;
        uint256[] memory slots = new uint256[](end - start);
        for (uint256 i = start; i < end; ++i) {
            PackedFill fill = frame.fill(i);
            slots[i - start] = sheet.ticket(fill.maker()).slot();
            uint256 reason = Trades.settle(fill, 0);
            if (reason == 0) continue;

            _requireNoFault(reason, i, fill);

            for (uint256 done = i; done > start; --done) {
                _takeBack(sheet, frame.fill(done - 1), slots[done - 1 - start]);
            }
            // It was tried: whatever else is listed for it is too much.
            taker.setSlot(taker.slot().withFilled(taker.terms().sizeLots()));
            for (uint256 j = start; j < end; ++j) {
                refusals = _append(refusals, j, j == i ? reason : REASON_GROUP);
            }
            return (end, refusals);
        }
    }

    /// @param slotBefore That of the maker before the fill. The taker's is overwritten next.
    function _takeBack(Sheet memory sheet, PackedFill fill, uint256 slotBefore) private pure {
        (Ticket maker, Ticket taker) = (sheet.ticket(fill.maker()), sheet.ticket(fill.taker()));
        (int256 notional, int256 base) = Trades.amountsOf(maker.terms(), sheet.markets, fill.sizeLots());
        int256 makerFee = FeeMath.feeUp(uint256(notional), fill.makerFeePpm());
        int256 takerFee = FeeMath.feeUp(uint256(notional), fill.takerFeePpm());
        Trades.undo(maker, slotBefore, base, notional, makerFee);
        Trades.undo(taker, taker.slot(), base, notional, takerFee);
        Cells.add(sheet.feeBalance, -(makerFee + takerFee));
    }

    /* FILLS OF THE AMM */

    /// @dev A fill whose maker is the pair of the taker's market. Its price is exact: the pair may turn out to give
    /// more, never less.
    /// @return reason 0 if the fill is settled, or why it is refused.
    function _evaluateAmm(Sheet memory sheet, Frame memory frame, uint256 index, PackedFill fill)
        private
        view
        returns (uint256 reason)
    {
        _requireBatch(fill.maker() == AMM_MAKER && fill.taker() < frame.orders);
        Ticket taker = sheet.ticket(fill.taker());
        Terms terms = taker.terms();
        _requireMatch(
            terms.isImmediate() && terms.isForAmm() && fill.sizeLots() == terms.sizeLots() && fill.makerFeePpm() == 0,
            index
        );
        _requireBatch(sheet.legCount < frame.quotes);
        uint256 quote = frame.quote(sheet.legCount);
        // A second leg of a pair could not be priced before the first is exchanged.
        (Leg memory leg, bool isFirst) = sheet.nextLeg(sheet.markets[terms.market()].column);
        _requireBatch(isFirst);
        int256 fee = fill.takerFeePpm();
        if (fee > terms.maxFeePpm() || fee < 0) revert FeeAboveCap(index);
        leg.fill = sheet.first + uint64(index);
        if (!_isWithinLimit(sheet, leg, terms, quote)) revert LimitCrossed(index);

        return _takeLeg(sheet, leg, taker, quote, FeeMath.feeUp(quote, fee));
    }

    /// @dev Writes into `leg` what is to be exchanged.
    /// @return Whether the taker's limit allows it.
    function _isWithinLimit(Sheet memory sheet, Leg memory leg, Terms taker, uint256 quote)
        private
        pure
        returns (bool)
    {
        (int256 limit, int256 base) = Trades.amountsOf(taker, sheet.markets, taker.sizeLots());
        (leg.market, leg.isBuy) = (sheet.markets[taker.market()].number, taker.isBuy());
        (leg.amountIn, leg.promised) = leg.isBuy ? (quote, uint256(base)) : (uint256(base), quote);
        return leg.isBuy ? quote <= uint256(limit) : quote >= uint256(limit);
    }

    function _takeLeg(Sheet memory sheet, Leg memory leg, Ticket taker, uint256 quote, int256 fee)
        private
        view
        returns (uint256 reason)
    {
        int256 base = int256(leg.isBuy ? leg.promised : leg.amountIn);
        uint256 slotBefore = taker.slot();
        reason = Trades.enter(taker, taker.terms().sizeLots(), base, int256(quote), fee);
        // A market has one leg, and nothing else fills an order for it: it fits.
        assert(reason != FAULT_SIZE);
        if (reason != 0) return reason | REASON_TAKER;
        address token = sheet.columns[leg.baseColumn].token;
        leg.pair = AMM_FACTORY.pairOf(token);
        if (!leg.isKept(token, VAULT.index())) {
            Trades.undo(taker, slotBefore, base, int256(quote), fee);
            return REASON_AMM;
        }

        Cells.add(sheet.feeBalance, fee);
        sheet.take(leg, taker.places());
    }

    /* CHECKS */

    function _requireBatch(bool isWellFormed) internal pure {
        if (!isWellFormed) revert MalformedBatch();
    }

    function _requireMatch(bool isMatch, uint256 fill) internal pure {
        if (!isMatch) revert Mismatched(fill);
    }
}
