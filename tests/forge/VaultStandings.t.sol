// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {IVault} from "../../contracts/interfaces/IVault.sol";
import {EXIT_DELAY} from "../../contracts/interfaces/Types.sol";
import {Change, Changes} from "../../contracts/libraries/Changes.sol";
import {Standing} from "../../contracts/libraries/Standings.sol";
import {Fixture} from "./Fixture.sol";

/// @title What settlement is told of accounts before a batch
contract VaultStandingsTest is Fixture {
    address[] internal everyone;

    function setUp() public override {
        super.setUp();
        vault.grantRole(vault.SETTLEMENT_ROLE(), address(this));
        everyone = [alice, bob, carol];
    }

    function assertStanding(uint256 place, int256 available, uint48 immediate, uint48 floor) internal view {
        Standing standing = vault.standingsOf(address(usdc), everyone)[place];
        vm.assertEq(standing.available(), available);
        vm.assertEq(standing.immediateSequence(), immediate);
        vm.assertEq(standing.highestFloor(), floor);
    }

    function test_standings_without_requests() public {
        giveUnits(alice, 100);
        giveUnits(carol, 300);
        address[] memory accounts = new address[](2);
        Change[] memory changes = new Change[](2);
        (accounts[0], accounts[1]) = (alice, carol);
        (changes[0], changes[1]) = (Changes.pack(-30, 7), Changes.pack(30, 0));
        vault.applySettlement(address(usdc), accounts, changes);
        vault.raiseCancelFloor(carol, 9, 0);

        vm.assertEq(vault.standingsOf(address(usdc), everyone).length, 3);
        vm.assertEq(vault.standingsOf(address(usdc), new address[](0)).length, 0);
        assertStanding(0, 70, 7, 0);
        assertStanding(1, 0, 0, 0);
        assertStanding(2, 330, 0, 9);
    }

    /// @dev Of one account only: the others are told as before.
    function test_a_matured_request_is_not_available() public {
        giveUnits(alice, 100);
        giveUnits(bob, 200);
        vault.raiseCancelFloor(bob, 9, 0);
        request(bob, address(usdc), 50);
        vm.warp(START + EXIT_DELAY - 1);
        assertStanding(0, 100, 0, 0);
        assertStanding(1, 200, 0, 9);
        vm.warp(START + EXIT_DELAY);
        assertStanding(0, 100, 0, 0);
        assertStanding(1, 150, 0, 9);
        vm.assertEq(vault.debitable(bob, address(usdc)), 150);
    }

    function test_a_request_beyond_the_balance_leaves_less_than_nothing() public {
        giveUnits(carol, 10);
        vault.raiseCancelFloor(carol, 9, 0);
        request(carol, address(usdc), 25);
        vm.warp(START + EXIT_DELAY);
        assertStanding(2, -15, 0, 9);
        vm.assertEq(vault.debitable(carol, address(usdc)), 0);
    }

    /// @dev An open request takes a change off the short way through the batch; what it does is the same.
    function test_changes_beside_a_request_are_those_without_one() public {
        giveUnits(alice, 100);
        giveUnits(bob, 100);
        address[] memory accounts = new address[](2);
        Change[] memory changes = new Change[](2);
        (accounts[0], accounts[1]) = (alice, bob);
        (changes[0], changes[1]) = (Changes.pack(-30, 7), Changes.pack(30, 8));
        request(alice, address(usdc), 20);
        request(bob, address(usdc), 20);
        vault.applySettlement(address(usdc), accounts, changes);
        assertStanding(0, 70, 7, 0);
        assertStanding(1, 130, 8, 0);

        // No sequence leaves what there was.
        (changes[0], changes[1]) = (Changes.pack(10, 0), Changes.pack(-10, 0));
        vm.warp(START + EXIT_DELAY);
        vault.applySettlement(address(usdc), accounts, changes);
        assertStanding(0, 60, 7, 0);
        assertStanding(1, 100, 8, 0);
        vm.assertEq(units(alice), 80);
        vm.assertEq(units(bob), 120);

        // A synth has none, and none is written.
        giveLots(alice, 1);
        giveLots(bob, 1);
        request(alice, address(btc), 1);
        (changes[0], changes[1]) = (Changes.pack(-1, 9), Changes.pack(1, 9));
        vault.applySettlement(address(btc), accounts, changes);
        vm.assertEq(vault.standingsOf(address(btc), everyone)[0].immediateSequence(), 0);
        vm.assertEq(vault.standingsOf(address(btc), everyone)[1].immediateSequence(), 0);
    }

    function test_a_synth_is_told_apart() public {
        giveUnits(alice, 100);
        giveLots(alice, 3);
        Standing[] memory standings = vault.standingsOf(address(btc), everyone);
        vm.assertEq(standings[0].available(), int256(3 * uint256(BASE_PER_LOT)));
        vm.assertEq(standings[1].available(), 0);
    }

    /// @dev Addresses are not cleaned: with anything in the upper bits it is a key that nobody has.
    function test_an_address_with_dirty_bits_is_nobodys() public {
        giveUnits(alice, 100);
        bytes memory asked = abi.encodeCall(IVault.standingsOf, (address(usdc), everyone));
        assembly ("memory-safe") {
            let at := add(asked, 0x84)
            mstore(at, or(mload(at), shl(160, 1)))
        }
        (bool ok, bytes memory answer) = address(vault).staticcall(asked);
        vm.assertTrue(ok);
        vm.assertEq(abi.decode(answer, (uint256[]))[0], 0);
    }
}
