// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {MIN_UPGRADE_DELAY} from "../../contracts/interfaces/Types.sol";
import {SynthERC20} from "../../contracts/SynthERC20.sol";
import {Timelock} from "../../contracts/Timelock.sol";
import {Proof} from "./Proof.sol";

/// @title What no key can do
contract PowersProof is Proof {
    /// @dev Whatever its delay is set to, at first or later.
    function check_nothing_happens_sooner_than_the_floor(uint256 first, uint256 later) public {
        Timelock timelock = new Timelock(first, new address[](0), new address[](0), address(0));
        assert(timelock.getMinDelay() >= MIN_UPGRADE_DELAY && timelock.getMinDelay() >= first);
        vm.prank(address(timelock));
        timelock.updateDelay(later);
        assert(timelock.getMinDelay() >= MIN_UPGRADE_DELAY && timelock.getMinDelay() >= later);
    }

    function check_only_the_minter_mints_and_burns(address minter, address caller, address to, uint256 amount) public {
        vm.assume(caller != minter);
        SynthERC20 synth = new SynthERC20(minter);
        vm.prank(caller);
        try synth.mint(to, amount) {
            assert(false);
        } catch {}
        vm.prank(caller);
        try synth.burn(amount) {
            assert(false);
        } catch {}
        assert(synth.totalSupply() == 0);
    }

    /// @dev The implementation behind all clones is no token and never becomes one.
    function check_the_implementation_is_locked(address minter, address caller) public {
        SynthERC20 synth = new SynthERC20(minter);
        vm.prank(caller);
        try synth.initialize("name", "symbol") {
            assert(false);
        } catch {}
    }
}
