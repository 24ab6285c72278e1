// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {IAmmFactory} from "./interfaces/IAmmFactory.sol";
import {IPausable} from "./interfaces/IPausable.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {IVault} from "./interfaces/IVault.sol";
import {
    AMM_MAKER,
    Batch,
    Fill,
    FLAG_AMM,
    FLAG_POST_ONLY,
    KIND_MARKET,
    Market,
    MAX_FEE_PPM,
    Order,
    SETTLEMENT_WINDOW,
    SIDE_BUY,
    SIDE_SELL,
    TIF_FOK,
    TIF_GTD,
    TIF_IOC
} from "./interfaces/Types.sol";
import {AmmLegs, Leg} from "./libraries/AmmLegs.sol";
import {BatchSheet, Column, QUOTE_COLUMN, Sheet, Ticket} from "./libraries/BatchSheet.sol";
import {Change, Changes} from "./libraries/Changes.sol";
import {FeeMath} from "./libraries/FeeMath.sol";
import {OrderHash} from "./libraries/OrderHash.sol";
import {PauseRules} from "./libraries/PauseRules.sol";
import {Standing} from "./libraries/Standings.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title Settles matched orders between Vault accounts; see ISettlement
/// @dev A batch goes through four steps: open (every order once: fields, signature, market, legs), evaluate (every fill
/// against running balances in memory), write (slots as they fill, balances as one net change), log. It calls nothing
/// but the Vault, which calls nothing back, and views of the AMM: there is no generic call and no token here.
contract Settlement is ISettlement, IPausable, AccessControl, EIP712 {
    using AmmLegs for Leg;
    using BatchSheet for Column;
    using BatchSheet for Sheet;
    using Checkpoints for Checkpoints.Trace208;

    /// @dev Life of the orders of one slot. Orders with a sequence below `cancelledBelow` have been cancelled;
    /// `_slotCancels` knows since when that binds.
    struct Slot {
        uint48 sequence;
        uint64 filled;
        uint64 cancelledBelow;
    }

    /// @dev What a fill moves.
    struct Terms {
        uint256 lots;
        uint256 notional;
        int256 makerFee;
        int256 takerFee;
    }

    bytes32 public constant SETTLER_ROLE = keccak256("SETTLER_ROLE");
    bytes32 public constant LISTER_ROLE = keccak256("LISTER_ROLE");
    bytes32 public constant GUARDIAN_ROLE = keccak256("GUARDIAN_ROLE");

    /// @dev Bounds the memory of a batch. Python twin: `offchain.domain.limits.FILLS_PER_BATCH_MAX`.
    uint256 public constant MAX_FILLS = 40;

    /// @dev Where the fee account is in the quote column.
    uint256 private constant FEE_ROW = 0;

    /// @dev Reasons of a refusal; REASON_TAKER is added when the taker's order is at fault and not the maker's.
    uint8 public constant REASON_BALANCE = 1;
    uint8 public constant REASON_CANCELLED = 2;
    uint8 public constant REASON_EXPIRED = 3;
    uint8 public constant REASON_DEAD = 4;
    uint8 public constant REASON_OPERATOR = 5;
    uint8 public constant REASON_AMM = 6;
    uint8 public constant REASON_TAKER = 0x80;

    IVault public immutable VAULT;
    address public immutable QUOTE_TOKEN;
    address public immutable FEE_ACCOUNT;
    IAmmFactory public immutable AMM_FACTORY;

    /* STORAGE */

    /// @inheritdoc ISettlement
    uint64 public override lastFill;
    uint32 private _pausedUntil;

    mapping(uint32 market => Market) private _markets;
    /// @dev Keyed by `_slotKey`.
    mapping(uint256 slotKey => Slot) private _slots;
    mapping(uint256 slotKey => Checkpoints.Trace208) private _slotCancels;

    /// @param ammFactory Knows the pools of this Vault's synths.
    constructor(address admin, address vault, address ammFactory) EIP712("HOOATS", "1") {
        if (ammFactory.code.length == 0 || IAmmFactory(ammFactory).VAULT() != vault) {
            revert ForeignAmmFactory(ammFactory);
        }
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        VAULT = IVault(vault);
        QUOTE_TOKEN = VAULT.quoteToken();
        FEE_ACCOUNT = VAULT.feeAccount();
        AMM_FACTORY = IAmmFactory(ammFactory);
    }

    /* SETTLEMENT */

    /// @inheritdoc ISettlement
    function settle(Batch calldata batch) external onlyRole(SETTLER_ROLE) {
        PauseRules.requireRunning(_pausedUntil);
        uint256 count = batch.fills.length;
        if (
            count == 0 || count > MAX_FILLS || batch.orders.length > 2 * count
                || batch.orders.length != batch.signatures.length
        ) revert MalformedBatch();
        if (batch.first != lastFill + 1) revert NotConsecutive(batch.first, lastFill + 1);
        uint64 last = lastFill + uint64(count);
        lastFill = last;

        Sheet memory sheet = _open(batch);
        bytes memory refusals = _evaluateAll(sheet, batch);
        uint64 sequence = _write(sheet);

        emit BatchSettled(sequence, batch.first, last, refusals);
    }

    /* STEP 1: OPEN */

    function _open(Batch calldata batch) private returns (Sheet memory sheet) {
        Order[] calldata orders = batch.orders;
        sheet = BatchSheet.open(batch.first, orders.length, batch.ammQuotes.length);
        assert(sheet.columnOf(QUOTE_TOKEN) == QUOTE_COLUMN);
        Column memory quote = sheet.columns[QUOTE_COLUMN];
        assert(sheet.rowOf(quote, FEE_ACCOUNT) == FEE_ROW);

        Market memory market;
        uint256 baseColumn;
        uint256 marketNumber = type(uint256).max;
        for (uint256 i; i < orders.length; ++i) {
            Order calldata order = orders[i];
            if (order.market != marketNumber) {
                marketNumber = order.market;
                market = _markets[order.market];
                if (market.baseToken == address(0)) revert UnknownMarket(order.market);
                baseColumn = sheet.columnOf(market.baseToken);
            }
            _requireSigned(i, order, batch.signatures[i]);

            Ticket memory ticket = sheet.tickets[i];
            _fillIn(i, ticket, order);
            ticket.quoteRow = sheet.rowOf(quote, order.account);
            ticket.baseColumn = baseColumn;
            ticket.baseRow = sheet.rowOf(sheet.columns[baseColumn], order.account);
            ticket.baseAtomsPerLot = market.baseAtomsPerLot;
            ticket.quoteAtomsPerTickLot = market.quoteAtomsPerTickLot;
        }
        _loadStandings(sheet);
        _useImmediates(sheet);
    }

    function _requireSigned(uint256 index, Order calldata order, bytes calldata signature) private view {
        address signer = Signatures.recover(_hashTypedDataV4(OrderHash.structHash(order)), signature);
        if (signer == address(0) || signer != order.account) revert InvalidSigner(index, signer);
    }

    /// @dev Copies what the order says, if it makes sense.
    function _fillIn(uint256 index, Ticket memory ticket, Order calldata order) private pure {
        (uint8 side, uint8 kind, uint8 timeInForce) = (order.side, order.kind, order.timeInForce);
        (uint64 sizeLots, uint64 nonce) = (order.sizeLots, order.nonce);
        bool isOneShot = timeInForce == TIF_IOC || timeInForce == TIF_FOK;
        if (
            side > SIDE_SELL || kind > KIND_MARKET || timeInForce > TIF_GTD || (kind == KIND_MARKET && !isOneShot)
                || isOneShot != (nonce >> 48 == 0) || order.priceTicks == 0 || sizeLots == 0
        ) revert MalformedOrder(index);

        ticket.slotKey = _slotKey(order.account, nonce);
        ticket.sequence = uint48(nonce);
        ticket.isBuy = side == SIDE_BUY;
        ticket.isImmediate = isOneShot;
        ticket.sizeLots = sizeLots;
    }

    function _loadStandings(Sheet memory sheet) private view {
        for (uint256 i; i < sheet.columnCount; ++i) {
            Column memory column = sheet.columns[i];
            column.trim();
            Standing[] memory standings = VAULT.standingsOf(column.token, column.accounts);
            int256[] memory available = column.available;
            for (uint256 row; row < standings.length; ++row) {
                available[row] = standings[row].available();
            }
            if (i == QUOTE_COLUMN) sheet.standings = standings;
        }
    }

    /// @dev An immediate order is used up by its batch, whatever becomes of its fills.
    function _useImmediates(Sheet memory sheet) private pure {
        sheet.immediates = new uint256[](sheet.standings.length);
        for (uint256 i; i < sheet.tickets.length; ++i) {
            Ticket memory ticket = sheet.tickets[i];
            if (!ticket.isImmediate) continue;

            uint256 row = ticket.quoteRow;
            if (ticket.sequence <= sheet.standings[row].immediateSequence()) revert MalformedOrder(i);
            if (ticket.sequence <= sheet.immediates[row]) revert MalformedOrder(i);
            sheet.immediates[row] = ticket.sequence;
        }
    }

    /* STEP 2: EVALUATE */

    function _evaluateAll(Sheet memory sheet, Batch calldata batch) private returns (bytes memory refusals) {
        Order[] calldata orders = batch.orders;
        Fill[] calldata fills = batch.fills;
        for (uint256 i; i < fills.length; ++i) {
            uint8 reason = _evaluateNext(sheet, batch, orders, i, fills[i]);
            if (reason != 0) refusals = abi.encodePacked(refusals, uint16(i), reason);
        }
        if (sheet.legCount != batch.ammQuotes.length) revert MalformedBatch();
    }

    function _evaluateNext(
        Sheet memory sheet,
        Batch calldata batch,
        Order[] calldata orders,
        uint256 index,
        Fill calldata fill
    ) private returns (uint8 reason) {
        // A fill that was taken back proves nothing: its orders may be the very reason.
        if (fill.sizeLots == 0) return REASON_OPERATOR;

        (uint256 maker, uint256 taker) = (fill.maker, fill.taker);
        if (taker >= orders.length) revert MalformedBatch();
        if (maker < orders.length) return _evaluate(sheet, index, fill, orders[maker], orders[taker]);

        if (maker != AMM_MAKER || sheet.legCount == batch.ammQuotes.length) revert MalformedBatch();
        return _evaluateAmm(sheet, index, fill, orders[taker], batch.ammQuotes[sheet.legCount]);
    }

    /// @return reason 0 if the fill is settled, or why it is refused.
    function _evaluate(
        Sheet memory sheet,
        uint256 index,
        Fill calldata fill,
        Order calldata maker,
        Order calldata taker
    ) private returns (uint8 reason) {
        (Ticket memory makerTicket, Ticket memory takerTicket) = (sheet.tickets[fill.maker], sheet.tickets[fill.taker]);
        if (
            maker.market != taker.market || makerTicket.isBuy == takerTicket.isBuy || makerTicket.isImmediate
                || makerTicket.quoteRow == takerTicket.quoteRow
                || (taker.flags & (FLAG_POST_ONLY | FLAG_AMM)) | (maker.flags & FLAG_AMM) != 0
        ) revert Mismatched(index);
        uint256 price = maker.priceTicks;
        if (takerTicket.isBuy ? price > taker.priceTicks : price < taker.priceTicks) revert LimitCrossed(index);
        _requireFeesInCaps(index, fill, maker.maxFeePpm, taker.maxFeePpm);

        Terms memory terms;
        terms.lots = fill.sizeLots;
        unchecked {
            // No overflow: three factors of 64 bits.
            terms.notional = price * terms.lots * makerTicket.quoteAtomsPerTickLot;
        }
        terms.makerFee = FeeMath.feeUp(terms.notional, fill.makerFeePpm);
        terms.takerFee = FeeMath.feeUp(terms.notional, fill.takerFeePpm);

        reason = _refusal(sheet, makerTicket, fill.maker, maker.expiry, terms, terms.makerFee);
        if (reason != 0) return reason;
        reason = _refusal(sheet, takerTicket, fill.taker, taker.expiry, terms, terms.takerFee);
        if (reason != 0) return reason | REASON_TAKER;

        _execute(sheet, makerTicket, terms, terms.makerFee);
        _execute(sheet, takerTicket, terms, terms.takerFee);
        sheet.columns[QUOTE_COLUMN].move(FEE_ROW, terms.makerFee + terms.takerFee);
    }

    /// @dev A fill whose maker is the pair of the taker's market. Its price is exact: the pair may turn out to give more,
    /// never less.
    /// @return reason 0 if the fill is settled, or why it is refused.
    function _evaluateAmm(Sheet memory sheet, uint256 index, Fill calldata fill, Order calldata taker, uint256 quote)
        private
        returns (uint8 reason)
    {
        Ticket memory ticket = sheet.tickets[fill.taker];
        if (
            !ticket.isImmediate || taker.flags & FLAG_AMM == 0 || fill.sizeLots != ticket.sizeLots
                || fill.makerFeePpm != 0
        ) revert Mismatched(index);
        // A second leg of a pair could not be priced before the first is exchanged.
        (Leg memory leg, bool isFirst) = sheet.nextLeg(ticket.baseColumn);
        if (!isFirst) revert MalformedBatch();
        _requireFeesInCaps(index, fill, 0, taker.maxFeePpm);

        Terms memory terms;
        terms.lots = ticket.sizeLots;
        terms.notional = quote;
        terms.takerFee = FeeMath.feeUp(quote, fill.takerFeePpm);
        unchecked {
            // No overflow: three factors of 64 bits.
            uint256 limit = taker.priceTicks * terms.lots * ticket.quoteAtomsPerTickLot;
            if (ticket.isBuy ? quote > limit : quote < limit) revert LimitCrossed(index);
        }

        reason = _refusal(sheet, ticket, fill.taker, taker.expiry, terms, terms.takerFee);
        if (reason != 0) return reason | REASON_TAKER;
        (leg.fill, leg.market, leg.isBuy) = (sheet.batch + uint64(index), taker.market, ticket.isBuy);
        uint256 base = terms.lots * ticket.baseAtomsPerLot;
        (leg.amountIn, leg.promised) = leg.isBuy ? (quote, base) : (base, quote);
        address token = sheet.columns[leg.baseColumn].token;
        leg.pair = AMM_FACTORY.pairOf(token);
        if (!leg.isKept(token, VAULT.index())) return REASON_AMM;

        _execute(sheet, ticket, terms, terms.takerFee);
        sheet.columns[QUOTE_COLUMN].move(FEE_ROW, terms.takerFee);
        sheet.take(leg, ticket);
    }

    /// @dev Rates that do not sum below zero make fees that do not sum below zero.
    function _requireFeesInCaps(uint256 index, Fill calldata fill, int32 makerCap, int32 takerCap) private pure {
        (int32 makerPpm, int32 takerPpm) = (fill.makerFeePpm, fill.takerFeePpm);
        if (
            makerPpm > makerCap || takerPpm > takerCap || makerPpm > MAX_FEE_PPM || takerPpm > MAX_FEE_PPM
                || int256(makerPpm) + takerPpm < 0
        ) revert FeeAboveCap(index);
    }

    /// @return Why this order cannot take part in a fill, 0 if it can.
    function _refusal(
        Sheet memory sheet,
        Ticket memory ticket,
        uint256 index,
        uint256 expiry,
        Terms memory terms,
        int256 fee
    ) private view returns (uint8) {
        Slot memory slot = _slots[ticket.slotKey];
        uint256 sequence = ticket.sequence;
        if (_isCancelled(ticket, slot.cancelledBelow, sheet.standings[ticket.quoteRow])) return REASON_CANCELLED;
        if (expiry != 0 && block.timestamp >= expiry + SETTLEMENT_WINDOW) return REASON_EXPIRED;
        if (sequence < slot.sequence) return REASON_DEAD;

        // The slot counts a resting order, the ticket an immediate one; the other number is 0.
        uint256 filled = ticket.filled;
        if (sequence == slot.sequence) filled += slot.filled;
        if (filled + terms.lots > ticket.sizeLots) revert Overfilled(index);

        bool isCovered;
        unchecked {
            // No overflow: see BatchSheet.move. A seller's quote balance never falls: no fee exceeds its notional.
            isCovered = ticket.isBuy
                ? sheet.columns[QUOTE_COLUMN].available[ticket.quoteRow] >= int256(terms.notional) + fee
                : sheet.columns[ticket.baseColumn].available[ticket.baseRow]
                    >= int256(terms.lots * ticket.baseAtomsPerLot);
        }
        return isCovered ? 0 : REASON_BALANCE;
    }

    /// @dev Cancels are rare: first the word that is read anyway, then the history that knows since when one binds.
    function _isCancelled(Ticket memory ticket, uint64 cancelledBelow, Standing standing) private view returns (bool) {
        uint256 sequence = ticket.sequence;
        if (sequence < cancelledBelow) {
            if (sequence < _slotCancels[ticket.slotKey].upperLookup(uint48(block.timestamp))) return true;
        }
        return sequence < standing.highestFloor()
            && sequence < VAULT.accountOf(address(uint160(ticket.slotKey >> 16))).cancelFloor;
    }

    /// @dev One side of a fill that was not refused.
    function _execute(Sheet memory sheet, Ticket memory ticket, Terms memory terms, int256 fee) private {
        unchecked {
            // No overflow: neither exceeds the order's size; see BatchSheet.move.
            if (ticket.isImmediate) {
                ticket.filled += terms.lots;
            } else {
                Slot memory slot = _slots[ticket.slotKey];
                uint256 before = ticket.sequence == slot.sequence ? slot.filled : 0;
                slot.filled = uint64(before + terms.lots);
                slot.sequence = uint48(ticket.sequence);
                _slots[ticket.slotKey] = slot;
            }

            int256 notional = int256(terms.notional);
            int256 base = int256(terms.lots * ticket.baseAtomsPerLot);
            sheet.columns[QUOTE_COLUMN].move(ticket.quoteRow, ticket.isBuy ? -(notional + fee) : notional - fee);
            sheet.columns[ticket.baseColumn].move(ticket.baseRow, ticket.isBuy ? base : -base);
        }
    }

    /* STEP 3: WRITE */

    /// @dev What goes into a pair must be in its row before the exchange, and what comes out can be moved on only after
    /// it. A base token has one leg, so that this order always exists: base that is sold, quote, base that is bought.
    function _write(Sheet memory sheet) private returns (uint64 sequence) {
        _applyBases(sheet, false);
        if (sheet.legCount == 0) {
            _apply(sheet, QUOTE_COLUMN);
        } else {
            _exchange(sheet, false);
            _apply(sheet, QUOTE_COLUMN);
            _exchange(sheet, true);
            _applyBases(sheet, true);
        }
        return VAULT.takeSequence();
    }

    function _applyBases(Sheet memory sheet, bool isBought) private {
        for (uint256 i = QUOTE_COLUMN + 1; i < sheet.columnCount; ++i) {
            if (sheet.isBought(i) == isBought) _apply(sheet, i);
        }
    }

    function _apply(Sheet memory sheet, uint256 index) private {
        Column memory column = sheet.columns[index];
        uint256[] memory immediates = sheet.immediates;
        // Pairs have rows of their own, behind those of the orders, and no immediate orders.
        uint256 immediateRows = index == QUOTE_COLUMN ? immediates.length : 0;
        Change[] memory changes = new Change[](column.count);
        for (uint256 row; row < changes.length; ++row) {
            changes[row] = Changes.pack(column.deltas[row], row < immediateRows ? immediates[row] : 0);
        }
        VAULT.applySettlement(column.token, column.accounts, changes);
    }

    /// @dev The purchases or the sales.
    function _exchange(Sheet memory sheet, bool isBuy) private {
        Column memory quote = sheet.columns[QUOTE_COLUMN];
        for (uint256 i; i < sheet.legCount; ++i) {
            Leg memory leg = sheet.legs[i];
            if (!leg.isTaken || leg.isBuy != isBuy) continue;

            Column memory base = sheet.columns[leg.baseColumn];
            if (isBuy) _exchangeLeg(leg, quote.token, base);
            else _exchangeLeg(leg, base.token, quote);
        }
    }

    /// @dev What comes out beyond the promise is the taker's.
    function _exchangeLeg(Leg memory leg, address tokenIn, Column memory out) private {
        uint256 amountOut = VAULT.exchange(leg.pair, tokenIn, out.token, leg.amountIn);
        if (amountOut < leg.promised) revert BrokenPromise(leg.fill, leg.promised, amountOut);
        int256 surplus = int256(amountOut - leg.promised);
        out.move(leg.takerRow, surplus);
        out.move(leg.pairRow, -surplus);

        // Both fit: they were balances.
        emit AmmLegSettled(
            VAULT.takeSequence(), leg.market, leg.fill, leg.isBuy, uint128(leg.amountIn), uint128(amountOut)
        );
    }

    /* PAUSE */

    /// @inheritdoc IPausable
    function pause() external onlyRole(GUARDIAN_ROLE) {
        uint32 until = PauseRules.begin(_pausedUntil);
        _pausedUntil = until;
        emit Paused(msg.sender, until);
    }

    /// @inheritdoc IPausable
    function unpause() external onlyRole(GUARDIAN_ROLE) {
        _pausedUntil = PauseRules.end(_pausedUntil);
        emit Unpaused(msg.sender);
    }

    /// @inheritdoc IPausable
    function pausedUntil() external view returns (uint256) {
        return _pausedUntil;
    }

    /* CANCELLATION */

    /// @inheritdoc ISettlement
    function cancel(uint64 nonce) external {
        uint256 key = _slotKey(msg.sender, nonce);
        Slot storage slot = _slots[key];
        uint64 below = uint64(uint48(nonce)) + 1;
        uint40 effectiveAt = uint40(block.timestamp + SETTLEMENT_WINDOW);

        // A cancel that reaches no further than an earlier one changes nothing: that one binds already, or will sooner.
        if (below > slot.cancelledBelow) {
            slot.cancelledBelow = below;
            _slotCancels[key].push(effectiveAt, below);
        }

        emit OrderCancelled(VAULT.takeSequence(), msg.sender, nonce, effectiveAt);
    }

    /// @inheritdoc ISettlement
    function cancelAll(uint48 floor) external {
        uint40 effectiveAt = uint40(block.timestamp + SETTLEMENT_WINDOW);
        VAULT.raiseCancelFloor(msg.sender, floor, effectiveAt);

        emit AllOrdersCancelled(VAULT.takeSequence(), msg.sender, floor, effectiveAt);
    }

    /* MARKETS */

    /// @inheritdoc ISettlement
    function listMarket(
        uint32 market,
        address baseToken,
        uint128 baseAtomsPerLot,
        uint64 quoteAtomsPerTickLot,
        string calldata symbol
    ) external onlyRole(LISTER_ROLE) {
        if (_markets[market].baseToken != address(0)) revert MarketExists(market);
        if (baseToken == address(0) || baseToken == QUOTE_TOKEN || baseAtomsPerLot == 0 || quoteAtomsPerTickLot == 0) {
            revert MalformedMarket(market);
        }

        _markets[market] = Market(baseToken, baseAtomsPerLot, quoteAtomsPerTickLot);
        emit MarketListed(
            VAULT.takeSequence(),
            market,
            baseToken,
            baseAtomsPerLot,
            quoteAtomsPerTickLot,
            IERC20Metadata(baseToken).decimals(),
            IERC20Metadata(QUOTE_TOKEN).decimals(),
            symbol
        );
    }

    /* VIEWS */

    /// @inheritdoc ISettlement
    function marketOf(uint32 market) external view returns (Market memory) {
        return _markets[market];
    }

    /// @inheritdoc ISettlement
    function slotOf(address account, uint16 slot) external view returns (uint48 sequence, uint64 filled) {
        Slot storage state = _slots[_slotKey(account, uint64(slot) << 48)];
        return (state.sequence, state.filled);
    }

    /// @inheritdoc ISettlement
    function hashOrder(Order calldata order) external view returns (bytes32) {
        return _hashTypedDataV4(OrderHash.structHash(order));
    }

    /// @inheritdoc ISettlement
    function feeUp(uint256 notional, int32 ppm) external pure returns (int256) {
        return FeeMath.feeUp(notional, ppm);
    }

    /// @inheritdoc ISettlement
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /* NONCES */

    /// @dev account | slot: one hash finds the word.
    function _slotKey(address account, uint64 nonce) private pure returns (uint256) {
        return (uint256(uint160(account)) << 16) | (nonce >> 48);
    }
}
