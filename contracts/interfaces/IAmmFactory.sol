// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title One pool per synth, against the settlement token, at an address known beforehand
///
/// Nobody's: no role, no setting, no pause, no protocol fee. A pool is made for what the Vault has registered, so that
/// both of its tokens are of known code.
///
/// WHO MAY CALL: anyone.
interface IAmmFactory {
    /// @param base The synth.
    /// @param pair Its pool, against the settlement token.
    /// @param count Pools there are now; this one is `pairAt(count - 1)`.
    event PairCreated(address indexed base, address pair, uint256 count);

    /// @notice Thrown when a base token has its pool already.
    error PairExists(address pair);
    /// @notice Thrown when a base token is zero, the settlement token, or no synth of the Vault.
    error NotPoolable(address base);

    /// @notice Creates the pool of `base`. Anyone may.
    function createPair(address base) external returns (address pair);

    /// @return pair Zero without one.
    function pairOf(address base) external view returns (address pair);
    /// @return pair Where `createPair` puts it, or has put it.
    function predictPair(address base) external view returns (address pair);
    /// @return pair By the order of creation, from 0; reverts from `pairCount` on.
    function pairAt(uint256 index) external view returns (address pair);
    /// @notice How many pools there are; none ever goes.
    function pairCount() external view returns (uint256);
    /// @notice Whose synths have pools here, set once.
    function VAULT() external view returns (address);
    /// @notice The Vault's settlement token, the other side of every pool.
    function QUOTE_TOKEN() external view returns (address);
    /// @notice The AmmPair that all pools are clones of.
    function IMPLEMENTATION() external view returns (address);
}
