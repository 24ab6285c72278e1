// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {ISynthERC20} from "./interfaces/ISynthERC20.sol";
import {ISynthFactory} from "./interfaces/ISynthFactory.sol";
import {IVault} from "./interfaces/IVault.sol";
import {TwoStepAdmin} from "./TwoStepAdmin.sol";

/// @title Creates synths; see ISynthFactory
contract SynthFactory is ISynthFactory, TwoStepAdmin {
    bytes32 public constant CREATOR_ROLE = keccak256("CREATOR_ROLE");

    /// @dev A text of this length still fits one storage word.
    uint256 private constant MAX_TEXT_BYTES = 31;

    /// @inheritdoc ISynthFactory
    address public immutable IMPLEMENTATION;
    /// @inheritdoc ISynthFactory
    address public immutable VAULT;

    /* STORAGE */

    mapping(string symbol => address) private _synths;
    /// @inheritdoc ISynthFactory
    mapping(address synth => bool) public isSynth;

    constructor(address admin_, address implementation) TwoStepAdmin(admin_) {
        IMPLEMENTATION = implementation;
        VAULT = ISynthERC20(implementation).minter();
    }

    /// @inheritdoc ISynthFactory
    function createSynth(string calldata name, string calldata symbol)
        external
        onlyRole(CREATOR_ROLE)
        returns (address synth)
    {
        if (!_isText(name) || !_isText(symbol)) revert MalformedName();
        if (_synths[symbol] != address(0)) revert SymbolTaken(symbol);

        synth = predictSynth(name, symbol);
        _synths[symbol] = synth;
        isSynth[synth] = true;
        emit SynthCreated(synth, name, symbol);

        Clones.cloneDeterministic(IMPLEMENTATION, _salt(name, symbol));
        ISynthERC20(synth).initialize(name, symbol);
    }

    /// @inheritdoc ISynthFactory
    function registerSynth(address synth) external onlyRole(CREATOR_ROLE) {
        if (!isSynth[synth]) revert UnknownSynth(synth);
        IVault(VAULT).registerSynth(synth);
    }

    /* VIEWS */

    /// @inheritdoc ISynthFactory
    function synthOf(string calldata symbol) external view returns (address) {
        return _synths[symbol];
    }

    /// @inheritdoc ISynthFactory
    function predictSynth(string calldata name, string calldata symbol) public view returns (address) {
        return Clones.predictDeterministicAddress(IMPLEMENTATION, _salt(name, symbol));
    }

    function _salt(string calldata name, string calldata symbol) private pure returns (bytes32) {
        return keccak256(abi.encode(name, symbol));
    }

    function _isText(string calldata text) private pure returns (bool) {
        return bytes(text).length != 0 && bytes(text).length <= MAX_TEXT_BYTES;
    }
}
