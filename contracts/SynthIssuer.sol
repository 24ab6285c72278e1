// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ISynthIssuer} from "./interfaces/ISynthIssuer.sol";
import {IVault} from "./interfaces/IVault.sol";
import {Authorization} from "./interfaces/Types.sol";

/// @title Debt positions; see ISynthIssuer
/// @dev First version: one posted price per synth, no liquidation yet. It trusts the Vault, and nothing else calls
/// back.
contract SynthIssuer is ISynthIssuer, AccessControl {
    using EnumerableSet for EnumerableSet.AddressSet;

    /// @dev A price as posted; zero `postedAt` means never.
    struct Price {
        uint216 price;
        uint40 postedAt;
    }

    bytes32 public constant POSTER_ROLE = keccak256("POSTER_ROLE");

    /// @dev A position opens, and stays after any change, with collateral of 150 % of the debt's value or more.
    uint256 public constant INITIAL_RATIO_PERCENT = 150;
    /// @dev Nobody opens against a price older than this.
    uint256 public constant MAX_PRICE_AGE = 1 hours;
    /// @dev Prices are quote units per this many synth atoms.
    uint256 private constant PRICE_ATOMS = 1e18;

    IVault public immutable VAULT;

    /* STORAGE */

    mapping(address account => mapping(address synth => Position)) private _positions;
    /// @dev Accounts whose position is not empty.
    mapping(address synth => EnumerableSet.AddressSet) private _holders;
    mapping(address synth => Price) private _prices;

    constructor(address admin, address vault) {
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        VAULT = IVault(vault);
    }

    /* POSITIONS */

    /// @inheritdoc ISynthIssuer
    function open(address synth, uint128 collateral, uint128 debt, Authorization calldata authorization) external {
        Position storage position = _positions[msg.sender][synth];
        position.collateral += collateral;
        position.debt += debt;
        // More collateral alone always improves a position: it needs no price.
        if (debt != 0) _requireCollateralized(synth, position);
        _keep(msg.sender, synth, position);

        if (collateral != 0) VAULT.lockCollateral(msg.sender, collateral, authorization);
        if (debt != 0) VAULT.mintSynth(synth, msg.sender, debt);
    }

    /// @inheritdoc ISynthIssuer
    function close(address synth, uint128 collateral, uint128 debt, Authorization calldata authorization) external {
        Position storage position = _positions[msg.sender][synth];
        if (collateral > position.collateral || debt > position.debt) revert ExceedsPosition();
        position.collateral -= collateral;
        position.debt -= debt;
        // Paying back alone always improves a position: it needs no price.
        if (collateral != 0) _requireCollateralized(synth, position);
        _keep(msg.sender, synth, position);

        if (debt != 0) VAULT.burnSynth(synth, msg.sender, debt, authorization);
        if (collateral != 0) VAULT.unlockCollateral(msg.sender, collateral);
    }

    /// @dev After every change of a position.
    function _keep(address account, address synth, Position storage position) private {
        if (position.collateral == 0 && position.debt == 0) _holders[synth].remove(account);
        else _holders[synth].add(account);

        emit PositionChanged(account, synth, position.collateral, position.debt);
    }

    /// @dev Without debt there is nothing to value, so that whoever has paid back needs no price to get out.
    function _requireCollateralized(address synth, Position storage position) private view {
        uint256 debt = position.debt;
        if (debt == 0) return;

        Price memory current = _prices[synth];
        if (current.postedAt == 0 || block.timestamp > current.postedAt + MAX_PRICE_AGE) {
            revert StalePrice(current.postedAt);
        }
        uint256 required =
            Math.mulDiv(debt, current.price * INITIAL_RATIO_PERCENT, PRICE_ATOMS * 100, Math.Rounding.Ceil);
        if (position.collateral < required) revert Undercollateralized(position.collateral, required);
    }

    /* PRICES */

    /// @inheritdoc ISynthIssuer
    function postPrice(address synth, uint256 price) external onlyRole(POSTER_ROLE) {
        // A price of zero, or one that does not fit, would let anyone mint for nothing.
        if (price == 0 || price > type(uint128).max) revert PriceOutOfRange(price);

        uint40 postedAt = uint40(block.timestamp);
        _prices[synth] = Price(uint216(price), postedAt);
        emit PricePosted(synth, price, postedAt);
    }

    /* VIEWS */

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
    function priceOf(address synth) external view returns (uint256 price, uint40 postedAt) {
        Price memory current = _prices[synth];
        return (current.price, current.postedAt);
    }
}
