// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Change} from "../libraries/Changes.sol";
import {Standing} from "../libraries/Standings.sol";
import {Authorization, Withdrawal} from "./Types.sol";

/// @title Custody: who owns what, and the only ways out
///
/// ASSUMPTIONS
/// - The settlement token (USDC) takes no fee on transfer and does not rebase. Every other token is a registered synth,
///   whose supply only this contract mints and burns.
/// - Balances of the settlement token are units; `index` (1e18 = one token atom per unit) converts at deposit and
///   withdrawal only, both rounded down.
/// - Everything that lowers an account's free balance outside settlement needs the operator's countersignature or the
///   account's own matured request.
/// - A guardian may pause deposits of the settlement token, and nothing else (see IPausable): no way out is ever shut.
///   So a synth always comes in: whoever pays a debt back, liquidates or redeems does it out of the Vault, and may hold
///   the synth in a wallet.
/// - At most 2^88 units of the settlement token are ever deposited, and at most 2^128 atoms of a synth. Beyond that
/// deposits are refused; no way out is.
/// - The Vault's balance of the settlement token falls by its own transfers only. If it falls otherwise, everybody may
/// have the loss declared (`declareLoss`); until then whoever leaves first is paid in full.
/// - A loss is a loss of what a unit is worth, also of a locked one: no number of units changes.
/// WARNING: prices are units per token, and nothing on chain converts them. After a loss whoever posts prices in USDC
/// must divide them by the index, or debts look smaller than they are by as much as the index fell.
/// - The balance of an AMM pair is a place of transit: what a batch puts in it leaves again in the same batch. Whoever
///   deposits for a pair loses the deposit.
///
/// WHO MAY CALL: anyone deposits, asks for its own balance, completes a matured request and declares a loss; an
/// approved withdrawal is its owner's and the cosigner's. CORE_ROLE (SynthIssuer) mints, burns, locks and unlocks;
/// SETTLEMENT_ROLE (Settlement) moves what batches say; REGISTRAR_ROLE (SynthFactory) registers synths; GUARDIAN_ROLE
/// pauses; DEFAULT_ADMIN_ROLE (the timelock) sets caps and gives roles; UPGRADER_ROLE, a timelock of MIN_UPGRADE_DELAY
/// (24 hours) or more, replaces the code.
///
/// EVENTS carry one global sequence without gaps, shared with Settlement (see `takeSequence`), and, outside settlement,
/// the resulting balance: a missed log is provable. `amount` and `balance` are units of the settlement token or atoms
/// of a synth; `balance` is what the account has after it, a request included.
interface IVault {
    /// @notice What settlement needs of an account, one storage word.
    /// @param units Balance of the settlement token.
    /// @param immediateSequence Highest sequence of slot 0 that a batch has used.
    /// @param cancelFloor Orders with a lower sequence are dead (the floor that is already binding).
    struct Account {
        uint128 units;
        uint48 immediateSequence;
        uint48 cancelFloor;
    }

    /// @notice A withdrawal that needs nobody's consent once it has matured.
    /// @param amount What may still be drawn: units of the settlement token or atoms of a synth.
    /// @param maturesAt Unix seconds; EXIT_DELAY after the request.
    /// @param destination Who is paid, fixed by the request.
    struct Request {
        uint128 amount;
        uint40 maturesAt;
        address destination;
    }

    /// @notice Totals per token since deployment, in units or atoms; `internalTotal + locked == deposits - withdrawals
    /// + minted - burned`.
    struct Totals {
        uint256 deposits;
        uint256 withdrawals;
        uint256 minted;
        uint256 burned;
        uint256 locked;
        uint256 internalTotal;
    }

