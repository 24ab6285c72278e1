// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IAmmFactory} from "./interfaces/IAmmFactory.sol";
import {IAmmPair} from "./interfaces/IAmmPair.sol";
import {IVault} from "./interfaces/IVault.sol";

/// @title One pool per synth; see IAmmFactory
/// @dev Nobody's: no role, no setting, no pause.
contract AmmFactory is IAmmFactory {
    /// @inheritdoc IAmmFactory
    address public immutable override VAULT;
    /// @inheritdoc IAmmFactory
    address public immutable override QUOTE_TOKEN;
    /// @inheritdoc IAmmFactory
    address public immutable override IMPLEMENTATION;

    /// @inheritdoc IAmmFactory
    mapping(address base => address) public override pairOf;
    address[] private _pairs;

    constructor(address vault, address implementation) {
        VAULT = vault;
        QUOTE_TOKEN = IVault(vault).quoteToken();
        IMPLEMENTATION = implementation;
    }

    /// @inheritdoc IAmmFactory
    function createPair(address base) external returns (address pair) {
        if (pairOf[base] != address(0)) revert PairExists(pairOf[base]);
        // The settlement token is no synth of the Vault either.
        if (!IVault(VAULT).isSynth(base)) revert NotPoolable(base);

        pair = Clones.cloneDeterministic(IMPLEMENTATION, _salt(base));
        pairOf[base] = pair;
        _pairs.push(pair);
        emit PairCreated(base, pair, _pairs.length);

        IAmmPair(pair).initialize(base, QUOTE_TOKEN);
    }

    /// @inheritdoc IAmmFactory
    function predictPair(address base) external view returns (address pair) {
        return Clones.predictDeterministicAddress(IMPLEMENTATION, _salt(base));
    }

    /// @inheritdoc IAmmFactory
    function pairAt(uint256 index) external view returns (address pair) {
        return _pairs[index];
    }

    /// @inheritdoc IAmmFactory
    function pairCount() external view returns (uint256) {
        return _pairs.length;
    }

    function _salt(address base) private pure returns (bytes32) {
        return bytes32(uint256(uint160(base)));
    }
}
