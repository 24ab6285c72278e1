// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {FeeMath} from "../../contracts/libraries/FeeMath.sol";
import {Proof} from "./Proof.sol";

/// @title Fees, for every notional of 128 bits (a balance has no more) and every rate of a fill (24 bits)
contract FeeMathProof is Proof {
    uint256 internal constant PPM = 1_000_000;

    /// @dev The venue never loses the dust: fee and rebate of one fill together are no loss if their rates are none.
    function check_two_rates_that_sum_to_none_cost_the_venue_nothing(uint128 notional, int24 a, int24 b) public pure {
        vm.assume(int256(a) + int256(b) >= 0);
        assert(FeeMath.feeUp(notional, a) + FeeMath.feeUp(notional, b) >= 0);
    }

    /// @dev The smallest integer that is not below notional * ppm / 10^6.
    function check_the_fee_is_the_ceiling(uint128 notional, int24 ppm) public pure {
        int256 fee = FeeMath.feeUp(notional, ppm);
        int256 exact = int256(uint256(notional)) * ppm;
        assert(fee * int256(PPM) >= exact);
        assert((fee - 1) * int256(PPM) < exact);
    }

    /// @dev Nobody pays a fee on a rebate, or gets one on a fee.
    function check_the_fee_has_the_sign_of_its_rate(uint128 notional, int24 ppm) public pure {
        int256 fee = FeeMath.feeUp(notional, ppm);
        assert(ppm >= 0 ? fee >= 0 : fee <= 0);
    }

    /// @dev A fill in two pieces never costs less than in one.
    function check_pieces_are_no_cheaper(uint64 first, uint64 second, int24 ppm) public pure {
        assert(
            FeeMath.feeUp(first, ppm) + FeeMath.feeUp(second, ppm)
                >= FeeMath.feeUp(uint256(first) + uint256(second), ppm)
        );
    }
}
