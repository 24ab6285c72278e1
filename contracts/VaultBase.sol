// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {IVault} from "./interfaces/IVault.sol";
import {AccountWord} from "./libraries/AccountWords.sol";
import {Change} from "./libraries/Changes.sol";
import {Outflow, Outflows} from "./libraries/Outflows.sol";
import {Standing} from "./libraries/Standings.sol";
import {UnitIndex} from "./libraries/UnitIndex.sol";
import {VaultMessages} from "./libraries/VaultMessages.sol";

/// @title The books of the Vault: what is stored, the few ways in which a balance changes, and the views
/// @dev Calls no other contract, and asks nobody who he is: that is what Vault adds. All state is in one ERC-7201
/// namespace, in the order in which it is used: a deposit writes two words of it, and reads one more.
abstract contract VaultBase is IVault {
    using Checkpoints for Checkpoints.Trace208;
    using Outflows for Outflow;
    using SafeCast for uint256;

    /// @dev A struct, so that what was found for reading is found for writing. `floors` knows since when which cancel-all
    /// floor of the word binds; a word without a maturity spares settlement a look at `demands`.
    struct Entry {
        AccountWord word;
    }

    /// @dev An open request. The second word is in use only if `isElsewhere`: most pay the account itself.
    struct Demand {
        uint128 amount;
        bool isElsewhere;
        address destination;
    }

    /// @dev One word, that every event changes. No withdrawal exceeds its bits, since what leaves came in before.
    /// @param sequence Last number taken.
    /// @param deposits Units since deployment, as `withdrawals`.
    struct Flow {
        uint64 sequence;
        uint96 deposits;
        uint96 withdrawals;
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
        mapping(address account => BitMaps.BitMap) ownerNonces;
        BitMaps.BitMap approvalNonces;
        mapping(address token => Outflow) outflows;
    }

    /// @dev keccak256(abi.encode(uint256(keccak256("hooats.storage.Vault")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE_LOCATION = 0x24cceb369ce4f087d3758e4680ea9ef76039097447076b45e4f15debd195e300;

    /* BALANCES */

    /// @return balance What the account has now.
    function _credit(address account, address token, uint256 amount) internal returns (uint256 balance) {
        Entry storage entry = _storage().entries[token][account];
        AccountWord word = entry.word;
        balance = word.balance() + amount;
        entry.word = word.withBalance(balance.toUint128());
    }

    /// @dev Counts what came from outside and what went there, and takes `events` sequence numbers: of the settlement
    /// token all in one word.
    /// @return The last number taken.
    function _count(address token, uint256 cameIn, uint256 wentOut, uint64 events) internal returns (uint64) {
        VaultStorage storage $ = _storage();
        if (token == $.quoteToken) {
            (uint256 deposits, uint256 withdrawals, uint64 last) =
                ($.flow.deposits, $.flow.withdrawals, $.flow.sequence);
            uint96 newDeposits = (deposits + cameIn).toUint96();
            uint96 newWithdrawals = (withdrawals + wentOut).toUint96();
            last += events;
            ($.flow.deposits, $.flow.withdrawals, $.flow.sequence) = (newDeposits, newWithdrawals, last);
            return last;
        }
        Sums storage sums = $.sums[token];
        if (cameIn != 0) sums.deposits += cameIn.toUint128();
        if (wentOut != 0) sums.withdrawals += wentOut.toUint128();
        return $.flow.sequence += events;
    }

    /// @dev Every word of a batch is read once and written once. The common case, without a request and within 128 bits,
    /// is done in place; `_change` says the same in words, and does the rest.
    /// @param sequenceMask Which bits of a change are the immediate sequence.
    /// @return sum Of all changes. No overflow: a batch has few of them, of 208 bits each.
    function _applyChanges(address token, address[] calldata accounts, Change[] calldata changes, uint256 sequenceMask)
        internal
        returns (int256 sum)
    {
        mapping(address account => Entry) storage entries = _storage().entries[token];
        uint256 max = type(uint128).max;
        uint256 count = accounts.length;
        for (uint256 i; i < count; ++i) {
            assembly ("memory-safe") {
                mstore(0x20, entries.slot)
                let change := add(changes.offset, shl(5, i))
                let account := add(accounts.offset, shl(5, i))
                for { let end := add(accounts.offset, shl(5, count)) } lt(account, end) {
                    account := add(account, 0x20)
                    change := add(change, 0x20)
                } {
                    let value := calldataload(change)
                    if iszero(value) { continue }

                    // entries[account].word; an address with dirty high bits is another key, which nobody has.
                    mstore(0x00, calldataload(account))
                    let slot := keccak256(0x00, 0x40)
                    let word := sload(slot)
                    let after_ := add(and(shr(96, word), max), sar(48, value))
                    if or(shr(224, word), shr(128, after_)) { break }

                    sum := add(sum, sar(48, value))
                    word := or(and(word, not(shl(96, max))), shl(96, after_))
                    let immediate := and(value, sequenceMask)
                    if immediate { word := or(and(word, not(shl(48, sequenceMask))), shl(48, immediate)) }
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
    function _debitFree(address account, address token, uint256 amount)
        internal
        returns (uint256 balance, uint256 requested)
    {
        if (amount == 0) revert ZeroAmount();
        Entry storage entry = _storage().entries[token][account];
        AccountWord word = entry.word;
        uint256 maturesAt = word.maturesAt();
        if (maturesAt != 0) requested = _storage().demands[token][account].amount;
        word = _debit(word, account, token, amount, block.timestamp < maturesAt ? 0 : requested);
        entry.word = word;
        balance = word.balance();
    }

    /// @dev Lowers the balance and the account's matured request with it.
    /// @return balance What the account has now.
    /// @return requested What is left of its request.
    function _drawOnRequest(address account, address token, uint256 amount)
        internal
        returns (uint256 balance, uint256 requested)
    {
        Entry storage entry = _storage().entries[token][account];
        AccountWord word = entry.word;
        uint256 maturesAt = word.maturesAt();
        if (maturesAt == 0) revert NoRequest();
        if (block.timestamp < maturesAt) revert RequestNotMatured(maturesAt);
        if (amount == 0) revert ZeroAmount();
        Demand storage demand = _storage().demands[token][account];
        requested = demand.amount;
        if (amount > requested) revert RequestExceeded(amount, requested);

        word = _debit(word, account, token, amount, 0);
        requested -= amount;
        if (requested == 0) {
            _erase(demand);
            word = word.withMaturesAt(0);
        } else {
            demand.amount = uint128(requested);
        }
        entry.word = word;
        balance = word.balance();
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
        return _storage().demands[token][account].amount;
    }

    /* REQUESTS */

    /// @return destination Of the open request.
    function _destinationOf(address account, address token) internal view returns (address destination) {
        Demand storage demand = _storage().demands[token][account];
        return demand.isElsewhere ? demand.destination : account;
    }

    /// @dev The word of the account says that it is closed.
    function _erase(Demand storage demand) internal {
        if (demand.isElsewhere) demand.destination = address(0);
        demand.isElsewhere = false;
        demand.amount = 0;
    }

    /* OUTFLOW */

    function _setOutflowCap(address token, uint256 perHour) internal {
        Outflow storage outflow = _storage().outflows[token];
        // What has left so far drains at the new rate from now on.
        outflow.used = uint104(Outflows.usedNow(outflow));
        outflow.at = uint48(block.timestamp);
        outflow.perHour = perHour.toUint104();
        emit OutflowCapSet(token, perHour);
    }

    /// @dev Counts what leaves, if the token has a cap.
    function _useOutflow(address token, uint256 amount) internal {
        Outflow storage stored = _storage().outflows[token];
        Outflow memory outflow = stored;
        if (outflow.perHour == 0) return;
        uint256 used = outflow.usedNow() + amount;
        if (used > outflow.perHour) revert OutflowCapped(token, amount, outflow.leftNow());

        (stored.used, stored.at) = (uint104(used), uint48(block.timestamp));
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
    function standingsOf(address token, address[] calldata accounts)
        external
        view
        returns (Standing[] memory standings)
    {
        mapping(address account => Entry) storage entries = _storage().entries[token];
        uint256 count = accounts.length;
        standings = new Standing[](count);
        uint256 maturities;
        assembly ("memory-safe") {
            mstore(0x20, entries.slot)
            let to := standings
            let account := accounts.offset
            for { let end := add(account, shl(5, count)) } lt(account, end) { account := add(account, 0x20) } {
                // entries[account].word; an address with dirty high bits is another key, which nobody has.
                mstore(0x00, calldataload(account))
                let word := sload(keccak256(0x00, 0x40))
                maturities := or(maturities, shr(224, word))
                // Without a request the word is the standing: the same bits say the same.
                to := add(to, 0x20)
                mstore(to, word)
            }
        }
        if (maturities == 0) return standings;

        for (uint256 i; i < count; ++i) {
            AccountWord word = _wordOf(accounts[i], token);
            standings[i] = word.standing(_reserved(word, accounts[i], token));
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

        request.amount = _storage().demands[token][account].amount;
        request.destination = _destinationOf(account, token);
    }

    /// @inheritdoc IVault
    function totalsOf(address token) public view returns (Totals memory totals) {
        VaultStorage storage $ = _storage();
        Sums memory sums = $.sums[token];
        (totals.deposits, totals.withdrawals) =
            token == $.quoteToken ? ($.flow.deposits, $.flow.withdrawals) : (sums.deposits, sums.withdrawals);
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
        lastSequence = _storage().flow.sequence;
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
        Outflow memory outflow = _storage().outflows[token];
        return (outflow.perHour, outflow.leftNow());
    }

    /// @inheritdoc IVault
    function isSynth(address token) external view returns (bool) {
        return _storage().isSynth[token];
    }

    /// @inheritdoc IVault
    function sequence() external view returns (uint64) {
        return _storage().flow.sequence;
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
        return _storage().entries[token][account].word;
    }

    function _requireKnown(address token) internal view {
        VaultStorage storage $ = _storage();
        if (token != $.quoteToken && !$.isSynth[token]) revert UnknownToken(token);
    }

    function _requireSynth(address token) internal view {
        if (!_storage().isSynth[token]) revert UnknownToken(token);
    }

    function _nextSequence() internal returns (uint64) {
        return ++_storage().flow.sequence;
    }

    function _storage() internal pure returns (VaultStorage storage $) {
        assembly ("memory-safe") {
            $.slot := STORAGE_LOCATION
        }
    }
}
