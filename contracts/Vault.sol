// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessControlUpgradeable} from "@openzeppelin/contracts-upgradeable/access/AccessControlUpgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";
import {EIP712Upgradeable} from "@openzeppelin/contracts-upgradeable/utils/cryptography/EIP712Upgradeable.sol";
import {
    ReentrancyGuardTransientUpgradeable
} from "@openzeppelin/contracts-upgradeable/utils/ReentrancyGuardTransientUpgradeable.sol";
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
import {PauseRules} from "./libraries/PauseRules.sol";
import {Standing, Standings} from "./libraries/Standings.sol";
import {Signature65} from "./libraries/Signature65.sol";
import {UnitIndex} from "./libraries/UnitIndex.sol";
import {VaultMessages} from "./libraries/VaultMessages.sol";

/// @title Custody; see IVault for assumptions and promises
/// @dev Behind an ERC-1967 proxy; all state in one ERC-7201 namespace. Order in every function: check, write, emit,
/// transfer. Everything that moves money holds one transient re-entrancy guard.
contract Vault is
    IVault,
    IPausable,
    UUPSUpgradeable,
    AccessControlUpgradeable,
    EIP712Upgradeable,
    ReentrancyGuardTransientUpgradeable
{
    using BitMaps for BitMaps.BitMap;
    using Checkpoints for Checkpoints.Trace208;
    using SafeCast for uint256;
    using SafeERC20 for IERC20;

    /// @dev One word. `highestFloor` is the highest floor asked for; `floors` knows since when which one binds.
    /// `hasRequest` spares settlement a look at `requests`.
    struct AccountWord {
        uint128 units;
        uint48 immediateSequence;
        uint48 highestFloor;
        bool hasRequest;
    }

    /// @dev One word: the balance of a synth.
    struct SynthWord {
        uint128 atoms;
        bool hasRequest;
    }

    /// @dev Sums since deployment; what is in accounts follows from them (see `totalsOf`).
    struct Sums {
        uint128 deposits;
        uint128 withdrawals;
        uint128 minted;
        uint128 burned;
        uint128 locked;
    }

    /// @custom:storage-location erc7201:hooats.storage.Vault
    struct VaultStorage {
        address quoteToken;
        uint64 sequence;
        uint32 pausedUntil;
        address cosigner;
        address feeAccount;
        address treasuryAccount;
        address insuranceAccount;
        address cxpt;
        uint256 index;
        uint256 cxptAtomsPerQuoteAtom;
        mapping(address account => AccountWord) accounts;
        mapping(address account => mapping(address token => SynthWord)) synthBalances;
        mapping(address account => mapping(address token => Request)) requests;
        mapping(address account => Checkpoints.Trace208) floors;
        mapping(address token => bool) isSynth;
        mapping(address token => Sums) sums;
        mapping(address account => BitMaps.BitMap) ownerNonces;
        BitMaps.BitMap approvalNonces;
    }

    bytes32 public constant UPGRADER_ROLE = keccak256("UPGRADER_ROLE");
    bytes32 public constant SETTLEMENT_ROLE = keccak256("SETTLEMENT_ROLE");
    bytes32 public constant CORE_ROLE = keccak256("CORE_ROLE");
    bytes32 public constant REGISTRAR_ROLE = keccak256("REGISTRAR_ROLE");
    bytes32 public constant GUARDIAN_ROLE = keccak256("GUARDIAN_ROLE");

    uint8 private constant CXPT_DECIMALS = 18;

    /// @dev keccak256(abi.encode(uint256(keccak256("hooats.storage.Vault")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE_LOCATION = 0x24cceb369ce4f087d3758e4680ea9ef76039097447076b45e4f15debd195e300;

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
    function initialize(
        address admin,
        address quoteToken_,
        address cxpt,
        address cosigner_,
        address feeAccount_,
        address treasuryAccount_,
        address insuranceAccount_
    ) external initializer {
        if (
            admin == address(0) || quoteToken_ == address(0) || cxpt == address(0) || cosigner_ == address(0)
                || feeAccount_ == address(0) || treasuryAccount_ == address(0) || insuranceAccount_ == address(0)
        ) revert ZeroAddress();

        __EIP712_init("HOOATS", "1");
        _grantRole(DEFAULT_ADMIN_ROLE, admin);

        VaultStorage storage $ = _storage();
        $.quoteToken = quoteToken_;
        $.cxpt = cxpt;
        $.cosigner = cosigner_;
        $.feeAccount = feeAccount_;
        $.treasuryAccount = treasuryAccount_;
        $.insuranceAccount = insuranceAccount_;
        $.index = UnitIndex.ONE;
        $.cxptAtomsPerQuoteAtom = 10 ** (CXPT_DECIMALS - IERC20Metadata(quoteToken_).decimals());
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
        if (!_storage().isSynth[token]) revert UnknownToken(token);

        _bring(msg.sender, msg.sender, token, atoms, atoms);
    }

    function _deposit(address payer, address account, uint256 atoms) private {
        PauseRules.requireRunning(_storage().pausedUntil);
        _bring(payer, account, _storage().quoteToken, atoms, _toUnitsDown(atoms));
    }

    /// @param atoms What is moved.
    /// @param amount What it is worth in the account: units or atoms.
    function _bring(address payer, address account, address token, uint256 atoms, uint256 amount) private {
        if (amount == 0) revert ZeroAmount();

        _takeIn(account, token, amount);
        emit Deposited(_nextSequence(), account, token, amount, balanceOf(account, token));

        IERC20(token).safeTransferFrom(payer, address(this), atoms);
    }

    function _takeIn(address account, address token, uint256 amount) private {
        _credit(account, token, amount);
        _storage().sums[token].deposits += amount.toUint128();
    }

    /* WITHDRAWALS */

    /// @inheritdoc IVault
    function requestWithdrawal(address token, uint128 amount, address destination) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        if (destination == address(0)) revert ZeroAddress();
        _requireKnown(token);
        Request storage request = _storage().requests[msg.sender][token];
        if (request.amount != 0) revert RequestPending();

        uint40 maturesAt = uint40(block.timestamp + EXIT_DELAY);
        request.amount = amount;
        request.maturesAt = maturesAt;
        request.destination = destination;
        _markRequest(msg.sender, token, true);

        emit WithdrawalRequested(_nextSequence(), msg.sender, token, amount, destination, maturesAt);
    }

    /// @inheritdoc IVault
    function cancelWithdrawalRequest(address token) external nonReentrant {
        if (_storage().requests[msg.sender][token].amount == 0) revert NoRequest();
        _closeRequest(msg.sender, token);

        emit WithdrawalRequestCancelled(_nextSequence(), msg.sender, token);
    }

    /// @inheritdoc IVault
    function withdraw(uint256 amount, bool asCxpt) external nonReentrant {
        address token = _storage().quoteToken;
        address destination = _storage().requests[msg.sender][token].destination;
        _drawOnRequest(msg.sender, token, amount);

        _pay(Withdrawal(msg.sender, token, amount, destination, asCxpt, 0, 0), 0);
    }

    /// @inheritdoc IVault
    function completeWithdrawal(address account, address token) external nonReentrant {
        Request memory request = _maturedRequest(account, token);
        uint256 amount = Math.min(request.amount, balanceOf(account, token));
        // With nothing to pay the request stays open: nobody else can close it.
        if (amount == 0) revert ZeroAmount();
        _closeRequest(account, token);
        _setBalance(account, token, balanceOf(account, token) - amount);

        _pay(Withdrawal(account, token, amount, request.destination, false, 0, 0), 0);
    }

    /// @inheritdoc IVault
    function withdrawApproved(
        Withdrawal calldata withdrawal,
        bytes calldata ownerSignature,
        Authorization calldata authorization
    ) external nonReentrant {
        _requireKnown(withdrawal.token);
        if (withdrawal.destination == address(0)) revert ZeroAddress();
        if (withdrawal.asCxpt && withdrawal.token != _storage().quoteToken) revert NotConvertible(withdrawal.token);
        _useOwnerConsent(withdrawal, ownerSignature);
        _useApproval(
            withdrawal.account,
            withdrawal.token,
            withdrawal.amount,
            VaultMessages.withdrawalPurpose(withdrawal.destination, withdrawal.asCxpt),
            authorization
        );
        _debitFree(withdrawal.account, withdrawal.token, withdrawal.amount);

        _pay(withdrawal, authorization.nonce);
    }

    /// @dev The last step of every withdrawal, after the debit. Of `paid` it reads what, whose and where to only.
    function _pay(Withdrawal memory paid, uint256 approval) private {
        VaultStorage storage $ = _storage();
        if (paid.asCxpt) _credit($.treasuryAccount, paid.token, paid.amount);
        else $.sums[paid.token].withdrawals += paid.amount.toUint128();

        emit Withdrawn(
            _nextSequence(),
            paid.account,
            paid.token,
            paid.amount,
            balanceOf(paid.account, paid.token),
            paid.destination,
            paid.asCxpt,
            approval,
            _requested(paid.account, paid.token)
        );

        uint256 atoms = _atomsOf(paid.token, paid.amount);
        if (paid.asCxpt) ICXPT($.cxpt).mint(paid.destination, atoms * $.cxptAtomsPerQuoteAtom);
        else IERC20(paid.token).safeTransfer(paid.destination, atoms);
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
        if (!_storage().isSynth[token]) revert UnknownToken(token);

        _credit(account, token, amount);
        _storage().sums[token].minted += amount.toUint128();
        emit SynthMinted(_nextSequence(), token, account, amount, balanceOf(account, token));

        ISynthERC20(token).mint(address(this), amount);
    }

    /// @inheritdoc IVault
    function burnSynth(address token, address account, uint256 amount, Authorization calldata authorization)
        external
        nonReentrant
        onlyRole(CORE_ROLE)
    {
        if (!_storage().isSynth[token]) revert UnknownToken(token);

        uint256 approval = _debitAuthorized(account, token, amount, VaultMessages.PURPOSE_BURN, authorization);
        _storage().sums[token].burned += amount.toUint128();
        emit SynthBurned(
            _nextSequence(), token, account, amount, balanceOf(account, token), approval, _requested(account, token)
        );

        ISynthERC20(token).burn(amount);
    }

    /// @inheritdoc IVault
    function lockCollateral(address account, uint256 amount, Authorization calldata authorization)
        external
        nonReentrant
        onlyRole(CORE_ROLE)
    {
        address token = _storage().quoteToken;
        uint256 approval = _debitAuthorized(account, token, amount, VaultMessages.PURPOSE_LOCK, authorization);
        _storage().sums[token].locked += amount.toUint128();

        emit CollateralLocked(
            _nextSequence(), account, amount, balanceOf(account, token), approval, _requested(account, token)
        );
    }

    /// @inheritdoc IVault
    function unlockCollateral(address account, uint256 amount) external nonReentrant onlyRole(CORE_ROLE) {
        if (amount == 0) revert ZeroAmount();
        address token = _storage().quoteToken;
        _storage().sums[token].locked -= amount.toUint128();
        _credit(account, token, amount);

        emit CollateralUnlocked(_nextSequence(), account, amount, balanceOf(account, token));
    }

    /* SETTLEMENT */

    /// @inheritdoc IVault
    function takeSequence() external onlyRole(SETTLEMENT_ROLE) returns (uint64) {
        return _nextSequence();
    }

    /// @inheritdoc IVault
    function raiseCancelFloor(address account, uint48 floor, uint40 effectiveAt) external onlyRole(SETTLEMENT_ROLE) {
        VaultStorage storage $ = _storage();
        // A floor that is no higher binds already, or will sooner.
        if (floor <= $.accounts[account].highestFloor) return;

        $.accounts[account].highestFloor = floor;
        $.floors[account].push(effectiveAt, floor);
    }

    /// @inheritdoc IVault
    /// @dev Every word is read once and written once.
    function applySettlement(address token, address[] calldata accounts, Change[] calldata changes)
        external
        nonReentrant
        onlyRole(SETTLEMENT_ROLE)
    {
        VaultStorage storage $ = _storage();
        bool isQuote = token == $.quoteToken;
        int256 sum;
        for (uint256 i; i < accounts.length; ++i) {
            Change change = changes[i];
            if (Change.unwrap(change) == 0) continue;

            sum += change.delta();
            if (isQuote) _changeUnits(accounts[i], token, change);
            else _changeSynth(accounts[i], token, change);
        }
        if (sum != 0) revert Unbalanced(token);
    }

    function _changeUnits(address account, address token, Change change) private {
        VaultStorage storage $ = _storage();
        AccountWord memory word = $.accounts[account];
        word.units = _shifted(account, token, word.units, word.hasRequest, change.delta());
        uint48 immediateSequence = change.immediateSequence();
        if (immediateSequence != 0) word.immediateSequence = immediateSequence;
        $.accounts[account] = word;
    }

    function _changeSynth(address account, address token, Change change) private {
        VaultStorage storage $ = _storage();
        SynthWord memory word = $.synthBalances[account][token];
        word.atoms = _shifted(account, token, word.atoms, word.hasRequest, change.delta());
        $.synthBalances[account][token] = word;
    }

    /// @inheritdoc IVault
    /// @dev The guard stays shut while the pair works; what comes in is credited after it came.
    function exchange(address pair, address tokenIn, address tokenOut, uint256 amountIn)
        external
        nonReentrant
        onlyRole(SETTLEMENT_ROLE)
        returns (uint256 amountOut)
    {
        _debitFree(pair, tokenIn, amountIn);
        _storage().sums[tokenIn].withdrawals += amountIn.toUint128();

        bool isBaseIn = tokenIn != _storage().quoteToken;
        uint256 atoms = _atomsOf(tokenIn, amountIn);
        amountOut = IAmmPair(pair).getAmountOut(atoms, isBaseIn);
        uint256 before = IERC20(tokenOut).balanceOf(address(this));
        IERC20(tokenIn).safeTransfer(pair, atoms);
        IAmmPair(pair).swap(isBaseIn ? 0 : amountOut, isBaseIn ? amountOut : 0, address(this));

        amountOut = IERC20(tokenOut).balanceOf(address(this)) - before;
        if (isBaseIn) amountOut = _toUnitsDown(amountOut);
        _takeIn(pair, tokenOut, amountOut);
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

    /* BALANCES */

    function _credit(address account, address token, uint256 amount) private {
        VaultStorage storage $ = _storage();
        if (token == $.quoteToken) {
            AccountWord storage word = $.accounts[account];
            word.units = (word.units + amount).toUint128();
        } else {
            SynthWord storage word = $.synthBalances[account][token];
            word.atoms = (word.atoms + amount).toUint128();
        }
    }

    /// @return The balance after `delta`; a debit leaves alone what a matured request has taken out of reach.
    function _shifted(address account, address token, uint256 balance, bool hasRequest, int256 delta)
        private
        view
        returns (uint128)
    {
        if (delta >= 0) return (balance + uint256(delta)).toUint128();

        uint256 amount = uint256(-delta);
        uint256 free = hasRequest ? Math.saturatingSub(balance, _reserved(account, token)) : balance;
        if (amount > free) revert InsufficientBalance(account, token, amount, free);
        return uint128(balance - amount);
    }

    /// @dev Lowers the balance by what a matured request has not taken out of reach.
    function _debitFree(address account, address token, uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        (uint256 balance, uint256 reserved) = _balanceAndReserved(account, token);
        uint256 free = Math.saturatingSub(balance, reserved);
        if (amount > free) revert InsufficientBalance(account, token, amount, free);

        _setBalance(account, token, balance - amount);
    }

    /// @dev Lowers the balance and the account's matured request with it.
    function _drawOnRequest(address account, address token, uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        Request memory request = _maturedRequest(account, token);
        if (amount > request.amount) revert RequestExceeded(amount, request.amount);
        uint256 balance = balanceOf(account, token);
        if (amount > balance) revert InsufficientBalance(account, token, amount, balance);

        if (amount == request.amount) _closeRequest(account, token);
        else _storage().requests[account][token].amount = request.amount - uint128(amount);
        _setBalance(account, token, balance - amount);
    }

    /// @dev Lowers the balance with the countersignature, or without one by the account's matured request.
    /// @return approval Nonce of the countersignature, 0 without one.
    function _debitAuthorized(
        address account,
        address token,
        uint256 amount,
        bytes32 purpose,
        Authorization calldata authorization
    ) private returns (uint256 approval) {
        if (authorization.cosignature.length == 0) {
            _drawOnRequest(account, token, amount);
        } else {
            _useApproval(account, token, amount, purpose, authorization);
            _debitFree(account, token, amount);
            approval = authorization.nonce;
        }
    }

    function _setBalance(address account, address token, uint256 balance) private {
        VaultStorage storage $ = _storage();
        // Safe casts: a lower balance than one that fitted.
        if (token == $.quoteToken) $.accounts[account].units = uint128(balance);
        else $.synthBalances[account][token].atoms = uint128(balance);
    }

    /// @return balance What the account has.
    /// @return reserved What a matured request of it takes out of settlement's reach; may exceed the balance.
    function _balanceAndReserved(address account, address token)
        private
        view
        returns (uint256 balance, uint256 reserved)
    {
        VaultStorage storage $ = _storage();
        bool hasRequest;
        if (token == $.quoteToken) {
            AccountWord storage word = $.accounts[account];
            (balance, hasRequest) = (word.units, word.hasRequest);
        } else {
            SynthWord storage word = $.synthBalances[account][token];
            (balance, hasRequest) = (word.atoms, word.hasRequest);
        }
        if (hasRequest) reserved = _reserved(account, token);
    }

    function _reserved(address account, address token) private view returns (uint256) {
        Request storage request = _storage().requests[account][token];
        return block.timestamp >= request.maturesAt ? request.amount : 0;
    }

    /* REQUESTS */

    function _maturedRequest(address account, address token) private view returns (Request memory request) {
        request = _storage().requests[account][token];
        if (request.amount == 0) revert NoRequest();
        if (block.timestamp < request.maturesAt) revert RequestNotMatured(request.maturesAt);
    }

    /// @dev What is left of the account's request; 0 without one.
    function _requested(address account, address token) private view returns (uint256) {
        return _storage().requests[account][token].amount;
    }

    function _closeRequest(address account, address token) private {
        delete _storage().requests[account][token];
        _markRequest(account, token, false);
    }

    function _markRequest(address account, address token, bool isOpen) private {
        VaultStorage storage $ = _storage();
        if (token == $.quoteToken) $.accounts[account].hasRequest = isOpen;
        else $.synthBalances[account][token].hasRequest = isOpen;
    }

    /* SIGNATURES */

    /// @dev Uses up the owner's nonce whoever sends: one `Withdrawal` is executed once.
    function _useOwnerConsent(Withdrawal calldata withdrawal, bytes calldata signature) private {
        if (signature.length != 0 || msg.sender != withdrawal.account) {
            address signer = Signature65.recover(_hashTypedDataV4(VaultMessages.withdrawHash(withdrawal)), signature);
            if (signer == address(0) || signer != withdrawal.account) revert InvalidSigner(signer);
        }
        if (block.timestamp > withdrawal.deadline) revert DeadlinePassed(withdrawal.deadline);
        BitMaps.BitMap storage used = _storage().ownerNonces[withdrawal.account];
        if (used.get(withdrawal.nonce)) revert NonceUsed(withdrawal.nonce);

        used.set(withdrawal.nonce);
    }

    /// @dev Nonce 0 is never valid: in events it says that there was no countersignature.
    function _useApproval(
        address account,
        address token,
        uint256 amount,
        bytes32 purpose,
        Authorization calldata authorization
    ) private {
        VaultStorage storage $ = _storage();
        uint256 nonce = authorization.nonce;
        bytes32 hash = VaultMessages.approvalHash(account, token, amount, purpose, nonce, authorization.deadline);
        address signer = Signature65.recover(_hashTypedDataV4(hash), authorization.cosignature);
        if (signer == address(0) || signer != $.cosigner) revert InvalidSigner(signer);
        if (block.timestamp > authorization.deadline) revert DeadlinePassed(authorization.deadline);
        if (nonce == 0 || $.approvalNonces.get(nonce)) revert NonceUsed(nonce);

        $.approvalNonces.set(nonce);
    }

    /* CONVERSION */

    function _toUnitsDown(uint256 atoms) private view returns (uint256) {
        return UnitIndex.toUnitsDown(atoms, _storage().index);
    }

    /// @return Atoms that `amount` is worth: of the settlement token rounded down, of a synth the same.
    function _atomsOf(address token, uint256 amount) private view returns (uint256) {
        VaultStorage storage $ = _storage();
        return token == $.quoteToken ? UnitIndex.toAtomsDown(amount, $.index) : amount;
    }

    /* VIEWS */

    /// @inheritdoc IVault
    function debitable(address account, address token) external view returns (uint256) {
        (uint256 balance, uint256 reserved) = _balanceAndReserved(account, token);
        return Math.saturatingSub(balance, reserved);
    }

    /// @inheritdoc IVault
    function standingsOf(address token, address[] calldata accounts)
        external
        view
        returns (Standing[] memory standings)
    {
        VaultStorage storage $ = _storage();
        bool isQuote = token == $.quoteToken;
        standings = new Standing[](accounts.length);

        for (uint256 i; i < accounts.length; ++i) {
            address account = accounts[i];
            if (isQuote) {
                AccountWord storage word = $.accounts[account];
                int256 available = int256(uint256(word.units));
                if (word.hasRequest) available -= int256(_reserved(account, token));
                standings[i] = Standings.pack(available, word.immediateSequence, word.highestFloor);
            } else {
                SynthWord storage word = $.synthBalances[account][token];
                int256 available = int256(uint256(word.atoms));
                if (word.hasRequest) available -= int256(_reserved(account, token));
                standings[i] = Standings.pack(available, 0, 0);
            }
        }
    }

    /// @inheritdoc IVault
    function accountOf(address account) external view returns (Account memory) {
        VaultStorage storage $ = _storage();
        AccountWord storage word = $.accounts[account];
        uint48 floor = uint48($.floors[account].upperLookup(uint48(block.timestamp)));
        return Account(word.units, word.immediateSequence, floor);
    }

    /// @inheritdoc IVault
    function balanceOf(address account, address token) public view returns (uint256) {
        VaultStorage storage $ = _storage();
        return token == $.quoteToken ? $.accounts[account].units : $.synthBalances[account][token].atoms;
    }

    /// @inheritdoc IVault
    function requestOf(address account, address token) external view returns (Request memory) {
        return _storage().requests[account][token];
    }

    /// @inheritdoc IVault
    function totalsOf(address token) public view returns (Totals memory totals) {
        Sums memory sums = _storage().sums[token];
        totals = Totals({
            deposits: sums.deposits,
            withdrawals: sums.withdrawals,
            minted: sums.minted,
            burned: sums.burned,
            locked: sums.locked,
            internalTotal: uint256(sums.deposits) + sums.minted - sums.withdrawals - sums.burned - sums.locked
        });
    }

    /// @inheritdoc IVault
    function reconcile(address[] calldata accounts, address[] calldata tokens)
        external
        view
        returns (uint256 blockNumber, uint64 lastSequence, Totals[] memory totals, uint256[][] memory balances)
    {
        blockNumber = block.number;
        lastSequence = _storage().sequence;
        totals = new Totals[](tokens.length);
        for (uint256 j; j < tokens.length; ++j) {
            totals[j] = totalsOf(tokens[j]);
        }
        balances = new uint256[][](accounts.length);
        for (uint256 i; i < accounts.length; ++i) {
            balances[i] = new uint256[](tokens.length);
            for (uint256 j; j < tokens.length; ++j) {
                balances[i][j] = balanceOf(accounts[i], tokens[j]);
            }
        }
    }

    /// @inheritdoc IVault
    function isSynth(address token) external view returns (bool) {
        return _storage().isSynth[token];
    }

    /// @inheritdoc IVault
    function sequence() external view returns (uint64) {
        return _storage().sequence;
    }

    /// @inheritdoc IVault
    function index() external view returns (uint256) {
        return _storage().index;
    }

    /// @inheritdoc IVault
    function quoteToken() external view returns (address) {
        return _storage().quoteToken;
    }

    /// @inheritdoc IVault
    function feeAccount() external view returns (address) {
        return _storage().feeAccount;
    }

    /// @inheritdoc IVault
    function treasuryAccount() external view returns (address) {
        return _storage().treasuryAccount;
    }

    /// @inheritdoc IVault
    function insuranceAccount() external view returns (address) {
        return _storage().insuranceAccount;
    }

    /// @inheritdoc IVault
    function cosigner() external view returns (address) {
        return _storage().cosigner;
    }

    /// @inheritdoc IVault
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /* STORAGE */

    function _requireKnown(address token) private view {
        VaultStorage storage $ = _storage();
        if (token != $.quoteToken && !$.isSynth[token]) revert UnknownToken(token);
    }

    function _nextSequence() private returns (uint64) {
        return ++_storage().sequence;
    }

    function _storage() private pure returns (VaultStorage storage $) {
        assembly ("memory-safe") {
            $.slot := STORAGE_LOCATION
        }
    }
}