    /// @notice Somebody's tokens came in and were credited to `account`.
    /// @param amount What was credited; of the settlement token units, not the atoms that moved.
    event Deposited(
        uint64 indexed sequence, address indexed account, address indexed token, uint256 amount, uint256 balance
    );
    /// @notice `account` opened its request; no balance changed.
    /// @param destination Who is paid; the Vault itself if it is for locking or burning.
    /// @param maturesAt Unix seconds from which settlement cannot debit `amount` and anyone may complete it.
    event WithdrawalRequested(
        uint64 indexed sequence,
        address indexed account,
        address indexed token,
        uint256 amount,
        address destination,
        uint40 maturesAt
    );
    /// @notice `account` closed its request, what was left of it included; no balance changed.
    event WithdrawalRequestCancelled(uint64 indexed sequence, address indexed account, address indexed token);
    /// @notice `amount` left the account, countersigned or out of its matured request.
    /// @param approval Nonce of the countersignature, 0 if it drew on a matured request.
    /// @param requestRemaining What is left of the account's request in this token.
    /// With `asCxpt` the units moved to the treasury account and CXPT was minted to `destination`.
    event Withdrawn(
        uint64 indexed sequence,
        address indexed account,
        address indexed token,
        uint256 amount,
        uint256 balance,
        address destination,
        bool asCxpt,
        uint256 approval,
        uint256 requestRemaining
    );
    /// @notice Units of `account` became collateral of its debt position.
    /// @param approval As in Withdrawn.
    /// @param requestRemaining As in Withdrawn, of the settlement token.
    event CollateralLocked(
        uint64 indexed sequence,
        address indexed account,
        uint256 amount,
        uint256 balance,
        uint256 approval,
        uint256 requestRemaining
    );
    /// @notice Collateral came back to the free balance of `account`, a debtor's, liquidator's or redeemer's.
    event CollateralUnlocked(uint64 indexed sequence, address indexed account, uint256 amount, uint256 balance);
    /// @notice `amount` atoms of `token` were made, held by the Vault for `account`.
    event SynthMinted(
        uint64 indexed sequence, address indexed token, address indexed account, uint256 amount, uint256 balance
    );
    /// @notice `amount` atoms of `token` that the Vault held for `account` are gone.
    /// @param approval As in Withdrawn.
    /// @param requestRemaining As in Withdrawn.
    event SynthBurned(
        uint64 indexed sequence,
        address indexed token,
        address indexed account,
        uint256 amount,
        uint256 balance,
        uint256 approval,
        uint256 requestRemaining
    );
    /// @notice `token` may be deposited, withdrawn and minted from now on, for ever.
    event SynthRegistered(uint64 indexed sequence, address indexed token);
    /// @notice A unit is worth less: every unit alike, no balance in units changed.
    /// @param index Before; `newIndex` is lower.
    /// @param shortfall Atoms that were missing at `index`.
    event LossDeclared(uint64 indexed sequence, uint256 index, uint256 newIndex, uint256 shortfall);
    /// @param perHour Units of the settlement token or atoms of a synth; 0 for no cap.
    /// @dev Changes no balance, and therefore takes no sequence number.
    event OutflowCapSet(address indexed token, uint256 perHour);

    /// @notice Thrown when an amount is zero.
    error ZeroAmount();
    /// @notice Thrown when an address that must be set is zero.
    error ZeroAddress();
    /// @notice Thrown when a token is neither the settlement token nor a registered synth.
    error UnknownToken(address token);
    /// @notice Thrown when a debit exceeds what the account can be debited.
    error InsufficientBalance(address account, address token, uint256 wanted, uint256 debitable);
    /// @notice Thrown when an account already has a request open in this token.
    error RequestPending();
    /// @notice Thrown when there is no request to act on.
    error NoRequest();
    /// @notice Thrown when a request has not matured.
    error RequestNotMatured(uint256 maturesAt);
    /// @notice Thrown when more is drawn than the request holds.
    error RequestExceeded(uint256 wanted, uint256 requested);
    /// @notice Thrown when a signature does not recover the signer that it must.
    error InvalidSigner(address recovered);
    /// @notice Thrown when a signed message is used after its deadline.
    error DeadlinePassed(uint256 deadline);
    /// @notice Thrown when a signed message is used twice.
    error NonceUsed(uint256 nonce);
    /// @notice Thrown when CXPT is asked for a token other than the settlement token.
    error NotConvertible(address token);
    /// @notice Thrown when a payment would go to the Vault itself: a request with that destination is for locking and
    /// burning only.
    error InternalDestination();
    /// @notice Thrown when more would leave with a countersignature than the token's cap lets out now.
    error OutflowCapped(address token, uint256 wanted, uint256 left);
    /// @notice Thrown when the Vault holds what it owes.
    error NoShortfall();
    /// @notice Thrown when the deltas of a batch in a token do not sum to zero.
    error Unbalanced(address token);
    /// @notice Thrown when a token is registered twice, is the settlement token, or has another minter.
    error NotRegistrable(address token);
    /// @notice Thrown when upgrades are given to, or asked for by, anything but a timelock of MIN_UPGRADE_DELAY or
    /// more.
    error UpgradeDelayTooShort(address upgrader);

