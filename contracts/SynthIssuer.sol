// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";
import {IPausable} from "./interfaces/IPausable.sol";
import {IPriceOracle} from "./interfaces/IPriceOracle.sol";
import {ISynthIssuer} from "./interfaces/ISynthIssuer.sol";
import {IVault} from "./interfaces/IVault.sol";
import {Authorization, SHUTDOWN_DELAY, SHUTDOWN_GRACE} from "./interfaces/Types.sol";
import {PauseRules} from "./libraries/PauseRules.sol";
import {TwoStepAdmin} from "./TwoStepAdmin.sol";

/// @title Debt positions; see ISynthIssuer
/// @dev Order in every function: check, write, emit, call the Vault. It holds no token itself, trusts Vault and oracle,
/// and needs no guard: everything is written before a token could call back. Not upgradeable; another version is
/// another CORE_ROLE.
contract SynthIssuer is ISynthIssuer, IPausable, TwoStepAdmin {
    using EnumerableSet for EnumerableSet.AddressSet;
    using SafeCast for uint256;

    /// @dev One synth. `debt` is the sum of all debts, `debtors` the number of positions with one; after a shutdown
    /// both are of those that are not settled. `price` and `pool` have a meaning after a shutdown only.
    struct Book {
        Terms terms;
        uint128 debt;
        uint40 shutDownAt;
        uint32 debtors;
        uint256 price;
        uint256 pool;
    }

    bytes32 public constant LISTER_ROLE = keccak256("LISTER_ROLE");
    bytes32 public constant GUARDIAN_ROLE = keccak256("GUARDIAN_ROLE");

    /// @dev In units: a position in debt is worth a liquidator's gas, and filling a synth with positions to delay its
    /// redemption has a price.
    uint256 public constant MIN_COLLATERAL = 10e6;
    /// @dev After an outage of the price, debtors get this long before anything is liquidated.
    uint256 public constant RESUME_GRACE = 20 minutes;

    /// @dev The bounds of a synth's terms, as ratios of collateral to the debt's value: see Terms.
    uint256 private constant MIN_MAINTENANCE_PERCENT = 110;
    uint256 private constant MAX_INITIAL_PERCENT = 1000;
    /// @dev Prices are units per this many synth atoms.
    uint256 private constant PRICE_ATOMS = 1e18;
    /// @dev What `atoms * price * percent` is divided by.
    uint256 private constant PERCENT_ATOMS = PRICE_ATOMS * 100;

    IVault public immutable VAULT;
    IPriceOracle public immutable ORACLE;

    /* STORAGE */

    mapping(address account => mapping(address synth => Position)) private _positions;
    /// @dev Accounts whose position is not empty.
    mapping(address synth => EnumerableSet.AddressSet) private _holders;
    mapping(address synth => Book) private _books;
    /// @inheritdoc IPausable
    uint256 public pausedUntil;

    constructor(address admin_, address vault, address oracle) TwoStepAdmin(admin_) {
        VAULT = IVault(vault);
        ORACLE = IPriceOracle(oracle);
    }

    /* TERMS */

    /// @inheritdoc ISynthIssuer
    function configure(address synth, Terms calldata terms) external {
        _checkRole(_hasTerms(synth) ? DEFAULT_ADMIN_ROLE : LISTER_ROLE);
        bool isOrdered = terms.maintenancePercent >= MIN_MAINTENANCE_PERCENT
            && terms.maintenancePercent < terms.initialPercent && terms.initialPercent <= MAX_INITIAL_PERCENT;
        bool isPaid = terms.bonusPercent != 0 && 100 + uint256(terms.bonusPercent) < terms.maintenancePercent;
        if (!isOrdered || !isPaid) revert MalformedTerms();

        _books[synth].terms = terms;
        emit TermsConfigured(synth, terms.ceiling, terms.initialPercent, terms.maintenancePercent, terms.bonusPercent);
    }

    function _hasTerms(address synth) private view returns (bool) {
        return _books[synth].terms.initialPercent != 0;
    }

    /* PAUSE */

    /// @inheritdoc IPausable
    function pause() external onlyRole(GUARDIAN_ROLE) {
        pausedUntil = PauseRules.begin(pausedUntil);
        emit Paused(msg.sender, pausedUntil);
    }

    /// @inheritdoc IPausable
    function unpause() external onlyRole(GUARDIAN_ROLE) {
        pausedUntil = PauseRules.end(pausedUntil);
        emit Unpaused(msg.sender);
    }

    /* POSITIONS */

    /// @inheritdoc ISynthIssuer
    function open(address synth, uint128 collateral, uint128 debt, Authorization calldata authorization) external {
        _requireRunning(synth);
        Position memory position = _positions[msg.sender][synth];
        position.collateral += collateral;
        position.debt += debt;
        // More collateral alone always improves a position: it needs no price.
        if (debt != 0) _requireMayOwe(synth, debt, position);
        _keep(msg.sender, synth, position);

        if (collateral != 0) VAULT.lockCollateral(msg.sender, collateral, authorization);
        if (debt != 0) VAULT.mintSynth(synth, msg.sender, debt);
    }

    /// @inheritdoc ISynthIssuer
    function close(address synth, uint128 collateral, uint128 debt, Authorization calldata authorization) external {
        Position memory position = _positions[msg.sender][synth];
        // At the price of today instead of that of the shutdown a debtor could leave the holders less.
        if (position.debt != 0) _requireRunning(synth);
        if (collateral > position.collateral || debt > position.debt) revert ExceedsPosition();
        position.collateral -= collateral;
        position.debt -= debt;
        // Paying back alone always improves a position: it needs no price.
        if (collateral != 0) _requireCollateralized(synth, position);
        _keep(msg.sender, synth, position);

        if (debt != 0) VAULT.burnSynth(synth, msg.sender, debt, authorization);
        if (collateral != 0) VAULT.unlockCollateral(msg.sender, collateral);
    }

    function _requireMayOwe(address synth, uint256 debt, Position memory position) private view {
        Book storage book = _books[synth];
        PauseRules.requireRunning(pausedUntil);
        // It stands in for others and is never liquidated: it must not begin a debt of its own.
        if (msg.sender == VAULT.insuranceAccount()) revert IsInsurance(msg.sender);
        if (!_hasTerms(synth)) revert NoTerms(synth);
        uint256 total = book.debt + debt;
        if (total > book.terms.ceiling) revert CeilingExceeded(total, book.terms.ceiling);

        _requireCollateralized(synth, position);
    }

    /// @dev Without debt there is nothing to value, so that whoever has paid back needs no price to get out.
    function _requireCollateralized(address synth, Position memory position) private view {
        if (position.debt == 0) return;

        uint256 price = _cautiousPrice(synth);
        uint256 required = _valueUp(position.debt, price, _books[synth].terms.initialPercent);
        if (position.collateral < required) revert Undercollateralized(position.collateral, required);
        _requireWorthKeeping(position);
    }

    function _requireWorthKeeping(Position memory position) private pure {
        if (position.debt != 0 && position.collateral < MIN_COLLATERAL) revert CollateralTooSmall(position.collateral);
    }

    /// @dev The one place where a position changes, so that sum, number and list of the debts follow.
    function _keep(address account, address synth, Position memory position) private {
        Book storage book = _books[synth];
        uint256 before = _positions[account][synth].debt;
        book.debt = (book.debt - before + position.debt).toUint128();
        if (before == 0 && position.debt != 0) ++book.debtors;
        if (before != 0 && position.debt == 0) --book.debtors;
        if (position.collateral == 0 && position.debt == 0) _holders[synth].remove(account);
        else _holders[synth].add(account);
        _positions[account][synth] = position;

        emit PositionChanged(account, synth, position.collateral, position.debt);
    }

    /* LIQUIDATION */

    /// @inheritdoc ISynthIssuer
    function liquidate(
        address account,
        address synth,
        uint128 debt,
        uint128 minCollateral,
        Authorization calldata authorization
    ) external returns (uint128 repaid, uint128 collateral) {
        uint256 price = _forcedPrice(account, synth);
        Position memory position = _positions[account][synth];
        repaid = uint128(Math.min(debt, _requireLiquidatable(synth, position, price)));
        collateral = _seizedDown(position, repaid, price, _books[synth].terms.bonusPercent);
        _requireEnough(collateral, repaid, minCollateral, debt);

        position.debt -= repaid;
        position.collateral -= collateral;
        _requireWorthKeeping(position);
        _keep(account, synth, position);
        emit Liquidated(msg.sender, account, synth, repaid, collateral);

        _takeRepaid(synth, debt, repaid, authorization);
        VAULT.unlockCollateral(msg.sender, collateral);
    }

    /// @dev At the price that `minCollateral` for `debt` is. Neither product has more than 256 bits.
    function _requireEnough(uint256 collateral, uint256 repaid, uint256 minCollateral, uint256 debt) private pure {
        if (collateral * debt < minCollateral * repaid) revert TooLittleCollateral(collateral, minCollateral);
    }

    /// @dev A countersignature is for one exact amount, what may be repaid is known only now: the rest is minted back.
    /// Otherwise a debtor who pays back an atom, or one who moves the price by one, would void it.
    function _takeRepaid(address synth, uint256 debt, uint256 repaid, Authorization calldata authorization) private {
        uint256 taken = authorization.cosignature.length == 0 ? repaid : debt;
        VAULT.burnSynth(synth, msg.sender, taken, authorization);
        if (taken != repaid) VAULT.mintSynth(synth, msg.sender, taken - repaid);
    }

    /// @inheritdoc ISynthIssuer
    function absorb(address account, address synth) external {
        uint256 price = _forcedPrice(account, synth);
        Position memory position = _positions[account][synth];
        uint256 value = _valueUp(position.debt, price, 100);
        if (position.collateral >= value) revert NotUnderWater(position.collateral, value);

        address insurance = VAULT.insuranceAccount();
        Position memory insured = _positions[insurance][synth];
        insured.collateral += position.collateral;
        insured.debt += position.debt;
        _keep(account, synth, Position(0, 0));
        _keep(insurance, synth, insured);
        emit Absorbed(account, synth, position.collateral, position.debt);
    }

    /// @dev The price at which a position may be taken from its owner. The insurance account stands in for others: its
    /// position is not another debtor's.
    function _forcedPrice(address account, address synth) private view returns (uint256 price) {
        _requireRunning(synth);
        if (account == VAULT.insuranceAccount()) revert IsInsurance(account);
        uint256 graceUntil;
        (price, graceUntil) = _freshPrice(synth);
        if (block.timestamp < graceUntil) revert PriceResumed(graceUntil);
    }

    function _requireLiquidatable(address synth, Position memory position, uint256 price)
        private
        view
        returns (uint256 most)
    {
        Terms memory terms = _books[synth].terms;
        most = _mostRepaid(position, terms, price);
        if (most == 0) {
            revert NotLiquidatable(position.collateral, _valueUp(position.debt, price, terms.maintenancePercent));
        }
    }

    /// @return The debt to pay back that brings the position to the initial ratio, rounded up; all of it if collateral
    /// does not cover debt and bonus, or would be left too small; 0 at or above the maintenance ratio.
    function _mostRepaid(Position memory position, Terms memory terms, uint256 price) private pure returns (uint256) {
        (uint256 collateral, uint256 debt) = (position.collateral, position.debt);
        if (collateral >= _valueUp(debt, price, terms.maintenancePercent)) return 0;
        uint256 paidPercent = 100 + uint256(terms.bonusPercent);
        if (collateral <= _valueDown(debt, price, paidPercent)) return debt;

        // Wanted: (collateral - x * price * paid) >= (debt - x) * price * initial. No overflow: value and bonus of the
        // debt are below the collateral's 128 bits, which bounds debt * price.
        uint256 missing = debt * price * terms.initialPercent - collateral * PERCENT_ATOMS;
        uint256 repaid = Math.ceilDiv(missing, price * (terms.initialPercent - paidPercent));
        uint256 left = collateral - _valueDown(repaid, price, paidPercent);
        return left < MIN_COLLATERAL ? debt : repaid;
    }

    /// @return Units for paying back `debt` of the position: value and bonus, but no more than in proportion. Otherwise
    /// a part could take the collateral and leave the debt.
    function _seizedDown(Position memory position, uint256 debt, uint256 price, uint256 bonusPercent)
        private
        pure
        returns (uint128)
    {
        uint256 share = Math.mulDiv(position.collateral, debt, position.debt);
        // Safe cast: a share of what has 128 bits.
        return uint128(Math.min(share, _valueDown(debt, price, 100 + bonusPercent)));
    }

    /* SHUTDOWN */

    /// @inheritdoc ISynthIssuer
    function shutDown(address synth) external {
        _requireRunning(synth);
        Book storage book = _books[synth];
        // Without debt nobody needs it, and whoever could would end a market that has only just begun.
        if (book.debt == 0) revert NoDebt(synth);
        (uint256 price, uint40 at,,) = ORACLE.priceOf(synth);
        if (block.timestamp <= at + SHUTDOWN_DELAY) revert ShutDownTooSoon(at + SHUTDOWN_DELAY + 1);
        // Whoever sees a price return must not be quicker than it: anyone may have it accepted.
        (, uint8 readings) = ORACLE.medianOf(synth);
        if (readings >= ORACLE.feedOf(synth).quorum) revert PriceAvailable(synth);

        book.shutDownAt = uint40(block.timestamp);
        book.price = price;
        emit ShutDown(synth, price);
    }

    /// @inheritdoc ISynthIssuer
    function reprice(address synth) external {
        _requireShutDown(synth);
        Book storage book = _books[synth];
        uint256 until = book.shutDownAt + SHUTDOWN_GRACE;
        if (block.timestamp > until) revert PriceFinal(until);
        (uint256 price, uint40 at,,) = ORACLE.priceOf(synth);
        if (at < book.shutDownAt) revert StalePrice(at);

        book.price = price;
        emit ShutDown(synth, price);
    }

    /// @inheritdoc ISynthIssuer
    function settlePositions(address synth, address[] calldata accounts) external {
        _requireShutDown(synth);
        uint256 from = _books[synth].shutDownAt + SHUTDOWN_GRACE + 1;
        if (block.timestamp < from) revert PriceNotFinal(from);
        for (uint256 i; i < accounts.length; ++i) {
            _settle(accounts[i], synth);
        }
    }

    function _settle(address account, address synth) private {
        Book storage book = _books[synth];
        Position memory position = _positions[account][synth];
        if (position.collateral == 0 && position.debt == 0) return;

        // Safe casts: no more than the collateral.
        uint128 toPool = uint128(Math.min(_valueUp(position.debt, book.price, 100), position.collateral));
        uint128 returned = position.collateral - toPool;
        book.pool += toPool;
        _keep(account, synth, Position(0, 0));
        emit PositionSettled(account, synth, toPool, returned);

        if (returned != 0) VAULT.unlockCollateral(account, returned);
    }

    /// @inheritdoc ISynthIssuer
    function redeem(address synth, uint256 amount, Authorization calldata authorization)
        external
        returns (uint256 units)
    {
        _requireShutDown(synth);
        Book storage book = _books[synth];
        if (book.debtors != 0) revert PositionsUnsettled(book.debtors);
        uint256 supply = IERC20(synth).totalSupply();
        if (amount == 0 || amount > supply) revert NotRedeemable(amount, supply);

        units = Math.mulDiv(book.pool, amount, supply);
        book.pool -= units;
        emit Redeemed(msg.sender, synth, amount, units);

        VAULT.burnSynth(synth, msg.sender, amount, authorization);
        if (units != 0) VAULT.unlockCollateral(msg.sender, units);
    }

    function _requireRunning(address synth) private view {
        if (_books[synth].shutDownAt != 0) revert IsShutDown(synth);
    }

    function _requireShutDown(address synth) private view {
        if (_books[synth].shutDownAt == 0) revert NotShutDown(synth);
    }

    /* VALUE */

    /// @dev The accepted price moves at a bounded speed: what it lags behind would be minted unbacked. So debt is
    /// opened at the median that it is on its way to, if that is higher, and not at all while nobody can be liquidated.
    function _cautiousPrice(address synth) private view returns (uint256) {
        (uint256 price, uint256 graceUntil) = _freshPrice(synth);
        if (block.timestamp < graceUntil) revert PriceResumed(graceUntil);
        (uint256 median, uint8 readings) = ORACLE.medianOf(synth);
        return readings < ORACLE.feedOf(synth).quorum ? price : Math.max(price, median);
    }

    /// @return price That counts now.
    /// @return graceUntil Until when nothing is liquidated at it.
    function _freshPrice(address synth) private view returns (uint256 price, uint256 graceUntil) {
        uint40 at;
        bool isFresh;
        (price, at, graceUntil, isFresh) = _priceOf(synth);
        if (!isFresh) revert StalePrice(at);
    }

    function _priceOf(address synth) private view returns (uint256 price, uint40 at, uint256 graceUntil, bool isFresh) {
        uint40 resumedAt;
        uint32 maxAge;
        (price, at, resumedAt, maxAge) = ORACLE.priceOf(synth);
        isFresh = price != 0 && block.timestamp <= uint256(at) + maxAge;
        if (resumedAt != 0) graceUntil = resumedAt + RESUME_GRACE;
    }

    /// @return Units that `percent` of the value of `atoms` are.
    function _valueUp(uint256 atoms, uint256 price, uint256 percent) private pure returns (uint256) {
        return Math.mulDiv(atoms, price * percent, PERCENT_ATOMS, Math.Rounding.Ceil);
    }

    function _valueDown(uint256 atoms, uint256 price, uint256 percent) private pure returns (uint256) {
        return Math.mulDiv(atoms, price * percent, PERCENT_ATOMS);
    }

    /* VIEWS */

    /// @inheritdoc ISynthIssuer
    function termsOf(address synth) external view returns (Terms memory) {
        return _books[synth].terms;
    }

    /// @inheritdoc ISynthIssuer
    function positionOf(address account, address synth) external view returns (Position memory) {
        return _positions[account][synth];
    }

    /// @inheritdoc ISynthIssuer
    function positionCount(address synth) external view returns (uint256) {
        return _holders[synth].length();
    }

    /// @inheritdoc ISynthIssuer
    function positionsOf(address synth, uint256 from, uint256 count)
        external
        view
        returns (address[] memory accounts, Position[] memory positions)
    {
        uint256 length = _holders[synth].length();
        uint256 last = Math.min(Math.saturatingAdd(from, count), length);
        uint256 size = Math.saturatingSub(last, from);
        accounts = new address[](size);
        positions = new Position[](size);
        for (uint256 i; i < size; ++i) {
            accounts[i] = _holders[synth].at(from + i);
            positions[i] = _positions[accounts[i]][synth];
        }
    }

    /// @inheritdoc ISynthIssuer
    function debtOf(address synth) external view returns (uint256) {
        return _books[synth].debt;
    }

    /// @inheritdoc ISynthIssuer
    function isLiquidatable(address account, address synth) external view returns (bool) {
        return liquidatableDebt(account, synth) != 0;
    }

    /// @inheritdoc ISynthIssuer
    function liquidatableDebt(address account, address synth) public view returns (uint256) {
        Book storage book = _books[synth];
        (uint256 price,, uint256 graceUntil, bool isFresh) = _priceOf(synth);
        bool isForced = isFresh && block.timestamp >= graceUntil && book.shutDownAt == 0;
        if (!isForced || account == VAULT.insuranceAccount()) return 0;

        return _mostRepaid(_positions[account][synth], book.terms, price);
    }

    /// @inheritdoc ISynthIssuer
    function shutdownOf(address synth)
        external
        view
        returns (uint256 price, uint40 at, uint256 unsettled, uint256 pool)
    {
        Book storage book = _books[synth];
        if (book.shutDownAt == 0) return (0, 0, 0, 0);
        return (book.price, book.shutDownAt, book.debtors, book.pool);
    }
}
