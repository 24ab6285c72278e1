// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Authorization} from "./Types.sol";

/// @title Debt positions: the only origin of a synth
///
/// The minter is the account that opens a position; nobody goes into debt by an operator's key. Collateral is units of
/// the settlement token, locked in the Vault; a price is units per 1e18 synth atoms, from the PriceOracle.
///
/// PROMISES, per synth
/// - `totalSupply == sum of debts`; once shut down, the debts that were settled and not yet redeemed come on top.
/// - What the Vault has locked is the collateral of all positions and the pools of all synths that were shut down.
/// - Whoever stays at or above the maintenance ratio is never liquidated. Below it, anyone may bring the position back
///   to the initial ratio, paid with its collateral.
/// - Paying back needs neither price nor operator: a matured request of the Vault authorizes as well as a
///   countersignature. After a shutdown the same holds for leaving altogether.
/// - Every division is against whoever moves: a liquidator and a redeemer get less, a debtor owes more.
///
/// - Whoever shuts a synth down chooses no price: not while a quorum of readings could be accepted, and for an hour the
///   price that returns replaces the old one. What is left to chance is which of the two there is.
///
/// ASSUMPTIONS
/// - VAULT and ORACLE, fixed at construction, are the venue's; the issuer holds the Vault's CORE_ROLE. A synth does not
///   call back, and its only minter is the Vault.
/// - Somebody liquidates in time: between the initial and the maintenance ratio there is room for it, and after an
///   outage of the price RESUME_GRACE (20 minutes).
/// - A position in debt is worth a liquidator's gas: whatever takes collateral out leaves MIN_COLLATERAL (10e6 units).
///
/// WHO MAY CALL: anyone, for an own position, and to liquidate, absorb, shut down, reprice and settle. LISTER_ROLE sets
/// a synth's terms once; GUARDIAN_ROLE pauses new debt (IPausable), nothing else; the admin (ITwoStepAdmin, the
/// timelock) changes terms, a day after saying so.
///
/// WARNINGS
/// - After an outage the price that counts is the last one before it: if it was wrong by then, one side of every
///   position gains what the other loses, whoever shuts down, and all that is bounded is who can choose.
/// - A debt worth more than its collateral goes to the Vault's insurance account, collateral and all. What that account
///   does not pay back is missing from that synth's redemption if it is ever shut down, and from nothing else.
/// - Changed terms (behind the timelock) bind open positions, too.
interface ISynthIssuer {
    /// @param collateral Units of the settlement token, locked in the Vault.
    /// @param debt Atoms of the synth.
    struct Position {
        uint128 collateral;
        uint128 debt;
    }

    /// @param ceiling Synth atoms that may be in debt altogether; binds new debt only.
    /// @param initialPercent Least ratio of collateral to the debt's value after new debt, or after collateral was
    /// taken out; at most 1000.
    /// @param maintenancePercent Below this ratio anyone may liquidate; at least 110 and below `initialPercent`.
    /// @param bonusPercent What a liquidator gets above the value of what was paid back, from 1;
    /// `100 + bonusPercent < maintenancePercent`, so that every liquidation above that ratio raises it.
    struct Terms {
        uint128 ceiling;
        uint16 initialPercent;
        uint16 maintenancePercent;
        uint16 bonusPercent;
    }

    /// @notice The synth's terms from now on, for open positions too; see Terms.
    event TermsConfigured(
        address indexed synth, uint128 ceiling, uint16 initialPercent, uint16 maintenancePercent, uint16 bonusPercent
    );
    /// @notice Every change of a position, whatever its reason.
    /// @param collateral Units that it has now.
    /// @param debt Atoms that it owes now.
    event PositionChanged(address indexed account, address indexed synth, uint128 collateral, uint128 debt);
    /// @notice Follows the `PositionChanged` of `account`.
    /// @param debt Atoms that `liquidator` paid back.
    /// @param collateral Units that it got for them, the bonus included.
    event Liquidated(
        address indexed liquidator, address indexed account, address indexed synth, uint128 debt, uint128 collateral
    );
    /// @notice A whole position went to the insurance account: `collateral` units and `debt` atoms.
    event Absorbed(address indexed account, address indexed synth, uint128 collateral, uint128 debt);
    /// @notice The synth has ended at `price` (units per 1e18 atoms). Logged again by each `reprice`.
    event ShutDown(address indexed synth, uint256 price);
    /// @notice A position is closed by a shutdown.
    /// @param toPool Units for those who redeem.
    /// @param returned Units that went back to `account`.
    event PositionSettled(address indexed account, address indexed synth, uint128 toPool, uint128 returned);
    /// @notice `account` gave up `amount` atoms for `units` of the pool.
    event Redeemed(address indexed account, address indexed synth, uint256 amount, uint256 units);

