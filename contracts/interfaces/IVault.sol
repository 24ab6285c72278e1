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
/// - A guardian may pause deposits, and nothing else (see IPausable): no way out is ever shut.
/// - The balance of an AMM pair is a place of transit: what a batch puts in it leaves again in the same batch. Whoever
///   deposits for a pair loses the deposit.
///
/// EVENTS carry one global sequence without gaps, shared with Settlement (see `takeSequence`), and, outside settlement,
/// the resulting balance: a missed log is provable.
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
    struct Request {
        uint128 amount;
        uint40 maturesAt;
        address destination;
    }

    /// @notice Totals per token since deployment; `internalTotal + locked == deposits - withdrawals + minted - burned`.
    struct Totals {
        uint256 deposits;
        uint256 withdrawals;
        uint256 minted;
        uint256 burned;
        uint256 locked;
        uint256 internalTotal;
    }

    event Deposited(
        uint64 indexed sequence, address indexed account, address indexed token, uint256 amount, uint256 balance
    );
    event WithdrawalRequested(
        uint64 indexed sequence,
        address indexed account,
        address indexed token,
        uint256 amount,
        address destination,
        uint40 maturesAt
    );
    event WithdrawalRequestCancelled(uint64 indexed sequence, address indexed account, address indexed token);
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
    event CollateralLocked(
        uint64 indexed sequence,
        address indexed account,
        uint256 amount,
        uint256 balance,
        uint256 approval,
        uint256 requestRemaining
    );
    event CollateralUnlocked(uint64 indexed sequence, address indexed account, uint256 amount, uint256 balance);
    event SynthMinted(
        uint64 indexed sequence, address indexed token, address indexed account, uint256 amount, uint256 balance
    );
    event SynthBurned(
        uint64 indexed sequence,
        address indexed token,
        address indexed account,
        uint256 amount,
        uint256 balance,
        uint256 approval,
        uint256 requestRemaining
    );
    event SynthRegistered(uint64 indexed sequence, address indexed token);

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
    /// @notice Thrown when the deltas of a batch in a token do not sum to zero.
    error Unbalanced(address token);
    /// @notice Thrown when a token is registered twice, is the settlement token, or has another minter.
    error NotRegistrable(address token);
    /// @notice Thrown when upgrades are given to, or asked for by, anything but a timelock of MIN_UPGRADE_DELAY or
    /// more.
    error UpgradeDelayTooShort(address upgrader);

    /* DEPOSITS */

    // All of them revert while deposits are paused.

    /// @notice Moves `atoms` of the settlement token from the caller and credits the caller.
    function deposit(uint256 atoms) external;

    /// @notice Moves `atoms` of the settlement token from the caller and credits `account`.
    function depositFor(address account, uint256 atoms) external;

    /// @notice Moves `atoms` from `owner` with an ERC-2612 permit and credits `owner`. Anyone may send it.
    /// A permit that was front-run does not matter as long as the allowance is there.
    function depositWithPermit(address owner, uint256 atoms, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Moves `atoms` of a registered synth from the caller and credits the caller.
    function depositSynth(address token, uint256 atoms) external;

    /* WITHDRAWALS */

    /// @notice Opens the caller's request: from `block.timestamp + EXIT_DELAY` on the amount is no longer debitable by
    /// settlement and anyone may complete it to `destination`.
    function requestWithdrawal(address token, uint128 amount, address destination) external;

    /// @notice Closes the caller's request; the amount is free again.
    function cancelWithdrawalRequest(address token) external;

    /// @notice Draws `amount` units on the caller's matured request of the settlement token, paid to its destination.
    /// @param asCxpt Mint CXPT 1:1 by value to the destination and move the units to the treasury account instead.
    function withdraw(uint256 amount, bool asCxpt) external;

    /// @notice Completes `account`'s matured request in `token`: pays min(request, balance) to its destination and
    /// closes it. Anyone may call it, at any time, also while everything else is paused. With nothing to pay it
    /// reverts, so that the request stays open.
    function completeWithdrawal(address account, address token) external;

    /// @notice Withdraws at once with the operator's countersignature, and leaves alone what a matured request holds.
    /// The owner's nonce is used up whoever sends.
    /// @param ownerSignature The owner's `Withdraw` signature; may be empty if the owner is the caller.
    function withdrawApproved(
        Withdrawal calldata withdrawal,
        bytes calldata ownerSignature,
        Authorization calldata authorization
    ) external;

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
    function raiseCancelFloor(address account, uint48 floor, uint40 effectiveAt) external;

    /// @notice Writes the net changes of one batch in one token: `changes[i]` to the word of `accounts[i]`. In the
    /// settlement token that includes the immediate orders that the batch uses up.
    /// Reverts unless the deltas sum to zero and no balance is debited by more than what is debitable.
    /// WARNING: an immediate sequence is written as it comes; settlement must never hand over a lower one.
    function applySettlement(address token, address[] calldata accounts, Change[] calldata changes) external;

    /// @notice Trades `amountIn` of what `pair` has here in `tokenIn` with the pair itself, for as much of `tokenOut` as
    /// it gives. What goes out counts as withdrawn, what came in as deposited and credited to `pair`.
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

    function balanceOf(address account, address token) external view returns (uint256);

    function requestOf(address account, address token) external view returns (Request memory);

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

    function isSynth(address token) external view returns (bool);
    function sequence() external view returns (uint64);
    function index() external view returns (uint256);
    function quoteToken() external view returns (address);
    function feeAccount() external view returns (address);
    function treasuryAccount() external view returns (address);
    function insuranceAccount() external view returns (address);
    function cosigner() external view returns (address);
    function domainSeparator() external view returns (bytes32);
}
