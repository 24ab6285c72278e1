// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {IVault} from "./interfaces/IVault.sol";
import {AccountWord} from "./libraries/AccountWords.sol";
import {Change} from "./libraries/Changes.sol";
import {Flow} from "./libraries/Flows.sol";
import {Outflow, Outflows} from "./libraries/Outflows.sol";
import {Standing} from "./libraries/Standings.sol";
import {UnitIndex} from "./libraries/UnitIndex.sol";
import {VaultMessages} from "./libraries/VaultMessages.sol";

/// @title The books of the Vault: what is stored, the few ways in which a balance changes, and the views
/// @dev Calls no other contract, and asks nobody who he is: that is what Vault adds. All state is in one ERC-7201
/// namespace, in the order in which it is used: a deposit writes two words of it, and reads one more.
abstract contract VaultBase is IVault {
    using Checkpoints for Checkpoints.Trace208;
    using SafeCast for uint256;

    /// @dev A struct, so that what was found for reading is found for writing. `floors` knows since when which
    /// cancel-all floor of the word binds; a word without a maturity spares settlement a look at `demands`.
    struct Entry {
        AccountWord word;
    }

    /// @dev An open request: uint128 amount, and above it 1 if `destination` is in use: most pay the account itself.
    struct Demand {
        uint256 word;
        address destination;
    }

    /// @dev One bit for each of 256 nonces.
    struct Nonces {
        uint256 used;
    }

    /// @dev Sums since deployment; what is in accounts follows from them (see `totalsOf`). Of the settlement token
    /// only `locked` is here.
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
        uint64 index;
        uint32 pausedUntil;
        Flow flow;
        address cosigner;
        uint96 outflowPerHour;
        address feeAccount;
        address treasuryAccount;
        address insuranceAccount;
        address cxpt;
        uint256 cxptAtomsPerQuoteAtom;
        mapping(address token => mapping(address account => Entry)) entries;
        mapping(address token => mapping(address account => Demand)) demands;
        mapping(address account => Checkpoints.Trace208) floors;
        mapping(address token => bool) isSynth;
        mapping(address token => Sums) sums;
        mapping(address account => mapping(uint256 bucket => Nonces)) ownerNonces;
        BitMaps.BitMap approvalNonces;
        mapping(address token => Outflow) outflows;
    }

    /// @dev keccak256(abi.encode(uint256(keccak256("hooats.storage.Vault")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE_LOCATION = 0x24cceb369ce4f087d3758e4680ea9ef76039097447076b45e4f15debd195e300;

    /* BALANCES */

    /// @return balance What the account has now.
    function _credit(address account, address token, uint256 amount) internal returns (uint256 balance) {
        Entry storage entry = _entryOf(_storage(), token, account);
        AccountWord word = entry.word;
        balance = word.balance() + amount;
        entry.word = word.withBalance(balance.toUint128());
    }

    /// @dev Counts what came from outside: of the settlement token in the word of the sequence.
    /// @return That word; the caller writes it.
    function _countIn(Flow flow, address token, bool isQuote, uint256 amount) internal returns (Flow) {
        if (isQuote) return flow.withDeposit(amount);
        _storage().sums[token].deposits += amount.toUint128();
        return flow;
    }

    /// @dev Every word of a batch is read once and written once. The common case, without a request and within 128
    /// bits, is done in place; `_change` says the same in words, and does the rest.
    /// @param sequenceMask Which bits of a change are the immediate sequence.
    /// @return sum Of all changes. No overflow: a batch has few of them, of 208 bits each.
    function _applyChanges(address token, address[] calldata accounts, Change[] calldata changes, uint256 sequenceMask)
        internal
        returns (int256 sum)
    {
        mapping(address account => Entry) storage entries = _storage().entries[token];
        uint256 count = accounts.length;
        for (uint256 i; i < count; ++i) {
            assembly ("memory-safe") {
                mstore(0x20, entries.slot)
                let toChange := sub(changes.offset, accounts.offset)
                let account := add(accounts.offset, shl(5, i))
                for { let end := add(accounts.offset, shl(5, count)) } lt(account, end) {
                    account := add(account, 0x20)
                } {
                    let value := calldataload(add(account, toChange))
                    if iszero(value) { continue }

                    // entries[account].word; an address with dirty high bits is another key, which nobody has.
                    mstore(0x00, calldataload(account))
                    let slot := keccak256(0x00, 0x40)
                    let word := sload(slot)
                    let delta := sar(48, value)
                    // Without a maturity, the balance and the two sequences are all there is.
                    if or(shr(224, word), shr(128, add(shr(96, word), delta))) { break }

                    sum := add(sum, delta)
                    word := add(word, shl(96, delta))
                    value := and(value, sequenceMask)
                    if value { word := or(shl(48, value), and(word, not(shl(48, sequenceMask)))) }
                    sstore(slot, word)
                }
                i := shr(5, sub(account, accounts.offset))
            }
            if (i < count) sum += _change(entries[accounts[i]], accounts[i], token, changes[i], sequenceMask);
        }
    }

    /// @return delta Of the change.
    function _change(Entry storage entry, address account, address token, Change change, uint256 sequenceMask)
        private
        returns (int256 delta)
    {
        AccountWord word = entry.word;
        delta = change.delta();
        if (delta < 0) word = _debit(word, account, token, uint256(-delta), _reserved(word, account, token));
        else word = word.withBalance((word.balance() + uint256(delta)).toUint128());

        uint256 immediate = Change.unwrap(change) & sequenceMask;
        if (immediate != 0) word = word.withImmediateSequence(uint48(immediate));
        entry.word = word;
    }

    /// @dev Lowers the balance by what a matured request has not taken out of reach.
    /// @return balance What the account has now.
    /// @return requested What is left of its request.
    function _debitFree(VaultStorage storage $, address account, address token, uint256 amount)
        internal
        returns (uint256 balance, uint256 requested)
    {
        if (amount == 0) revert ZeroAmount();
        Entry storage entry = _entryOf($, token, account);
        AccountWord word = entry.word;
        uint256 maturesAt = word.maturesAt();
        balance = word.balance();
        uint256 free = balance;
        if (maturesAt != 0) {
            requested = _requestedOf(token, account);
            if (block.timestamp >= maturesAt) free = Math.saturatingSub(balance, requested);
        }
        if (amount > free) revert InsufficientBalance(account, token, amount, free);

        unchecked {
            balance -= amount;
        }
        entry.word = word.withBalance(balance);
    }

    /// @dev Lowers the balance and the account's matured request with it.
    /// @return balance What the account has now.
    /// @return requested What is left of its request.
    /// @return destination Of the request.
    function _drawOnRequest(VaultStorage storage $, address account, address token, uint256 amount)
        internal
        returns (uint256 balance, uint256 requested, uint256 destination)
    {
        Entry storage entry = _entryOf($, token, account);
        AccountWord word = entry.word;
        uint256 maturesAt = word.maturesAt();
        if (maturesAt == 0) revert NoRequest();
        if (block.timestamp < maturesAt) revert RequestNotMatured(maturesAt);
        if (amount == 0) revert ZeroAmount();
        Demand storage demand = _demandOf($, token, account);
        uint256 terms = demand.word;
        destination = uint160(terms >> 128 != 0 ? demand.destination : account);
        requested = uint128(terms);
        if (amount > requested) revert RequestExceeded(amount, requested);

        balance = word.balance();
        if (amount > balance) revert InsufficientBalance(account, token, amount, balance);

        unchecked {
            balance -= amount;
        }
        word = word.withBalance(balance);
        if (amount == requested) {
            _erase(demand);
            word = word.withMaturesAt(0);
        } else {
            unchecked {
                demand.word = terms - amount;
            }
        }
        entry.word = word;
        unchecked {
            requested -= amount;
        }
    }

    /// @dev Lowers the balance of `word` by `amount`, but for the `reserved` part of it.
    function _debit(AccountWord word, address account, address token, uint256 amount, uint256 reserved)
        private
        pure
        returns (AccountWord)
    {
        uint256 balance = word.balance();
        uint256 free = Math.saturatingSub(balance, reserved);
        if (amount > free) revert InsufficientBalance(account, token, amount, free);
        unchecked {
            return word.withBalance(balance - amount);
        }
    }

    /// @dev What a matured request takes out of settlement's reach; may exceed the balance.
    function _reserved(AccountWord word, address account, address token) private view returns (uint256) {
        uint256 maturesAt = word.maturesAt();
        if (maturesAt == 0 || block.timestamp < maturesAt) return 0;
        return _requestedOf(token, account);
    }

    /* REQUESTS */

    /// @return destination Of the open request.
    function _destinationOf(address account, address token) internal view returns (address destination) {
        Demand storage demand = _demandOf(_storage(), token, account);
        return demand.word >> 128 != 0 ? demand.destination : account;
    }

    /// @dev The word of the account says that it is closed.
    function _erase(Demand storage demand) internal {
        if (demand.word >> 128 != 0) demand.destination = address(0);
        demand.word = 0;
    }

    /* OUTFLOW */

    function _setOutflowCap(address token, uint256 perHour) internal {
        VaultStorage storage $ = _storage();
        uint96 next = perHour.toUint96();
        // What has left so far drains at the new rate from now on.
        if (token == $.quoteToken) {
            Flow flow = $.flow;
            $.flow = flow.withDrainedAt(Outflows.changed(flow.drainedAt(), $.outflowPerHour, next));
            $.outflowPerHour = next;
        } else {
            Outflow storage outflow = $.outflows[token];
            outflow.drainedAt = Outflows.changed(outflow.drainedAt, outflow.perHour, next);
            outflow.perHour = next;
        }
        emit OutflowCapSet(token, perHour);
    }

    /// @dev Counts what leaves of a synth, if it has a cap.
    function _useOutflow(address token, uint256 amount) internal {
        Outflow storage outflow = _storage().outflows[token];
        (uint256 perHour, uint256 drainedAt) = (outflow.perHour, outflow.drainedAt);
        if (perHour != 0) outflow.drainedAt = uint40(Outflows.take(token, perHour, drainedAt, amount));
    }

    /* CONVERSION */

    /// @return Atoms that `amount` is worth: of the settlement token rounded down, of a synth the same.
    function _atomsOf(address token, uint256 amount) internal view returns (uint256) {
        VaultStorage storage $ = _storage();
        (address quote, uint256 atIndex) = ($.quoteToken, $.index);
        return token == quote ? UnitIndex.toAtomsDown(amount, atIndex) : amount;
    }

    /* VIEWS */

    /// @inheritdoc IVault
    function debitable(address account, address token) external view returns (uint256) {
        AccountWord word = _wordOf(account, token);
        return Math.saturatingSub(word.balance(), _reserved(word, account, token));
    }

    /// @inheritdoc IVault
    /// @dev Returns from its own memory: the compiler would copy it word by word.
    function standingsOf(address token, address[] calldata accounts)
        external
        view
        returns (Standing[] memory standings)
    {
        mapping(address account => Entry) storage entries = _storage().entries[token];
        uint256 words;
        assembly ("memory-safe") {
            // offset | length | standings
            mstore(mload(0x40), 0x20)
            standings := add(mload(0x40), 0x20)
            mstore(standings, accounts.length)
            let account := accounts.offset
            let end := add(account, shl(5, accounts.length))
            let toStanding := sub(add(standings, 0x20), account)
            mstore(0x20, entries.slot)
            for {} lt(account, end) { account := add(account, 0x20) } {
                // entries[account].word; an address with dirty high bits is another key, which nobody has.
                mstore(0x00, calldataload(account))
                let word := sload(keccak256(0x00, 0x40))
                words := or(words, word)
                // Without a request the word is the standing: the same bits say the same.
                mstore(add(account, toStanding), word)
            }
            mstore(0x40, add(end, toStanding))
        }
        for (uint256 i; words >> 224 != 0 && i < accounts.length; ++i) {
            AccountWord word = AccountWord.wrap(Standing.unwrap(standings[i]));
            if (word.maturesAt() != 0) standings[i] = word.standing(_reserved(word, accounts[i], token));
        }
        assembly ("memory-safe") {
            return(sub(standings, 0x20), add(0x40, shl(5, accounts.length)))
        }
    }

    /// @inheritdoc IVault
    function accountOf(address account) external view returns (Account memory) {
        VaultStorage storage $ = _storage();
        AccountWord word = _wordOf(account, $.quoteToken);
        uint48 floor = uint48($.floors[account].upperLookup(uint48(block.timestamp)));
        return Account(uint128(word.balance()), word.immediateSequence(), floor);
    }

    /// @inheritdoc IVault
    function balanceOf(address account, address token) public view returns (uint256) {
        return _wordOf(account, token).balance();
    }

    /// @inheritdoc IVault
    function requestOf(address account, address token) external view returns (Request memory request) {
        request.maturesAt = uint40(_wordOf(account, token).maturesAt());
        if (request.maturesAt == 0) return request;

        request.amount = uint128(_requestedOf(token, account));
        request.destination = _destinationOf(account, token);
    }

    /// @inheritdoc IVault
    function totalsOf(address token) public view returns (Totals memory totals) {
        VaultStorage storage $ = _storage();
        Sums memory sums = $.sums[token];
        (totals.deposits, totals.withdrawals) =
            token == $.quoteToken ? ($.flow.deposits(), $.flow.withdrawals()) : (sums.deposits, sums.withdrawals);
        (totals.minted, totals.burned, totals.locked) = (sums.minted, sums.burned, sums.locked);
        totals.internalTotal = totals.deposits + totals.minted - totals.withdrawals - totals.burned - totals.locked;
    }

    /// @inheritdoc IVault
    function reconcile(address[] calldata accounts, address[] calldata tokens)
        external
        view
        returns (uint256 blockNumber, uint64 lastSequence, Totals[] memory totals, uint256[][] memory balances)
    {
        blockNumber = block.number;
        lastSequence = uint64(_storage().flow.sequence());
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
    function outflowOf(address token) external view returns (uint256 perHour, uint256 left) {
        VaultStorage storage $ = _storage();
        Outflow storage outflow = $.outflows[token];
        uint256 drainedAt;
        (perHour, drainedAt) =
            token == $.quoteToken ? ($.outflowPerHour, $.flow.drainedAt()) : (outflow.perHour, outflow.drainedAt);
        left = Outflows.left(perHour, drainedAt);
    }

    /// @inheritdoc IVault
    function isSynth(address token) external view returns (bool) {
        return _storage().isSynth[token];
    }

    /// @inheritdoc IVault
    function sequence() external view returns (uint64) {
        return uint64(_storage().flow.sequence());
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
        return VaultMessages.domainSeparator();
    }

    /* STORAGE */

    function _wordOf(address account, address token) internal view returns (AccountWord) {
        return _entryOf(_storage(), token, account).word;
    }

    /// @dev entries[token][account]
    function _entryOf(VaultStorage storage $, address token, address account)
        internal
        view
        returns (Entry storage entry)
    {
        mapping(address token => mapping(address account => Entry)) storage entries = $.entries;
        assembly ("memory-safe") {
            mstore(0x00, token)
            mstore(0x20, entries.slot)
            mstore(0x20, keccak256(0x00, 0x40))
            mstore(0x00, account)
            entry.slot := keccak256(0x00, 0x40)
        }
    }

    /// @dev demands[token][account]
    function _demandOf(VaultStorage storage $, address token, address account)
        internal
        view
        returns (Demand storage demand)
    {
        mapping(address token => mapping(address account => Demand)) storage demands = $.demands;
        assembly ("memory-safe") {
            mstore(0x00, token)
            mstore(0x20, demands.slot)
            mstore(0x20, keccak256(0x00, 0x40))
            mstore(0x00, account)
            demand.slot := keccak256(0x00, 0x40)
        }
    }

    /// @dev The amount of the open request; 0 of none.
    function _requestedOf(address token, address account) internal view returns (uint256) {
        return uint128(_demandOf(_storage(), token, account).word);
    }

    /// @dev ownerNonces[account][nonce >> 8]
    function _noncesOf(VaultStorage storage $, address account, uint256 nonce)
        internal
        view
        returns (Nonces storage nonces)
    {
        mapping(address account => mapping(uint256 bucket => Nonces)) storage ownerNonces = $.ownerNonces;
        assembly ("memory-safe") {
            mstore(0x00, account)
            mstore(0x20, ownerNonces.slot)
            mstore(0x20, keccak256(0x00, 0x40))
            mstore(0x00, shr(8, nonce))
            nonces.slot := keccak256(0x00, 0x40)
        }
    }

    function _requireKnown(address token) internal view {
        VaultStorage storage $ = _storage();
        if (token != $.quoteToken && !$.isSynth[token]) revert UnknownToken(token);
    }

    function _requireSynth(address token) internal view {
        if (!_storage().isSynth[token]) revert UnknownToken(token);
    }

    function _nextSequence() internal returns (uint64) {
        Flow flow = _storage().flow.withEvents(1);
        _storage().flow = flow;
        return uint64(flow.sequence());
    }

    function _storage() internal pure returns (VaultStorage storage $) {
        assembly ("memory-safe") {
            $.slot := STORAGE_LOCATION
        }
    }
}