    /// @notice Thrown when terms are out of their bounds.
    error MalformedTerms();
    /// @notice Thrown when a synth has no terms.
    error NoTerms(address synth);
    /// @notice Thrown when a position would be below the initial ratio.
    error Undercollateralized(uint256 collateral, uint256 required);
    /// @notice Thrown when a position in debt would be left with less collateral than MIN_COLLATERAL.
    error CollateralTooSmall(uint256 collateral);
    /// @notice Thrown when all debts together would be above the ceiling.
    error CeilingExceeded(uint256 debt, uint256 ceiling);
    /// @notice Thrown when there is no price young enough; `at` is when the last one was accepted.
    error StalePrice(uint40 at);
    /// @notice Thrown when a price came back too lately for anything to be liquidated.
    error PriceResumed(uint256 until);
    /// @notice Thrown when more is closed than the position holds.
    error ExceedsPosition();
    /// @notice Thrown when a position at or above the maintenance ratio is liquidated.
    error NotLiquidatable(uint256 collateral, uint256 required);
    /// @notice Thrown when a position is absorbed whose collateral is worth its debt.
    error NotUnderWater(uint256 collateral, uint256 value);
    /// @notice Thrown when the insurance account's position is liquidated or absorbed.
    error IsInsurance(address account);
    /// @notice Thrown when a liquidation would bring less than the liquidator wants.
    error TooLittleCollateral(uint256 collateral, uint256 wanted);
    /// @notice Thrown when something is asked of a synth that it can no longer do.
    error IsShutDown(address synth);
    /// @notice Thrown when something is asked of a synth that must be shut down first.
    error NotShutDown(address synth);
    /// @notice Thrown when a synth's price has not been missing for long enough.
    error ShutDownTooSoon(uint256 from);
    /// @notice Thrown when a synth is shut down whose price could be accepted now: `PriceOracle.accept` first.
    error PriceAvailable(address synth);
    /// @notice Thrown when positions are settled while the price of the shutdown may still be replaced.
    error PriceNotFinal(uint256 from);
    /// @notice Thrown when the price of a shutdown is to be replaced too late.
    error PriceFinal(uint256 until);
    /// @notice Thrown when a synth is shut down in which nobody is in debt.
    error NoDebt(address synth);
    /// @notice Thrown when somebody redeems before every position was settled.
    error PositionsUnsettled(uint256 count);
    /// @notice Thrown when nothing is redeemed, or more than there is.
    error NotRedeemable(uint256 amount, uint256 supply);

    /* TERMS */

    /// @notice Sets a synth's terms. LISTER_ROLE may set those of a synth that has none; only DEFAULT_ADMIN_ROLE may
    /// change them.
    function configure(address synth, Terms calldata terms) external;

    /* POSITIONS */

    /// @notice Locks `collateral` units of the caller and mints `debt` atoms of `synth` to the caller's Vault account.
    /// New debt needs a fresh price that is not in the grace after an outage, the initial ratio at that price or at the
    /// median that it is on its way to, whichever is higher, room below the ceiling, MIN_COLLATERAL, and that a
    /// guardian has not paused it. Taking collateral out of a debt needs the same price and ratio.
    function open(address synth, uint128 collateral, uint128 debt, Authorization calldata authorization) external;

    /// @notice Burns `debt` atoms from the caller's Vault account and unlocks `collateral` units to it. While debt is
    /// left, collateral goes out only at a fresh price, down to the initial ratio and MIN_COLLATERAL. After a shutdown
    /// a position in debt is settled instead.
    function close(address synth, uint128 collateral, uint128 debt, Authorization calldata authorization) external;