    /* DEPOSITS */

    // Those of the settlement token revert while deposits are paused (IsPaused). `depositSynth` never does: a synth in
    // a wallet must come in before it pays a debt back or is redeemed, and that is a way out.

    /// @notice Moves `atoms` of the settlement token from the caller and credits the caller.
    function deposit(uint256 atoms) external;

    /// @notice Moves `atoms` of the settlement token from the caller and credits `account`.
    function depositFor(address account, uint256 atoms) external;

    /// @notice Moves `atoms` from `owner` with an ERC-2612 permit and credits `owner`. Anyone may send it.
    /// A permit that was front-run does not matter as long as the allowance is there.
    function depositWithPermit(address owner, uint256 atoms, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Moves `atoms` of a registered synth from the caller and credits the caller, also while deposits are
    /// paused.
    function depositSynth(address token, uint256 atoms) external;

    /* WITHDRAWALS */

    /// @notice Opens the caller's request: from `block.timestamp + EXIT_DELAY` on the amount is no longer debitable by
    /// settlement and anyone may complete it to `destination`. It may exceed the balance.
    /// With the Vault itself as the destination nobody can complete it, and it cannot be withdrawn: it waits until the
    /// caller locks or burns with it, or cancels it.
    /// WARNING: with any other destination a stranger may complete a matured request just before its owner draws on it
    /// to lock or to burn.
    function requestWithdrawal(address token, uint128 amount, address destination) external;

    /// @notice Closes the caller's request; the amount is free again.
    function cancelWithdrawalRequest(address token) external;

    /// @notice Draws `amount` units on the caller's matured request of the settlement token, paid to its destination.
    /// @param asCxpt Mint CXPT 1:1 by value to the destination and move the units to the treasury account instead.
    function withdraw(uint256 amount, bool asCxpt) external;

    /// @notice Pays min(request, balance) of `account`'s matured request in `token` to its destination. What the
    /// balance does not cover stays open and matured: whatever the account gets next is out of settlement's reach up to
    /// it. Anyone may call it, at any time, also while everything else is paused. With nothing to pay it reverts.
    function completeWithdrawal(address account, address token) external;

    /// @notice Withdraws at once with the operator's countersignature, and leaves alone what a matured request holds.
    /// The owner's nonce is used up whoever sends. The purpose of the countersignature is the hash of the owner's whole
    /// message (hashStruct), so that it can be used for this message only, and once. Reverts beyond the cap of the
    /// token (`setOutflowCap`), and if the destination is the Vault. Both signatures have 65 bytes (r, s, v) or 64
    /// (ERC-2098), with a low s.
    /// @param ownerSignature The owner's `Withdraw` signature; may be empty if the owner is the caller.
    function withdrawApproved(
        Withdrawal calldata withdrawal,
        bytes calldata ownerSignature,
        Authorization calldata authorization
    ) external;

    /// @notice Caps what leaves in `token` with a countersignature, also as CXPT, per hour; 0 for no cap
    /// (DEFAULT_ADMIN_ROLE). What matured requests pay is never capped, and does not count.
    /// The cap is a leaky bucket: `perHour` may leave at once, and what has left drains at `perHour`. So no more than
    /// `perHour` leaves in one moment, and no more than twice `perHour` within any 60 minutes. Each withdrawal is counted
    /// up to the next 900,000th of `perHour` (what drains in 1/256 s). A cap set after none begins empty.
    /// @param perHour Units of the settlement token, atoms of a synth; less than 2^96.
    function setOutflowCap(address token, uint128 perHour) external;

    /* LOSS */

    /// @notice If the Vault holds fewer atoms of the settlement token than all units are worth, free and locked, the
    /// index falls to what is there, rounded down, so that everyone bears the loss in proportion. Anyone may call it.
    /// Reverts unless there is a shortfall: a loss is never larger than what is missing, and never declared twice.
    /// The index never rises. At index 0 deposits are refused.
    function declareLoss() external;

    /* SYNTHS (CORE_ROLE) */

    /// @notice Makes `token` a registered synth (REGISTRAR_ROLE). This contract must be its minter.
    function registerSynth(address token) external;

    /// @notice Mints `amount` of `token` into the Vault and credits `account`.
    function mintSynth(address token, address account, uint256 amount) external;

    /// @notice Debits `account` and burns; needs the countersignature or the account's matured request.
    function burnSynth(address token, address account, uint256 amount, Authorization calldata authorization) external;

    /// @notice Moves units of `account` out of its free balance into locked collateral.
    function lockCollateral(address account, uint256 amount, Authorization calldata authorization) external;

    /// @notice Moves locked collateral back to the free balance of `account`.
    function unlockCollateral(address account, uint256 amount) external;

    /* SETTLEMENT (SETTLEMENT_ROLE) */

    /// @notice Takes the next number of the global event sequence.
    function takeSequence() external returns (uint64 sequence);

    /// @notice Raises the cancel-all floor of `account`, binding from `effectiveAt` on. A floor already binding stays.
    /// @param effectiveAt 0: no floor, only a sign in the account's word that orders below `floor` may be cancelled.
    function raiseCancelFloor(address account, uint48 floor, uint40 effectiveAt) external;

    /// @notice Writes the net changes of one batch in one token: `changes[i]` to the word of `accounts[i]`. In the
    /// settlement token that includes the immediate orders that the batch uses up.
    /// Reverts unless the deltas sum to zero and no balance is debited by more than what is debitable.
    /// WARNING: an immediate sequence is written as it comes; settlement must never hand over a lower one.
    function applySettlement(address token, address[] calldata accounts, Change[] calldata changes) external;

    /// @notice Trades `amountIn` of what `pair` has here in `tokenIn` with the pair itself, for as much of `tokenOut`
    /// as it gives. What goes out counts as withdrawn, what came in as deposited and credited to `pair`.
    /// @param amountIn Units or atoms.
    /// @return amountOut What really came in, in units (rounded down) or atoms.
    function exchange(address pair, address tokenIn, address tokenOut, uint256 amountIn)
        external
        returns (uint256 amountOut);

    /* VIEWS */

    /// @notice What settlement may debit: the balance less a matured request.
    function debitable(address account, address token) external view returns (uint256);

    /// @notice What a batch needs to know of the balances of `accounts` in `token`, in one call.
    function standingsOf(address token, address[] calldata accounts) external view returns (Standing[] memory);

    /// @notice The account word with the floor that binds at this block's time.
    function accountOf(address account) external view returns (Account memory);

    /// @notice Units of the settlement token or atoms of a synth, a request included, locked collateral not; 0 for a
    /// token that is unknown.
    function balanceOf(address account, address token) external view returns (uint256);

    /// @notice The account's open request, matured or not; all zero without one. It may exceed the balance.
    function requestOf(address account, address token) external view returns (Request memory);

    /// @notice Units of the settlement token or atoms of a synth; all zero for a token that is unknown.
    function totalsOf(address token) external view returns (Totals memory);

    /// @notice One consistent look for reconciliation.
    /// @return blockNumber The block that answers.
    /// @return sequence The last event sequence taken.
    /// @return totals Per token of `tokens`.
    /// @return balances `balances[i][j]` of `accounts[i]` in `tokens[j]`.
    function reconcile(address[] calldata accounts, address[] calldata tokens)
        external
        view
        returns (uint256 blockNumber, uint64 sequence, Totals[] memory totals, uint256[][] memory balances);

    /// @notice The cap of `token` on what leaves with a countersignature.
    /// @return perHour 0 for none.
    /// @return left What may leave in this block; 2^256 - 1 without a cap.
    function outflowOf(address token) external view returns (uint256 perHour, uint256 left);

    /// @notice Whether `token` was registered; it stays so for ever.
    function isSynth(address token) external view returns (bool);
    /// @notice The last number of the global event sequence that was taken, here or by Settlement; 0 before the first.
    function sequence() external view returns (uint64);
    /// @notice Atoms of the settlement token per unit, times 1e18; 1e18 at first, and it only falls.
    function index() external view returns (uint256);
    /// @notice The settlement token (USDC), set once.
    function quoteToken() external view returns (address);
    /// @notice The Vault account that earns the fees of batches.
    function feeAccount() external view returns (address);
    /// @notice The Vault account that keeps the units for which CXPT was minted.
    function treasuryAccount() external view returns (address);
    /// @notice The Vault account that takes over positions worth less than their debt.
    function insuranceAccount() external view returns (address);
    /// @notice The operator's key whose countersignature lets a free balance fall at once; another takes an upgrade.
    function cosigner() external view returns (address);
    /// @notice Of the EIP-712 domain in which `Withdraw` and `Approval` are signed.
    function domainSeparator() external view returns (bytes32);
}
