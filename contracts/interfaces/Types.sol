// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @dev Value types and records shared by every contract. Their Python twins live in `offchain/domain`.

/// @dev Withdrawals, cancels and agent revocations bind settlement this long after their block: the time in which a
/// fill that was matched before them may still settle. Python twin: `offchain.domain.limits.SETTLEMENT_WINDOW_SECONDS`.
uint256 constant SETTLEMENT_WINDOW = 5 minutes;

/// @dev From a withdrawal request to its maturity. Longer than the settlement window, shorter than any upgrade delay.
uint256 constant EXIT_DELAY = 15 minutes;

/// @dev A reading and an accepted price count for an hour at most. An hour after the last post anyone may still have
/// its price accepted, which puts off a shutdown by as much. Python twin:
/// `offchain.domain.limits.PRICE_AGE_SECONDS_MAX`.
uint256 constant MAX_PRICE_AGE = 1 hours;

/// @dev A synth whose price was accepted last longer ago than this may be shut down by anyone.
uint256 constant SHUTDOWN_DELAY = 6 hours;

/// @dev After a shutdown, a price that returns within this time replaces the old one; positions are settled afterwards.
uint256 constant SHUTDOWN_GRACE = 1 hours;

/// @dev No code and no parameter changes before everyone could be out, by way of a shutdown, too.
/// Python twin: `offchain.domain.limits.UPGRADE_DELAY_SECONDS_MIN`.
uint256 constant MIN_UPGRADE_DELAY = 24 hours;

/// @dev Never stored: an array of no or negative length does not compile, so that these delays keep their order.
struct DelaysInOrder {
    bool[EXIT_DELAY - SETTLEMENT_WINDOW] exitAfterSettlement;
    bool[SHUTDOWN_DELAY - EXIT_DELAY] shutdownAfterExit;
    bool[MIN_UPGRADE_DELAY - (MAX_PRICE_AGE + SHUTDOWN_DELAY + SHUTDOWN_GRACE + EXIT_DELAY)] upgradeAfterAll;
}

/// @dev An agent is for so many markets, or for all. Bounds what one log can say.
uint256 constant AGENT_MARKETS_MAX = 64;

/// @dev Of a market's symbol; bounds what one log can say.
uint256 constant SYMBOL_BYTES_MAX = 31;

/// @dev No fill carries a fee above 1 % of its notional, rounded up to an atom, whatever its order signed.
int32 constant MAX_FEE_PPM = 10_000;

/// @dev Order.side.
uint8 constant SIDE_BUY = 0;
uint8 constant SIDE_SELL = 1;

/// @dev Order.kind.
uint8 constant KIND_LIMIT = 0;
/// @dev A market order is an immediate-or-cancel order whose price is the worst price its signer accepts.
uint8 constant KIND_MARKET = 1;

/// @dev Order.timeInForce: good till cancelled, immediate or cancel, fill or kill, good till date (`expiry`).
uint8 constant TIF_GTC = 0;
uint8 constant TIF_IOC = 1;
uint8 constant TIF_FOK = 2;
uint8 constant TIF_GTD = 3;

/// @dev Bits of Order.flags. This order makes only.
uint16 constant FLAG_POST_ONLY = 1;
/// @dev No meaning on chain.
uint16 constant FLAG_REDUCE_ONLY = 2;
/// @dev This order trades with its market's AMM pair only, whole or not at all. Python twin: `domain.order.Flags.AMM`.
uint16 constant FLAG_AMM = 4;

/// @dev In a packed batch, the maker of a fill whose maker is the AMM pair of its market.
uint8 constant AMM_MAKER = type(uint8).max;

/// @dev Why a fill was refused. REASON_TAKER is added when the taker's order is at fault and not the maker's. Python
/// twin: `domain.command.Refusal`.
uint8 constant REASON_BALANCE = 1;
uint8 constant REASON_CANCELLED = 2;
uint8 constant REASON_EXPIRED = 3;
uint8 constant REASON_DEAD = 4;
uint8 constant REASON_OPERATOR = 5;
uint8 constant REASON_AMM = 6;
uint8 constant REASON_GROUP = 7;
uint8 constant REASON_AGENT = 8;
uint8 constant REASON_TAKER = 0x80;

