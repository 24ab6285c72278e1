// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {UnitIndex} from "../../contracts/libraries/UnitIndex.sol";
import {Test} from "./Test.sol";

/// @title Units and atoms: who goes there and back gains nothing, and loses dust only
contract UnitIndexTest is Test {
    /// @dev An index starts at ONE and only falls; amounts are what a balance holds.
    function bounded(uint256 amount, uint256 index) internal pure returns (uint256, uint256) {
        return (bound(amount, 0, type(uint128).max), bound(index, 1, UnitIndex.ONE));
    }

    function testFuzz_atoms_there_and_back_lose_an_atom_at_most(uint256 atoms, uint256 index) public pure {
        (atoms, index) = bounded(atoms, index);
        uint256 back = UnitIndex.toAtomsDown(UnitIndex.toUnitsDown(atoms, index), index);
        vm.assertLe(back, atoms);
        vm.assertLe(atoms, back + 1);
    }

    function testFuzz_units_there_and_back_lose_less_than_an_atoms_worth(uint256 units, uint256 index) public pure {
        (units, index) = bounded(units, index);
        uint256 back = UnitIndex.toUnitsDown(UnitIndex.toAtomsDown(units, index), index);
        vm.assertLe(back, units);
        vm.assertLe(units - back, UnitIndex.ONE / index + 1);
    }

    function testFuzz_units_in_pieces_are_worth_no_more(uint128 some, uint128 others, uint256 index) public pure {
        index = bound(index, 0, UnitIndex.ONE);
        uint256 apart = UnitIndex.toAtomsDown(some, index) + UnitIndex.toAtomsDown(others, index);
        uint256 whole = UnitIndex.toAtomsDown(uint256(some) + others, index);
        vm.assertLe(apart, whole);
        vm.assertLe(whole, apart + 1);
    }

    function testFuzz_atoms_in_pieces_buy_no_more(uint128 some, uint128 others, uint256 index) public pure {
        index = bound(index, 0, UnitIndex.ONE);
        uint256 apart = UnitIndex.toUnitsDown(some, index) + UnitIndex.toUnitsDown(others, index);
        vm.assertLe(apart, UnitIndex.toUnitsDown(uint256(some) + others, index));
    }

    function test_before_a_loss_they_are_the_same_and_after_all_is_lost_worth_nothing() public pure {
        vm.assertEq(UnitIndex.toUnitsDown(type(uint128).max, UnitIndex.ONE), type(uint128).max);
        vm.assertEq(UnitIndex.toAtomsDown(type(uint128).max, UnitIndex.ONE), type(uint128).max);
        vm.assertEq(UnitIndex.toUnitsDown(type(uint128).max, 0), 0);
        vm.assertEq(UnitIndex.toAtomsDown(type(uint128).max, 0), 0);
    }
}
