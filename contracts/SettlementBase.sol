// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {IAmmFactory} from "./interfaces/IAmmFactory.sol";
import {IPausable} from "./interfaces/IPausable.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {IVault} from "./interfaces/IVault.sol";
import {
    AGENT_MARKETS_MAX,
    AgentTerms,
    Market,
    Order,
    SETTLEMENT_WINDOW,
    SYMBOL_BYTES_MAX
} from "./interfaces/Types.sol";
import {AgentHash} from "./libraries/AgentHash.sol";
import {AgentWords} from "./libraries/AgentRows.sol";
import {Domain} from "./libraries/Domain.sol";
import {OrderHash} from "./libraries/OrderHash.sol";
import {PauseRules} from "./libraries/PauseRules.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title What settlement knows besides the batch: markets, slots, cancels, agents; see ISettlement
/// @dev Everything here is what users and the lister do; it moves no money.
abstract contract SettlementBase is ISettlement, IPausable, AccessControl {
    using Checkpoints for Checkpoints.Trace208;

    /// @dev Life of the orders of one slot. Orders with a sequence below `cancelledBelow` have been cancelled;
    /// `_slotCancels` knows since when that binds.
    struct Slot {
        uint48 sequence;
        uint64 filled;
        uint64 cancelledBelow;
    }

    /// @dev One word. `registration` counts how often the key was registered, so that markets of an earlier one mean
    /// nothing; 0: never.
    struct Agent {
        uint40 expiry;
        uint40 revokedFrom;
        uint32 registration;
        bool hasMarkets;
        uint128 notional;
    }

    bytes32 public constant SETTLER_ROLE = keccak256("SETTLER_ROLE");
    bytes32 public constant LISTER_ROLE = keccak256("LISTER_ROLE");
    bytes32 public constant GUARDIAN_ROLE = keccak256("GUARDIAN_ROLE");

    /// @dev The notional of an agent whose budget is not counted.
    uint256 internal constant UNLIMITED = type(uint128).max;

    IVault public immutable VAULT;
    address public immutable QUOTE_TOKEN;
    address public immutable FEE_ACCOUNT;
    uint8 private immutable QUOTE_DECIMALS;
    IAmmFactory public immutable AMM_FACTORY;

    /* STORAGE */

    /// @inheritdoc ISettlement
    uint64 public override lastFill;
    uint32 internal _pausedUntil;

    mapping(uint32 market => Market) internal _markets;
    /// @dev Keyed by `_slotKey`.
    mapping(uint256 slotKey => Slot) internal _slots;
    mapping(uint256 slotKey => Checkpoints.Trace208) private _slotCancels;
    /// @dev Keyed by `_agentKey`.
    mapping(bytes32 agentKey => Agent) internal _agents;
    /// @dev Markets of an agent that is not for all of them.
    mapping(bytes32 agentKey => mapping(uint32 registration => mapping(uint32 market => bool))) private _agentMarkets;

    /// @param ammFactory Knows the pools of this Vault's synths.
    constructor(address admin, address vault, address ammFactory) {
        if (ammFactory.code.length == 0 || IAmmFactory(ammFactory).VAULT() != vault) {
            revert ForeignAmmFactory(ammFactory);
        }
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        VAULT = IVault(vault);
        QUOTE_TOKEN = VAULT.quoteToken();
        QUOTE_DECIMALS = IERC20Metadata(QUOTE_TOKEN).decimals();
        FEE_ACCOUNT = VAULT.feeAccount();
        AMM_FACTORY = IAmmFactory(ammFactory);
    }

    /* PAUSE */

    /// @inheritdoc IPausable
    function pause() external onlyRole(GUARDIAN_ROLE) {
        uint32 until = PauseRules.begin(_pausedUntil);
        _pausedUntil = until;
        emit Paused(msg.sender, until);
    }

    /// @inheritdoc IPausable
    function unpause() external onlyRole(GUARDIAN_ROLE) {
        _pausedUntil = PauseRules.end(_pausedUntil);
        emit Unpaused(msg.sender);
    }

    /// @inheritdoc IPausable
    function pausedUntil() external view returns (uint256) {
        return _pausedUntil;
    }

    /* CANCELLATION */

    /// @inheritdoc ISettlement
    function cancel(uint64 nonce) external {
        _cancel(nonce);
    }

    /// @inheritdoc ISettlement
    function cancelMany(uint64[] calldata nonces) external {
        for (uint256 i; i < nonces.length; ++i) {
            _cancel(nonces[i]);
        }
    }

    /// @inheritdoc ISettlement
    function cancelAll(uint48 floor) external {
        uint40 effectiveAt = _boundFrom();
        VAULT.raiseCancelFloor(msg.sender, floor, effectiveAt);

        emit AllOrdersCancelled(_takeSequence(), msg.sender, floor, effectiveAt);
    }

    function _cancel(uint64 nonce) private {
        uint256 key = _slotKey(msg.sender, nonce);
        Slot storage slot = _slots[key];
        uint64 below = uint64(uint48(nonce)) + 1;
        uint40 effectiveAt = _boundFrom();

        // A cancel that reaches no further than an earlier one changes nothing: that one binds already, or will sooner.
        if (below > slot.cancelledBelow) {
            slot.cancelledBelow = below;
            _slotCancels[key].push(effectiveAt, below);
            // Of slot 0 settlement reads nothing but the account's word: that one must tell that there is a cancel.
            uint48 sign = below > type(uint48).max ? type(uint48).max : uint48(below);
            if (nonce >> 48 == 0) VAULT.raiseCancelFloor(msg.sender, sign, 0);
        }

        emit OrderCancelled(_takeSequence(), msg.sender, nonce, effectiveAt);
    }

    /// @dev Cancels are rare: to be asked when a word that is read anyway says that there was one.
    function _isCancelled(uint256 slotKey, uint256 sequence) internal view returns (bool) {
        return sequence < _slotCancels[slotKey].upperLookup(uint48(block.timestamp))
            || sequence < VAULT.accountOf(address(uint160(slotKey >> 16))).cancelFloor;
    }

    /// @dev What a user takes back binds a whole window later: until then fills that were matched before it settle.
    function _boundFrom() private view returns (uint40) {
        return uint40(block.timestamp + SETTLEMENT_WINDOW);
    }

    /* AGENTS */

    /// @inheritdoc ISettlement
    function registerAgent(AgentTerms calldata terms) external {
        _registerAgent(msg.sender, terms);
    }

    /// @inheritdoc ISettlement
    function registerAgentFor(address account, AgentTerms calldata terms, uint256 deadline, bytes calldata signature)
        external
    {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline);
        uint256 nonce = _agents[_agentKey(account, terms.agent)].registration;
        bytes32 hash = _digestOf(AgentHash.structHash(account, terms, nonce, deadline));
        address signer = Signatures.recover(hash, signature);
        if (signer == address(0) || signer != account) revert InvalidSigner(0, signer);

        _registerAgent(account, terms);
    }

    /// @inheritdoc ISettlement
    function revokeAgent(address account, address agent) external {
        if (msg.sender != account && msg.sender != agent) revert NotYours(account, agent);
        Agent storage registered = _agents[_agentKey(account, agent)];
        if (registered.registration == 0 || registered.revokedFrom != 0) revert NoAgent(account, agent);

        uint40 effectiveAt = _boundFrom();
        registered.revokedFrom = effectiveAt;
        emit AgentRevoked(_takeSequence(), account, agent, effectiveAt);
    }

    /// @dev While an earlier registration still binds fills that were matched under it, there is no new one.
    function _registerAgent(address account, AgentTerms calldata terms) private {
        address agent = terms.agent;
        if (
            agent == address(0) || agent == account || terms.expiry <= block.timestamp
                || terms.markets.length > AGENT_MARKETS_MAX
        ) revert MalformedAgent();
        bytes32 key = _agentKey(account, agent);
        Agent memory registered = _agents[key];
        if (registered.registration != 0 && !_isOver(registered.expiry, registered.revokedFrom)) {
            revert AgentStillBinds(account, agent);
        }

        uint32 registration = registered.registration + 1;
        uint32[] calldata markets = terms.markets;
        _agents[key] = Agent(terms.expiry, 0, registration, markets.length != 0, terms.notional);
        for (uint256 i; i < markets.length; ++i) {
            _agentMarkets[key][registration][markets[i]] = true;
        }
        emit AgentRegistered(_takeSequence(), account, agent, terms.expiry, terms.notional, markets);
    }

    /// @dev Whether orders that this agent signed do not settle any more.
    function _isOver(uint256 expiry, uint256 revokedFrom) private view returns (bool) {
        unchecked {
            // No overflow: an expiry has 40 bits.
            return block.timestamp >= expiry + SETTLEMENT_WINDOW || (revokedFrom != 0 && block.timestamp >= revokedFrom);
        }
    }

    /// @return registration How often the agent was registered; 0: it never was.
    /// @return notional What is left of its budget.
    /// @return isEntitled Whether orders in `market` that it signed settle, budget apart.
    function _agentTerms(bytes32 key, uint32 market)
        internal
        view
        returns (uint256 registration, uint256 notional, bool isEntitled)
    {
        uint256 word;
        (, word, isEntitled) = _agentWord(key, market);
        (registration, notional) = (AgentWords.registration(word), AgentWords.notional(word));
    }

    /// @return location Of the agent's word in storage.
    /// @return word See AgentWords.
    /// @return isEntitled As `_agentTerms`.
    function _agentWord(bytes32 key, uint32 market)
        internal
        view
        returns (uint256 location, uint256 word, bool isEntitled)
    {
        Agent storage agent = _agents[key];
        assembly ("memory-safe") {
            location := agent.slot
            word := sload(location)
        }
        isEntitled = (!AgentWords.hasMarkets(word) || _agentMarkets[key][AgentWords.registration(word)][market])
            && !_isOver(AgentWords.expiry(word), AgentWords.revokedFrom(word));
    }

    /* MARKETS */

    /// @inheritdoc ISettlement
    function listMarket(
        uint32 market,
        address baseToken,
        uint128 baseAtomsPerLot,
        uint64 quoteAtomsPerTickLot,
        string calldata symbol
    ) external onlyRole(LISTER_ROLE) {
        if (_markets[market].baseToken != address(0)) revert MarketExists(market);
        if (
            baseToken == address(0) || baseToken == QUOTE_TOKEN || baseAtomsPerLot == 0 || quoteAtomsPerTickLot == 0
                || bytes(symbol).length > SYMBOL_BYTES_MAX
        ) revert MalformedMarket(market);

        _markets[market] = Market(baseToken, baseAtomsPerLot, quoteAtomsPerTickLot);
        emit MarketListed(
            _takeSequence(),
            market,
            baseToken,
            baseAtomsPerLot,
            quoteAtomsPerTickLot,
            IERC20Metadata(baseToken).decimals(),
            QUOTE_DECIMALS,
            symbol
        );
    }

    /* VIEWS */

    /// @inheritdoc ISettlement
    function marketOf(uint32 market) external view returns (Market memory) {
        return _markets[market];
    }

    /// @inheritdoc ISettlement
    function slotOf(address account, uint16 slot) external view returns (uint48 sequence, uint64 filled) {
        Slot storage state = _slots[_slotKey(account, uint64(slot) << 48)];
        return (state.sequence, state.filled);
    }

    /// @inheritdoc ISettlement
    function agentOf(address account, address agent, uint32 market)
        external
        view
        returns (bool isEntitled, uint256 notional, uint256 registrations)
    {
        (registrations, notional, isEntitled) = _agentTerms(_agentKey(account, agent), market);
    }

    /// @inheritdoc ISettlement
    function hashOrder(Order calldata order) external view returns (bytes32) {
        return _digestOf(OrderHash.structHashOf(order));
    }

    /// @inheritdoc ISettlement
    function domainSeparator() external view returns (bytes32) {
        return Domain.separator();
    }

    /* KEYS AND NUMBERS */

    function _takeSequence() internal returns (uint64) {
        return VAULT.takeSequence();
    }

    /// @dev account | slot: one hash finds the word.
    function _slotKey(address account, uint64 nonce) internal pure returns (uint256) {
        return (uint256(uint160(account)) << 16) | (nonce >> 48);
    }

    function _digestOf(bytes32 structHash) private view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(Domain.separator(), structHash);
    }

    function _agentKey(address account, address agent) internal pure returns (bytes32) {
        return Hashes.efficientKeccak256(bytes32(uint256(uint160(account))), bytes32(uint256(uint160(agent))));
    }
}
