// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Standing, Standings} from "../../contracts/libraries/Standings.sol";
import {BatchIndex} from "../../contracts/libraries/BatchIndex.sol";
import {Proof} from "./Proof.sol";

/// @title What is packed into a word comes out again, whatever stands beside it
contract PackingProof is Proof {
    function check_a_standing_comes_out_as_it_went_in(int160 available, uint48 immediate, uint48 floor) public pure {
        Standing standing = Standings.pack(available, immediate, floor);
        assert(standing.available() == available);
        assert(standing.immediateSequence() == immediate);
        assert(standing.highestFloor() == floor);
    }

    /// @dev Two keys are one only if batch, account and token are: no balance of a batch is ever another's.
    function check_no_two_balances_of_batches_share_a_place(
        uint64 batch,
        address account,
        address token,
        uint64 otherBatch,
        address otherAccount,
        address otherToken
    ) public pure {
        vm.assume(BatchIndex.keyOf(batch, account, token) == BatchIndex.keyOf(otherBatch, otherAccount, otherToken));
        assert(batch == otherBatch && account == otherAccount && token == otherToken);
    }
}
