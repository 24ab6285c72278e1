// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IAmmPair} from "../interfaces/IAmmPair.sol";
import {UnitIndex} from "./UnitIndex.sol";

/// @dev One AMM fill.
/// @param isTaken Whether it was not refused, and will be exchanged.
/// @param pair Zero if the base token has none.
/// @param baseColumn Where the base token is in the batch's columns.
/// @param takerBalance Where the taker's balance of what comes out is in memory.
/// @param pairBalance The same of the pair.
/// @param amountIn What the pair gets: units or atoms.
/// @param promised What the taker has been given in advance: units or atoms.
struct Leg {
    uint64 fill;
    uint32 market;
    bool isBuy;
    bool isTaken;
    address pair;
    uint256 baseColumn;
    uint256 takerBalance;
    uint256 pairBalance;
    uint256 amountIn;
    uint256 promised;
}

/// @title What a pair says to an AMM fill
library AmmLegs {
    /// @param base The base token of the pair.
    /// @param index That of the Vault.
    /// @return Whether the pair is there and gives what was promised, in this block.
    function isKept(Leg memory leg, address base, uint256 index) internal view returns (bool) {
        if (leg.pair == address(0)) return false;
        uint256 atoms = leg.isBuy ? UnitIndex.toAtomsDown(leg.amountIn, index) : leg.amountIn;
        // Atoms that somebody gave to a pair could keep it from trading: it holds 112 bits.
        if (IERC20(base).balanceOf(leg.pair) + (leg.isBuy ? 0 : atoms) > type(uint112).max) return false;

        try IAmmPair(leg.pair).getAmountOut(atoms, !leg.isBuy) returns (uint256 given) {
            return (leg.isBuy ? given : UnitIndex.toUnitsDown(given, index)) >= leg.promised;
        } catch {
            return false;
        }
    }
}
