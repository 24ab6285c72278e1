// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {PAUSE_MAX, PAUSE_REST, PauseRules} from "../../contracts/libraries/PauseRules.sol";
import {Proof} from "./Proof.sol";

/// @dev A contract that is paused by the rules and nothing else.
contract Paused {
    uint256 public until;

    function pause() external {
        until = PauseRules.begin(until);
    }

    function unpause() external {
        until = PauseRules.end(until);
    }

    function isRunning() external view returns (bool) {
        return block.timestamp >= until;
    }
}

/// @title A guardian's pauses, at any time until 2100 or so
contract PauseRulesProof is Proof {
    uint256 internal constant LATEST = type(uint32).max - PAUSE_MAX;

    /// @dev A day after any call nothing is paused, unless the call was another pause.
    function check_a_pause_ends_within_a_day(uint32 at, uint32 later) public {
        Paused paused = new Paused();
        vm.assume(at <= LATEST && later >= at + PAUSE_MAX);
        vm.warp(at);
        paused.pause();
        vm.warp(later);
        assert(paused.isRunning());
    }

    /// @dev Ending a pause early, and as often as one likes, does not bring the next one nearer than its rest.
    function check_two_pauses_are_a_week_apart(uint32 first, uint32 ended, uint32 second) public {
        Paused paused = new Paused();
        vm.assume(first != 0 && first <= LATEST && ended >= first && second >= ended && second <= LATEST);
        vm.warp(first);
        paused.pause();
        vm.warp(ended);
        paused.unpause();
        uint256 end = paused.until();
        assert(end <= ended && end <= first + PAUSE_MAX);
        vm.warp(second);
        try paused.pause() {
            assert(second >= end + PAUSE_REST);
        } catch {
            assert(second < end + PAUSE_REST);
        }
    }
}