    /* LIQUIDATION */

    /// @notice Pays back up to `debt` atoms of a position below the maintenance ratio, out of the caller's Vault
    /// account, and credits the caller with collateral of that value and the bonus. Anyone may, also the debtor.
    /// No more is paid back than brings the position to the initial ratio; all of it may be if the collateral does not
    /// cover debt and bonus (the bonus is then what there is, in proportion), or if the rest would be too small.
    /// @param debt Atoms, of which the caller's Vault account must have all free.
    /// @param minCollateral Units for all of `debt`; for less, in proportion.
    /// @param authorization A countersignature is for a debit of `debt`: what is not paid back is minted back to the
    /// caller in the same call. A matured request is drawn on for what is paid back only.
    /// @return repaid Atoms, at most `debt`.
    /// @return collateral Units.
    function liquidate(
        address account,
        address synth,
        uint128 debt,
        uint128 minCollateral,
        Authorization calldata authorization
    ) external returns (uint128 repaid, uint128 collateral);

    /// @notice Moves a position whose collateral is worth less than its debt to the Vault's insurance account. Anyone
    /// may.
    function absorb(address account, address synth) external;

    /* SHUTDOWN */

    /// @notice Ends a synth for ever at the price that was accepted last, once that has been SHUTDOWN_DELAY (6 hours)
    /// ago and no quorum of readings is there. Anyone may. The price is final SHUTDOWN_GRACE (1 hour) later. What was
    /// posted last may be accepted up to the feed's `maxAge` (an hour at most) after it, by anyone: the 6 hours count
    /// from then.
    function shutDown(address synth) external;

    /// @notice Replaces the price of a shutdown by one that was accepted after it, within SHUTDOWN_GRACE of it; as
    /// often as there is a new one. Anyone may. So nobody gains by shutting down a moment before the price returns:
    /// what debtors and holders then get is the price that returned, within the bounds of its speed.
    function reprice(address synth) external;

    /// @notice After a shutdown, once its price is final: the value of each position's debt goes from its collateral to
    /// the pool, as far as it reaches; the rest returns to its owner's Vault account. Positions without anything are
    /// passed over. Anyone may.
    function settlePositions(address synth, address[] calldata accounts) external;

    /// @notice After all positions were settled: burns `amount` atoms from the caller's Vault account for its share of
    /// the pool, rounded down; the last one gets the rest.
    /// @return units Credited to the caller's Vault account.
    function redeem(address synth, uint256 amount, Authorization calldata authorization)
        external
        returns (uint256 units);

    /* VIEWS */

    /// @notice The synth's terms; all zero if it has none.
    function termsOf(address synth) external view returns (Terms memory);
    /// @notice The account's position in `synth`; all zero without one, and after a shutdown settled it.
    function positionOf(address account, address synth) external view returns (Position memory);
    /// @return count Accounts with a position, of collateral or debt, in `synth`.
    function positionCount(address synth) external view returns (uint256 count);
    /// @notice A page of the positions in `synth`, in no order that lasts: for liquidators, and for whoever closes a
    /// synth that was shut down, where nodes serve no old logs.
    function positionsOf(address synth, uint256 from, uint256 count)
        external
        view
        returns (address[] memory accounts, Position[] memory positions);
    /// @return debt Sum of all debts that were not settled.
    function debtOf(address synth) external view returns (uint256 debt);
    /// @notice Whether `liquidate` would be let now.
    function isLiquidatable(address account, address synth) external view returns (bool);
    /// @return debt The most that `liquidate` would pay back now, 0 if nothing.
    function liquidatableDebt(address account, address synth) external view returns (uint256 debt);
    /// @return price At which the synth was shut down.
    /// @return at When; 0 if it was not.
    /// @return unsettled Positions in debt that still must be settled.
    /// @return pool Units that are left for redemption.
    function shutdownOf(address synth) external view returns (uint256 price, uint40 at, uint256 unsettled, uint256 pool);
}
