// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title Creates synths: minimal clones of one SynthERC20, whose one minter is the Vault for ever
///
/// PROMISES
/// - Every address is known beforehand: it depends on the factory, the name and the symbol only, so that nobody can put
///   something else there first. A symbol is used once.
/// - What it creates is one code: it takes no fee, does not call back, cannot be stopped, upgraded or minted by anybody
///   but the Vault. The Vault's register holds nothing else, because only the factory may register.
///
/// WHO MAY CALL: CREATOR_ROLE (a lister) creates and registers; the admin (ITwoStepAdmin, the timelock) changes
/// listers.
///
/// WARNING: symbols are told apart byte by byte: "hBTC" and "HBTC" are two synths, and so are look-alikes. Go by
/// address.
interface ISynthFactory {
    /// @notice A clone is there, and not registered yet (the Vault's `SynthRegistered`).
    event SynthCreated(address indexed synth, string name, string symbol);

    /// @notice Thrown when a symbol is taken.
    error SymbolTaken(string symbol);
    /// @notice Thrown when a name or a symbol is empty or longer than 31 bytes.
    error MalformedName();
    /// @notice Thrown when a token is to be registered that is no clone of this factory.
    error UnknownSynth(address token);

    /// @notice Creates the synth (CREATOR_ROLE); it still must be registered with the Vault.
    function createSynth(string calldata name, string calldata symbol) external returns (address synth);

    /// @notice Registers a synth with the Vault (CREATOR_ROLE). The factory alone holds the Vault's REGISTRAR_ROLE, so
    /// that no token whose code is another one ever enters the Vault.
    function registerSynth(address synth) external;

    /// @return synth The synth of this symbol, zero without one.
    function synthOf(string calldata symbol) external view returns (address synth);
    /// @return True for what this factory created.
    function isSynth(address token) external view returns (bool);
    /// @return synth Where `createSynth` puts it, or has put it.
    function predictSynth(string calldata name, string calldata symbol) external view returns (address synth);
    /// @return implementation The SynthERC20 that the clones share.
    function IMPLEMENTATION() external view returns (address implementation);
    /// @return vault The minter of them all.
    function VAULT() external view returns (address vault);
}
