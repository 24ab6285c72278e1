// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {FeeMath} from "../../contracts/libraries/FeeMath.sol";
import {Proof} from "./Proof.sol";

/// @title Fees, for every notional of 128 bits (a balance has no more) and every rate of a fill (24 bits)
/// @dev That a fee is the ceiling and no pair of rates costs the venue anything is beyond the solver: a product divided.
/// `testFuzz_feeUp_is_the_ceiling` and `testFuzz_feeUp_never_costs_the_venue` have that.
contract FeeMathProof is Proof {
    /// @dev Nobody pays a fee on a rebate, or gets one on a fee.
    function check_the_fee_has_the_sign_of_its_rate(uint128 notional, int24 ppm) public pure {
        int256 fee = FeeMath.feeUp(notional, ppm);
        assert(ppm >= 0 ? fee >= 0 : fee <= 0);
    }
}
