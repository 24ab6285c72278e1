// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AccountWord} from "../../contracts/libraries/AccountWords.sol";
import {Flow} from "../../contracts/libraries/Flows.sol";
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

    /// @dev Whatever is stored, as long as the numbers fit; that deposits fit is checked, the others are bounded.
    function check_what_flows_is_counted_alone(Flow flow, uint40 events, uint88 units, uint40 at) public pure {
        vm.assume(flow.sequence() + events <= type(uint40).max);
        vm.assume(flow.deposits() + units <= type(uint88).max && flow.withdrawals() + units <= flow.deposits());
        Flow counted = flow.withEvents(events);
        assert(counted.sequence() == flow.sequence() + events && counted.drainedAt() == flow.drainedAt());
        assert(counted.deposits() == flow.deposits() && counted.withdrawals() == flow.withdrawals());
        Flow paidIn = flow.withDeposit(units);
        assert(paidIn.deposits() == flow.deposits() + units && paidIn.withdrawals() == flow.withdrawals());
        assert(paidIn.sequence() == flow.sequence() && paidIn.drainedAt() == flow.drainedAt());
        Flow paidOut = flow.withWithdrawal(units);
        assert(paidOut.withdrawals() == flow.withdrawals() + units && paidOut.deposits() == flow.deposits());
        assert(paidOut.sequence() == flow.sequence() && paidOut.drainedAt() == flow.drainedAt());
        Flow drained = flow.withDrainedAt(at);
        assert(drained.drainedAt() == at && drained.sequence() == flow.sequence());
        assert(drained.deposits() == flow.deposits() && drained.withdrawals() == flow.withdrawals());
    }
}
