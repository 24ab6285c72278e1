// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SettlementBase} from "../../contracts/SettlementBase.sol";
import {
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
    SIDE_SELL,
    TIF_FOK,
    TIF_GTD,
    TIF_IOC
} from "../../contracts/interfaces/Types.sol";
import {AmmLegs, Leg} from "../../contracts/libraries/AmmLegs.sol";
import {Changes, Change} from "../../contracts/libraries/Changes.sol";
import {Domain} from "../../contracts/libraries/Domain.sol";
import {Standing} from "../../contracts/libraries/Standings.sol";

/// @dev `Fill.maker` of a fill whose maker is the AMM pair of its market.
uint16 constant AMM_MAKER_INDEX = type(uint16).max;

/// @notice One match inside a batch; see ISettlement for what its fields mean.
struct Fill {
    uint16 maker;
    uint16 taker;
    uint64 sizeLots;
    int32 makerFeePpm;
    int32 takerFeePpm;
}

/// @notice Where an order is in the tree that was signed; nothing of it counts unless `isBulk`.
struct BulkProof {
    bool isBulk;
    uint8 position;
    bytes32[5] siblings;
}

/// @notice A batch in words: ISettlement's packed one says the same.
/// @param signatures 65 bytes r || s || v of each order.
/// @param proofs One for each order.
struct Batch {
    uint64 first;
    Order[] orders;
    bytes[] signatures;
    BulkProof[] proofs;
    Fill[] fills;
    uint128[] ammQuotes;
}

