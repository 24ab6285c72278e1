// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Initializable} from "@openzeppelin/contracts-upgradeable/proxy/utils/Initializable.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {AmmPair} from "../../contracts/AmmPair.sol";
import {MIN_UPGRADE_DELAY} from "../../contracts/interfaces/Types.sol";
import {SynthERC20} from "../../contracts/SynthERC20.sol";
import {Vault} from "../../contracts/Vault.sol";
import {AmmFixture} from "./AmmFixture.sol";

/// @title Every contract with an initialiser, as implementation and as what stands before it
/// @dev tests/test_initialisers.py holds that none is missing here.
contract InitialisersTest is AmmFixture {
    /// @dev Where OpenZeppelin keeps the version.
    bytes32 internal constant VERSION =
        keccak256(abi.encode(uint256(keccak256("openzeppelin.storage.Initializable")) - 1)) & ~bytes32(uint256(0xff));

    struct Case {
        address implementation;
        /// @dev A proxy or clone, in use.
        address instance;
        bytes initialization;
    }

    function casesFor(address who) internal view returns (Case[3] memory cases) {
        bytes memory call = abi.encodeCall(Vault.initialize, (who, who, who, who, who, who, who, 0));
        cases[0] = Case(address(implementation), address(vault), call);
        call = abi.encodeCall(AmmPair.initialize, (who, address(uint160(who) ^ 1)));
        cases[1] = Case(factory.IMPLEMENTATION(), address(pair), call);
        call = abi.encodeCall(SynthERC20.initialize, ("Mine", "MINE"));
        cases[2] = Case(synthFactory.IMPLEMENTATION(), address(btc), call);
    }

    function version(address target) internal view returns (uint256) {
        return uint256(vm.load(target, VERSION));
    }

    function assertRefused(address target, bytes memory call) internal {
        (bool ok, bytes memory answer) = target.call(call);
        vm.assertFalse(ok);
        vm.assertEq(answer, abi.encodePacked(Initializable.InvalidInitialization.selector));
    }

    function testFuzz_no_initialiser_runs_again_or_on_an_implementation(address caller, address who) public {
        Case[3] memory cases = casesFor(who);
        for (uint256 i; i < cases.length; ++i) {
            vm.startPrank(caller);
            assertRefused(cases[i].implementation, cases[i].initialization);
            assertRefused(cases[i].instance, cases[i].initialization);
            vm.stopPrank();
            // Locked for ever there, once and not yet again here.
            vm.assertEq(version(cases[i].implementation), type(uint64).max);
            vm.assertEq(version(cases[i].instance), 1);
        }
        vm.assertEq(vault.quoteToken(), address(usdc));
        vm.assertEq(pair.base(), address(btc));
        vm.assertEq(bytes(btc.symbol()), "tBTC");
    }

    /// @dev An upgrade may call what it upgrades to; not that.
    function test_an_upgrade_does_not_initialise_again() public {
        address[] memory self = new address[](1);
        self[0] = address(this);
        TimelockController timelock = new TimelockController(MIN_UPGRADE_DELAY, self, self, address(0));
        vault.grantRole(vault.UPGRADER_ROLE(), address(timelock));
        address next = address(new Vault());
        bytes memory call = casesFor(alice)[0].initialization;
        vm.startPrank(address(timelock));
        vm.expectRevert(Initializable.InvalidInitialization.selector);
        vault.upgradeToAndCall(next, call);
        vault.upgradeToAndCall(next, "");
        vm.stopPrank();
        assertRefused(address(vault), call);
        assertRefused(next, call);
    }

    /// @dev A clone of one's own is anybody's to name: the venue does not know it.
    function test_a_clone_that_no_factory_made_is_nothing() public {
        SynthERC20 synth = SynthERC20(Clones.clone(synthFactory.IMPLEMENTATION()));
        synth.initialize("Test Bitcoin", "tBTC");
        assertRefused(address(synth), casesFor(alice)[2].initialization);
        vm.assertFalse(synthFactory.isSynth(address(synth)));
        vm.assertFalse(vault.isSynth(address(synth)));

        AmmPair mine = AmmPair(Clones.clone(factory.IMPLEMENTATION()));
        mine.initialize(address(btc), address(usdc));
        assertRefused(address(mine), casesFor(alice)[1].initialization);
        vm.assertEq(factory.pairOf(address(btc)), address(pair));
    }
}
