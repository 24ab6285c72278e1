// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AgentTerms, Market, Order} from "./Types.sol";

/// @title Settles matched orders between Vault accounts, and proves every one of them
///
/// A batch is the next consecutive range of the global fill sequence. Fills are evaluated in match order against
/// running balances in memory; only the net result is written. For each fill the contract proves both signatures, both
/// limit prices, sides, market, size, nonce, expiry and fee caps.
///
/// THE PACKED BATCH. Sections one after the other, each of as many records as the header says; big-endian, no padding,
/// and the batch is exactly as long as that makes it.
///
///     header   first u64 | markets u8 | accounts u8 | orders u8 | proofs u8 | fills u8 | quotes u8 | feeIndex u8
///     market   number u32                                                                        strictly ascending
///     account  address                                                                           strictly ascending
///     order    account u8 | market u8 | subaccount u8 | terms u8 | flags u16 | priceTicks u64 | sizeLots u64
///              | triggerTicks u64 | maxFeePpm i32 | nonce u64 | expiry u40 | r 32 | vs 32
///              strictly ascending by (account, nonce)
///     proof    position u8 | 5 siblings of 32                              one per bulk-signed order, in their order
///     fill     maker u8 | taker u8 | sizeLots u64 | makerFeePpm i24 | takerFeePpm i24                 in match order
///     quote    u128                                                                                    see AMM FILLS
///
/// `account`, `market`, `maker`, `taker` are indices; `terms` is side (bit 0), kind (1), timeInForce (2-3) and whether
/// the order is bulk-signed (4). `r` and `vs` are a signature in the form of EIP-2098, with low s. The account at
/// `feeIndex` earns the fees and must be the Vault's fee account, unless there are no orders.
///
/// A fill's id is `first` plus its index; the price of a fill is its maker's. `sizeLots` 0 marks a fill that the
/// operator takes back: it is refused for both sides, nothing else of it is looked at, and its orders need not be
/// there.
///
/// A fill that an account cannot pay, or whose order was cancelled or expired more than SETTLEMENT_WINDOW ago, is
/// refused for both sides, with a reason, and the batch goes on. Whatever only the operator can get wrong (a signature,
/// a crossed limit, an overfill, a fee above a cap, a gap in the sequence) reverts.
///
/// TIME IN FORCE. Immediate orders (IOC, FOK, market) take only, and are used up by the first batch that lists them.
/// The fills of a fill-or-kill order follow each other and add up to its size; they settle all or none. A post-only
/// order makes only.
///
/// AGENTS sign orders for an account within its AgentTerms. One that is over, not for the order's market, or out of
/// notional has its fills refused; a signer who never was an agent of the account is the operator's fault. Only agents
/// may sign in bulk: 32 leaves (see BulkTree) under one signature of `BulkOrder(bytes32 root)`.
///
/// AMM FILLS. A fill whose maker is AMM_MAKER trades its whole order, which must be immediate and carry FLAG_AMM, with
/// the pair of its market at an exact quote amount, within the order's limit: what its taker pays before fees for
/// exactly its size, or gets for it at least. These amounts are the quotes, one per AMM fill that was not taken back,
/// in order. It takes part in the running balances like any other fill. If the pair would give less in this block, the
/// fill is refused for nobody's fault; what it gives more is the taker's, to the atom. One such fill per base token and
/// batch.
///
/// A guardian may pause `settle`, and nothing else (see IPausable): cancels always work. Clocks do not stop: in a pause
/// longer than SETTLEMENT_WINDOW, cancels, expiries and withdrawals overtake fills that were matched before it.
///
/// WHO MAY CALL: SETTLER_ROLE settles. Anyone cancels its own orders and registers agents of its own account, or of one
/// that signed for it; account or agent revoke. LISTER_ROLE lists a market, once; GUARDIAN_ROLE pauses; the admin (the
/// timelock) gives roles, and no more: nobody changes a market, a window or a cap.
///
/// @dev Warning: not a proxy. A new version is a new address, for which old signatures mean nothing.
interface ISettlement {
    /// @notice Fills `first` to `last` are decided, for ever.
    /// @param refusals (uint16 fill offset, uint8 reason) for each fill refused, packed, in order. Reason: 1 balance,
    /// 2 cancelled, 3 expired, 4 superseded by a newer order of its slot, 5 taken back by the operator, 6 the AMM pair
    /// would give less than was promised, or is not there, 7 another fill of the fill-or-kill order was refused, 8 the
    /// agent who signed may not or no more; plus 0x80 if the taker is at fault and not the maker. The maker is examined
    /// first.
    /// @param changes Per token, packed: address token, uint8 count, and as often (address account, int136 delta) of an
    /// account whose balance the batch changed. What pairs got and gave (AmmLegSettled) is not among them: with these
    /// logs and the Vault's every balance can be rebuilt.
    event BatchSettled(uint64 indexed sequence, uint64 indexed first, uint64 last, bytes refusals, bytes changes);
    /// @notice An AMM fill of the batch whose `BatchSettled` follows in the same transaction.
    /// @param amountIn What left the Vault to the pair: quote units of a purchase, base atoms of a sale; without fees.
    /// @param amountOut What came back: base atoms of a purchase, quote units of a sale; the surplus included.
    event AmmLegSettled(
        uint64 indexed sequence, uint32 indexed market, uint64 fill, bool isBuy, uint128 amountIn, uint128 amountOut
    );
    /// @notice A row of the market table, never changed again. A tick is a price at which one lot is worth
    /// `quoteAtomsPerTickLot` units.
    /// @param baseAtomsPerLot Atoms of `baseToken` in a lot.
    /// @param symbol For people only; nothing keeps two rows from sharing one.
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

