// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessControlUpgradeable} from "@openzeppelin/contracts-upgradeable/access/AccessControlUpgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {IAmmPair} from "./interfaces/IAmmPair.sol";
import {ICXPT} from "./interfaces/ICXPT.sol";
import {IPausable} from "./interfaces/IPausable.sol";
import {ISynthERC20} from "./interfaces/ISynthERC20.sol";
import {IVault} from "./interfaces/IVault.sol";
import {Authorization, EXIT_DELAY, MIN_UPGRADE_DELAY, Withdrawal} from "./interfaces/Types.sol";
import {Change} from "./libraries/Changes.sol";
import {Flow} from "./libraries/Flows.sol";
import {PauseRules} from "./libraries/PauseRules.sol";
import {Outflows} from "./libraries/Outflows.sol";
import {Signatures} from "./libraries/Signatures.sol";
import {Transfers} from "./libraries/Transfers.sol";
import {UnitIndex} from "./libraries/UnitIndex.sol";
import {VaultMessages, Words} from "./libraries/VaultMessages.sol";
import {TransientLock} from "./TransientLock.sol";
import {VaultBase} from "./VaultBase.sol";

/// @title Custody; see IVault for assumptions and promises
/// @dev Behind an ERC-1967 proxy; the books are in VaultBase. Order in every function: check, write, emit,
/// transfer. Everything that moves money holds one transient re-entrancy guard.
contract Vault is VaultBase, IPausable, UUPSUpgradeable, AccessControlUpgradeable, TransientLock {
    using BitMaps for BitMaps.BitMap;
    using Checkpoints for Checkpoints.Trace208;
    using SafeCast for uint256;
    using SafeERC20 for IERC20;

    bytes32 public constant UPGRADER_ROLE = keccak256("UPGRADER_ROLE");
    bytes32 public constant SETTLEMENT_ROLE = keccak256("SETTLEMENT_ROLE");
    bytes32 public constant CORE_ROLE = keccak256("CORE_ROLE");
    bytes32 public constant REGISTRAR_ROLE = keccak256("REGISTRAR_ROLE");
    bytes32 public constant GUARDIAN_ROLE = keccak256("GUARDIAN_ROLE");

    uint8 private constant CXPT_DECIMALS = 18;

    /// @dev What the log `Withdrawn` says, in its order and in its words: it is logged as it stands here.
    struct Paid {
        uint256 amount;
        uint256 balance;
        uint256 destination;
        uint256 asCxpt;
        uint256 approval;
        uint256 requestRemaining;
    }

    /* CONSTRUCTION */

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @param admin Grants and revokes roles.
    /// @param quoteToken_ The settlement token.
    /// @param cxpt Token that `asCxpt` withdrawals mint; this contract must hold its MINTER_ROLE.
    /// @param cosigner_ Key whose countersignature lets a free balance fall at once.
    /// @param feeAccount_ Vault account that earns the fees.
    /// @param treasuryAccount_ Vault account that keeps the units for which CXPT was minted.
    /// @param insuranceAccount_ Vault account that will stand in for bad debt.
    /// @param outflowPerHour The first outflow cap of the settlement token, in units; 0 for none.
    function initialize(
        address admin,
        address quoteToken_,
        address cxpt,
        address cosigner_,
        address feeAccount_,
        address treasuryAccount_,
        address insuranceAccount_,
        uint128 outflowPerHour
    ) external initializer {
        if (
            admin == address(0) || quoteToken_ == address(0) || cxpt == address(0) || cosigner_ == address(0)
                || feeAccount_ == address(0) || treasuryAccount_ == address(0) || insuranceAccount_ == address(0)
        ) revert ZeroAddress();

        _grantRole(DEFAULT_ADMIN_ROLE, admin);

        VaultStorage storage $ = _storage();
        $.quoteToken = quoteToken_;
        $.cxpt = cxpt;
        $.cosigner = cosigner_;
        $.feeAccount = feeAccount_;
        $.treasuryAccount = treasuryAccount_;
        $.insuranceAccount = insuranceAccount_;
        $.index = uint64(UnitIndex.ONE);
        $.cxptAtomsPerQuoteAtom = 10 ** (CXPT_DECIMALS - IERC20Metadata(quoteToken_).decimals());
        _setOutflowCap(quoteToken_, outflowPerHour);
    }

    /// @dev Asked twice, at the grant and at the upgrade: a timelock could otherwise raise its own delay in the same
    /// transaction in which it upgrades.
    function _authorizeUpgrade(address) internal view override onlyRole(UPGRADER_ROLE) {
        _requireLongTimelock(msg.sender);
    }

    function _grantRole(bytes32 role, address account) internal override returns (bool) {
        if (role == UPGRADER_ROLE) _requireLongTimelock(account);
        return super._grantRole(role, account);
    }

    function _requireLongTimelock(address upgrader) private view {
        if (upgrader.code.length == 0) revert UpgradeDelayTooShort(upgrader);
        try TimelockController(payable(upgrader)).getMinDelay() returns (uint256 delay) {
            if (delay < MIN_UPGRADE_DELAY) revert UpgradeDelayTooShort(upgrader);
        } catch {
            revert UpgradeDelayTooShort(upgrader);
        }
    }

    /* DEPOSITS */

    /// @inheritdoc IVault
    function deposit(uint256 atoms) external nonReentrant {
        _deposit(msg.sender, msg.sender, atoms);
    }

    /// @inheritdoc IVault
    function depositFor(address account, uint256 atoms) external nonReentrant {
        if (account == address(0)) revert ZeroAddress();
        _deposit(msg.sender, account, atoms);
    }

    /// @inheritdoc IVault
    function depositWithPermit(address owner, uint256 atoms, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        nonReentrant
    {
        // solhint-disable-next-line no-empty-blocks
        try IERC20Permit(_storage().quoteToken).permit(owner, address(this), atoms, deadline, v, r, s) {} catch {}
        _deposit(owner, owner, atoms);
    }

    /// @inheritdoc IVault
    function depositSynth(address token, uint256 atoms) external nonReentrant {
        _requireSynth(token);
        _bring(msg.sender, msg.sender, token, false, atoms, atoms);
    }

    function _deposit(address payer, address account, uint256 atoms) private {
        VaultStorage storage $ = _storage();
        // Together, so that the word is read once.
        (address token, uint256 atIndex, uint256 until) = ($.quoteToken, $.index, $.pausedUntil);
        PauseRules.requireRunning(until);
        _bring(payer, account, token, true, atoms, UnitIndex.toUnitsDown(atoms, atIndex));
    }

    /// @param atoms What is moved.
    /// @param amount What it is worth in the account: units or atoms.
    function _bring(address payer, address account, address token, bool isQuote, uint256 atoms, uint256 amount)
        private
    {
        if (amount == 0) revert ZeroAmount();

        uint256 balance = _credit(account, token, amount);
        Flow flow = _countIn(_storage().flow.withEvents(1), token, isQuote, amount);
        _storage().flow = flow;
        emit Deposited(uint64(flow.sequence()), account, token, amount, balance);

        IERC20(token).safeTransferFrom(payer, address(this), atoms);
    }

    /* WITHDRAWALS */

    /// @inheritdoc IVault
    function requestWithdrawal(address token, uint128 amount, address destination) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        if (destination == address(0)) revert ZeroAddress();
        _requireKnown(token);
        Entry storage entry = _entryOf(_storage(), token, msg.sender);
        if (entry.word.maturesAt() != 0) revert RequestPending();

        uint32 maturesAt = uint32(block.timestamp + EXIT_DELAY);
        entry.word = entry.word.withMaturesAt(maturesAt);
        Demand storage demand = _demandOf(_storage(), token, msg.sender);
        bool isElsewhere = destination != msg.sender;
        demand.word = isElsewhere ? 1 << 128 | uint256(amount) : amount;
        if (isElsewhere) demand.destination = destination;

        emit WithdrawalRequested(_nextSequence(), msg.sender, token, amount, destination, maturesAt);
    }

    /// @inheritdoc IVault
    function cancelWithdrawalRequest(address token) external nonReentrant {
        Entry storage entry = _entryOf(_storage(), token, msg.sender);
        if (entry.word.maturesAt() == 0) revert NoRequest();
        entry.word = entry.word.withMaturesAt(0);
        _erase(_demandOf(_storage(), token, msg.sender));

        emit WithdrawalRequestCancelled(_nextSequence(), msg.sender, token);
    }

    /// @inheritdoc IVault
    function withdraw(uint256 amount, bool asCxpt) external nonReentrant {
        _payRequested(msg.sender, _storage().quoteToken, amount, asCxpt);
    }

    /// @inheritdoc IVault
    function completeWithdrawal(address account, address token) external nonReentrant {
        uint256 amount = Math.min(_requestedOf(token, account), balanceOf(account, token));
        _payRequested(account, token, amount, false);
    }

    function _payRequested(address account, address token, uint256 amount, bool asCxpt) private {
        VaultStorage storage $ = _storage();
        // Together, so that the word is read once.
        (bool isQuote, uint256 atIndex) = (token == $.quoteToken, $.index);
        (uint256 balance, uint256 requested, uint256 destination) = _drawOnRequest($, account, token, amount);
        Paid memory paid = Paid(amount, balance, destination, asCxpt ? 1 : 0, 0, requested);
        _pay($, $.flow, account, token, isQuote, atIndex, paid);
    }

    /// @inheritdoc IVault
    function withdrawApproved(
        Withdrawal calldata withdrawal,
        bytes calldata ownerSignature,
        Authorization calldata authorization
    ) external nonReentrant {
        Words calldata words = VaultMessages.wordsOf(withdrawal);
        VaultStorage storage $ = _storage();
        address token = address(uint160(words.token));
        // Together, so that the word is read once.
        (bool isQuote, uint256 atIndex) = (token == $.quoteToken, $.index);
        if (!isQuote) {
            _requireSynth(token);
            if (words.asCxpt != 0) revert NotConvertible(token);
        }
        if (words.destination == 0) revert ZeroAddress();
        uint256 perHour = _useConsent($, words, ownerSignature, authorization);

        _payApproved($, words, authorization.nonce, isQuote, atIndex, perHour);
    }

    /// @param perHour The settlement token's outflow cap.
    function _payApproved(
        VaultStorage storage $,
        Words calldata words,
        uint256 approval,
        bool isQuote,
        uint256 atIndex,
        uint256 perHour
    ) private {
        (address account, address token) = (address(uint160(words.account)), address(uint160(words.token)));
        uint256 amount = words.amount;
        (uint256 balance, uint256 requested) = _debitFree($, account, token, amount);
        Paid memory paid = Paid(amount, balance, words.destination, words.asCxpt, approval, requested);
        Flow flow = $.flow;
        if (!isQuote) _useOutflow(token, amount);
        else if (perHour != 0) flow = flow.withDrainedAt(Outflows.take(token, perHour, flow.drainedAt(), amount));
        _pay($, flow, account, token, isQuote, atIndex, paid);
    }

    /// @inheritdoc IVault
    function setOutflowCap(address token, uint128 perHour) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _requireKnown(token);
        _setOutflowCap(token, perHour);
    }

    /// @dev The last step of every withdrawal, after the debit.
    function _pay(
        VaultStorage storage $,
        Flow flow,
        address account,
        address token,
        bool isQuote,
        uint256 atIndex,
        Paid memory paid
    ) private {
        (uint256 amount, uint256 destination, uint256 asCxpt) = (paid.amount, paid.destination, paid.asCxpt);
        if (destination == uint160(address(this))) revert InternalDestination();
        if (asCxpt != 0) {
            _credit($.treasuryAccount, token, amount);
            // The treasury may be who withdraws.
            paid.balance = balanceOf(account, token);
        } else if (isQuote) {
            flow = flow.withWithdrawal(amount);
        } else {
            $.sums[token].withdrawals += amount.toUint128();
        }
        flow = flow.withEvents(1);
        $.flow = flow;
        (bytes32 topic, uint256 sequence) = (Withdrawn.selector, flow.sequence());
        assembly ("memory-safe") {
            log4(paid, 0xc0, topic, sequence, account, token)
        }

        amount = isQuote ? UnitIndex.toAtomsDown(amount, atIndex) : amount;
        if (asCxpt == 0) Transfers.pay(token, destination, amount);
        else ICXPT($.cxpt).mint(address(uint160(destination)), amount * $.cxptAtomsPerQuoteAtom);
    }

    /* LOSS */

    /// @inheritdoc IVault
    function declareLoss() external nonReentrant {
        VaultStorage storage $ = _storage();
        // What is in accounts and what is locked.
        uint256 units = $.flow.deposits() - $.flow.withdrawals();
        uint256 before = $.index;
        uint256 owed = UnitIndex.toAtomsDown(units, before);
        uint256 held = IERC20($.quoteToken).balanceOf(address(this));
        if (held >= owed) revert NoShortfall();

        // Lower than before: at that index all units are worth more than is held.
        uint64 next = uint64(held * UnitIndex.ONE / units);
        $.index = next;
        emit LossDeclared(_nextSequence(), before, next, owed - held);
    }

    /* SYNTHS */

    /// @inheritdoc IVault
    function registerSynth(address token) external onlyRole(REGISTRAR_ROLE) {
        VaultStorage storage $ = _storage();
        if (token == $.quoteToken || $.isSynth[token] || ISynthERC20(token).minter() != address(this)) {
            revert NotRegistrable(token);
        }

        $.isSynth[token] = true;
        emit SynthRegistered(_nextSequence(), token);
    }

    /// @inheritdoc IVault
    function mintSynth(address token, address account, uint256 amount) external nonReentrant onlyRole(CORE_ROLE) {
        if (amount == 0) revert ZeroAmount();
        _requireSynth(token);

        uint256 balance = _credit(account, token, amount);
        _storage().sums[token].minted += amount.toUint128();
        emit SynthMinted(_nextSequence(), token, account, amount, balance);

        ISynthERC20(token).mint(address(this), amount);
    }

    /// @inheritdoc IVault
    function burnSynth(address token, address account, uint256 amount, Authorization calldata authorization)
        external
        nonReentrant
        onlyRole(CORE_ROLE)
    {
        _requireSynth(token);

        (uint256 approval, uint256 balance, uint256 requested) =
            _debitAuthorized(account, token, amount, VaultMessages.PURPOSE_BURN, authorization);
        _storage().sums[token].burned += amount.toUint128();
        emit SynthBurned(_nextSequence(), token, account, amount, balance, approval, requested);

        ISynthERC20(token).burn(amount);
    }

    /// @inheritdoc IVault
    function lockCollateral(address account, uint256 amount, Authorization calldata authorization)
        external
        nonReentrant
        onlyRole(CORE_ROLE)
    {
        address token = _storage().quoteToken;
        (uint256 approval, uint256 balance, uint256 requested) =
            _debitAuthorized(account, token, amount, VaultMessages.PURPOSE_LOCK, authorization);
        _storage().sums[token].locked += amount.toUint128();

        emit CollateralLocked(_nextSequence(), account, amount, balance, approval, requested);
    }

    /// @inheritdoc IVault
    function unlockCollateral(address account, uint256 amount) external nonReentrant onlyRole(CORE_ROLE) {
        if (amount == 0) revert ZeroAmount();
        address token = _storage().quoteToken;
        _storage().sums[token].locked -= amount.toUint128();
        uint256 balance = _credit(account, token, amount);

        emit CollateralUnlocked(_nextSequence(), account, amount, balance);
    }

    /* SETTLEMENT */

    /// @inheritdoc IVault
    function takeSequence() external onlyRole(SETTLEMENT_ROLE) returns (uint64) {
        return _nextSequence();
    }

    /// @inheritdoc IVault
    function raiseCancelFloor(address account, uint48 floor, uint40 effectiveAt) external onlyRole(SETTLEMENT_ROLE) {
        VaultStorage storage $ = _storage();
        Entry storage entry = _entryOf($, $.quoteToken, account);
        if (floor > entry.word.highestFloor()) entry.word = entry.word.withHighestFloor(floor);
        // A floor that is no higher binds already, or will sooner.
        if (effectiveAt != 0 && floor > $.floors[account].latest()) $.floors[account].push(effectiveAt, floor);
    }

    /// @inheritdoc IVault
    function applySettlement(address token, address[] calldata accounts, Change[] calldata changes)
        external
        nonReentrant
        onlyRole(SETTLEMENT_ROLE)
    {
        if (accounts.length != changes.length) revert Unbalanced(token);
        uint256 sequenceMask = token == _storage().quoteToken ? type(uint48).max : 0;
        int256 sum = _applyChanges(token, accounts, changes, sequenceMask);
        if (sum != 0) revert Unbalanced(token);
    }

    /// @inheritdoc IVault
    /// @dev The guard stays shut while the pair works; what comes in is credited after it came.
    function exchange(address pair, address tokenIn, address tokenOut, uint256 amountIn)
        external
        nonReentrant
        onlyRole(SETTLEMENT_ROLE)
        returns (uint256 amountOut)
    {
        _debitFree(_storage(), pair, tokenIn, amountIn);
        bool isBaseIn = tokenIn != _storage().quoteToken;
        if (isBaseIn) _storage().sums[tokenIn].withdrawals += amountIn.toUint128();
        else _storage().flow = _storage().flow.withWithdrawal(amountIn);

        uint256 atoms = _atomsOf(tokenIn, amountIn);
        amountOut = IAmmPair(pair).getAmountOut(atoms, isBaseIn);
        uint256 before = IERC20(tokenOut).balanceOf(address(this));
        IERC20(tokenIn).safeTransfer(pair, atoms);
        IAmmPair(pair).swap(isBaseIn ? 0 : amountOut, isBaseIn ? amountOut : 0, address(this));

        amountOut = IERC20(tokenOut).balanceOf(address(this)) - before;
        if (isBaseIn) amountOut = UnitIndex.toUnitsDown(amountOut, _storage().index);
        _credit(pair, tokenOut, amountOut);
        _storage().flow = _countIn(_storage().flow, tokenOut, isBaseIn, amountOut);
    }

    /* PAUSE */

    /// @inheritdoc IPausable
    function pause() external onlyRole(GUARDIAN_ROLE) {
        uint32 until = PauseRules.begin(_storage().pausedUntil);
        _storage().pausedUntil = until;
        emit Paused(msg.sender, until);
    }

    /// @inheritdoc IPausable
    function unpause() external onlyRole(GUARDIAN_ROLE) {
        _storage().pausedUntil = PauseRules.end(_storage().pausedUntil);
        emit Unpaused(msg.sender);
    }

    /// @inheritdoc IPausable
    function pausedUntil() external view returns (uint256) {
        return _storage().pausedUntil;
    }

    /* SIGNATURES */

    /// @dev Lowers the balance with the countersignature, or without one by the account's matured request.
    /// @return approval Nonce of the countersignature, 0 without one.
    /// @return balance What the account has now.
    /// @return requested What is left of its request.
    function _debitAuthorized(
        address account,
        address token,
        uint256 amount,
        bytes32 purpose,
        Authorization calldata authorization
    ) private returns (uint256 approval, uint256 balance, uint256 requested) {
        VaultStorage storage $ = _storage();
        if (authorization.cosignature.length == 0) {
            (balance, requested,) = _drawOnRequest($, account, token, amount);
        } else {
            approval = authorization.nonce;
            bytes32 hash = VaultMessages.approvalHash(account, token, amount, purpose, approval, authorization.deadline);
            bytes32 domain = VaultMessages.domainSeparator();
            _requireApproval($, Signatures.recoverTyped(domain, hash, authorization.cosignature), authorization);
            if ($.approvalNonces.get(approval)) revert NonceUsed(approval);
            $.approvalNonces.set(approval);
            (balance, requested) = _debitFree($, account, token, amount);
        }
    }

    /// @dev Uses up the owner's nonce whoever sends: one `Withdrawal` is executed once, and its countersignature, which
    /// is of it and nothing else, with it.
    /// @return perHour The settlement token's outflow cap, which is in a word that is looked at here.
    function _useConsent(
        VaultStorage storage $,
        Words calldata words,
        bytes calldata ownerSignature,
        Authorization calldata authorization
    ) private returns (uint256 perHour) {
        (address owner, address signer) = VaultMessages.signersOf(words, ownerSignature, authorization);
        address account = address(uint160(words.account));
        if (!Signatures.isBy(owner, account)) revert InvalidSigner(owner);
        if (block.timestamp > words.deadline) revert DeadlinePassed(words.deadline);
        perHour = _requireApproval($, signer, authorization);

        uint256 nonce = words.nonce;
        Nonces storage nonces = _noncesOf($, account, nonce);
        (uint256 used, uint256 bit) = (nonces.used, 1 << (nonce & 0xff));
        if (used & bit != 0) revert NonceUsed(nonce);
        nonces.used = used | bit;
    }

    /// @dev Nonce 0 is never valid: in events it says that there was no countersignature.
    /// @return perHour The settlement token's outflow cap.
    function _requireApproval(VaultStorage storage $, address signer, Authorization calldata authorization)
        private
        view
        returns (uint256 perHour)
    {
        address cosigner_;
        // Together, so that the word is read once.
        (cosigner_, perHour) = ($.cosigner, $.outflowPerHour);
        if (!Signatures.isBy(signer, cosigner_)) revert InvalidSigner(signer);
        if (block.timestamp > authorization.deadline) revert DeadlinePassed(authorization.deadline);
        if (authorization.nonce == 0) revert NonceUsed(0);
    }
}