/// @title Settlement as one would write it down: the twin that the packed one is compared with
/// @dev Nothing is netted, packed or kept in memory: every fill moves numbers in storage, one by one, and a group is
/// taken back by reverting. Shares with production what users do (SettlementBase), and the question to a pair.
contract ReadableSettlement is SettlementBase {
    using AmmLegs for Leg;

    struct Cell {
        address token;
        address account;
    }

    /// @dev What a fill asks of one order.
    struct Side {
        uint256 order;
        uint256 lots;
        uint256 notional;
        int256 fee;
    }

    uint256 private constant MAX_FILLS = 100;

    bytes32 private constant ORDER_TYPE = keccak256(
        "Order(address account,uint8 subaccount,uint32 market,uint8 side,uint8 kind,uint8 timeInForce,uint16 flags,uint64 priceTicks,uint64 sizeLots,uint64 triggerTicks,int32 maxFeePpm,uint64 nonce,uint40 expiry)"
    );

    mapping(uint64 batch => mapping(address token => mapping(address account => int256))) private _available;
    mapping(uint64 batch => mapping(address token => mapping(address account => int256))) private _delta;
    mapping(uint64 batch => mapping(address token => mapping(address account => bool))) private _isKnown;
    mapping(uint64 batch => mapping(uint256 order => uint256)) private _filled;
    mapping(uint64 batch => mapping(uint256 order => bool)) private _isTried;
    mapping(uint64 batch => mapping(uint256 order => bytes32)) private _agentOf;
    mapping(uint64 batch => mapping(address account => uint48)) private _immediate;
    mapping(uint64 batch => mapping(address token => bool)) private _hasLeg;
    mapping(uint64 batch => Cell[]) private _cells;
    mapping(uint64 batch => Leg[]) private _legs;
    mapping(uint64 batch => address[]) private _legTakers;
    mapping(uint64 batch => address[]) private _legBases;
    uint256 private _quotesUsed;

    error Refused(uint256 index, uint8 reason);

    constructor(address admin, address vault, address ammFactory) SettlementBase(admin, vault, ammFactory) {}

    /// @dev The signature of production; what is compared goes through the other one.
    function settle(bytes calldata) external pure {
        revert MalformedBatch();
    }

    function settle(Batch memory batch) external onlyRole(SETTLER_ROLE) {
        if (block.timestamp < _pausedUntil) revert IsPaused(_pausedUntil);
        uint256 count = batch.fills.length;
        require(count != 0 && count <= MAX_FILLS && batch.orders.length <= 2 * count, MalformedBatch());
        require(batch.first == lastFill + 1, NotConsecutive(batch.first, lastFill + 1));
        lastFill += uint64(count);

        uint64 id = batch.first;
        _quotesUsed = 0;
        for (uint256 i; i < batch.orders.length; ++i) {
            _check(id, batch, i);
        }
        bytes memory refusals;
        for (uint256 i; i < count;) {
            uint256 end = _endOf(batch, i);
            try this.evaluate(batch, i, end) {}
            catch (bytes memory error) {
                refusals = bytes.concat(refusals, _refusalsOf(error, i, end));
                // An order of a group that was refused has had its only chance.
                if (_isGroup(batch, i)) _isTried[id][batch.fills[i].taker] = true;
                else if (_isAmm(batch.fills[i])) _useQuote(batch, i);
            }
            i = end;
        }
        require(_quotesUsed == batch.ammQuotes.length, MalformedBatch());

        uint64 sequence = _write(id);
        emit BatchSettled(sequence, id, lastFill, refusals, "");
    }

    /// @return What the batch changed of what `account` has in `token`.
    function deltaOf(uint64 batch, address token, address account) external view returns (int256) {
        return _delta[batch][token][account];
    }

    /* ORDERS */

    function _check(uint64 id, Batch memory batch, uint256 i) private {
        Order memory order = batch.orders[i];
        bool isImmediate = _isImmediate(order);
        require(
            order.side <= SIDE_SELL && order.kind <= KIND_MARKET && order.timeInForce <= TIF_GTD
                && (order.kind != KIND_MARKET || isImmediate) && isImmediate == (order.nonce >> 48 == 0)
                && order.priceTicks != 0 && order.sizeLots != 0,
            MalformedOrder(i)
        );
        require(_markets[order.market].baseToken != address(0), UnknownMarket(order.market));
        if (i != 0) {
            Order memory before = batch.orders[i - 1];
            require(
                before.account < order.account || (before.account == order.account && before.nonce < order.nonce),
                MalformedBatch()
            );
        }
        _know(id, QUOTE_TOKEN, order.account);
        if (isImmediate) {
            require(uint48(order.nonce) > VAULT.accountOf(order.account).immediateSequence, MalformedOrder(i));
            _immediate[id][order.account] = uint48(order.nonce);
        }

        address signer = _signerOf(batch, i);
        require(signer != address(0), InvalidSigner(i, signer));
        if (signer != order.account || batch.proofs[i].isBulk) {
            bytes32 key = _agentKey(order.account, signer);
            require(_agents[key].registration != 0, InvalidSigner(i, signer));
            _agentOf[id][i] = key;
        }
    }

    function _signerOf(Batch memory batch, uint256 i) private view returns (address signer) {
        bytes32 hash = keccak256(abi.encode(ORDER_TYPE, batch.orders[i]));
        BulkProof memory proof = batch.proofs[i];
        if (proof.isBulk) {
            require(proof.position < 32, MalformedOrder(i));
            bytes32 node = keccak256(abi.encodePacked(hex"00", hash));
            for (uint256 level; level < 5; ++level) {
                node = (proof.position / 2 ** level) % 2 == 0
                    ? keccak256(abi.encodePacked(hex"01", node, proof.siblings[level]))
                    : keccak256(abi.encodePacked(hex"01", proof.siblings[level], node));
            }
            hash = keccak256(abi.encode(keccak256("BulkOrder(bytes32 root)"), node));
        }
        require(batch.signatures[i].length == 65, InvalidSigner(i, address(0)));
        (signer,,) = ECDSA.tryRecover(MessageHashUtils.toTypedDataHash(Domain.separator(), hash), batch.signatures[i]);
    }

    /* FILLS */

    function _isGroup(Batch memory batch, uint256 i) private pure returns (bool) {
        Fill memory fill = batch.fills[i];
        if (fill.sizeLots == 0 || fill.maker == AMM_MAKER_INDEX || fill.taker >= batch.orders.length) return false;
        return batch.orders[fill.taker].timeInForce == TIF_FOK;
    }

    /// @return end Behind the fills that settle together with fill `i`.
    function _endOf(Batch memory batch, uint256 i) private pure returns (uint256 end) {
        end = i + 1;
        if (!_isGroup(batch, i)) return end;
        uint256 taker = batch.fills[i].taker;
        uint256 lots;
        for (end = i; end < batch.fills.length && _isGroup(batch, end) && batch.fills[end].taker == taker; ++end) {
            require(batch.fills[end].maker < batch.orders.length, MalformedBatch());
            lots += batch.fills[end].sizeLots;
        }
        require(lots == batch.orders[taker].sizeLots, Mismatched(i));
    }

    /// @dev Reverts with Refused if one of them is; what the others did is undone by that.
    function evaluate(Batch memory batch, uint256 start, uint256 end) external {
        require(msg.sender == address(this));
        for (uint256 i = start; i < end; ++i) {
            if (batch.fills[i].sizeLots == 0) revert Refused(i, REASON_OPERATOR);
            else if (_isAmm(batch.fills[i])) _evaluateAmm(batch, i);
            else _evaluate(batch, i);
        }
    }

    function _refusalsOf(bytes memory error, uint256 start, uint256 end) private pure returns (bytes memory refusals) {
        if (bytes4(error) != Refused.selector) {
            assembly ("memory-safe") {
                revert(add(error, 32), mload(error))
            }
        }
        (uint256 index, uint8 reason) = abi.decode(_tail(error), (uint256, uint8));
        for (uint256 i = start; i < end; ++i) {
            refusals = abi.encodePacked(refusals, uint16(i), i == index ? reason : REASON_GROUP);
        }
    }

    function _tail(bytes memory error) private pure returns (bytes memory tail) {
        tail = new bytes(error.length - 4);
        for (uint256 i; i < tail.length; ++i) {
            tail[i] = error[i + 4];
        }
    }

    function _evaluate(Batch memory batch, uint256 i) private {
        Fill memory fill = batch.fills[i];
        require(fill.maker < batch.orders.length && fill.taker < batch.orders.length, MalformedBatch());
        Order memory maker = batch.orders[fill.maker];
        Order memory taker = batch.orders[fill.taker];
        require(maker.market == taker.market && maker.side != taker.side, Mismatched(i));
        require(!_isImmediate(maker) && maker.account != taker.account, Mismatched(i));
        require(taker.flags & FLAG_POST_ONLY == 0 && (taker.flags | maker.flags) & FLAG_AMM == 0, Mismatched(i));
        bool isCrossed =
            taker.side == SIDE_BUY ? taker.priceTicks >= maker.priceTicks : taker.priceTicks <= maker.priceTicks;
        require(isCrossed, LimitCrossed(i));
        _requireFees(i, fill, maker.maxFeePpm, taker.maxFeePpm);

        uint256 notional = uint256(maker.priceTicks) * fill.sizeLots * _markets[maker.market].quoteAtomsPerTickLot;
        Side memory making = Side(fill.maker, fill.sizeLots, notional, _fee(notional, fill.makerFeePpm));
        Side memory taking = Side(fill.taker, fill.sizeLots, notional, _fee(notional, fill.takerFeePpm));
        _requireAble(batch, i, making, 0);
        _requireAble(batch, i, taking, REASON_TAKER);
        _moveSide(batch, making);
        _moveSide(batch, taking);
        _move(batch.first, QUOTE_TOKEN, FEE_ACCOUNT, making.fee + taking.fee);
    }

    function _requireFees(uint256 i, Fill memory fill, int32 makerCap, int32 takerCap) private pure {
        require(fill.makerFeePpm <= makerCap && fill.takerFeePpm <= takerCap, FeeAboveCap(i));
        require(fill.makerFeePpm <= MAX_FEE_PPM && fill.takerFeePpm <= MAX_FEE_PPM, FeeAboveCap(i));
        require(int256(fill.makerFeePpm) + fill.takerFeePpm >= 0, FeeAboveCap(i));
    }

    /// @dev The ceiling of notional * ppm / 10^6.
    function _fee(uint256 notional, int32 ppm) private pure returns (int256) {
        int256 product = int256(notional) * ppm;
        int256 quotient = product / 1_000_000;
        return product > 0 && product % 1_000_000 != 0 ? quotient + 1 : quotient;
    }

    function _requireAble(Batch memory batch, uint256 i, Side memory side, uint8 whose) private {
        uint8 reason = _refusal(batch, side);
        if (reason != 0) revert Refused(i, reason | whose);
    }

    function _refusal(Batch memory batch, Side memory side) private returns (uint8) {
        uint256 index = side.order;
        Order memory order = batch.orders[index];
        uint48 sequence = uint48(order.nonce);
        uint256 key = _slotKey(order.account, order.nonce);
        Slot memory slot = _slots[key];
        if (_isCancelled(key, sequence)) return REASON_CANCELLED;
        if (order.expiry != 0 && block.timestamp >= order.expiry + SETTLEMENT_WINDOW) return REASON_EXPIRED;
        bytes32 agentKey = _agentOf[batch.first][index];
        Agent memory agent = _agents[agentKey];
        if (agentKey != 0) {
            (,, bool isEntitled) = _agentTerms(agentKey, order.market);
            if (!isEntitled) return REASON_AGENT;
        }

        uint256 filled;
        if (_isImmediate(order)) {
            require(!_isTried[batch.first][index], Overfilled(index));
            filled = _filled[batch.first][index];
        } else {
            if (sequence < slot.sequence) return REASON_DEAD;
            if (sequence == slot.sequence) filled = slot.filled;
        }
        require(filled + side.lots <= order.sizeLots, Overfilled(index));
        bool isCounted = agent.notional != type(uint128).max;
        if (agentKey != 0 && isCounted && side.notional > agent.notional) return REASON_AGENT;
        return _isCovered(batch.first, order, side) ? 0 : REASON_BALANCE;
    }

    function _isCovered(uint64 id, Order memory order, Side memory side) private returns (bool) {
        if (order.side == SIDE_BUY) {
            return _know(id, QUOTE_TOKEN, order.account) >= int256(side.notional) + side.fee;
        }
        Market memory market = _markets[order.market];
        return _know(id, market.baseToken, order.account) >= int256(side.lots * market.baseAtomsPerLot);
    }

    function _moveSide(Batch memory batch, Side memory side) private {
        Order memory order = batch.orders[side.order];
        Market memory market = _markets[order.market];
        int256 base = int256(side.lots * market.baseAtomsPerLot);
        int256 quote = int256(side.notional);
        bool isBuy = order.side == SIDE_BUY;
        _move(batch.first, QUOTE_TOKEN, order.account, (isBuy ? -quote : quote) - side.fee);
        _move(batch.first, market.baseToken, order.account, isBuy ? base : -base);

        bytes32 agentKey = _agentOf[batch.first][side.order];
        if (agentKey != 0 && _agents[agentKey].notional != type(uint128).max) {
            _agents[agentKey].notional -= uint128(side.notional);
        }
        if (_isImmediate(order)) {
            _filled[batch.first][side.order] += side.lots;
            return;
        }
        Slot storage slot = _slots[_slotKey(order.account, order.nonce)];
        if (slot.sequence != uint48(order.nonce)) (slot.sequence, slot.filled) = (uint48(order.nonce), 0);
        slot.filled += uint64(side.lots);
    }

    /* AMM */

    function _isAmm(Fill memory fill) private pure returns (bool) {
        return fill.sizeLots != 0 && fill.maker == AMM_MAKER_INDEX;
    }

    function _useQuote(Batch memory batch, uint256 i) private {
        _hasLeg[batch.first][_markets[batch.orders[batch.fills[i].taker].market].baseToken] = true;
        ++_quotesUsed;
    }

    function _evaluateAmm(Batch memory batch, uint256 i) private {
        Fill memory fill = batch.fills[i];
        require(fill.taker < batch.orders.length, MalformedBatch());
        Order memory order = batch.orders[fill.taker];
        require(_isImmediate(order) && order.flags & FLAG_AMM != 0, Mismatched(i));
        require(fill.sizeLots == order.sizeLots && fill.makerFeePpm == 0, Mismatched(i));
        Market memory market = _markets[order.market];
        require(_quotesUsed < batch.ammQuotes.length && !_hasLeg[batch.first][market.baseToken], MalformedBatch());
        uint256 quote = batch.ammQuotes[_quotesUsed];
        _useQuote(batch, i);
        _requireFees(i, fill, 0, order.maxFeePpm);
        uint256 limit = uint256(order.priceTicks) * order.sizeLots * market.quoteAtomsPerTickLot;
        bool isBuy = order.side == SIDE_BUY;
        require(isBuy ? quote <= limit : quote >= limit, LimitCrossed(i));

        Side memory side = Side(fill.taker, order.sizeLots, quote, _fee(quote, fill.takerFeePpm));
        _requireAble(batch, i, side, REASON_TAKER);
        Leg memory leg = _legOf(batch.first + uint64(i), order, market, quote);
        if (!leg.isKept(market.baseToken, VAULT.index())) revert Refused(i, REASON_AMM);

        _moveSide(batch, side);
        _move(batch.first, QUOTE_TOKEN, FEE_ACCOUNT, side.fee);
        _move(batch.first, isBuy ? QUOTE_TOKEN : market.baseToken, leg.pair, int256(leg.amountIn));
        _move(batch.first, isBuy ? market.baseToken : QUOTE_TOKEN, leg.pair, -int256(leg.promised));
        _legs[batch.first].push(leg);
        _legTakers[batch.first].push(order.account);
        _legBases[batch.first].push(market.baseToken);
    }

    function _legOf(uint64 fill, Order memory order, Market memory market, uint256 quote)
        private
        view
        returns (Leg memory leg)
    {
        uint256 base = uint256(order.sizeLots) * market.baseAtomsPerLot;
        (leg.fill, leg.market, leg.isBuy) = (fill, order.market, order.side == SIDE_BUY);
        (leg.amountIn, leg.promised) = leg.isBuy ? (quote, base) : (base, quote);
        leg.pair = AMM_FACTORY.pairOf(market.baseToken);
    }

    function _exchange(uint64 id, bool isBuy) private {
        for (uint256 i; i < _legs[id].length; ++i) {
            Leg memory leg = _legs[id][i];
            if (leg.isBuy != isBuy) continue;
            address base = _legBases[id][i];
            (address tokenIn, address tokenOut) = isBuy ? (QUOTE_TOKEN, base) : (base, QUOTE_TOKEN);
            uint256 amountOut = VAULT.exchange(leg.pair, tokenIn, tokenOut, leg.amountIn);
            require(amountOut >= leg.promised, BrokenPromise(leg.fill, leg.promised, amountOut));
            _move(id, tokenOut, _legTakers[id][i], int256(amountOut - leg.promised));
            _move(id, tokenOut, leg.pair, -int256(amountOut - leg.promised));
            emit AmmLegSettled(_takeSequence(), leg.market, leg.fill, isBuy, uint128(leg.amountIn), uint128(amountOut));
        }
    }

    /* BALANCES */

    /// @return What the account can still pay in `token`.
    function _know(uint64 id, address token, address account) private returns (int256) {
        if (!_isKnown[id][token][account]) {
            _isKnown[id][token][account] = true;
            _cells[id].push(Cell(token, account));
            address[] memory accounts = new address[](1);
            accounts[0] = account;
            _available[id][token][account] += VAULT.standingsOf(token, accounts)[0].available();
        }
        return _available[id][token][account];
    }

    function _move(uint64 id, address token, address account, int256 delta) private {
        _know(id, token, account);
        _available[id][token][account] += delta;
        _delta[id][token][account] += delta;
    }

    function _write(uint64 id) private returns (uint64) {
        _applyBases(id, false);
        _exchange(id, false);
        _apply(id, QUOTE_TOKEN);
        _exchange(id, true);
        _applyBases(id, true);
        return _takeSequence();
    }

    /// @dev Of tokens that a pair brings, or of the others.
    function _applyBases(uint64 id, bool isBought) private {
        for (uint256 i; i < _cells[id].length; ++i) {
            address token = _cells[id][i].token;
            bool isFirst = token != QUOTE_TOKEN;
            for (uint256 j; j < i; ++j) {
                if (_cells[id][j].token == token) isFirst = false;
            }
            if (isFirst && _isBought(id, token) == isBought) _apply(id, token);
        }
    }

    function _isBought(uint64 id, address token) private view returns (bool) {
        for (uint256 i; i < _legs[id].length; ++i) {
            if (_legBases[id][i] == token) return _legs[id][i].isBuy;
        }
        return false;
    }

    function _apply(uint64 id, address token) private {
        uint256 count = _cells[id].length;
        address[] memory accounts = new address[](count);
        Change[] memory changes = new Change[](count);
        for (uint256 i; i < count; ++i) {
            Cell memory cell = _cells[id][i];
            if (cell.token != token) continue;
            accounts[i] = cell.account;
            uint48 immediate = token == QUOTE_TOKEN ? _immediate[id][cell.account] : 0;
            changes[i] = Changes.pack(_delta[id][token][cell.account], immediate);
        }
        VAULT.applySettlement(token, accounts, changes);
    }

    function _isImmediate(Order memory order) private pure returns (bool) {
        return order.timeInForce == TIF_IOC || order.timeInForce == TIF_FOK;
    }
}
