// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Standing, Standings} from "../../contracts/libraries/Standings.sol";
import {Change, Changes} from "../../contracts/libraries/Changes.sol";
import {Proof} from "./Proof.sol";

/// @title What is packed into a word comes out again, whatever stands beside it
contract PackingProof is Proof {
    function check_a_standing_comes_out_as_it_went_in(int160 available, uint48 immediate, uint48 floor) public pure {
        Standing standing = Standings.pack(available, immediate, floor);
        assert(standing.available() == available);
        assert(standing.immediateSequence() == immediate);
        assert(standing.highestFloor() == floor);
    }

    function check_a_change_comes_out_as_it_went_in(int208 delta, uint48 immediate) public pure {
        Change change = Changes.pack(delta, immediate);
        assert(change.delta() == delta);
        assert(change.immediateSequence() == immediate);
    }
}
