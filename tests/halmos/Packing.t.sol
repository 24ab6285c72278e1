// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AccountWord} from "../../contracts/libraries/AccountWords.sol";
import {Standing} from "../../contracts/libraries/Standings.sol";
import {Change, Changes} from "../../contracts/libraries/Changes.sol";
import {Proof} from "./Proof.sol";

/// @title What is packed into a word comes out again, whatever stands beside it
contract PackingProof is Proof {
    function check_a_change_comes_out_as_it_went_in(int208 delta, uint48 immediate) public pure {
        Change change = Changes.pack(delta, immediate);
        assert(change.delta() == delta);
        assert(change.immediateSequence() == immediate);
    }

    /// @dev Whatever the word was: each field becomes what is written, and no other field changes.
    function check_a_field_of_an_account_is_written_alone(AccountWord word, uint128 balance, uint48 number, uint32 at)
        public
        pure
    {
        AccountWord written = word.withBalance(balance);
        assert(written.balance() == balance);
        assert(written.immediateSequence() == word.immediateSequence() && written.highestFloor() == word.highestFloor());
        assert(written.maturesAt() == word.maturesAt());
        written = word.withImmediateSequence(number);
        assert(written.immediateSequence() == number);
        assert(written.balance() == word.balance() && written.highestFloor() == word.highestFloor());
        assert(written.maturesAt() == word.maturesAt());
        written = word.withHighestFloor(number);
        assert(written.highestFloor() == number);
        assert(written.balance() == word.balance() && written.immediateSequence() == word.immediateSequence());
        assert(written.maturesAt() == word.maturesAt());
        written = word.withMaturesAt(at);
        assert(written.maturesAt() == at);
        assert(written.balance() == word.balance() && written.immediateSequence() == word.immediateSequence());
        assert(written.highestFloor() == word.highestFloor());
    }

    /// @dev What settlement sees of an account: the balance less what is reserved, negative if that is more.
    function check_a_standing_is_the_word_less_what_is_reserved(AccountWord word, uint128 reserved) public pure {
        Standing standing = word.standing(reserved);
        assert(standing.available() == int256(word.balance()) - int256(uint256(reserved)));
        assert(standing.immediateSequence() == word.immediateSequence());
        assert(standing.highestFloor() == word.highestFloor());
    }
}
