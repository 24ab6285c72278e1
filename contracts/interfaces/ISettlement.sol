// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Batch, Market, Order} from "./Types.sol";

/// @title Settles matched orders between Vault accounts, and proves every one of them
///
/// A batch is the next consecutive range of the global fill sequence. Fills are evaluated in match order against
/// running balances in memory; only the net result is written. For each fill the contract proves both signatures, both
/// limit prices, sides, market, size, nonce, expiry and fee caps.
///
/// A fill that an account cannot pay, or whose order was cancelled or expired more than SETTLEMENT_WINDOW ago, is
/// refused for both sides, with a reason, and the batch goes on. Whatever only the operator can get wrong (a signature,
/// a crossed limit, an overfill, a fee above a cap, a gap in the sequence) reverts.
///
/// AMM FILLS. A fill whose maker is AMM_MAKER trades its whole order, which must be immediate and carry FLAG_AMM, with
/// the pair of its market at the exact quote amount of `Batch.ammQuotes`, within the order's limit. It takes part in the
/// running balances like any other. If the pair would give less in this block, the fill is refused for nobody's fault;
/// what it gives more is the taker's, to the atom. One such fill per base token and batch.
///
/// A guardian may pause `settle`, and nothing else (see IPausable): cancels always work. Clocks do not stop: in a pause
/// longer than SETTLEMENT_WINDOW, cancels, expiries and withdrawals overtake fills that were matched before it.
///
/// @dev Warning: not a proxy. A new version is a new address, for which old signatures mean nothing.
interface ISettlement {
    /// @param refusals (uint16 fill offset, uint8 reason) for each fill refused, packed, in order. Reason: 1 balance,
    /// 2 cancelled, 3 expired, 4 superseded by a newer order of its slot, 5 taken back by the operator, 6 the AMM pair
    /// would give less than was promised, or is not there; plus 0x80 if the taker is at fault and not the maker. The
    /// maker is examined first.
    event BatchSettled(uint64 indexed sequence, uint64 indexed first, uint64 last, bytes refusals);
    /// @notice An AMM fill of the batch whose `BatchSettled` follows in the same transaction.
    /// @param amountIn What left the Vault to the pair: quote units of a purchase, base atoms of a sale; without fees.
    /// @param amountOut What came back: base atoms of a purchase, quote units of a sale; the surplus included.
    event AmmLegSettled(
        uint64 indexed sequence, uint32 indexed market, uint64 fill, bool isBuy, uint128 amountIn, uint128 amountOut
    );
    event MarketListed(
        uint64 indexed sequence,
        uint32 indexed market,
        address indexed baseToken,
        uint128 baseAtomsPerLot,
        uint64 quoteAtomsPerTickLot,
        uint8 baseDecimals,
        uint8 quoteDecimals,
        string symbol
    );
    /// @notice Orders of `account` in the slot of `nonce` up to its sequence are dead for settlement from
    /// `effectiveAt`.
    event OrderCancelled(uint64 indexed sequence, address indexed account, uint64 nonce, uint40 effectiveAt);
    /// @notice Orders of `account` with a sequence below `floor` are dead for settlement from `effectiveAt`.
    event AllOrdersCancelled(uint64 indexed sequence, address indexed account, uint48 floor, uint40 effectiveAt);

    /// @notice Thrown when a batch does not start where the last one ended.
    error NotConsecutive(uint64 first, uint64 expected);
    /// @notice Thrown when a batch is empty, too long, its arrays do not match, a fill names an order that is not there,
    /// or two AMM fills name one base token.
    error MalformedBatch();
    /// @notice Thrown when a signature does not recover the order's account.
    error InvalidSigner(uint256 order, address recovered);
    /// @notice Thrown when an order names a market that is not there.
    error UnknownMarket(uint32 market);
    /// @notice Thrown when two orders do not trade against each other, or an order not with the AMM.
    error Mismatched(uint256 fill);
    /// @notice Thrown when the maker's price, or the quote of an AMM fill, is beyond the taker's limit.
    error LimitCrossed(uint256 fill);
    /// @notice Thrown when a fill exceeds the size that is left of an order.
    error Overfilled(uint256 order);
    /// @notice Thrown when a fee exceeds the signed or the constant cap, or the two fees sum below zero.
    error FeeAboveCap(uint256 fill);
    /// @notice Thrown when an order's fields make no sense together.
    error MalformedOrder(uint256 order);
    /// @notice Thrown when a pair gave less than it said a moment before; it never should.
    error BrokenPromise(uint64 fill, uint256 promised, uint256 amountOut);
    /// @notice Thrown when the AMM factory is none, or another Vault's.
    error ForeignAmmFactory(address factory);
    /// @notice Thrown when a market number is already taken.
    error MarketExists(uint32 market);
    /// @notice Thrown when a market's base token is the settlement token or zero, or one of its lot sizes is zero.
    error MalformedMarket(uint32 market);

    /// @notice Settles the next batch (SETTLER_ROLE). An immediate order is used up by the first batch that lists it,
    /// whatever becomes of its fills.
    function settle(Batch calldata batch) external;

    /// @notice Kills the caller's orders in the slot of `nonce` up to its sequence, binding after SETTLEMENT_WINDOW.
    function cancel(uint64 nonce) external;

    /// @notice Kills the caller's orders with a sequence below `floor`, binding after SETTLEMENT_WINDOW.
    function cancelAll(uint48 floor) external;

    /// @notice Writes a row of the market table, once (LISTER_ROLE). Reads both decimals from the tokens.
    function listMarket(
        uint32 market,
        address baseToken,
        uint128 baseAtomsPerLot,
        uint64 quoteAtomsPerTickLot,
        string calldata symbol
    ) external;

    function lastFill() external view returns (uint64);
    function marketOf(uint32 market) external view returns (Market memory);
    /// @return sequence The newest order sequence known in this slot.
    /// @return filled Lots filled of it.
    function slotOf(address account, uint16 slot) external view returns (uint48 sequence, uint64 filled);
    function hashOrder(Order calldata order) external view returns (bytes32 digest);
    /// @notice ceil(notional * ppm / 10^6), also for a negative rate (towards zero). Twin: `domain.units.fee_up`.
    function feeUp(uint256 notional, int32 ppm) external pure returns (int256);
    function domainSeparator() external view returns (bytes32);
}