/// @notice What a trader signs (EIP-712, domain of Settlement).
/// @param account Vault account that pays and receives.
/// @param subaccount Off-chain partition of the account; no meaning on chain.
/// @param market Row of the market table.
/// @param side SIDE_BUY or SIDE_SELL.
/// @param kind KIND_LIMIT or KIND_MARKET.
/// @param timeInForce TIF_GTC, TIF_IOC, TIF_FOK or TIF_GTD.
/// @param flags Bit set of FLAG_*.
/// @param priceTicks Worst price the signer accepts, in ticks.
/// @param sizeLots Largest size that may fill, in lots.
/// @param triggerTicks Trigger price of a conditional order, 0 if none; no meaning on chain.
/// @param maxFeePpm Largest fee rate per fill, in millionths of the notional.
/// @param nonce Slot (top 16 bits) and sequence (48 bits); slot 0 holds the immediate orders.
/// @param expiry Unix seconds from which it no longer matches, 0 for never; it settles until expiry +
/// SETTLEMENT_WINDOW.
struct Order {
    address account;
    uint8 subaccount;
    uint32 market;
    uint8 side;
    uint8 kind;
    uint8 timeInForce;
    uint16 flags;
    uint64 priceTicks;
    uint64 sizeLots;
    uint64 triggerTicks;
    int32 maxFeePpm;
    uint64 nonce;
    uint40 expiry;
}

/// @notice What an account allows a key that is not its own: to sign orders, and nothing else.
/// @param agent Address of the key.
/// @param expiry Unix seconds from which it matches no more; what was matched before settles until expiry +
/// SETTLEMENT_WINDOW.
/// @param notional What its orders may trade in all, in quote units; type(uint128).max: any amount, which is not
/// counted.
/// @param markets The markets that it may trade; empty: every market.
struct AgentTerms {
    address agent;
    uint40 expiry;
    uint128 notional;
    uint32[] markets;
}

/// @notice A row of the market table, set once.
/// notional in quote units = ticks * lots * quoteAtomsPerTickLot; base atoms = lots * baseAtomsPerLot. Both exact.
struct Market {
    address baseToken;
    uint128 baseAtomsPerLot;
    uint64 quoteAtomsPerTickLot;
}

/// @notice The operator's countersignature that lets a free balance fall at once (EIP-712 `Approval`, domain of Vault).
/// Of a withdrawal it is over the owner's whole message, and used up with the owner's nonce; of locking and burning
/// `nonce` itself is used up.
/// An empty `cosignature` means: draw on the account's own matured request instead.
struct Authorization {
    uint256 nonce;
    uint256 deadline;
    bytes cosignature;
}

/// @notice What an account owner signs to withdraw (EIP-712 `Withdraw`, domain of Vault).
/// @param amount Units for the settlement token, atoms for a synth.
struct Withdrawal {
    address account;
    address token;
    uint256 amount;
    address destination;
    bool asCxpt;
    uint256 nonce;
    uint256 deadline;
}

/// @notice One epoch of the order book, as committed.
/// @param epoch Number, from 1, without gaps.
/// @param parent Hash of the previous header, 0 for epoch 1.
/// @param first First command sequence of the epoch: previous `last` + 1.
/// @param last Last command sequence of the epoch.
/// @param ordersRoot StandardMerkleTree root over `[uint64 sequence, bytes32 orderHash]` of every sequenced order.
/// @param commandsRoot Root of the indexed tree over every command, position = sequence - first.
/// @param stateRoot State hash of the engine after `last`.
/// @param volume Notional matched in the epoch, in quote units.
/// @param count Orders sequenced in the epoch.
/// @param dataHash keccak256 of the epoch's journal records, one after the other.
struct Header {
    uint64 epoch;
    bytes32 parent;
    uint64 first;
    uint64 last;
    bytes32 ordersRoot;
    bytes32 commandsRoot;
    bytes32 stateRoot;
    uint128 volume;
    uint32 count;
    bytes32 dataHash;
}
