// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {FeeMath} from "../../contracts/libraries/FeeMath.sol";
import {Proof} from "./Proof.sol";

/// @title Fees, for every notional of 128 bits (a balance has no more) and every rate of a fill (24 bits)
/// @dev That a fee is the ceiling and no pair of rates costs the venue anything is beyond the solver: a product divided.
/// `testFuzz_feeUp_is_the_ceiling` and `testFuzz_feeUp_never_costs_the_venue` have that.
contract FeeMathProof is Proof {
    /// @dev Rates by their size, here and below, with the sign in the code: of a signed one the solver finds no proof in a
    /// quarter of an hour.
    function check_a_fee_is_no_rebate(uint128 notional, uint24 ppm) public pure {
        assert(FeeMath.feeUp(notional, int256(uint256(ppm))) >= 0);
    }

    function check_a_rebate_is_no_fee(uint128 notional, uint24 ppm) public pure {
        assert(FeeMath.feeUp(notional, -int256(uint256(ppm))) <= 0);
    }
}
