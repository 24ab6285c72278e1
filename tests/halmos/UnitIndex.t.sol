// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {UnitIndex} from "../../contracts/libraries/UnitIndex.sol";
import {Proof} from "./Proof.sol";

/// @title Units and atoms, at every index from nothing left to a thousand atoms a unit
contract UnitIndexProof is Proof {
    function index_(uint80 index) internal pure {
        vm.assume(index != 0 && index <= 1_000 * UnitIndex.ONE);
    }

    /// @dev In and out again: what comes out is never more than what went in.
    function check_atoms_to_units_and_back_gains_nothing(uint96 atoms, uint80 index) public pure {
        index_(index);
        assert(UnitIndex.toAtomsDown(UnitIndex.toUnitsDown(atoms, index), index) <= atoms);
    }

    function check_units_to_atoms_and_back_gains_nothing(uint96 units, uint80 index) public pure {
        index_(index);
        assert(UnitIndex.toUnitsDown(UnitIndex.toAtomsDown(units, index), index) <= units);
    }

    /// @dev Two withdrawals pay no more than one of both.
    function check_two_withdrawals_pay_no_more_than_one(uint96 first, uint96 second, uint80 index) public pure {
        index_(index);
        uint256 both = UnitIndex.toAtomsDown(uint256(first) + second, index);
        assert(UnitIndex.toAtomsDown(first, index) + UnitIndex.toAtomsDown(second, index) <= both);
    }
}
