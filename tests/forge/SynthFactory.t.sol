// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Initializable} from "@openzeppelin/contracts-upgradeable/proxy/utils/Initializable.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {ISynthFactory} from "../../contracts/interfaces/ISynthFactory.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {SynthERC20} from "../../contracts/SynthERC20.sol";
import {SynthFactory} from "../../contracts/SynthFactory.sol";
import {Fixture} from "./Fixture.sol";

/// @title SynthFactory
contract SynthFactoryTest is Fixture {
    string internal constant LONGEST = "1234567890123456789012345678901";

    function test_createSynth() public {
        address predicted = synthFactory.predictSynth("Test Ether", "tETH");
        vm.expectEmit(address(synthFactory));
        emit ISynthFactory.SynthCreated(predicted, "Test Ether", "tETH");
        SynthERC20 synth = newSynth("Test Ether", "tETH");
        vm.assertEq(address(synth), predicted);
        vm.assertEq(synthFactory.synthOf("tETH"), predicted);
        vm.assertTrue(synthFactory.isSynth(predicted));
        vm.assertEq(synthFactory.predictSynth("Test Ether", "tETH"), predicted);
        vm.assertEq(bytes(synth.name()), "Test Ether");
        vm.assertEq(bytes(synth.symbol()), "tETH");
        vm.assertEq(synth.decimals(), 18);
        vm.assertEq(synth.minter(), address(vault));
        vault.registerSynth(address(synth));
        vault.mintSynth(address(synth), alice, 5);
        vm.assertEq(synth.balanceOf(address(vault)), 5);
    }

    function test_createSynth_gives_a_symbol_away_once() public {
        vm.expectRevert(abi.encodeWithSelector(ISynthFactory.SymbolTaken.selector, "tBTC"));
        synthFactory.createSynth("Test Bitcoin", "tBTC");
        vm.expectRevert(abi.encodeWithSelector(ISynthFactory.SymbolTaken.selector, "tBTC"));
        synthFactory.createSynth("Another Bitcoin", "tBTC");
        // Symbols are told apart as written, and names may repeat.
        newSynth("Test Bitcoin", "TBTC");
    }

    function test_createSynth_binds_name_and_symbol() public view {
        address one = synthFactory.predictSynth("ab", "c");
        vm.assertTrue(one != synthFactory.predictSynth("a", "bc"));
        vm.assertTrue(one != synthFactory.predictSynth("ab", "d"));
        vm.assertTrue(one != synthFactory.predictSynth("b", "c"));
    }

    function test_createSynth_needs_a_name_and_a_symbol() public {
        string[2] memory wrong = ["", string.concat(LONGEST, "2")];
        for (uint256 i; i < 2; ++i) {
            vm.expectRevert(ISynthFactory.MalformedName.selector);
            synthFactory.createSynth(wrong[i], "X");
            vm.expectRevert(ISynthFactory.MalformedName.selector);
            synthFactory.createSynth("X", wrong[i]);
        }
        newSynth(LONGEST, LONGEST);
    }

    function test_createSynth_is_the_creators() public {
        bytes32 role = synthFactory.CREATOR_ROLE();
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, alice, role));
        synthFactory.createSynth("X", "X");
    }

    function test_registerSynth_of_clones_only() public {
        vault.revokeRole(vault.REGISTRAR_ROLE(), address(this));
        vault.grantRole(vault.REGISTRAR_ROLE(), address(synthFactory));
        SynthERC20 eth = newSynth("Test Ether", "tETH");
        vm.expectEmit(address(vault));
        emit IVault.SynthRegistered(vault.sequence() + 1, address(eth));
        synthFactory.registerSynth(address(eth));
        vm.assertTrue(vault.isSynth(address(eth)));
        vm.expectRevert(abi.encodeWithSelector(IVault.NotRegistrable.selector, address(eth)));
        synthFactory.registerSynth(address(eth));

        // It says that the Vault is its minter, and is no clone all the same.
        address impostor = address(new SynthERC20(address(vault)));
        vm.expectRevert(abi.encodeWithSelector(ISynthFactory.UnknownSynth.selector, impostor));
        synthFactory.registerSynth(impostor);
        bytes32 role = synthFactory.CREATOR_ROLE();
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, alice, role));
        synthFactory.registerSynth(address(eth));
        vm.assertEq(synthFactory.VAULT(), address(vault));
    }

    function test_implementation_and_clones_are_named_by_nobody_else() public {
        SynthERC20 shared = SynthERC20(synthFactory.IMPLEMENTATION());
        vm.expectRevert(Initializable.InvalidInitialization.selector);
        shared.initialize("Mine", "MINE");
        vm.expectRevert(Initializable.InvalidInitialization.selector);
        btc.initialize("Mine", "MINE");
        vm.assertEq(bytes(shared.symbol()), "");
        vm.assertFalse(synthFactory.isSynth(address(shared)));
        vm.assertEq(synthFactory.synthOf("MINE"), address(0));
    }

    function test_another_factory_creates_elsewhere() public {
        SynthFactory other = new SynthFactory(address(this), synthFactory.IMPLEMENTATION());
        vm.assertTrue(other.predictSynth("X", "X") != synthFactory.predictSynth("X", "X"));
    }

    function testFuzz_predictSynth(bytes32 seed, uint8 nameBytes, uint8 symbolBytes) public {
        (string memory name, string memory symbol) = (textOf(seed, nameBytes), textOf(~seed, symbolBytes));
        address predicted = synthFactory.predictSynth(name, symbol);
        vm.assertEq(synthFactory.createSynth(name, symbol), predicted);
        vm.assertEq(bytes(SynthERC20(predicted).symbol()), bytes(symbol));
    }

    function textOf(bytes32 seed, uint256 size) internal pure returns (string memory) {
        bytes memory text = new bytes(bound(size, 1, 31));
        for (uint256 i; i < text.length; ++i) {
            text[i] = seed[i];
        }
        return string(text);
    }
}