    /// @notice `agent` may sign orders of `account` from now on. The fields are those of AgentTerms.
    event AgentRegistered(
        uint64 indexed sequence,
        address indexed account,
        address indexed agent,
        uint40 expiry,
        uint128 notional,
        uint32[] markets
    );
    /// @notice Orders that `agent` signed for `account` are dead for settlement from `effectiveAt`.
    event AgentRevoked(uint64 indexed sequence, address indexed account, address indexed agent, uint40 effectiveAt);

    /// @notice Thrown when a batch does not start where the last one ended.
    error NotConsecutive(uint64 first, uint64 expected);
    /// @notice Thrown when a batch is empty, too long, or not as long as it says; when markets, accounts or orders are
    /// not strictly ascending; when a record names another that is not there; when the fee account is not where it
    /// should be; when proofs or quotes are left over; or when two AMM fills name one base token.
    error MalformedBatch();
    /// @notice Thrown when a signature recovers neither the order's account nor a key that was ever its agent, or when
    /// the account itself signed in bulk. `order` is 0 for the registration of an agent.
    error InvalidSigner(uint256 order, address recovered);
    /// @notice Thrown when an order names a market that is not there.
    error UnknownMarket(uint32 market);
    /// @notice Thrown when two orders do not trade against each other, an order not with the AMM, or the fills of a
    /// fill-or-kill order are not all there.
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
    /// @notice Thrown when an agent is no address, the account itself, already over, or for more than AGENT_MARKETS_MAX
    /// markets.
    error MalformedAgent();
    /// @notice Thrown when an agent is registered again before its last registration is over.
    error AgentStillBinds(address account, address agent);
    /// @notice Thrown when there is no agent to revoke.
    error NoAgent(address account, address agent);
    /// @notice Thrown when an agent is revoked by neither its account nor itself.
    error NotYours(address account, address agent);
    /// @notice Thrown when a signed message is used after its deadline.
    error DeadlinePassed(uint256 deadline);
    /// @notice Thrown when a market number is already taken.
    error MarketExists(uint32 market);
    /// @notice Thrown when a market's base token is the settlement token or zero, one of its lot sizes is zero, or its
    /// symbol is longer than SYMBOL_BYTES_MAX.
    error MalformedMarket(uint32 market);

    /// @notice Settles the next batch (SETTLER_ROLE), of MAX_FILLS (100) fills at most and two orders per fill. An
    /// immediate order is used up by the first batch that lists it, whatever becomes of its fills. Reverts with
    /// IsPaused while settlement is paused.
    function settle(bytes calldata batch) external;

    /// @notice Kills the caller's orders in the slot of `nonce` up to its sequence, binding after SETTLEMENT_WINDOW.
    function cancel(uint64 nonce) external;

    /// @notice `cancel` of each.
    function cancelMany(uint64[] calldata nonces) external;

    /// @notice Kills the caller's orders with a sequence below `floor`, binding after SETTLEMENT_WINDOW.
    function cancelAll(uint48 floor) external;

    /// @notice Lets an agent sign orders of the caller. Other terms for the same key need a revocation first.
    /// @dev Warning: a key that is registered again revives what it signed before and did not expire. Take a new one.
    function registerAgent(AgentTerms calldata terms) external;

    /// @notice The same with the account's `Agent` signature. Its nonce is how often this agent was registered before.
    function registerAgentFor(address account, AgentTerms calldata terms, uint256 deadline, bytes calldata signature)
        external;

    /// @notice Ends a registration, binding after SETTLEMENT_WINDOW; by the account or the agent.
    function revokeAgent(address account, address agent) external;

    /// @notice Writes a row of the market table, once (LISTER_ROLE). Reads both decimals from the tokens.
    function listMarket(
        uint32 market,
        address baseToken,
        uint128 baseAtomsPerLot,
        uint64 quoteAtomsPerTickLot,
        string calldata symbol
    ) external;

    /// @notice The last fill that is decided; the next batch starts one above it. 0 before the first.
    function lastFill() external view returns (uint64);
    /// @notice The row of `market`; all zero without one.
    function marketOf(uint32 market) external view returns (Market memory);
    /// @return sequence The newest order sequence known in this slot.
    /// @return filled Lots filled of it.
    function slotOf(address account, uint16 slot) external view returns (uint48 sequence, uint64 filled);
    /// @return isEntitled Whether orders in `market` that `agent` signed for `account` settle, budget apart.
    /// @return notional What is left of its budget, in quote units.
    /// @return registrations How often it was registered; the nonce of the next signed registration.
    function agentOf(address account, address agent, uint32 market)
        external
        view
        returns (bool isEntitled, uint256 notional, uint256 registrations);
    /// @notice What the account or its agent signs for `order`: its EIP-712 digest in this contract's domain. Checks
    /// nothing.
    function hashOrder(Order calldata order) external view returns (bytes32 digest);
    /// @notice Of the EIP-712 domain in which `Order`, `BulkOrder` and `Agent` are signed.
    function domainSeparator() external view returns (bytes32);
}
