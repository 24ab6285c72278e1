// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @dev The cheat codes of halmos that the proofs use.
interface Vm {
    function assume(bool condition) external pure;
    function prank(address sender) external;
    function warp(uint256 time) external;
}

/// @title What a proof needs
/// @dev `make prove` runs every `check_` function on all inputs at once; forge does not know this folder.
abstract contract Proof {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code"))))); // solhint-disable-line

    /// @dev By this mark forge and halmos know a test contract.
    bool public IS_TEST = true; // solhint-disable-line
}
